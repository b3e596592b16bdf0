"""The Slack platform: from events to turns, over real sockets."""

from __future__ import annotations

import asyncio
import logging

import pytest

from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack.options import SlackTimings
from bot.conversation import OmittedAttachment, Role, Text
from bot.errors import Forbidden
from bot.ports import Body
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.servers.slack_deliveries import Envelope
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.slack import answer, connected, options_of, sole_platform
from tests.support.waiting import until

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]


@pytest.mark.quick
async def test_a_mention_starts_a_thread() -> None:
    """A mention in a channel is one turn, though it arrives as two events, and is answered in its own thread."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        ts = double.say(channel, "<@UBOT> what is <https://a.example|this> &amp; that?", author=ann)
        turn, slack_channel = await inbox.turn(1)
        assert turn.question.text == "what is this (https://a.example) & that?"
        assert turn.question.name == "Ann"
        assert turn.author.id == ann
        assert (turn.author.guest, turn.author.external, turn.direct) == (False, False, False)
        assert turn.key.message == ts
        assert turn.channel_ids == (ts, channel)
        await answer(slack_channel, "That.")
        await double.settled()
        assert [s.text for s in double.shown(channel, ts)][1:] == ["That."]
        assert len(inbox.turns) == 1
        assert double.limited == []


@pytest.mark.quick
async def test_a_thread_goes_on_without_a_mention() -> None:
    """In a thread started by a mention, messages need no mention, and the history needs no read."""
    double = SlackDouble()
    ann, bob, channel = double.world.user("Ann"), double.world.user("Bob"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "<@UBOT> hello", author=ann)
        _, slack_channel = await inbox.turn(1)
        posted = await answer(slack_channel, "Hi")
        await slack_channel.edit(posted, Body("Hi, <\u200b!here> Ann"))
        double.say(channel, "and me?", author=bob, thread=root)
        turn, slack_channel = await inbox.turn(2)
        history = await slack_channel.history(10)
        assert [(m.role, m.name, m.text) for m in history.messages] == [
            (Role.USER, "Ann", "hello"),
            (Role.ASSISTANT, "", "Hi, <!here> Ann"),
        ]
        assert not history.truncated
        assert turn.conversation == inbox.turns[0][0].conversation
        assert double.transcript.of(path="conversations") == []


async def test_others_threads_are_ignored() -> None:
    """Messages in channels and others' threads are ignored; each thread costs one read."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "lunch?", author=ann)
        for _ in range(3):
            double.say(channel, "yes", author=ann, thread=root)
            await double.transcript.wait_for(path="conversations.replies")
        double.say(channel, "<@UBOT> where?", author=ann)
        await inbox.turn(1)
        assert inbox.questions == ["where?"]
        assert len(double.transcript.of(path="conversations.replies")) <= 3


async def test_a_thread_from_before_the_start_is_known_again() -> None:
    """After a restart, one read recognises a thread with an earlier answer."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    root = double.say(channel, "<@UBOT> hello", author=ann, quiet=True)
    double.world.put(
        channel,
        {
            "user": "UBOT",
            "bot_id": "B0BOT",
            "thread_ts": root,
            "text": "shortened",
            "blocks": [{"type": "markdown", "text": "the whole answer"}],
        },
    )
    async with double.running(), connected(double) as (_, inbox):
        double.say(channel, "go on", author=ann, thread=root)
        _, slack_channel = await inbox.turn(1)
        history = await slack_channel.history(10)
        assert [m.text for m in history.messages] == ["hello", "the whole answer"]
        double.say(channel, "and on", author=ann, thread=root)
        _, slack_channel = await inbox.turn(2)
        assert [m.text for m in (await slack_channel.history(10)).messages] == ["hello", "the whole answer", "go on"]
        assert len(double.transcript.of(path="conversations.replies")) == 1


@pytest.mark.quick
async def test_the_agent_view() -> None:
    """In the agent view each message outside a thread begins a conversation, answered in a thread below it."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        one = double.say(dm, "one", author=ann, app_context={"entities": []})
        two = double.say(dm, "two", author=ann, app_context={"entities": []})
        await inbox.turn(2)
        await answer(inbox.turns[0][1], "first")
        double.say(dm, "and more", author=ann, thread=one)
        await inbox.turn(3)
        (first, _), (second, channel), (third, after) = inbox.turns
        assert first.conversation == third.conversation != second.conversation
        assert double.answers(dm, one) == ["first"]
        assert [each.text for each in (await channel.history(9)).messages] == []
        assert [each.text for each in (await after.history(9)).messages] == ["one", "first"]
        assert double.answers(dm, two) == []


