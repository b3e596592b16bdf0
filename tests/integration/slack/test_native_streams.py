"""Answers as Slack's native streams: the whole program with the real SDKs, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from tests.servers.limits import Kind
from tests.servers.openai import Answer, Fault
from tests.servers.slack import SlackDouble
from tests.servers.slack_streams import APPEND, MESSAGE_BYTES, START, STOP, State
from tests.support.native_streams import EDIT, FINAL_BUTTONS, POST, agent_view, streamed_only, words

pytestmark = pytest.mark.sockets(virtual=True)

ANSWER = words(100)

# ----------------------------------------------------------------------------------------------------------- one answer


async def test_an_answer_in_the_agent_view_is_one_stream() -> None:
    """It starts in the question's thread for its asker, grows by appends, and ends with its buttons and no edit."""
    async with agent_view(ANSWER) as view:
        root = view.ask()
        await view.answered(ANSWER, root)
        (stream,) = view.double.streams.all
        assert (stream.thread, stream.recipient, stream.state) == (root, view.user, State.STOPPED)
        assert streamed_only(view)
        assert view.calls(START, STOP) == [START, STOP]
        assert len(view.calls(APPEND)) >= 3
        assert view.buttons(root) == [FINAL_BUTTONS]
        assert view.double.refused == []


async def test_what_a_reader_sees_only_ever_grows() -> None:
    """Each append continues the text before it."""
    async with agent_view(ANSWER) as view:
        root = view.ask()
        await view.answered(ANSWER, root)
        texts = [wrote.text for wrote in view.double.writes]
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))


async def test_a_follow_up_in_the_thread_is_streamed_there() -> None:
    """A second question in the same thread gets its own stream in it."""
    async with agent_view(ANSWER) as view:
        root = view.ask()
        await view.answered(ANSWER, root)
        view.ask("more", thread=root)
        await view.answered(f"{ANSWER} {ANSWER}", root)
        assert [stream.thread for stream in view.double.streams.all] == [root, root]


async def test_a_plain_direct_message_is_answered_in_place_with_edits() -> None:
    """Outside threads and the agent view, nothing is streamed."""
    async with agent_view(ANSWER) as view:
        root = view.double.say(view.channel, "tell", author=view.user)
        await view.rest()
        assert view.double.answers(view.channel) == [ANSWER]
        assert view.shown(root) == []
        assert set(view.calls()) == {POST, EDIT}


async def test_a_thread_of_a_plain_direct_message_is_streamed() -> None:
    """In a thread of a direct message an answer has a thread to stream in."""
    async with agent_view(ANSWER) as view:
        first = view.double.say(view.channel, "before", author=view.user, quiet=True)
        view.double.say(view.channel, "tell", author=view.user, thread=first)
        await view.answered(ANSWER, first)
        assert streamed_only(view)


async def test_channels_keep_edits() -> None:
    """In a channel only the asker would see a stream grow."""
    async with agent_view(ANSWER) as view:
        channel = view.double.world.channel()
        root = view.double.say(channel, "<@UBOT> tell", author=view.user)
        await view.rest()
        assert view.double.answers(channel, root) == [ANSWER]
        assert view.double.streams.all == []


async def test_streams_can_be_turned_off_and_asked_for_everywhere() -> None:
    """`off` edits even in the agent view; `always` streams in a channel's thread too, to the asker."""
    async with agent_view(ANSWER, TICKERTAPE_SLACK_STREAMS="off") as view:
        root = view.ask()
        await view.answered(ANSWER, root)
        assert view.double.streams.all == []
    async with agent_view(ANSWER, TICKERTAPE_SLACK_STREAMS="always") as view:
        channel = view.double.world.channel()
        root = view.double.say(channel, "<@UBOT> tell", author=view.user)
        await view.rest()
        assert view.double.answers(channel, root) == [ANSWER]
        assert [stream.recipient for stream in view.double.streams.all] == [view.user]
        view.judge()


# ----------------------------------------------------------------------------------------------------------------- long


