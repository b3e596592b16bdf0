"""Nothing accepted is lost on Slack: what is acknowledged is written down, what was left is brought again, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from adapters.slack.options import SlackTimings
from bot.conversation import Turn, TurnKey
from bot.ports import Body, Channel, UnfinishedTurn
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.slack import answer, connected

pytestmark = pytest.mark.sockets

KEY = "abcdefghijklmnopqrst"


class Slow(RecordingInbox):
    """An inbox whose journal takes until `go` is set to write a question down, where its words say so."""

    def __init__(self, words: str = "slow") -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.words = words

    async def receive(self, key: TurnKey, event: str) -> bool:
        if not await super().receive(key, event):
            return False
        if self.words in event:
            await self.go.wait()
        return True


class BrokenInbox(RecordingInbox):
    """An inbox that breaks at the first question, against its promise."""

    async def receive(self, key: TurnKey, event: str) -> bool:
        if not self.received:
            self.received.append((key, event))
            raise RuntimeError("a bug")
        self.received.clear()
        return await super().receive(key, event)


def acked(double: SlackDouble, text: str) -> list[bool]:
    return [each.acked for each in double.sockets.envelopes if each.event.get("text") == text]


async def soon(double: SlackDouble, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        await double.until(holds)


# ------------------------------------------------------------------------------------------- before the acknowledgement


async def test_a_question_is_acknowledged_once_it_is_written_down() -> None:
    """While the journal writes, neither copy of a mention is acknowledged, and everything else goes on."""
    double, inbox = SlackDouble(), Slow()
    ann, channel, dm = double.world.user("Ann"), double.world.channel(), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        double.say(channel, "<@UBOT> slow", author=ann)
        await inbox.until(lambda: len(inbox.received) == 1)
        double.say(dm, "quick", author=ann)
        await inbox.turn(1)
        await soon(double, lambda: acked(double, "quick") == [True])
        assert acked(double, "<@UBOT> slow") == [False, False]
        assert inbox.questions == ["quick"]
        inbox.go.set()
        await soon(double, lambda: acked(double, "<@UBOT> slow") == [True, True])
        await inbox.turn(2)
        assert inbox.questions == ["quick", "slow"]
        assert len(inbox.received) == 2


async def test_a_slow_journal_keeps_the_order() -> None:
    """In one conversation turns come in the order of their questions, whichever is written down first."""
    double, inbox = SlackDouble(), Slow()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        for text in ("slow", "two", "three"):
            double.say(dm, text, author=ann)
        await soon(double, lambda: acked(double, "three") == [True])
        assert inbox.questions == []
        inbox.go.set()
        await inbox.turn(3)
        assert inbox.questions == ["slow", "two", "three"]


async def test_events_are_heard_in_the_order_of_arrival() -> None:
    """Many at once, each answered in a task of its own: none overtakes another."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    texts = [f"m{number}" for number in range(60)]
    async with double.running(), connected(double) as (_, inbox):
        for text in texts:
            double.say(dm, text, author=ann)
        await inbox.turn(60)
        assert inbox.questions == texts


@pytest.mark.parametrize("journal", ["quick", "slower than the goodbye"])
async def test_a_socket_that_dies_before_the_acknowledgement(journal: str) -> None:
    """The event comes again on the next connection, is recognised and acknowledged there, and makes one turn."""
    timings = SlackTimings() if journal == "quick" else SlackTimings(socket_close=0.01)
    double, inbox = SlackDouble(), Slow()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, inbox, timings=timings):
        double.say(channel, "<@UBOT> slow", author=ann)
        await inbox.until(lambda: len(inbox.received) == 1)
        double.sockets.abort()
        await soon(double, lambda: double.sockets.opened == 2 and len(double.sockets.live) == 1)
        await double.redeliver_unacknowledged()
        await asyncio.sleep(0.1)  # the old connection gives up what it could not acknowledge
        inbox.go.set()
        await double.settled()
        await inbox.turn(1)
        for envelope in list(double.sockets.envelopes):
            await double.redeliver(envelope)
        await double.settled()
        assert inbox.questions == ["slow"]
        assert inbox.dismissed == []


