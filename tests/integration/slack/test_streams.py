"""Native streams of the Slack adapter: where they start, how they end, and what is found after a lost start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from adapters.slack import SlackPlatform
from bot.errors import NotFound, OutcomeUnknown, RateLimited, StreamEnded, StreamOpen, StreamRefused, TooLarge
from bot.ports import Body, Channel, Controls, UnfinishedTurn
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.servers.slack_interactive import labels_of
from tests.servers.slack_streams import START, STOP
from tests.support.inbox import RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected, soon

pytestmark = pytest.mark.sockets

KEY = "abcdefghijklmnopqrst1"
TEXT = "The first words of an answer, long enough to be known again. "


@dataclass
class Asked:
    """A question in the agent view, and the channel of its answer."""

    double: SlackDouble
    inbox: RecordingInbox
    user: str
    place: str
    root: str
    channel: Channel
    platform: SlackPlatform

    def shown(self) -> list[str]:
        return self.double.answers(self.place, self.root)


@asynccontextmanager
async def asked(double: SlackDouble | None = None) -> AsyncIterator[Asked]:
    double = double or SlackDouble()
    double.post_seconds = 0.0
    user = double.world.user("Ann")
    async with double.running(), connected(double, None, RecordingInteractions()) as (platform, inbox):
        root = double.ask_agent(user, "tell")
        _, channel = await inbox.turn(1)
        yield Asked(double, inbox, user, double.direct_with(user), root, channel, platform)


def whole(text: str) -> Body:
    return Body(text, controls=Controls.RETRY | Controls.FEEDBACK)


@pytest.mark.quick
async def test_a_stream_grows_and_ends_with_its_buttons_and_its_key() -> None:
    """Readers see each part at once and no ping; the end has the buttons, and reads know the message by its key."""
    async with asked() as one:
        message = await one.channel.start(Body(TEXT, "not yet certain"), KEY)
        assert one.shown() == [TEXT]
        await one.channel.append(message, "More. ")
        await one.channel.stop(message, "The end.", whole(f"{TEXT}More. The end."))
        assert one.shown() == [f"{TEXT}More. The end."]
        stored = one.double.world.messages[one.place][message]
        assert labels_of(stored["blocks"]) == ["Try again", "Good answer", "Bad answer"]
        assert stored["metadata"]["event_payload"] == {"key": KEY}
        assert one.double.streams.spinners == []
        sent = [each.body for each in one.double.transcript.of(path="Stream")]
        assert not any({"chunks", "unfurl_links", "unfurl_media"} & arguments.keys() for arguments in sent)
        one.double.ask_agent(one.user, "and?", thread=one.root)
        _, later = await one.inbox.turn(2)
        texts = [each.text for each in (await later.history(9)).messages]
        assert texts == ["tell", f"{TEXT}More. The end.".strip()]


@pytest.mark.parametrize(
    ("mode", "kind", "thread", "streams"),
    [
        ("auto", "im", True, True),
        ("auto", "im", False, False),
        ("auto", "channel", True, False),
        ("off", "im", True, False),
        ("always", "im", True, True),
        ("always", "im", False, False),
        ("always", "channel", True, True),
    ],
)
async def test_where_answers_stream(mode: str, kind: str, thread: bool, streams: bool) -> None:
    """By default in threads of direct messages; with `always` in every thread; never without a thread."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel(kind)
    async with double.running(), connected(double, streams=mode) as (_, inbox):
        root = double.say(place, "root", author=ann, quiet=True) if thread else ""
        double.say(place, "<@UBOT> tell", author=ann, thread=root)
        _, channel = await inbox.turn(1)
        caps = channel.caps.stream
        assert (caps is not None) is streams
        assert caps is None or caps.always is (mode == "always")


async def test_a_stranger_is_named_with_their_own_team() -> None:
    """Slack Connect: the reader's team is the one of the event, not ours."""
    double = SlackDouble()
    eve, place = double.world.user("Eve", external=True), double.world.channel()
    async with double.running(), connected(double, streams="always") as (_, inbox):
        double.say(place, "<@UBOT> tell", author=eve, team="T1", user_team="TOTHER")
        _, channel = await inbox.turn(1)
        await channel.start(Body(TEXT), KEY)
        (start,) = double.transcript.of(path=START)
        assert start.body["recipient_user_id"] == eve
        assert start.body["recipient_team_id"] == "TOTHER"