@pytest.mark.parametrize("word", ["word", "Wörter", "言葉", "🙂🙃"])
async def test_a_long_answer_continues_in_further_streams(word: str) -> None:
    """Each message stays below Slack's cap in bytes, whatever the script; the text is whole over all of them."""
    long = "\n\n".join(words(60, word + str(part)) for part in range(40))
    async with agent_view(long, rate=100.0) as view:
        root = view.ask()
        await view.answered(long, root)
        streams = view.double.streams.all
        assert len(streams) >= 3
        assert all(0 < stream.weight <= 9_000 < MESSAGE_BYTES for stream in streams)
        assert view.buttons(root) == [[]] * (len(streams) - 1) + [FINAL_BUTTONS]
        assert view.double.refused == []


async def test_a_slow_answer_continues_before_slack_ends_its_stream() -> None:
    """An answer of nearly five minutes is written over two streams; none is ended by Slack."""
    slow = words(295)
    async with agent_view(slow, rate=1.0) as view:
        root = view.ask()
        await view.answered(slow, root)
        assert len(view.double.streams.all) == 2
        assert {stream.state for stream in view.double.streams.all} == {State.STOPPED}
        assert view.double.refused == []


async def test_a_silent_model_leaves_no_broken_stream() -> None:
    """With six minutes of silence in the middle, the open stream is closed in time and the answer still ends whole."""
    times = (*(n / 10 for n in range(50)), *(400.0 + n / 10 for n in range(51)))
    async with agent_view(Answer(ANSWER, times=times)) as view:
        root = view.ask()
        await view.rest()
        view.judge()
        assert State.ENDED not in {stream.state for stream in view.double.streams.all}
        assert view.shown(root)


# ------------------------------------------------------------------------------------------------------------ corrected

TABLE = "Before\n\n| a | b |\n|---|---|\n" + "\n".join(f"| {n} | x{n} |" for n in range(30)) + "\n\nAfter"
CODE = "Before\n\n```python\n" + "\n".join(f"print({n})" for n in range(120)) + "\n```\n\nAfter"
LIST = "\n".join(f"{n}. item **{n}** and [a link](https://example.org/{n})" for n in range(1, 60))


@pytest.mark.parametrize("text", [TABLE, CODE, LIST], ids=["table", "code", "list"])
async def test_markdown_arrives_as_it_was_written(text: str) -> None:
    """Tables, code and lists are whole at the end, with one correcting edit at most."""
    async with agent_view(text, rate=40.0) as view:
        root = view.ask()
        await view.answered(text, root)
        assert len(view.calls(EDIT)) <= 1
        assert view.calls(START) == [START]


@pytest.mark.parametrize("fault", [Fault.ABORT, Fault.ERROR_EVENT])
async def test_a_second_attempt_of_the_model_corrects_the_stream_with_one_edit(fault: Fault) -> None:
    """A stream that fails halfway is asked again; other words replace the streamed ones once, at the end."""
    other = words(100, "other")
    async with agent_view(other) as view:
        view.model.queue(Answer(ANSWER, words_per_second=20.0, fault=fault, at=0.5))
        root = view.ask()
        await view.answered(other, root)
        assert view.calls(START) == [START]
        assert len(view.shown(root)) == 1
        assert view.buttons(root) == [FINAL_BUTTONS]
        assert len(view.calls(EDIT)) >= 1


async def test_a_second_attempt_with_the_same_words_needs_no_edit() -> None:
    """If the repeated answer continues what was streamed, it is appended."""
    async with agent_view(ANSWER) as view:
        view.model.queue(Answer(ANSWER, words_per_second=20.0, fault=Fault.ABORT, at=0.5))
        root = view.ask()
        await view.answered(ANSWER, root)
        assert streamed_only(view)


async def test_text_that_slack_shows_twice_is_taken_back() -> None:
    """Where an edit with blocks repeats the streamed text, a reader still sees the answer once in the end."""
    other = words(100, "other")
    double = SlackDouble()
    double.streams.repeats_text = True
    async with agent_view(other, double=double) as view:
        view.model.queue(Answer(ANSWER, words_per_second=20.0, fault=Fault.ABORT, at=0.5))
        root = view.ask()
        await view.answered(other, root)
        assert view.calls(START) == [START]