async def test_a_connection_that_is_replaced_acknowledges_what_it_brought() -> None:
    """Asked for a new connection while the journal writes: the old one still acknowledges, so nothing comes again."""
    double, inbox = SlackDouble(), Slow()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        double.say(dm, "slow", author=ann)
        await inbox.until(lambda: len(inbox.received) == 1)
        await double.sockets.disconnect("refresh_requested")
        await soon(double, lambda: double.sockets.opened == 2)
        inbox.go.set()
        await soon(double, lambda: acked(double, "slow") == [True])
        await soon(double, lambda: len(double.sockets.live) == 1)
        await inbox.turn(1)


async def test_what_cannot_be_written_down_is_not_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in the way of one event: it is in the log, Slack delivers the event again, and that one is answered."""
    double, inbox = SlackDouble(), BrokenInbox()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        double.say(dm, "hello", author=ann)
        async with asyncio.timeout(PATIENCE):
            while "could not be written to the journal" not in caplog.text:
                await asyncio.sleep(0.01)
        assert acked(double, "hello") == [False]
        await double.redeliver_unacknowledged()
        await inbox.turn(1)
        await double.settled()


async def test_what_was_received_before_is_only_acknowledged() -> None:
    """A second delivery after a restart: the journal knows the question, and nothing more is done about it."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        ts = double.say(dm, "once", author=ann)
        inbox.received.append((TurnKey("slack", "T1", dm, ts), ""))
        async with connected(double, inbox):
            await double.settled()
            assert double.transcript.of(path="users.info") == []
        assert inbox.turns == []
        assert inbox.dismissed == []


async def test_what_asks_nothing_after_all_is_dismissed() -> None:
    """A thread that is none of ours, and a program: written down while that is found out, and then forgotten."""
    double = SlackDouble()
    world = double.world
    ann, robot, channel = world.user("Ann"), world.user("Rob", bot=True), world.channel()
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "lunch?", author=ann)
        double.say(channel, "yes", author=ann, thread=root)
        double.say(channel, "<@UBOT> me too", author=robot)
        await inbox.until(lambda: len(inbox.dismissed) == 2)
        assert set(inbox.dismissed) == {key for key, _ in inbox.received}
        assert inbox.turns == []


# ------------------------------------------------------------------------------------------------------- taken up again


async def again(
    double: SlackDouble, inbox: RecordingInbox, messages: tuple[str, ...] = ()
) -> list[tuple[Turn, Channel]]:
    """What another process makes of all that a first one received."""
    second = RecordingInbox()
    second.unfinished = [UnfinishedTurn(key, event, messages) for key, event in inbox.received]
    async with connected(double, second):
        await second.turn(len(inbox.received))
    return second.turns


@pytest.mark.parametrize("where", ["channel", "root", "reply", "im"])
async def test_what_was_deleted_meanwhile_is_not_taken_up(where: str) -> None:
    """Nobody told us: its message is looked for, and what was posted for it gets an end. Others are still answered."""
    double, second = SlackDouble(), RecordingInbox()
    ann, place = double.world.user("Ann"), double.world.channel("im" if where == "im" else "channel")
    async with double.running():
        async with connected(double) as (_, inbox):
            ts = double.say(place, "<@UBOT> one", author=ann)
            await inbox.turn(1)
            if where == "reply":
                ts = double.say(place, "<@UBOT> two", author=ann, thread=ts)
                await inbox.turn(2)
            _, way = inbox.turns[-1]
            posted = [await answer(way, "half")] if where in ("root", "im") else []
            double.say(place, "<@UBOT> kept", author=ann)
            await inbox.until(lambda: "kept" in inbox.questions)
        double.remove(place, ts)
        second.unfinished = [UnfinishedTurn(key, event, tuple(posted)) for key, event in inbox.received]
        async with connected(double, second):
            given_up = second.deleted if posted else second.dismissed
            await second.until(lambda: {key.message for key in given_up} == {ts} and "kept" in second.questions)
            assert len(second.turns) == len(inbox.received) - (not posted)
        assert len(double.transcript.of(path="chat.delete")) == 0


