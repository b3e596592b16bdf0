"""Recovery on Slack: each acknowledged message is in the journal, and each unfinished turn is resumed once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from adapters.slack.events.codec import load_user
from adapters.slack.options import SlackTimings
from bot.conversation import Turn, TurnKey
from bot.ports import Body, Channel, UnfinishedTurn
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.slack import answer, connected, soon
from tests.support.waiting import stays, until

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

KEY = "abcdefghijklmnopqrst"


class SlowJournal(RecordingInbox):
    """An inbox with a journal that writes some questions only once `release` is set, selected by their words."""

    def __init__(self, words: str = "slow") -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.words = words

    async def receive(self, key: TurnKey, event: str) -> bool:
        if not await super().receive(key, event):
            return False
        if self.words in event:
            await self.release.wait()
        return True


class BrokenInbox(RecordingInbox):
    """An inbox failing at the first question."""

    async def receive(self, key: TurnKey, event: str) -> bool:
        if not self.received:
            self.received.append((key, event))
            raise RuntimeError("a bug")
        self.received.clear()
        return await super().receive(key, event)


def acked(double: SlackDouble, text: str) -> list[bool]:
    return [each.acked for each in double.deliveries.envelopes if each.event.get("text") == text]


# ------------------------------------------------------------------------------------------- before the acknowledgement


async def test_a_question_is_acknowledged_after_the_journal_write() -> None:
    """During a journal write, neither copy of a mention is acknowledged, and other events continue."""
    double, inbox = SlackDouble(), SlowJournal()
    ann, channel, dm = double.world.user("Ann"), double.world.channel(), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        double.say(channel, "<@UBOT> slow", author=ann)
        await inbox.until(lambda: len(inbox.received) == 1)
        double.say(dm, "quick", author=ann)
        await inbox.turn(1)
        await soon(double, lambda: acked(double, "quick") == [True])
        assert acked(double, "<@UBOT> slow") == [False, False]
        assert inbox.questions == ["quick"]
        inbox.release.set()
        await soon(double, lambda: acked(double, "<@UBOT> slow") == [True, True])
        await inbox.turn(2)
        assert inbox.questions == ["quick", "slow"]
        assert len(inbox.received) == 2


async def test_a_slow_journal_keeps_the_order() -> None:
    """In one conversation turns keep the order of their questions, whichever write ends first."""
    double, inbox = SlackDouble(), SlowJournal()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        for text in ("slow", "two", "three"):
            double.say(dm, text, author=ann)
        await soon(double, lambda: acked(double, "three") == [True])
        assert inbox.questions == []
        inbox.release.set()
        await inbox.turn(3)
        assert inbox.questions == ["slow", "two", "three"]


@pytest.mark.transports("socket")  # requests overtake each other
async def test_events_are_handled_in_order_of_arrival() -> None:
    """Many events at once, each handled in its own task: none overtakes another."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    texts = [f"m{number}" for number in range(60)]
    async with double.running(), connected(double) as (_, inbox):
        for text in texts:
            double.say(dm, text, author=ann)
        await inbox.turn(60)
        assert inbox.questions == texts


@pytest.mark.transports("socket")
@pytest.mark.parametrize("journal", ["quick", "slower than the goodbye"])
async def test_a_socket_reset_before_the_acknowledgement(journal: str, caplog: pytest.LogCaptureFixture) -> None:
    """The event comes again on the next connection, is recognised and acknowledged there, and makes one turn."""
    caplog.set_level(logging.DEBUG, "adapters.slack.socket_connection")
    timings = SlackTimings() if journal == "quick" else SlackTimings(socket_close=0.01)
    double, inbox = SlackDouble(), SlowJournal()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, inbox, timings=timings):
        double.say(channel, "<@UBOT> slow", author=ann)
        await inbox.until(lambda: len(inbox.received) == 1)
        double.sockets.abort()
        await soon(double, lambda: double.sockets.opened == 2 and len(double.sockets.live) == 1)
        await double.redeliver_unacknowledged()
        if journal != "quick":
            await until(lambda: "unacknowledged" in caplog.text)  # on the old connection
        inbox.release.set()
        await double.settled()
        await inbox.turn(1)
        for envelope in list(double.deliveries.envelopes):
            await double.redeliver(envelope)
        await double.settled()
        assert inbox.questions == ["slow"]
        assert inbox.dismissed == []