async def test_spaces_that_slack_drops_at_the_joins_are_not_lost() -> None:
    """Chunks begin with a word, so that a server dropping leading spaces shows the same text."""
    text = "\n\n".join(words(12, f"p{part}w") for part in range(10))
    double = SlackDouble()
    double.streams.drops_leading_whitespace = True
    async with agent_view(text, double=double) as view:
        root = view.ask()
        await view.rest()
        assert view.shown(root) == [text]
        assert len(view.calls(APPEND)) >= 3
        view.judge()


# ------------------------------------------------------------------------------------------------------- limits, modes


async def test_twenty_one_questions_in_a_minute() -> None:
    """No start is refused: those beyond the limit are answered by edits, and all are whole."""
    async with agent_view(words(60), rate=10.0) as view:
        users = [view.double.world.user(f"U{number}") for number in range(21)]
        roots = [view.ask(user=user) for user in users]
        await view.rest()
        for user, root in zip(users, roots, strict=True):
            assert view.shown(root, user) == [words(60)]
        assert 1 <= len(view.calls(START)) <= 20
        view.judge()


async def test_with_edits_used_up_a_new_answer_streams() -> None:
    """Channels have spent Slack's edits; the agent view does not wait for them."""
    async with agent_view(words(400), rate=40.0) as view:
        channel = view.double.world.channel()
        for _ in range(12):
            view.double.say(channel, "<@UBOT> tell", author=view.user)
        await view.written(EDIT, 30)
        root = view.ask()
        await view.written(START)
        view.model.default = Answer("done")
        await view.answered(words(400), root)
        assert len(view.shown(root)) == 1


async def test_with_appends_used_up_a_new_answer_edits() -> None:
    """Ten streams have spent the appends; the next answer is edited and does not wait for them."""
    async with agent_view(words(900), rate=30.0) as view:
        users = [view.double.world.user(f"U{number}") for number in range(10)]
        roots = [view.ask(user=user) for user in users]
        await view.written(APPEND, 85)
        root = view.ask()
        await view.rest()
        for user, asked in zip((*users, view.user), (*roots, root), strict=True):
            assert " ".join(view.shown(asked, user)).split() == words(900).split()
        assert view.calls(EDIT)
        view.judge()


@pytest.mark.parametrize("limited_as", ["", "ratelimited", "rate_limited"])
@pytest.mark.parametrize("method", [START, APPEND, STOP])
async def test_a_limit_of_another_program_is_waited_for(method: str, limited_as: str) -> None:
    """A 429, or an error of either spelling with status 200, costs no text."""
    async with agent_view(ANSWER) as view:
        told: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "2"}, "body": b'{"ok":false}'}
        if limited_as:
            told = {"status": 200, "body": b'{"ok":false,"error":"%s"}' % limited_as.encode()}
        view.double.faults.add("POST", method, Kind.STATUS, **told)
        root = view.ask()
        await view.answered(ANSWER, root)
        assert len(view.shown(root)) == 1
        assert view.double.faults.fired


# ------------------------------------------------------------------------------------------------------------- refusals

REFUSALS = ["unknown_method", "not_allowed_token_type", "channel_type_not_supported", "paid_only", "user_not_found"]


@pytest.mark.parametrize("error", [*REFUSALS, "feature_not_enabled", "an_error_of_next_year"])
async def test_where_streams_are_refused_the_same_answer_is_edited(error: str) -> None:
    """The refusal is remembered: the next answer does not try again, and neither shows anything of it."""
    async with agent_view(ANSWER) as view:
        view.double.streams.refuse(error)
        for _ in range(2):
            root = view.ask()
            await view.answered(ANSWER, root)
            assert view.buttons(root) == [FINAL_BUTTONS]
        assert view.double.refused.count((START, error)) == 1
        assert view.double.streams.all == []