@pytest.mark.quick
async def test_direct_messages() -> None:
    """A direct message is answered in place; a thread in it is a conversation of its own."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        double.say(dm, "hello", author=ann)
        first, slack_channel = await inbox.turn(1)
        posted = await answer(slack_channel, "Hi")
        assert "thread_ts" not in double.world.messages[dm][posted]
        double.say(dm, "inside", author=ann, thread=posted)
        second, slack_channel = await inbox.turn(2)
        assert [m.text for m in (await slack_channel.history(10)).messages] == ["Hi"]
        assert first.direct
        assert second.direct
        assert first.conversation != second.conversation
        posted = await slack_channel.post(Body("Yes"), "l" * 21)
        assert double.world.messages[dm][posted]["thread_ts"] == first_thread(double, dm, posted)
        double.say(dm, "again", author=ann)
        third, slack_channel = await inbox.turn(3)
        assert third.conversation == first.conversation
        assert [m.text for m in (await slack_channel.history(10)).messages] == ["hello", "Hi"]


def first_thread(double: SlackDouble, channel: str, ts: str) -> str:
    return str(double.world.messages[channel][ts]["thread_ts"])


async def test_messages_without_a_turn() -> None:
    """Bots, our own echo, edits, deletions and joins make no turn; guests and strangers are told apart."""
    double = SlackDouble()
    world = double.world
    ann, channel = world.user("Ann"), world.channel()
    guest, stranger, robot = (
        world.user("Gus", guest=True),
        world.user("Eve", external=True),
        world.user("Rob", bot=True),
    )
    async with double.running(), connected(double) as (_, inbox):
        double.say(channel, "<@UBOT> I am a bot", author="", bot_id="B9", subtype="bot_message")
        double.say(channel, "<@UBOT> me too", author=robot)
        double.say(channel, "<@UBOT> I am you", author="UBOT")
        double.say(channel, "<@UBOT> joined", author=ann, subtype="channel_join")
        first = double.say(channel, "<@UBOT> one", author=ann)
        double.revise(channel, first, "<@UBOT> one, edited")
        double.remove(channel, double.say(channel, "never mind", author=ann))
        double.say(channel, "<@UBOT> two", author=guest)
        double.say(channel, "<@UBOT> three", author=stranger, team="TOTHER", once=True)
        await inbox.turn(3)
        await double.settled()
        authors = {t.question.text: (t.author.guest, t.author.external) for t, _ in inbox.turns}
        assert authors == {"one": (False, False), "two": (True, False), "three": (False, True)}


@pytest.mark.quick
async def test_an_event_delivered_twice_is_one_turn() -> None:
    """A redelivered event makes no second turn."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        double.say(channel, "<@UBOT> once", author=ann)
        await inbox.turn(1)
        await double.settled()
        for envelope in list(double.deliveries.envelopes):
            await double.redeliver(envelope)
        await double.settled()
        assert inbox.questions == ["once"]


async def test_order_is_kept() -> None:
    """Questions of one conversation keep their order during lookups of their authors."""
    double = SlackDouble()
    channel = double.world.channel()
    people = [double.world.user(f"P{n}") for n in range(5)]
    double.faults.add("GET", "users.info", Kind.DELAY, seconds=0.3)
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "<@UBOT> 0", author=people[0])
        for number, person in enumerate(people[1:], 1):
            double.say(channel, f"{number}", author=person, thread=root)
        await inbox.turn(5)
        assert inbox.questions == ["0", "1", "2", "3", "4"]