async def test_whether_it_was_deleted_may_not_be_known() -> None:
    """Slack does not say it just now: the question is answered."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(dm, "hello", author=ann)
            await inbox.turn(1)
        double.faults.add("GET", "conversations.history", Kind.STATUS, status=500)
        ((turn, _),) = await again(double, inbox)
        assert turn.question.text == "hello"


@pytest.mark.parametrize("copies", ["both", "late", "mention only"])
async def test_a_mention_is_brought_again(copies: str) -> None:
    """What is kept makes the very same turn, with what is attached where the message said so."""
    double = SlackDouble()
    world = double.world
    ann, channel = world.user("Ann"), world.channel()
    file = {"name": "a.bin", "mimetype": "application/octet-stream", "url_private": "https://files.slack.com/a"}
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(channel, "hello all", author=ann)
            await double.settled()
            ts = double.say(channel, "<@UBOT> look", author=ann, files=[file], once=copies != "both")
            if copies == "late":
                await asyncio.sleep(0.05)  # the mention has been heard, and its other copy is waited for
                message = double.world.messages[channel][ts]
                double.event({**message, "channel": channel, "channel_type": "channel"})
            first, way = await inbox.turn(1)
        ((turn, brought),) = await again(double, inbox)
        assert turn == first
        assert len(await brought.attachments()) == len(await way.attachments()) == (copies != "mention only")


async def test_every_kind_of_question_is_brought_again() -> None:
    """Follow-ups, direct messages and threads in them, and people of other organisations."""
    double = SlackDouble()
    world = double.world
    ann, eve, channel, dm = world.user("Ann"), world.user("Eve", external=True), world.channel(), world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            root = double.say(channel, "<@UBOT> hello", author=ann)
            await inbox.turn(1)
            double.say(channel, "and?", author=eve, thread=root, team="TOTHER")
            await inbox.turn(2)
            first = double.say(dm, "hi", author=ann)
            await inbox.turn(3)
            double.say(dm, "inside", author=ann, thread=first)
            await inbox.turn(4)
        turns = await again(double, inbox)
        key = {turn.key: turn for turn, _ in inbox.turns}
        assert [key[turn.key] for turn, _ in turns] == [turn for turn, _ in turns]


async def test_what_cannot_be_read_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """Records of another workspace, of other words than ours: dismissed, with a line each, and the rest is brought."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    event = f'{{"event":{{"type":"message","channel":"{dm}","user":"{ann}","text":"hi","ts":"1.1"}}}}'
    double.world.messages[dm]["1.1"] = {"type": "message", "user": ann, "text": "hi", "ts": "1.1"}
    good, bad, foreign = (TurnKey("slack", team, dm, ts) for team, ts in (("T1", "1.1"), ("T1", "1.2"), ("T2", "1.1")))
    inbox.unfinished = [
        UnfinishedTurn(bad, "?"),
        UnfinishedTurn(bad, event),
        UnfinishedTurn(foreign, event),
        UnfinishedTurn(good, event),
    ]
    async with double.running(), connected(double, inbox):
        turn, _ = await inbox.turn(1)
        assert turn.key == good
        assert inbox.dismissed == [bad, bad, foreign]
    assert caplog.text.count("giving it up") == 3