@pytest.mark.parametrize(("error", "starts"), [("messages_tab_disabled", 1), ("channel_type_not_supported", 2)])
async def test_a_refused_surface_is_not_tried_in_each_direct_message(error: str, starts: int) -> None:
    """Three people ask one after the other: one or two starts are in vain, and every answer is whole."""
    text = words(20)
    async with agent_view(text) as view:
        view.double.streams.refuse(error)
        for name in ("Bob", "Eve", "Joe"):
            user = view.double.world.user(name)
            root = view.ask(user=user)
            await view.rest()
            assert view.shown(root, user) == [text]
        assert view.double.refused == [(START, error)] * starts


async def test_guests_without_streams_do_not_turn_them_off_for_members() -> None:
    """Slack refuses each direct message with a guest; a member's answer still streams, and a guest's is edited."""
    text = words(20)
    async with agent_view(text, TICKERTAPE_GUESTS="true") as view:
        for name in ("Guy", "Gus"):
            guest = view.double.world.user(name, guest=True)
            view.double.streams.refuse("user_is_restricted", guest)
            root = view.ask(user=guest)
            await view.rest()
            assert view.shown(root, guest) == [text]
        assert len(view.double.refused) == 2
        await view.answered(text, view.ask())
        assert [stream.recipient for stream in view.double.streams.all] == [view.user]


async def test_a_refusal_in_one_place_is_not_one_everywhere() -> None:
    """One direct message is refused; another person's is still streamed."""
    async with agent_view(ANSWER) as view:
        view.double.streams.refuse("channel_type_not_supported", view.channel)
        await view.answered(ANSWER, view.ask())
        bob = view.double.world.user("Bob")
        root = view.ask(user=bob)
        await view.rest()
        assert view.shown(root, bob) == [ANSWER]
        assert [stream.recipient for stream in view.double.streams.all] == [bob]


@pytest.mark.parametrize("error", ["not_allowed_token_type", "message_not_owned_by_app", "an_error_of_next_year"])
async def test_an_append_refused_in_the_middle_continues_with_edits(error: str) -> None:
    """The stream is stopped, and the same message shows the whole answer."""
    async with agent_view(ANSWER) as view:
        root = view.ask()
        await view.written(APPEND, 2)
        view.double.streams.refuse(error, "", APPEND)
        await view.answered(ANSWER, root)
        assert len(view.shown(root)) == 1
        assert view.buttons(root) == [FINAL_BUTTONS]


async def test_a_conversation_archived_in_the_middle_ends_the_answer() -> None:
    """Nothing can be written any more: the model's stream is closed, and other answers go on."""
    async with agent_view(words(300), rate=10.0) as view:
        view.ask()
        await view.written(APPEND, 2)
        view.double.archived.add(view.channel)
        async with asyncio.timeout(60.0):
            await view.model.requests[0].left_early.wait()
        bob = view.double.world.user("Bob")
        view.model.default = Answer("short")
        root = view.ask(user=bob)
        await view.rest()
        assert view.shown(root, bob) == ["short"]


# -------------------------------------------------------------------------------------------------------------- mishaps


async def test_slack_ends_a_stream_midway() -> None:
    """The message is corrected by edits from then on, and shows no broken sign of progress."""
    double = SlackDouble()
    double.streams.ends_after = 2
    async with agent_view(ANSWER, double=double) as view:
        root = view.ask()
        await view.answered(ANSWER, root)
        assert [stream.state for stream in view.double.streams.all] == [State.ENDED]
        assert len(view.shown(root)) == 1
        assert view.buttons(root) == [FINAL_BUTTONS]


async def test_a_message_is_full_before_our_own_limit() -> None:
    """If Slack's cap is lower than ours, the rest of the text is written all the same."""
    double = SlackDouble()
    double.streams.message_bytes = 2_000
    long = "\n\n".join(words(60, f"p{part}w") for part in range(12))
    async with agent_view(long, double=double, rate=60.0) as view:
        root = view.ask()
        await view.answered(long, root)
        assert any(stream.is_full for stream in view.double.streams.all)