async def test_unknown_authors_get_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Without users:read guests are not recognisable, so no question is answered, and the log names the scope."""
    double = SlackDouble()
    double.scopes.discard("users:read")
    ann, channel = double.world.user("Ann"), double.world.channel()
    with caplog.at_level(logging.ERROR):
        async with double.running(), connected(double) as (_, inbox):
            double.say(channel, "<@UBOT> hello", author=ann)
            await until(lambda: "users:read" in caplog.text, seconds=PATIENCE)
            await double.settled()
            assert inbox.turns == []
    assert len(caplog.records) == 1


async def test_attachments_of_a_mention() -> None:
    """Attachments of a mention come from the plain copy of its two events."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    file = {"name": "a.bin", "mimetype": "application/octet-stream", "url_private": "https://files.slack.com/a"}
    async with double.running(), connected(double) as (_, inbox):
        for number in (1, 2):  # the second time, whoever asks is known already
            double.say(channel, "<@UBOT> look", author=ann, files=[file])
            turn, channel_of_turn = await inbox.turn(number)
            assert [type(part) for part in turn.question.parts] == [Text]
            assert [type(part) for part in await channel_of_turn.attachments()] == [OmittedAttachment]


@pytest.mark.transports("http")
@pytest.mark.parametrize("reverse", [False, True])
async def test_the_two_events_of_a_mention_come_in_any_order(*, reverse: bool) -> None:
    """The first one is acknowledged without the other; the turn has the attachments of the plain copy all the same."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    file = {"name": "a.bin", "mimetype": "application/octet-stream", "url_private": "https://files.slack.com/a"}
    async with double.running(), connected(double) as (_, inbox):
        for number in (1, 2):  # the second time, whoever asks is known already
            double.requests.holding = True
            double.say(channel, "<@UBOT> look", author=ann, files=[file])
            await double.until(lambda: len(double.requests.held) == 2)
            first, second = reversed(double.requests.held) if reverse else double.requests.held
            await double.requests.release(lambda _, first=first: [first])  # type: ignore[misc]  # bound now
            await double.until(lambda first=first: first.acked)  # type: ignore[misc]  # bound now
            await double.requests.send(second)
            _, channel_of_turn = await inbox.turn(number)
            assert [type(part) for part in await channel_of_turn.attachments()] == [OmittedAttachment]


async def test_many_questions_cost_one_user_lookup() -> None:
    """Many questions of one person at once cost one lookup."""
    double = SlackDouble()
    double.requests.pace_seconds = 0.0
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        for number in range(150):
            double.say(channel, f"<@UBOT> {number}", author=ann)
        await inbox.turn(150)
        assert len(double.transcript.of(path="users.info")) == 1


@pytest.mark.transports("socket")
async def test_a_replaced_connection_loses_no_memory() -> None:
    """A replaced connection without a gap leaves the cache complete."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "<@UBOT> hello", author=ann)
        await inbox.turn(1)
        for opened in (2, 3):
            await double.sockets.disconnect("refresh_requested")
            async with asyncio.timeout(PATIENCE):
                await double.until(lambda: double.sockets.opened == opened and len(double.sockets.live) == 1)  # noqa: B023 (awaited here)
        double.say(channel, "again", author=ann, thread=root)
        _, slack_channel = await inbox.turn(2)
        assert [m.text for m in (await slack_channel.history(10)).messages] == ["hello"]
        assert double.transcript.of(path="conversations") == []


@pytest.mark.transports("socket")
async def test_shared_events_make_the_cache_incomplete() -> None:
    """With another process of the same app, some events go there, so the cache does not count as complete."""
    double = SlackDouble()
    double.sockets.others = 1
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "<@UBOT> hello", author=ann)
        await inbox.turn(1)
        double.say(channel, "unheard", author=ann, thread=root, quiet=True)
        double.say(channel, "again", author=ann, thread=root)
        _, slack_channel = await inbox.turn(2)
        assert [m.text for m in (await slack_channel.history(10)).messages] == ["hello", "unheard"]


