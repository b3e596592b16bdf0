"""Commands in messages (``!help``): run once, answered in private, and no part of the conversation."""

from __future__ import annotations

import pytest

from bot.interactions.values import CommandInvoked, Notice, QuestionEdited, Response
from bot.ports import Body, UnfinishedTurn
from tests.servers.slack import SlackDouble
from tests.support.inbox import RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected, told

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]


def named(event: object) -> Response:
    """A response that repeats a command."""
    return Notice(f"{event.command} {dict(event.arguments)}") if isinstance(event, CommandInvoked) else Notice()


async def test_a_command_after_a_mention_in_a_thread() -> None:
    """It runs for its author at the message's position, and its response is in the thread, for the author alone."""
    double, core = SlackDouble(), RecordingInteractions(named)
    ann, channel = double.world.user("Ann"), double.world.channel()
    root = double.say(channel, "hello", author=ann, quiet=True)
    async with double.running(), connected(double, None, core) as (_, inbox):
        ts = double.say(channel, "<@UBOT> !Model  gpt-5 &amp; co", author=ann, thread=root)
        assert await told(double, ann) == ["model {'name': 'gpt-5 &amp; co'}"]
        (event,) = core.invoked
        assert event.arguments == {"name": "gpt-5 & co"}
        place = event.place
        assert (place.conversation, place.position) == (f"slack/T1/{channel}/{root}", ts)
        assert (place.channel_ids, place.command_prefix) == ((root, channel), "!")
        assert double.interactive.privates[0].thread == root
        await inbox.until(lambda: len(inbox.dismissed) == 1)
        await double.settled()
        assert len(core.invoked) == 1  # though a mention arrives twice
        assert inbox.turns == []


async def test_a_command_in_a_channel_starts_no_thread() -> None:
    """A mention outside threads has no conversation yet; the response is in the channel."""
    double, core = SlackDouble(), RecordingInteractions(named)
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, core):
        double.say(channel, "<@UBOT> !reset", author=ann)
        await told(double, ann)
        assert core.invoked[0].place.conversation == ""
        assert double.interactive.privates[0].thread == ""


async def test_a_command_in_direct_messages_and_in_our_threads() -> None:
    """No mention is needed there."""
    double, core = SlackDouble(), RecordingInteractions(named)
    double.post_seconds = 0.0
    ann, channel, dm = double.world.user("Ann"), double.world.channel(), double.world.channel("im")
    async with double.running(), connected(double, None, core) as (_, inbox):
        double.say(dm, "!stop", author=ann)
        await told(double, ann)
        root = double.say(channel, "<@UBOT> why?", author=ann)
        await (await inbox.turn(1))[1].post(Body("Because."), "k" * 20 + "1")
        double.say(channel, "!usage", author=ann, thread=root)
        await told(double, ann, 2)
        assert [event.command for event in core.invoked] == ["stop", "usage"]
        assert core.invoked[0].place.conversation == f"slack/T1/{dm}"


@pytest.mark.parametrize("text", ["!important: why?", "Please !help", "!!", "! help", "!summarize"])
async def test_other_words_are_ordinary_text(text: str) -> None:
    """A mark before any other word changes nothing."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, None, core) as (_, inbox):
        double.say(dm, text, author=ann)
        await inbox.turn(1)
        assert inbox.questions == [text]
        assert core.events == []


async def test_ask_is_a_question() -> None:
    """The text after ``!ask`` is an ordinary question, answered as any other."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, None, core) as (_, inbox):
        double.say(dm, "!ask Why?", author=ann)
        turn, _ = await inbox.turn(1)
        assert (turn.question.text, turn.preface) == ("Why?", "")


async def test_a_redelivered_command_runs_once() -> None:
    """Slack may deliver a message again; its command ran already."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, None, core) as (_, inbox):
        double.say(dm, "!reset", author=ann)
        await told(double, ann)
        await double.redeliver(double.deliveries.envelopes[0])
        double.say(dm, "Why?", author=ann)
        await inbox.turn(1)
        assert len(core.invoked) == 1


async def test_a_command_is_no_part_of_the_conversation() -> None:
    """The history of a later question has no commands."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, None, core) as (_, inbox):
        for text in ("One.", "!usage", "!ask Two?", "!wow"):
            double.say(dm, text, author=ann)
        double.say(dm, "Three?", author=ann)
        await inbox.turn(4)
        history = await inbox.turns[-1][1].history(9)
        assert [each.text for each in history.messages] == ["One.", "!ask Two?", "!wow"]


async def test_edits_and_deletions_of_a_command_do_nothing() -> None:
    """A command ran once; what becomes of its message concerns nobody."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, None, core) as (_, inbox):
        ts = double.say(dm, "!usage", author=ann)
        await told(double, ann)
        double.revise(dm, ts, "!help")
        double.revise(dm, ts, "Why?")
        double.remove(dm, ts)
        double.say(dm, "Another question", author=ann)
        await inbox.turn(1)
        assert len(core.invoked) == 1
        assert not [event for event in core.events if isinstance(event, QuestionEdited)]


async def test_a_failing_core_is_told_in_private() -> None:
    """A defect ends in one plain line, and the next message is handled."""

    def fail(event: object) -> Response:
        raise RuntimeError("a secret detail")

    double, core = SlackDouble(), RecordingInteractions(fail)
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double, None, core) as (_, inbox):
        double.say(dm, "!usage", author=ann)
        (line,) = await told(double, ann)
        assert "secret" not in line
        double.say(dm, "Why?", author=ann)
        await inbox.turn(1)


async def test_a_crash_before_a_command() -> None:
    """A command journalled by a killed process runs in the next one."""
    double, inbox, core = SlackDouble(), RecordingInbox(), RecordingInteractions()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        async with connected(double, inbox, RecordingInteractions()):
            double.say(dm, "!usage", author=ann)
            await inbox.until(lambda: len(inbox.dismissed) == 1)
        (key, event), later = inbox.received[0], RecordingInbox()
        later.unfinished = [UnfinishedTurn(key, event)]
        async with connected(double, later, core):
            await core.until(lambda: len(core.invoked) == 1)
            await later.until(lambda: later.dismissed == [key])
