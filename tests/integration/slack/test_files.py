"""Files in Slack: the rest of a long answer, and long code, through the real client to the loopback server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import file_hosts
from adapters.slack.events.pages import share_of
from adapters.slack.messages.files import FILE_LIMIT, is_upload_host
from adapters.slack.options import SlackTimings
from bot.backoff import Backoff
from bot.conversation import Finish, FinishReason, Role, Text
from bot.delivery.policy import WritePolicy
from bot.errors import Forbidden
from bot.ports import Body, Upload
from bot.strings import Strings
from bot.turns.manager import TurnManager
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.core import ended, make_turns
from tests.support.fakes import FakeJournal, ScriptedModel
from tests.support.slack import connected, options_of, sole_platform
from tests.support.waiting import until

PROSE = "".join(f"Sentence number {number} says something. " for number in range(450))  # about 17,000 characters
CODE = "".join(f"print({number}, 'é')\n" for number in range(900))
NOTE = f"_\u2063{Strings().rest}_"
SMALL = WritePolicy(max_messages=1, backoff=Backoff(0.05, 0.1))


# Slack's seconds are tenths here.
QUICK = SlackTimings(share_polls=(0.0, 0.05, 0.1, 0.2, 0.3))


@asynccontextmanager
async def process(double: SlackDouble, model: ScriptedModel, journal: FakeJournal) -> AsyncIterator[TurnManager]:
    """The whole program but for its settings: leaving it is a `kill -9`."""
    turns = make_turns(model, journal, writes=SMALL)
    attachments = Attachments(AttachmentLimits(), hosts=file_hosts(options_of(double, timings=QUICK)))
    platform = sole_platform(options_of(double, timings=QUICK), attachments)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(turns.run())]
            await turns.started.wait()
            tasks.append(group.create_task(platform.run(turns)))
            try:
                await until(lambda: platform.ready)
                yield turns
            finally:
                for task in tasks:
                    task.cancel()
    finally:
        await platform.close()
        await attachments.close()


@asynccontextmanager
async def answered(
    text: str, prepare: Callable[[SlackDouble], object] = lambda double: None, *, kind: str = "channel"
) -> AsyncIterator[tuple[SlackDouble, str, str]]:
    """One question, answered whole: the server, the place and the question's thread."""
    double, journal = SlackDouble(), FakeJournal(durable=True)
    double.post_seconds = 0.0
    ann, place = double.world.user("Ann"), double.world.channel(kind)
    prepare(double)
    model = ScriptedModel([Text(text), Finish(FinishReason.STOP)])
    async with double.running(), process(double, model, journal):
        asked = double.say(place, "<@UBOT> tell me", author=ann)
        await ended(journal)
        yield double, place, asked if kind == "channel" else ""


def words_of(double: SlackDouble, place: str, thread: str) -> list[str]:
    """The reader's whole answer, with its files opened."""
    texts = [text.replace(NOTE, "") for text in double.answers(place, thread)]
    return " ".join([*texts, *(text for _, text in double.attached(place, thread))]).split()


@pytest.mark.sockets
@pytest.mark.parametrize("kind", ["channel", "im"])
@pytest.mark.parametrize("tells", [True, False])
async def test_the_rest_is_uploaded(tells: bool, kind: str) -> None:
    """One message, then one with a line and a file, in the thread; together they are the answer."""

    def prepare(double: SlackDouble) -> None:
        double.tells_shares = tells

    async with answered(PROSE, prepare, kind=kind) as (double, place, thread):
        texts, [(name, text)] = double.answers(place, thread), double.attached(place, thread)
        assert (len(texts), texts[-1]) == (2, NOTE)
        assert (name[:7], name[-3:]) == ("answer-", ".md")
        assert words_of(double, place, thread) == PROSE.split()
        assert len(text) > 4_000
        assert not double.limited
        assert double.refused == []