LOST = [
    (Kind.RESET_AFTER, {}),
    (Kind.STATUS_AFTER, {"status": 500}),
    (Kind.STALL_AFTER, {"seconds": 30.0}),
    (Kind.GARBLED, {}),
    (Kind.RESET_BEFORE, {}),
    (Kind.STATUS, {"status": 503}),
    (Kind.STALL_BEFORE, {"seconds": 30.0}),
    (Kind.LATE, {"seconds": 5.0}),
    (Kind.DELAY, {"seconds": 5.0}),
]


@pytest.mark.parametrize("method", [START, APPEND, STOP])
@pytest.mark.parametrize(("kind", "details"), LOST, ids=[kind.name.lower() for kind, _ in LOST])
async def test_every_fault_at_every_call_of_a_stream(method: str, kind: Kind, details: dict[str, Any]) -> None:
    """Whatever happens to a call, the text is exact and once, with its buttons, and no stream stays open."""
    text = words(30)
    async with agent_view(text, rate=10.0) as view:
        await view.answered(text, view.ask())
        calls = len(view.double.transcript.of(path=method))
        assert calls
        roots = []
        for nth in range(1, calls + 1):
            view.double.faults.clear()
            view.double.faults.add("POST", method, kind, nth=nth, **details)
            roots.append(view.ask())
            await view.answered(text, roots[-1])
            assert len(view.shown(roots[-1])) == 1, (nth, view.shown(roots[-1]))
            assert view.buttons(roots[-1]) == [FINAL_BUTTONS]
        assert len(view.double.faults.fired) == calls


@pytest.mark.parametrize("method", [START, APPEND, STOP])
async def test_a_fault_that_lasts(method: str) -> None:
    """Three calls of a kind fail one after the other, without a trace; the answer is whole nevertheless."""
    async with agent_view(ANSWER) as view:
        view.double.faults.add("POST", method, Kind.STATUS, status=503, times=3)
        root = view.ask()
        await view.answered(ANSWER, root)
        assert view.double.faults.fired


async def test_a_start_applied_twice_is_not_continued_in_either() -> None:
    """Two messages match what was sent: neither is edited, the answer stands in a third, and all streams are closed."""
    async with agent_view(ANSWER) as view:
        view.double.faults.add("POST", START, Kind.RESET_AFTER, copies=2)
        root = view.ask()
        await view.rest()
        shown = view.shown(root)
        assert len(shown) == 3
        assert shown[-1] == ANSWER
        assert all(ANSWER.startswith(earlier.strip()) for earlier in shown[:-1])
        assert view.double.limited == []


async def test_an_append_is_applied_but_reported_lost() -> None:
    """No text is sent twice: the stream is stopped, and one edit gives the whole text."""
    async with agent_view(ANSWER) as view:
        view.double.faults.add("POST", APPEND, Kind.RESET_AFTER, nth=2)
        root = view.ask()
        await view.answered(ANSWER, root)
        assert view.calls(START, STOP) == [START, STOP]
        assert len(view.shown(root)) == 1


async def test_round_trips_of_five_seconds() -> None:
    """With every call five seconds late, the answer is whole, in order, and in one message."""
    double = SlackDouble()
    double.faults.add("POST", "chat", Kind.LATE, times=10**6, seconds=2.5)
    double.faults.add("POST", "chat", Kind.DELAY, times=10**6, seconds=2.5)
    async with agent_view(ANSWER, double=double, rate=10.0) as view:
        root = view.ask()
        await view.answered(ANSWER, root)
        assert len(view.shown(root)) == 1
        assert len(view.double.streams.all) == 1


async def test_responses_in_another_order() -> None:
    """The answer to an earlier question's calls comes after those of a later one; both end whole."""
    async with agent_view(ANSWER) as view:
        view.double.faults.add("POST", START, Kind.LATE, seconds=4.0)
        view.double.faults.add("POST", APPEND, Kind.DELAY, nth=2, seconds=3.0)
        view.double.faults.add("POST", APPEND, Kind.LATE, nth=4, seconds=3.0)
        first = view.ask()
        second = view.ask()
        await view.answered(ANSWER, first, second)
        assert (len(view.shown(first)), len(view.shown(second))) == (1, 1)
        assert len(view.double.faults.fired) == 3