async def test_it_is_asked_again_what_was_left() -> None:
    """A process that is still finishing when this one starts leaves its turns later; once quiet, they are not ours."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    event = f'{{"event":{{"type":"message","channel":"{dm}","user":"{ann}","text":"hi","ts":"1.1"}}}}'
    double.world.messages[dm]["1.1"] = {"type": "message", "user": ann, "text": "hi", "ts": "1.1"}
    async with double.running(), connected(double, inbox, timings=SlackTimings(recovery_poll=0.05)) as (platform, _):
        inbox.unfinished = [UnfinishedTurn(TurnKey("slack", "T1", dm, "1.1"), event)]
        await inbox.turn(1)
        await platform.stop_accepting()
        await asyncio.sleep(0.1)  # a round in which it would be asked for
        inbox.unfinished = [UnfinishedTurn(TurnKey("slack", "T1", dm, "1.1"), event)]
        await asyncio.sleep(0.1)
        assert len(inbox.turns) == 1
        assert inbox.unfinished


async def test_an_event_that_comes_again_while_it_is_taken_up() -> None:
    """Delivered again before the journal is asked what was left: one turn, and the event is acknowledged."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(dm, "hello", author=ann)
            await inbox.turn(1)
        second = RecordingInbox()
        second.received = list(inbox.received)
        second.unfinished = [UnfinishedTurn(key, event) for key, event in inbox.received]
        await double.redeliver(double.sockets.envelopes[0])
        async with connected(double, second):
            await second.turn(1)
            await double.redeliver(double.sockets.envelopes[0])
            await double.settled()
            assert second.questions == ["hello"]


async def test_what_cannot_be_looked_up_in_time_is_left() -> None:
    """Slack answers no lookups for too long: nothing is dismissed, and the next process takes the question up."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        body = b'{"ok": false, "error": "ratelimited"}'
        double.faults.add("GET", "users.info", Kind.STATUS, status=429, headers={"Retry-After": "55"}, body=body)
        async with connected(double, inbox, timings=SlackTimings(user_lookup=0.0)) as (platform, _):
            double.say(dm, "hello", author=ann)
            await inbox.until(lambda: len(inbox.received) == 1)
            async with asyncio.timeout(PATIENCE):
                await platform.stop_accepting()
            assert inbox.turns == []
            assert inbox.dismissed == []
        ((turn, _),) = await again(double, inbox)
        assert turn.question.text == "hello"


# ------------------------------------------------------------------------------------------------- looked up after all


@pytest.mark.parametrize("kind", ["channel", "im"])
@pytest.mark.parametrize("known", [0, 1])
async def test_a_post_of_an_earlier_process_is_found(kind: str, known: int) -> None:
    """By its key, with nothing in memory, behind others' words and on a late page; in a thread and in a DM."""
    double = SlackDouble()
    double.post_seconds, double.page_limit = 0.0, 3
    ann, place = double.world.user("Ann"), double.world.channel(kind)
    async with double.running():
        async with connected(double) as (_, inbox):
            ts = double.say(place, "<@UBOT> hello", author=ann)
            _, way = await inbox.turn(1)
            posted = [await way.post(Body("one"), f"{KEY}0")]
            thread = {"thread_ts": ts} if kind == "channel" else {}
            for number in range(7):
                double.world.put(place, {"user": ann, "text": f"{number}", **thread})
            posted.append(await way.post(Body("two"), f"{KEY}1"))
        ((_, way),) = await again(double, inbox, tuple(posted[:known]))
        assert await way.find(f"{KEY}1", posted[:known]) == posted[1]
        assert await way.find(f"{KEY}2", posted[:known]) is None
        await way.edit(posted[1], Body("mended"))
        assert double.answers(place)[-1] == "mended"


async def test_a_post_is_found_without_metadata() -> None:
    """Where reads tell no keys, a message of ours in its own thread is the lost one, and none of a DM is guessed at."""
    double = SlackDouble()
    double.post_seconds, double.keeps_metadata = 0.0, False
    ann, place, dm = double.world.user("Ann"), double.world.channel(), double.world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(place, "<@UBOT> hello", author=ann)
            _, way = await inbox.turn(1)
            double.faults.add("POST", "chat.postMessage", Kind.RESET_AFTER)
            double.say(dm, "hello", author=ann)
            _, direct = await inbox.turn(2)
            with pytest.raises(Exception, match="no answer"):
                await way.post(Body("lost"), f"{KEY}0")
            lost = double.shown(place)[-1].ts
            assert await way.find(f"{KEY}0") == lost
            assert await way.find(f"{KEY}1", [lost]) is None
            other = await direct.post(Body("of another"), f"{KEY[::-1]}0")
            assert await direct.find(f"{KEY}0") is None
        ways = {turn.key.channel: way for turn, way in await again(double, inbox)}
        assert await ways[place].find(f"{KEY}0") == lost
        assert await ways[dm].find(f"{KEY}0") is None
        assert await ways[dm].find(f"{KEY}1", [other]) is None