@pytest.mark.transports("socket")
async def test_a_token_revoked_later(caplog: pytest.LogCaptureFixture) -> None:
    """An app token revoked later costs one log line, and the process continues."""
    double = SlackDouble()
    with caplog.at_level(logging.ERROR):
        async with double.running(), connected(double) as (platform, _):
            double.app_token = "xapp-other"
            double.sockets.abort()
            await until(lambda: "app token" in caplog.text, seconds=PATIENCE)
            assert not platform.ready
    assert len(caplog.records) == 1


@pytest.mark.parametrize("as_404", [False, True])
async def test_a_server_without_the_extras(as_404: bool) -> None:
    """A server with only posts and edits still gets answers; users are named by their ids."""
    double = SlackDouble()
    double.without = {"users.info", "assistant.threads.setStatus", "conversations.replies", "conversations.history"}
    double.without_as_404 = as_404
    channel = double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        double.event({"type": "app_mention", "user": "U1", "text": "<@UBOT> hi", "ts": "1.1", "channel": channel})
        turn, slack_channel = await inbox.turn(1)
        assert turn.author.name == "U1"
        history = await slack_channel.history(10)
        assert history.messages == ()
        double.world.put(channel, {"ts": "1.1"})
        await answer(slack_channel, "Hi")
        assert await slack_channel.find("whatever") is None


async def test_a_lookup_is_tried_again() -> None:
    """A temporary failure of users.info costs no answer."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.faults.add("GET", "users.info", Kind.STATUS, status=500)
    async with double.running(), connected(double) as (_, inbox):
        double.say(channel, "<@UBOT> hello", author=ann)
        assert (await inbox.turn(1))[0].author.name == "Ann"


@pytest.mark.transports("socket")
async def test_connections_are_replaced() -> None:
    """Asked for a new connection, closed, reset or silent: another is made, and events go on."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (platform, inbox):
        await double.sockets.disconnect("refresh_requested")
        await asyncio.wait_for(
            double.until(lambda: double.sockets.opened == 2 and len(double.sockets.live) == 1), PATIENCE
        )
        double.say(channel, "<@UBOT> one", author=ann)
        await inbox.turn(1)
        await double.sockets.close()
        double.say(channel, "<@UBOT> two", author=ann)
        await inbox.turn(2)
        double.sockets.refused = 1
        double.sockets.abort()
        double.say(channel, "<@UBOT> three", author=ann)
        await inbox.turn(3)
        assert platform.ready
        assert inbox.questions == ["one", "two", "three"]


@pytest.mark.transports("socket")
async def test_a_silent_socket_is_given_up() -> None:
    """A connection without any reply, even to pings, is replaced."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.sockets.deaf = True
    async with double.running(), connected(double, ping_seconds=0.2) as (_, inbox):
        double.sockets.deaf = False
        await asyncio.wait_for(double.until(lambda: double.sockets.opened == 2), PATIENCE)
        double.say(channel, "<@UBOT> hello", author=ann)
        await inbox.turn(1)


@pytest.mark.transports("socket")
async def test_a_gap_causes_a_read() -> None:
    """After a broken connection, a cached thread is read once more, since events may have been missed."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "<@UBOT> hello", author=ann)
        await inbox.turn(1)
        await double.settled()
        double.sockets.abort()
        await asyncio.wait_for(double.until(lambda: double.sockets.opened == 2), PATIENCE)
        double.say(channel, "unheard", author=ann, thread=root, quiet=True)
        double.say(channel, "heard", author=ann, thread=root)
        _, slack_channel = await inbox.turn(2)
        assert [m.text for m in (await slack_channel.history(10)).messages] == ["hello", "unheard"]


