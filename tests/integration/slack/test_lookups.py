"""No question on Slack waits for the lookup of another message's thread, nor for the budget of reads."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.slack.test_answers import ANSWER, bot, finished
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.fakes import ScriptedModel
from tests.support.slack import connected

pytestmark = pytest.mark.sockets

# Limit for a turn or an answer, in real seconds; waiting for one read would take a minute.
SOON = 8.0

BLOCKED = ["429", "one read a minute", "404", "500", "no answer"]


def block(double: SlackDouble, how: str) -> None:
    """Make the server's threads unreadable."""
    match how:
        case "429":
            double.faults.add(
                "GET", "conversations.replies", Kind.STATUS, status=429, headers={"Retry-After": "60"}, times=1_000
            )
        case "one read a minute":
            double.limit_history()
        case "404":
            double.without, double.without_as_404 = {"conversations.replies"}, True
        case "500":
            double.faults.add("GET", "conversations.replies", Kind.STATUS, status=500, times=1_000)
        case _:
            double.faults.add("GET", "conversations.replies", Kind.STALL_BEFORE, seconds=60.0, times=1_000)


@pytest.mark.parametrize("how", BLOCKED)
async def test_a_mention_does_not_wait_for_earlier_lookups(how: str) -> None:
    """A mention becomes a turn at once, even behind earlier messages with a pending thread lookup."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        block(double, how)
        roots = [double.say(channel, "lunch?", author=ann, quiet=True) for _ in range(3)]
        for root in roots:
            for text in ("yes", "no"):
                double.say(channel, text, author=ann, thread=root)
        async with asyncio.timeout(SOON):
            if how != "404":
                await double.transcript.wait_for(path="conversations.replies")
            mentioned = double.say(channel, "<@UBOT> where?", author=ann, thread=roots[-1])
            await inbox.until(lambda: any(turn.key.message == mentioned for turn, _ in inbox.turns))


@pytest.mark.parametrize("how", ["429", "one read a minute", "404"])
async def test_a_mention_is_answered_though_no_thread_can_be_read(how: str) -> None:
    """The answer arrives within seconds, without waiting for the budget of reads."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), bot(double, ScriptedModel(ANSWER)):
        block(double, how)
        root = double.say(channel, "lunch?", author=ann, quiet=True)
        double.say(channel, "yes", author=ann, thread=root)
        if how != "404":
            await double.transcript.wait_for(path="conversations.replies")
        async with asyncio.timeout(SOON):
            double.say(channel, "<@UBOT> where?", author=ann, thread=root)
            await double.until(lambda: bool(double.answers(channel, root)))


async def test_messages_before_a_mention_stay_unanswered() -> None:
    """A mention leaves earlier messages of its thread unanswered, and the thread stays ours."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.faults.add("GET", "conversations.replies", Kind.DELAY, seconds=0.5)
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "lunch?", author=ann, quiet=True)
        before = double.say(channel, "yes", author=ann, thread=root)
        await double.transcript.wait_for(path="conversations.replies")
        double.say(channel, "<@UBOT> where?", author=ann, thread=root)
        await inbox.turn(1)
        await inbox.until(lambda: any(key.message == before for key in inbox.dismissed))
        double.say(channel, "and when?", author=ann, thread=root)
        await inbox.turn(2)
        assert inbox.questions == ["where?", "and when?"]


async def test_follow_ups_keep_their_order_during_a_lookup() -> None:
    """Follow-ups in a thread found to be ours keep their order."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    root = double.say(channel, "<@UBOT> hello", author=ann, quiet=True)
    double.faults.add("GET", "conversations.replies", Kind.DELAY, seconds=0.3)
    async with double.running(), connected(double) as (_, inbox):
        for number in range(5):
            double.say(channel, f"follow-up {number}", author=ann, thread=root)
        await inbox.turn(5)
        assert inbox.questions == [f"follow-up {number}" for number in range(5)]


async def test_mentions_keep_their_order_beside_a_lookup() -> None:
    """Mentions of one thread keep their order beside a pending lookup."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        block(double, "429")
        root = double.say(channel, "lunch?", author=ann, quiet=True)
        double.say(channel, "yes", author=ann, thread=root)
        for number in range(3):
            double.say(channel, f"<@UBOT> question {number}", author=ann, thread=root)
        await inbox.turn(3)
        assert inbox.questions == [f"question {number}" for number in range(3)]


async def test_a_working_server_gives_the_whole_history() -> None:
    """With working reads, a mention behind a foreign message is answered with the whole history."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), bot(double, ScriptedModel(ANSWER)):
        root = double.say(channel, "lunch?", author=ann, quiet=True)
        double.say(channel, "yes", author=ann, thread=root)
        double.say(channel, "<@UBOT> where?", author=ann, thread=root)
        assert len(await finished(double, channel, 1)) == 1