@pytest.mark.transports("socket")
async def test_a_replaced_connection_acknowledges_its_events() -> None:
    """With a new connection requested during a journal write, the old one still acknowledges its event."""
    double, inbox = SlackDouble(), SlowJournal()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        double.say(dm, "slow", author=ann)
        await inbox.until(lambda: len(inbox.received) == 1)
        await double.sockets.disconnect("refresh_requested")
        await soon(double, lambda: double.sockets.opened == 2)
        inbox.release.set()
        await soon(double, lambda: acked(double, "slow") == [True])
        await soon(double, lambda: len(double.sockets.live) == 1)
        await inbox.turn(1)


async def test_a_failed_journal_write_is_not_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in the handling of one event is logged; Slack delivers the event again, and it is answered."""
    double, inbox = SlackDouble(), BrokenInbox()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        double.say(dm, "hello", author=ann)
        await until(lambda: "could not be written to the journal" in caplog.text, seconds=PATIENCE)
        assert acked(double, "hello") == [False]
        await double.redeliver_unacknowledged()
        await inbox.turn(1)
        await double.settled()


async def test_a_known_author_goes_into_the_journal_with_the_question() -> None:
    """A restart needs no lookup of either, and only the first question of a person is written twice."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, inbox):
        for number in (1, 2):
            double.say(dm, "hello", author=ann)
            await inbox.turn(number)
        await double.settled()
    events = dict(inbox.received) | dict(inbox.updated_events)
    assert [load_user(event) is not None for event in events.values()] == [True, True]
    assert [key for key, _ in inbox.updated_events] == [inbox.received[0][0]]


async def test_a_known_event_is_only_acknowledged() -> None:
    """After a restart, a redelivered question known to the journal is acknowledged, and handled no further."""
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


async def test_messages_not_addressed_after_all_are_dismissed() -> None:
    """Messages in others' threads and of apps are journalled during their lookup, and dismissed after it."""
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


# -------------------------------------------------------------------------------------------------------------- resumed


async def resume_all(
    double: SlackDouble, inbox: RecordingInbox, messages: tuple[str, ...] = ()
) -> list[tuple[Turn, Channel]]:
    """The turns a second process makes of everything the first one received."""
    second = RecordingInbox()
    journal = dict(inbox.received) | dict(inbox.updated_events)
    second.unfinished = [UnfinishedTurn(key, event, messages) for key, event in journal.items()]
    async with connected(double, second):
        await second.turn(len(inbox.received))
    return second.turns


@pytest.mark.parametrize("where", ["channel", "root", "reply", "im"])
async def test_a_deleted_question_is_not_resumed(where: str) -> None:
    """A question deleted between two processes is not resumed, and its posts get an end. Others are answered."""
    double, second = SlackDouble(), RecordingInbox()
    ann, place = double.world.user("Ann"), double.world.channel("im" if where == "im" else "channel")
    async with double.running():
        async with connected(double) as (_, inbox):
            ts = double.say(place, "<@UBOT> one", author=ann)
            await inbox.turn(1)
            if where == "reply":
                ts = double.say(place, "<@UBOT> two", author=ann, thread=ts)
                await inbox.turn(2)
            _, slack_channel = inbox.turns[-1]
            posted = [await answer(slack_channel, "half")] if where in ("root", "im") else []
            double.say(place, "<@UBOT> kept", author=ann)
            await inbox.until(lambda: "kept" in inbox.questions)
        double.remove(place, ts)
        second.unfinished = [UnfinishedTurn(key, event, tuple(posted)) for key, event in inbox.received]
        async with connected(double, second):
            given_up = second.deleted if posted else second.dismissed
            await second.until(lambda: {key.message for key in given_up} == {ts} and "kept" in second.questions)
            assert len(second.turns) == len(inbox.received) - (not posted)
        assert len(double.transcript.of(path="chat.delete")) == 0