@pytest.mark.sockets
async def test_long_code_is_uploaded_beside_the_messages() -> None:
    """The whole block as a file of its language, byte for byte, beside the rest."""
    async with answered(f"Look:\n\n```python\n{CODE}```\n\nThat is all.") as (double, place, thread):
        (rest, _), (name, text) = double.attached(place, thread)
        assert (text, rest[-3:], name[-3:]) == (CODE, ".md", ".py")


def without_scope(double: SlackDouble) -> None:
    double.scopes.discard("files:write")


def without_methods(double: SlackDouble) -> None:
    double.without |= {"files.getUploadURLExternal"}


def without_methods_404(double: SlackDouble) -> None:
    double.without, double.without_as_404 = {"files.getUploadURLExternal"}, True


def never_shown(double: SlackDouble) -> None:
    double.share_seconds = math.inf


def elsewhere(double: SlackDouble) -> None:
    double.upload_host = "https://files.example.com"


def refused(double: SlackDouble) -> None:
    double.faults.add("POST", "/upload/", Kind.STATUS, status=413)


def failing(double: SlackDouble) -> None:
    double.faults.add("POST", "/upload/", Kind.STATUS, status=500, times=9)


@pytest.mark.sockets
@pytest.mark.parametrize(
    "prepare", [without_scope, without_methods, without_methods_404, never_shown, elsewhere, refused, failing]
)
async def test_where_files_do_not_go_up(prepare: Callable[[SlackDouble], None]) -> None:
    """Without files, the answer ends at its last message and says so; no file appears later."""
    async with answered(PROSE, prepare) as (double, place, thread):
        assert double.attached(place, thread) == []
        assert all(Strings().rest not in text for text in double.answers(place, thread))
        (text,) = double.answers(place, thread)
        said, line, after = text.partition(f"\n\n_\u2063{Strings().limit}_")
        assert (bool(line), after) == (True, "")
        words = said.split()
        assert len(words) > 1_000
        assert words == PROSE.split()[: len(words)]
        assert not double.limited


STEPS = ["files.getUploadURLExternal", "/upload/", "files.completeUploadExternal"]


@pytest.mark.sockets
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", [Kind.RESET_BEFORE, Kind.RESET_AFTER, Kind.GARBLED, Kind.STATUS])
async def test_one_file_despite_a_failing_step(step: str, kind: Kind) -> None:
    """Each step is lost once, before or after it was done: the file is there once, in one message."""
    async with answered(PROSE, lambda double: double.faults.add("POST", step, kind)) as (double, place, thread):
        assert len(double.attached(place, thread)) == 1
        assert double.answers(place, thread)[1:] == [NOTE]
        assert words_of(double, place, thread) == PROSE.split()


@pytest.mark.sockets
async def test_a_late_file_message_is_found() -> None:
    """It is there once, however late its place is told, and without our own events."""

    def late(double: SlackDouble) -> None:
        double.share_seconds, double.echoes = 0.3, False
        double.scopes.discard("files:read")

    async with answered(PROSE, late) as (double, place, thread):
        assert double.answers(place, thread)[1:] == [NOTE]
        assert words_of(double, place, thread) == PROSE.split()


@pytest.mark.sockets
async def test_failed_uploads_are_not_repeated_at_once() -> None:
    """Without the scope, the next answer is cut for messages alone, wherever it is."""
    double = SlackDouble()
    ann, place, other = double.world.user("Ann"), double.world.channel(), double.world.channel()
    without_scope(double)
    async with double.running(), connected(double, timings=QUICK) as (_, inbox):
        double.say(place, "<@UBOT> one", author=ann)
        _, slack_channel = await inbox.turn(1)
        assert slack_channel.caps.files == FILE_LIMIT
        with pytest.raises(Forbidden):
            await slack_channel.post(Body("look", files=(Upload("a.txt", "x"),)), "key1")
        double.say(other, "<@UBOT> two", author=ann)
        _, second = await inbox.turn(2)
        assert (slack_channel.caps.files, second.caps.files) == (0, 0)