async def test_what_is_left_of_an_answer_is_none_of_its_history() -> None:
    """A half answer is not told to the model as its own words, even where reads tell no keys."""
    double = SlackDouble()
    double.keeps_metadata = False
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(dm, "hello", author=ann)
            _, way = await inbox.turn(1)
            half = await answer(way, "half an ans")
        ((_, way),) = await again(double, inbox, (half,))
        assert (await way.history(10)).messages == ()


# --------------------------------------------------------------------------------------------------- stopped by readers


def at(place: str, ts: str) -> TurnKey:
    return TurnKey("slack", "T1", place, ts)


async def test_a_reaction_asks_to_stop() -> None:
    """On the question or on the answer, by a person; a known program's, ours and other signs are passed over."""
    double = SlackDouble()
    world = double.world
    ann, robot, place = world.user("Ann"), world.user("Rob", bot=True), world.channel()
    async with double.running(), connected(double) as (_, inbox):
        ts = double.say(place, "<@UBOT> hello", author=ann)
        double.say(place, "<@UBOT> I am a program", author=robot)
        _, way = await inbox.turn(1)
        posted = await answer(way, "Well")
        await inbox.until(lambda: len(inbox.dismissed) == 1)
        for author, sign in ((robot, "x"), ("UBOT", "octagonal_sign"), (ann, "thumbsup")):
            double.react(place, ts, sign, author=author)
        double.react(place, ts, "octagonal_sign", author=ann)
        double.react(place, posted, "no_entry::skin-tone-3", author=ann)
        await inbox.until(lambda: len(inbox.stopped) == 2)
        await double.settled()
        assert inbox.stopped == [at(place, ts), at(place, posted)]


async def test_the_stop_button_of_slack() -> None:
    """It ends what is answered in its thread, and the session is told to be over; a DM's is its question's."""
    double = SlackDouble()
    ann, place, dm = double.world.user("Ann"), double.world.channel(), double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(place, "<@UBOT> hello", author=ann)
        turn, _ = await inbox.turn(1)
        double.press_stop(place, root, author=ann)
        await inbox.until(lambda: inbox.stopped_conversations == [turn.conversation])
        await soon(double, lambda: double.sessions == [(place, root, "active")])
        double.without.add("agents.sessions.setStatus")
        ts = double.say(dm, "hello", author=ann)
        await inbox.turn(2)
        double.press_stop(dm, ts, author=ann)
        await inbox.until(lambda: inbox.stopped == [at(place, root), at(dm, ts)])
        await double.settled()


async def test_what_readers_take_away() -> None:
    """The deletion of a question or an answer is told, also as a tombstone; what we take away ourselves is not."""
    double = SlackDouble()
    ann, place, dm = double.world.user("Ann"), double.world.channel(), double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(place, "<@UBOT> hello", author=ann)
        _, way = await inbox.turn(1)
        posted = await answer(way, "Well")
        ts = double.say(dm, "hello", author=ann)
        _, direct = await inbox.turn(2)
        surplus = await answer(direct, "too much")
        await direct.delete(surplus)
        double.remove(dm, ts)
        double.remove(place, root)  # a tombstone: it has a reply
        double.remove(place, posted)
        await inbox.until(lambda: len(inbox.deleted) == 3)
        await double.settled()
        assert inbox.deleted == [at(dm, ts), at(place, root), at(place, posted)]