async def test_an_unknown_deletion_is_ignored() -> None:
    """If Slack cannot tell about a deletion, the question is answered."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(dm, "hello", author=ann)
            await inbox.turn(1)
        double.faults.add("GET", "conversations.history", Kind.STATUS, status=500)
        ((turn, _),) = await resume_all(double, inbox)
        assert turn.question.text == "hello"


@pytest.mark.parametrize("copies", ["both", "late", "mention only"])
async def test_a_mention_is_resumed(copies: str) -> None:
    """The stored event makes the same turn, with the attachments of the message."""
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
                await double.until(lambda: double.deliveries.envelopes[-1].event.get("ts") == ts)
                message = double.world.messages[channel][ts]
                double.event({**message, "channel": channel, "channel_type": "channel"})
            first, slack_channel = await inbox.turn(1)
        ((turn, brought),) = await resume_all(double, inbox)
        assert turn == first
        assert len(await brought.attachments()) == len(await slack_channel.attachments()) == (copies != "mention only")


async def test_every_kind_of_question_is_resumed() -> None:
    """Follow-ups, direct messages and their threads, and users of other organisations are resumed alike."""
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
        turns = await resume_all(double, inbox)
        key = {turn.key: turn for turn, _ in inbox.turns}
        assert [key[turn.key] for turn, _ in turns] == [turn for turn, _ in turns]


async def test_unreadable_records_are_dismissed(caplog: pytest.LogCaptureFixture) -> None:
    """Unreadable records and those of another workspace are dismissed with one log line each; others are resumed."""
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


async def test_later_unfinished_turns_are_resumed() -> None:
    """Turns left later by an ending process are resumed too, but none after `stop_accepting`."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    event = f'{{"event":{{"type":"message","channel":"{dm}","user":"{ann}","text":"hi","ts":"1.1"}}}}'
    double.world.messages[dm]["1.1"] = {"type": "message", "user": ann, "text": "hi", "ts": "1.1"}
    async with double.running(), connected(double, inbox, timings=SlackTimings(recovery_poll=0.05)) as (platform, _):
        inbox.unfinished = [UnfinishedTurn(TurnKey("slack", "T1", dm, "1.1"), event)]
        await inbox.turn(1)
        await platform.stop_accepting()
        await stays(lambda: not inbox.unfinished, seconds=0.1)  # the last look into the journal is over
        inbox.unfinished = [UnfinishedTurn(TurnKey("slack", "T1", dm, "1.1"), event)]
        await stays(lambda: len(inbox.turns) == 1 and bool(inbox.unfinished), seconds=0.1)


async def test_an_event_redelivered_during_recovery() -> None:
    """An event redelivered before its turn is resumed makes one turn, and is acknowledged."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(dm, "hello", author=ann)
            await inbox.turn(1)
        second = RecordingInbox()
        second.received = list(inbox.received)
        second.unfinished = [UnfinishedTurn(key, event) for key, event in inbox.received]
        await double.redeliver(double.deliveries.envelopes[0])
        async with connected(double, second):
            await second.turn(1)
            await double.redeliver(double.deliveries.envelopes[0])
            await double.settled()
            assert second.questions == ["hello"]


async def test_failed_lookups_leave_the_question_to_the_next_process() -> None:
    """If lookups fail for too long, no message is dismissed, and the next process resumes it."""
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
        ((turn, _),) = await resume_all(double, inbox)
        assert turn.question.text == "hello"


# ------------------------------------------------------------------------------------------------- looked up after all


@pytest.mark.parametrize("kind", ["channel", "im"])
@pytest.mark.parametrize("known", [0, 1])
async def test_a_post_of_an_earlier_process_is_found(kind: str, known: int) -> None:
    """A post is found by its key, with an empty cache, behind others' messages, on a late page, in threads and DMs."""
    double = SlackDouble()
    double.post_seconds, double.page_limit = 0.0, 3
    ann, place = double.world.user("Ann"), double.world.channel(kind)
    async with double.running():
        async with connected(double) as (_, inbox):
            ts = double.say(place, "<@UBOT> hello", author=ann)
            _, slack_channel = await inbox.turn(1)
            posted = [await slack_channel.post(Body("one"), f"{KEY}0")]
            thread = {"thread_ts": ts} if kind == "channel" else {}
            for number in range(7):
                double.world.put(place, {"user": ann, "text": f"{number}", **thread})
            posted.append(await slack_channel.post(Body("two"), f"{KEY}1"))
        ((_, slack_channel),) = await resume_all(double, inbox, tuple(posted[:known]))
        assert await slack_channel.find(f"{KEY}1", posted[:known]) == posted[1]
        assert await slack_channel.find(f"{KEY}2", posted[:known]) is None
        await slack_channel.edit(posted[1], Body("mended"))
        assert double.answers(place)[-1] == "mended"


async def test_a_post_is_found_without_metadata() -> None:
    """Where reads tell no keys, a message of ours in its own thread is the lost one, and none of a DM is guessed at."""
    double = SlackDouble()
    double.post_seconds, double.keeps_metadata = 0.0, False
    ann, place, dm = double.world.user("Ann"), double.world.channel(), double.world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(place, "<@UBOT> hello", author=ann)
            _, slack_channel = await inbox.turn(1)
            double.faults.add("POST", "chat.postMessage", Kind.RESET_AFTER)
            double.say(dm, "hello", author=ann)
            _, direct = await inbox.turn(2)
            with pytest.raises(Exception, match="no answer"):
                await slack_channel.post(Body("lost"), f"{KEY}0")
            lost = double.shown(place)[-1].ts
            assert await slack_channel.find(f"{KEY}0") == lost
            assert await slack_channel.find(f"{KEY}1", [lost]) is None
            other = await direct.post(Body("of another"), f"{KEY[::-1]}0")
            assert await direct.find(f"{KEY}0") is None
        channels_by_question = {
            turn.key.channel: slack_channel for turn, slack_channel in await resume_all(double, inbox)
        }
        assert await channels_by_question[place].find(f"{KEY}0") == lost
        assert await channels_by_question[dm].find(f"{KEY}0") is None
        assert await channels_by_question[dm].find(f"{KEY}1", [other]) is None