@pytest.mark.parametrize(
    ("error", "remains"),
    [
        ("unknown_method", "nothing"),
        ("feature_not_enabled", "nothing"),
        ("paid_teams_only", "nothing"),
        ("channel_type_not_supported", "another person"),
        ("invalid_thread_ts", "another question"),
        ("missing_recipient_team_id", "another person"),
        ("an_error_of_tomorrow", "another person"),
    ],
)
async def test_a_refusal_is_remembered_as_far_as_it_holds(error: str, remains: str) -> None:
    """A workspace without streams, a surface, a person or one thread: only there no further stream is tried."""
    async with asked() as one:
        one.double.streams.refuse(error)
        with pytest.raises(StreamRefused):
            await one.channel.start(Body(TEXT), KEY)
        assert one.channel.caps.stream is None
        message = await one.channel.post(Body(TEXT), KEY)
        await one.channel.edit(message, Body("by edits"))
        assert one.shown() == ["by edits"]
        one.double.ask_agent(one.user, "again")
        one.double.ask_agent(one.double.world.user("Bob"), "tell")
        await one.inbox.turn(3)
        again, other = (channel.caps.stream is not None for _, channel in one.inbox.turns[1:])
        expected = {"nothing": (False, False), "another person": (False, True), "another question": (True, True)}
        assert (again, other) == expected[remains]


async def test_a_server_without_streams_answers_404() -> None:
    """A plain 404 starts nothing for certain, so it is a refusal and no unknown outcome."""
    double = SlackDouble()
    double.without, double.without_as_404 = {START}, True
    async with asked(double) as one:
        with pytest.raises(StreamRefused):
            await one.channel.start(Body(TEXT), KEY)
        assert one.channel.caps.stream is None


@pytest.mark.parametrize("error", ["ratelimited", "rate_limited"])
async def test_both_spellings_of_a_rate_limit(error: str) -> None:
    """`rate_limited` in a body is a 429 as `ratelimited` is, and starts no stream."""
    async with asked() as one:
        body = f'{{"ok": false, "error": "{error}"}}'.encode()
        one.double.faults.add("POST", START, Kind.STATUS, status=200, body=body)
        with pytest.raises(RateLimited):
            await one.channel.start(Body(TEXT), KEY)
        await one.channel.start(Body(TEXT), KEY)
        assert one.shown() == [TEXT]


@pytest.mark.quick
async def test_a_lost_start_is_found_by_its_text() -> None:
    """After a lost response, the message is found; meanwhile no other answer starts a stream in the thread."""
    async with asked() as one:
        one.double.faults.add("POST", START, Kind.RESET_AFTER)
        with pytest.raises(OutcomeUnknown):
            await one.channel.start(Body(TEXT), KEY)
        one.double.ask_agent(one.user, "and?", thread=one.root)
        _, other = await one.inbox.turn(2)
        with pytest.raises(StreamRefused):
            await other.start(Body("Other words"), "other1")
        found = await one.channel.find(KEY)
        assert found is not None
        await one.channel.append(found, "More.")
        await one.channel.stop(found, "", whole(f"{TEXT}More."))
        assert one.shown() == [f"{TEXT}More."]


async def test_a_start_that_never_arrived_is_not_found() -> None:
    """A start that was not applied is made again, and stands once; older messages are not taken for it."""
    async with asked() as one:
        earlier = await one.channel.start(Body(TEXT), "abcdefghijklmnopqrst0")
        await one.channel.stop(earlier, "", whole(TEXT))
        one.double.faults.add("POST", START, Kind.RESET_BEFORE)
        with pytest.raises(OutcomeUnknown):
            await one.channel.start(Body(TEXT), KEY)
        assert await one.channel.find(KEY) is None
        await one.channel.start(Body(TEXT), KEY)
        assert one.shown() == [TEXT, TEXT]