@pytest.mark.sockets
@pytest.mark.parametrize("later", [40, 900, 2000])
async def test_the_file_of_an_earlier_process_does_not_stay(later: int) -> None:
    """Killed before it could write down the end: the next answer, of any length, ends with its own file or none."""
    double, journal = SlackDouble(), FakeJournal(durable=True)
    double.post_seconds = 0.0
    ann, place = double.world.user("Ann"), double.world.channel()
    async with double.running():
        async with process(double, ScriptedModel([Text(PROSE), Finish(FinishReason.STOP)]), journal):
            asked = double.say(place, "<@UBOT> tell me", author=ann)
            await ended(journal)
        journal.ends.clear()  # it was killed before that
        again = "".join(f"Other {number} words. " for number in range(later))
        taken_up = FakeJournal(durable=True, of=journal)
        async with process(double, ScriptedModel([Text(again), Finish(FinishReason.STOP)]), taken_up):
            await ended(taken_up)
        assert words_of(double, place, asked) == again.split()
        assert len(double.attached(place, asked)) == (1 if len(again) > 11_500 else 0)


@pytest.mark.sockets
async def test_the_next_question_knows_the_rest() -> None:
    """A file's text is part of the answer in the next prompt; our own line is not."""
    double, journal = SlackDouble(), FakeJournal(durable=True)
    double.post_seconds = 0.0
    ann, place = double.world.user("Ann"), double.world.channel()
    text = PROSE[:14_000]
    model = ScriptedModel([Text(text), Finish(FinishReason.STOP)])
    async with double.running(), process(double, model, journal):
        asked = double.say(place, "<@UBOT> tell me", author=ann)
        await ended(journal)
        double.say(place, "and?", author=ann, thread=asked)
        await ended(journal, 2)
    said = [message for message in model.calls[-1][1].messages if message.role is Role.ASSISTANT]
    assert [message.text.split() for message in said] == [text.split()]


@pytest.mark.parametrize(
    ("url", "api", "may"),
    [
        ("https://files.slack.com/upload/v1/abc", None, True),
        ("https://files.slack.com/upload/v1/abc", "http://127.0.0.1:8/api/", True),
        ("http://files.slack.com/upload/v1/abc", None, False),
        ("https://files.slack.com.example.org/x", None, False),
        ("https://notslack.com/x", None, False),
        ("https://slack.com@example.org/x", None, False),
        ("http://127.0.0.1:9/upload", "http://127.0.0.1:8/api/", True),
        ("http://127.0.0.1:9/upload", None, False),
        ("http://proxy.example/upload", "https://proxy.example/api/", False),
        ("https://proxy.example/upload", "https://proxy.example/api/", True),
        ("file:///etc/passwd", None, False),
        ("https://[", None, False),
    ],
)
def test_where_a_file_may_go(url: str, api: str | None, may: bool) -> None:
    """Files go to Slack over TLS or to the configured server, whatever an answer says."""
    assert is_upload_host(url, api) is may


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["shares", "public", "private", "C1", "ts", "thread_ts"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["shares", "id"]), ANYTHING))
def test_any_file_object_is_read(file: dict[str, object]) -> None:
    """A file object of any shape is readable."""
    assert isinstance(share_of(file, "C1", "t"), str | None)


def test_the_share_in_the_right_place_is_taken() -> None:
    """Of several shares, the one in the conversation is taken."""
    shares = {"public": {"C1": [{"ts": "1", "thread_ts": "x"}, {"ts": "2", "thread_ts": "t"}], "C2": [{"ts": "3"}]}}
    assert share_of({"shares": shares}, "C1", "t") == "2"
    assert share_of({"shares": shares}, "C2", "") == "3"
    assert share_of({"shares": shares}, "C3", "") is None