async def test_an_unfinished_answer_is_not_in_its_own_history() -> None:
    """A half answer is not told to the model as its own words, even where reads tell no keys."""
    double = SlackDouble()
    double.keeps_metadata = False
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(dm, "hello", author=ann)
            _, slack_channel = await inbox.turn(1)
            half = await answer(slack_channel, "half an ans")
        ((_, slack_channel),) = await resume_all(double, inbox, (half,))
        assert (await slack_channel.history(10)).messages == ()


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
        _, slack_channel = await inbox.turn(1)
        posted = await answer(slack_channel, "Well")
        await inbox.until(lambda: len(inbox.dismissed) == 1)
        for author, sign in ((robot, "x"), ("UBOT", "octagonal_sign"), (ann, "thumbsup")):
            double.react(place, ts, sign, author=author)
        double.react(place, ts, "octagonal_sign", author=ann)
        double.react(place, posted, "no_entry::skin-tone-3", author=ann)
        await inbox.until(lambda: len(inbox.stopped) == 2)
        await double.settled()
        assert inbox.stopped == [at(place, ts), at(place, posted)]


async def test_the_stop_button_of_slack() -> None:
    """Slack's stop button ends the answers in its thread and closes the session; in a DM the thread is the question."""
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


async def test_deletions_by_readers() -> None:
    """Deletions of questions and answers reach the core, also as tombstones; our own deletions do not."""
    double = SlackDouble()
    ann, place, dm = double.world.user("Ann"), double.world.channel(), double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(place, "<@UBOT> hello", author=ann)
        _, slack_channel = await inbox.turn(1)
        posted = await answer(slack_channel, "Well")
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
async def test_a_question_withdrawn_during_its_lookup(sign: str) -> None:
    """A question withdrawn before it became a turn is dismissed."""
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
    """An event with missing fields does not affect the next one."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        double.event(event)
        double.say(dm, "hello", author=ann)
        await inbox.turn(1)
        await double.settled()
        assert (inbox.stopped, inbox.stopped_conversations, inbox.deleted) == ([], [], [])


async def test_the_next_process_knows_the_authors() -> None:
    """A hundred resumed questions cost no lookup of their authors, unless they are old."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(channel, "<@UBOT> one", author=ann)
            (first, _) = await inbox.turn(1)
        key, event = inbox.updated_events[-1]
        lookups = len(double.transcript.of(path="users.info"))
        for age, more in ((60.0, 0), (3600.0, 1)):
            second = RecordingInbox()
            second.unfinished = [UnfinishedTurn(key, event, age=age)]
            async with connected(double, second):
                turn, _ = await second.turn(1)
            assert turn == first
            assert len(double.transcript.of(path="users.info")) == lookups + more


async def test_each_conversation_is_read_once() -> None:
    """One read per resumed turn finds both its question and its posted messages."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running():
        async with connected(double) as (_, inbox):
            for number in range(5):
                double.say(channel, f"<@UBOT> {number}", author=ann)
            await inbox.until(lambda: len(inbox.turns) == 5)
            posted = []
            for number, (_, slack_channel) in enumerate(inbox.turns[:2]):
                posted.append(await slack_channel.post(Body("half"), f"{KEY}{number}"))
        second = RecordingInbox()
        second.unfinished = [
            UnfinishedTurn(key, event, tuple(posted[:1]) if number == 0 else ())
            for number, (key, event) in enumerate(inbox.received)
        ]
        reads = len(double.transcript.of(path="conversations.replies"))
        async with connected(double, second):
            await second.until(lambda: len(second.turns) == 5)
            channels_by_question = {turn.key.message: slack_channel for turn, slack_channel in second.turns}
            keys = [key.message for key, _ in inbox.received]
            found = [await channels_by_question[message].find(f"{KEY}{number}") for number, message in enumerate(keys)]
            assert found == [*posted, None, None, None]
            assert await channels_by_question[keys[0]].find(f"{KEY}0", posted[:1]) is None
            assert len(double.transcript.of(path="conversations.replies")) == reads + 5


async def test_the_core_decides_about_another_users_reaction_during_a_lookup() -> None:
    """A question stopped by another user becomes a turn, followed by the stop: only the core knows who may stop it."""
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