async def test_stop_accepting_leaves_questions_to_others() -> None:
    """After `stop_accepting`, questions stay unacknowledged, so that Slack delivers them to the next process."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running():
        async with connected(double) as (platform, inbox):
            double.say(channel, "<@UBOT> one", author=ann)
            _, slack_channel = await inbox.turn(1)
            await platform.stop_accepting()
            assert not platform.ready
            double.say(channel, "<@UBOT> two", author=ann, once=True)
            double.say(channel, "not for us", author=ann)
            await double.until(lambda: any(e.acked or e.responses == ["503"] for e in said(double, "not for us")))
            await answer(slack_channel, "still answered")
            assert inbox.questions == ["one"]
        (unheard,) = said(double, "<@UBOT> two")
        assert not unheard.acked
        async with connected(double) as (_, inbox):
            await double.redeliver(unheard)
            await inbox.turn(1)
            assert inbox.questions == ["two"]


async def test_stop_accepting_hands_over_acknowledged_questions() -> None:
    """An acknowledged question is a turn before `stop_accepting` returns, since Slack does not redeliver it."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.faults.add("GET", "users.info", Kind.DELAY, seconds=0.5)
    async with double.running(), connected(double) as (platform, inbox):
        double.say(channel, "<@UBOT> one", author=ann, once=True)
        await double.transcript.wait_for(path="users.info")
        await double.settled()
        await platform.stop_accepting()
        assert inbox.questions == ["one"]


async def test_stop_accepting_has_a_time_limit(caplog: pytest.LogCaptureFixture) -> None:
    """A hanging lookup delays a stop by a few seconds at most, and the log counts the pending messages."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.faults.add("GET", "users.info", Kind.STALL_BEFORE, seconds=PATIENCE)
    async with double.running(), connected(double, timings=SlackTimings(hand_over=0.1)) as (platform, inbox):
        double.say(channel, "<@UBOT> one", author=ann, once=True)
        await double.transcript.wait_for(path="users.info")
        async with asyncio.timeout(PATIENCE / 2):
            await platform.stop_accepting()
        assert inbox.turns == []
    assert "still being looked up: 1" in caplog.text


async def test_a_dropped_follow_up_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A follow-up in an unreadable thread is not answered, and one log line names it."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    root = double.say(channel, "<@UBOT> hello", author=ann, quiet=True)
    double.outside.add(channel)
    async with double.running(), connected(double) as (_, inbox):
        ts = double.say(channel, "go on", author=ann, thread=root)
        await until(lambda: "not answered" in caplog.text, seconds=PATIENCE)
        assert inbox.turns == []
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert channel in line
    assert ts in line


async def test_a_follow_up_is_late_rather_than_dropped() -> None:
    """A follow-up in a temporarily unreadable thread is answered after another read."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    root = double.say(channel, "<@UBOT> hello", author=ann, quiet=True)
    double.faults.add("GET", "conversations.replies", Kind.STATUS, status=500, times=3)
    async with double.running(), connected(double, timings=SlackTimings(thread_retry=0.05)) as (_, inbox):
        double.say(channel, "go on", author=ann, thread=root)
        turn, _ = await inbox.turn(1)
        assert turn.question.text == "go on"
        assert inbox.dismissed == []


def said(double: SlackDouble, text: str) -> list[Envelope]:
    return [envelope for envelope in double.deliveries.envelopes if envelope.event.get("text") == text]


@pytest.mark.transports("socket")
@pytest.mark.parametrize(("field", "value"), [("bot_token", "xoxb-wrong"), ("app_token", "xapp-wrong")])
async def test_a_wrong_token_ends_the_run(field: str, value: str) -> None:
    """A token refused from the start ends the run with one line, without its value."""
    double = SlackDouble()
    async with double.running():
        attachments = Attachments(AttachmentLimits(), hosts=frozenset())
        platform = sole_platform(options_of(double, **{field: value}), attachments)
        with pytest.raises(Forbidden) as caught:
            await platform.run(RecordingInbox())
        await platform.close()
        assert field.replace("_", " ") in str(caught.value)
        assert "invalid_auth" in str(caught.value)
        assert value not in str(caught.value)
        assert value not in repr(platform) + repr(options_of(double, **{field: value}))


async def test_an_unreachable_slack_is_retried() -> None:
    """A start while Slack is away goes on as soon as it is there."""
    double = SlackDouble()
    double.faults.add("POST", "auth.test", Kind.STATUS, status=503)
    double.faults.add("POST", "apps.connections.open", Kind.RESET_BEFORE)
    async with double.running(), connected(double) as (platform, _):
        assert platform.ready