async def test_of_two_candidates_neither_is_written() -> None:
    """If a proxy sent the lost start twice, the answer goes on in a new message, and both streams end unchanged."""
    async with asked() as one:
        one.double.faults.add("POST", START, Kind.RESET_AFTER)
        with pytest.raises(OutcomeUnknown):
            await one.channel.start(Body(TEXT), KEY)
        (lost,) = one.double.transcript.of(path=START)
        await one.double.streams.methods[START](lost.body)
        assert await one.channel.find(KEY) is None
        await soon(one.double, lambda: not one.double.streams.open)
        message = await one.channel.start(Body("Anew"), KEY)
        await one.channel.stop(message, "", whole("Anew"))
        assert one.shown() == [TEXT, TEXT, "Anew"]


@pytest.mark.quick
@pytest.mark.parametrize("known", [True, False])
async def test_a_stream_of_a_killed_process_is_closed_and_completed(known: bool) -> None:
    """The next process closes the open stream, journalled or not, and completes the text in the same message."""
    async with asked() as one:
        message = await one.channel.start(Body(TEXT), KEY)
        second = RecordingInbox()
        journal = dict(one.inbox.received) | dict(one.inbox.updated_events)
        posted = (message,) if known else ()
        second.unfinished = [UnfinishedTurn(key, event, posted) for key, event in journal.items()]
        async with connected(one.double, second):
            _, channel = await second.turn(1)
            if known:
                with pytest.raises(StreamOpen):
                    await channel.edit(message, Body("The whole text."))
                await channel.stop(message, "", Body("The whole text."))
            else:
                assert await channel.find(KEY) == message
            assert await channel.find(f"{KEY[:20]}2", [message]) is None
            await channel.edit(message, Body("The whole text."))
        assert one.shown() == ["The whole text."]
        assert one.double.streams.spinners == []


async def test_another_answer_is_never_taken_for_a_lost_start() -> None:
    """A finished answer without a key, behind the question, is no stream any more: it stays as it is."""
    double = SlackDouble()
    double.keeps_metadata = False
    async with asked(double) as one:
        double.ask_agent(one.user, "second", thread=one.root)
        _, later = await one.inbox.turn(2)
        first = await one.channel.start(Body(TEXT), KEY)
        await one.channel.stop(first, "", whole(TEXT))
        second = RecordingInbox()
        key, event = one.inbox.received[1]
        second.unfinished = [UnfinishedTurn(key, event)]
        async with connected(double, second):
            _, later = await second.turn(1)
            assert await later.find(f"{key.digest[:20]}0") is None
        assert one.shown() == [TEXT]


async def test_recovery_works_without_the_method_that_stops_streams() -> None:
    """On a server that answers 404 to it, and keeps no keys, an earlier process's post is found as before."""
    double = SlackDouble()
    double.keeps_metadata, double.without, double.without_as_404 = False, {START, STOP}, True
    async with asked(double) as one:
        message = await one.channel.post(Body(TEXT), KEY)
        second = RecordingInbox()
        second.unfinished = [UnfinishedTurn(key, event) for key, event in dict(one.inbox.received).items()]
        async with connected(double, second):
            _, channel = await second.turn(1)
            assert await channel.find(KEY) == message
        assert double.transcript.of(path=STOP)


@pytest.mark.parametrize("ends", ["age", "midway", "size", "reader"])
async def test_slack_may_end_a_stream(ends: str) -> None:
    """After five minutes, at its own will, at its size, or by its stop button: then an edit has the whole text."""
    async with asked() as one:
        streams = one.double.streams
        message = await one.channel.start(Body(TEXT), KEY)
        if ends == "age":
            streams.pass_time(301.0)
        elif ends == "midway":
            streams.end(one.place, message)
        elif ends == "reader":
            one.double.press_stop(one.place, one.root, author=one.user)
        with pytest.raises(StreamEnded):
            await one.channel.append(message, "a" * 11_000 if ends == "size" else "More.")
        if ends == "size":
            with pytest.raises(StreamOpen):
                await one.channel.edit(message, Body("whole"))
            await one.channel.stop(message, "", Body("whole"))
        await one.channel.edit(message, Body("whole"))
        assert one.shown() == ["whole"]
        assert streams.spinners == []
        if ends == "reader":
            await soon(one.double, lambda: one.inbox.turns[0][0].key in one.inbox.stopped)