@pytest.mark.parametrize("sign", ["deleted", "reaction"])
async def test_a_question_that_is_withdrawn_while_it_is_looked_into(sign: str) -> None:
    """Nobody waits for an answer to what was taken back before it became a turn."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    double.faults.add("GET", "users.info", Kind.DELAY, seconds=0.3)
    async with double.running(), connected(double) as (_, inbox):
        ts = double.say(dm, "oops", author=ann)
        await double.transcript.wait_for(path="users.info")
        if sign == "deleted":
            double.remove(dm, ts)
        else:
            double.react(dm, ts, "x", author=ann)
        double.say(dm, "what I meant", author=ann)
        await inbox.turn(1)
        assert inbox.questions == ["what I meant"]
        assert inbox.dismissed == [at(dm, ts)]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "reaction_added"},
        {"type": "reaction_added", "user": "U1", "reaction": 7, "item": "?"},
        {"type": "agent_session_stopped", "user": "U1"},
        {"type": "message", "subtype": "message_deleted", "channel": "C1"},
        {"type": "message", "subtype": "message_changed", "channel": "C1", "message": []},
    ],
)
async def test_an_odd_sign_is_acknowledged_and_passed_over(event: dict[str, Any]) -> None:
    """Whatever is missing from an event, the next one is heard."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        double.event(event)
        double.say(dm, "hello", author=ann)
        await inbox.turn(1)
        await double.settled()
        assert (inbox.stopped, inbox.stopped_conversations, inbox.deleted) == ([], [], [])


async def test_who_asks_is_known_to_the_next_process() -> None:
    """A hundred questions that are taken up at once cost no lookup of who asked them; long after, they do."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(channel, "<@UBOT> one", author=ann)
            (first, _) = await inbox.turn(1)
        ((key, event),) = inbox.updated_events
        lookups = len(double.transcript.of(path="users.info"))
        for age, more in ((60.0, 0), (3600.0, 1)):
            second = RecordingInbox()
            second.unfinished = [UnfinishedTurn(key, event, age=age)]
            async with connected(double, second):
                turn, _ = await second.turn(1)
            assert turn == first
            assert len(double.transcript.of(path="users.info")) == lookups + more


async def test_each_conversation_is_read_once() -> None:
    """Whether the question is there and which messages were posted for it is one read for each of what was left."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running():
        async with connected(double) as (_, inbox):
            for number in range(5):
                double.say(channel, f"<@UBOT> {number}", author=ann)
            await inbox.until(lambda: len(inbox.turns) == 5)
            posted = []
            for number, (_, way) in enumerate(inbox.turns[:2]):
                posted.append(await way.post(Body("half"), f"{KEY}{number}"))
                await asyncio.sleep(1.1)  # as often as a channel may be posted to
        second = RecordingInbox()
        second.unfinished = [
            UnfinishedTurn(key, event, tuple(posted[:1]) if number == 0 else ())
            for number, (key, event) in enumerate(inbox.received)
        ]
        reads = len(double.transcript.of(path="conversations.replies"))
        async with connected(double, second):
            await second.until(lambda: len(second.turns) == 5)
            ways = {turn.key.message: way for turn, way in second.turns}
            keys = [key.message for key, _ in inbox.received]
            found = [await ways[message].find(f"{KEY}{number}") for number, message in enumerate(keys)]
            assert found == [*posted, None, None, None]
            assert await ways[keys[0]].find(f"{KEY}0", posted[:1]) is None
            assert len(double.transcript.of(path="conversations.replies")) == reads + 5


async def test_another_persons_reaction_to_a_question_that_is_looked_into_is_decided_by_the_core() -> None:
    """It is handed over all the same, and the stop after it, since only the core knows who may stop what."""
    double = SlackDouble()
    ann, bob, place = double.world.user("Ann"), double.world.user("Bob"), double.world.channel()
    double.faults.add("GET", "users.info", Kind.DELAY, seconds=0.3)
    async with double.running(), connected(double) as (_, inbox):
        ts = double.say(place, "<@UBOT> hello", author=ann)
        await double.transcript.wait_for(path="users.info")
        double.react(place, ts, "x", author=bob)
        await inbox.turn(1)
        await inbox.until(lambda: len(inbox.stopped) == 2)
        assert inbox.questions == ["hello"]
        assert inbox.stopped == [at(place, ts), at(place, ts)]