async def test_an_append_that_tells_of_a_stop_ends_the_answer() -> None:
    """If an append is refused as stopped by a user before the event comes, the answer ends as by this reader."""
    async with asked() as one:
        message = await one.channel.start(Body(TEXT), KEY)
        one.double.streams.stopped_by(one.place, one.root)
        with pytest.raises(StreamEnded):
            await one.channel.append(message, "More.")
        assert one.inbox.turns[0][0].key in one.inbox.stopped


async def test_a_correction_is_shown_once() -> None:
    """If Slack keeps streamed text above the blocks of an edit, the correction goes without blocks, or shorter."""
    async with asked() as one:
        one.double.streams.repeats_text = True
        message = await one.channel.start(Body(TEXT), KEY)
        await one.channel.stop(message, "", whole(TEXT))
        await one.channel.edit(message, whole(f"{TEXT}And a correction."))
        assert one.shown() == [f"{TEXT}And a correction."]


async def test_refused_buttons_do_not_keep_a_stream_open() -> None:
    """A stop refused for its blocks can be repeated, and goes without them."""
    async with asked() as one:
        message = await one.channel.start(Body(TEXT), KEY)
        body = b'{"ok": false, "error": "invalid_blocks"}'
        one.double.faults.add("POST", STOP, Kind.STATUS, status=200, body=body, times=2)
        for _ in range(2):
            with pytest.raises(Exception, match="fewer buttons"):
                await one.channel.stop(message, "", whole(TEXT))
        await one.channel.stop(message, "", whole(TEXT))
        assert one.double.streams.open == []


async def test_an_open_stream_can_be_deleted() -> None:
    """Slack deletes no open stream, so it is ended first."""
    async with asked() as one:
        message = await one.channel.start(Body(TEXT), KEY)
        await one.channel.delete(message)
        assert one.shown() == []


async def test_a_deleted_stream_is_gone() -> None:
    """A reader who deletes the message wants no answer: `NotFound`, as for edits."""
    async with asked() as one:
        message = await one.channel.start(Body(TEXT), KEY)
        one.double.remove(one.place, message)
        with pytest.raises(NotFound):
            await one.channel.append(message, "More.")


async def test_another_answer_in_streamed_messages_is_shown_once() -> None:
    """Try again edits a streamed message many times; where Slack repeats streamed text, only one edit is wasted."""
    async with asked() as one:
        one.double.streams.repeats_text = True
        message = await one.channel.start(Body(TEXT), KEY)
        await one.channel.stop(message, "", whole(TEXT))
        turn, _ = one.inbox.turns[0]
        opened = await one.platform.open_question(replace(turn.key, generation=1), [message])
        before = one.double.writes.copy()
        for count in (1, 2, 3):
            await opened.channel.edit(message, whole("Another answer. " * count))
            assert one.shown() == ["Another answer. " * count]
        assert len(one.double.writes) - len(before) == 4


async def test_a_session_left_by_slack_is_ended() -> None:
    """If Slack ends a stream, its session and so the stop button stay; the end of the turn removes them."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, streams="always") as (_, inbox):
        root = double.say(place, "<@UBOT> tell", author=ann)
        _, channel = await inbox.turn(1)
        message = await channel.start(Body(TEXT), KEY)
        double.streams.end(place, message)
        with pytest.raises(StreamEnded):
            await channel.stop(message, "", Body(TEXT))
        await channel.turn_ended()
        assert double.sessions == [(place, root, "active")]


async def test_a_long_correction_shown_twice_goes_in_smaller_messages() -> None:
    """Text without blocks is short, so the core is asked to split the answer again."""
    async with asked() as one:
        one.double.streams.repeats_text = True
        long = TEXT * 100
        message = await one.channel.start(Body(long), KEY)
        await one.channel.stop(message, "", whole(long))
        with pytest.raises(TooLarge):
            await one.channel.edit(message, whole(f"{long}And a correction."))
        assert one.channel.caps.limit <= 4_000
        await one.channel.edit(message, Body(TEXT * 10))
        assert one.shown() == [TEXT * 10]


async def test_the_limit_of_a_stream_counts_bytes() -> None:
    """Slack counts a streamed message in bytes, and takes fewer of them than of an edited one."""
    async with asked() as one:
        caps = one.channel.caps
        assert caps.stream is not None
        assert caps.stream.measure("\N{GRINNING FACE}\ud83d") == 5
        assert caps.stream.limit <= 9_000 < caps.limit
