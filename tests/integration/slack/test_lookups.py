"""No question on Slack waits for a message that may be none, nor for leave to read."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.slack.test_answers import ANSWER, bot, finished
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.fakes import ScriptedModel
from tests.support.slack import connected

pytestmark = pytest.mark.sockets

# Real seconds in which a mention is a turn, or is answered; each read that is waited for would take a minute.
SOON = 8.0

BLOCKED = ["429", "one read a minute", "404", "500", "no answer"]


def block(double: SlackDouble, how: str) -> None:
    """Have the threads of this server not read."""
    match how:
        case "429":
            double.faults.add(
                "GET", "conversations.replies", Kind.STATUS, status=429, headers={"Retry-After": "60"}, times=1_000
            )
        case "one read a minute":
            double.tiers["conversations.replies"], double.page_limit = 1, 15
        case "404":
            double.without, double.without_as_404 = {"conversations.replies"}, True
        case "500":
            double.faults.add("GET", "conversations.replies", Kind.STATUS, status=500, times=1_000)
        case _:
            double.faults.add("GET", "conversations.replies", Kind.STALL_BEFORE, seconds=60.0, times=1_000)


@pytest.mark.parametrize("how", BLOCKED)
async def test_a_mention_does_not_wait_for_what_was_said_before_it(how: str) -> None:
    """A mention is a turn at once, though it cannot be found out if earlier messages of its thread are for us."""
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
    """The answer is there within seconds: what no leave can be had to read is not waited for."""
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


async def test_what_was_said_before_the_mention_stays_no_question() -> None:
    """A mention does not make a question of what was said in its thread before, and is not forgotten over it."""
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


async def test_follow_ups_whose_thread_is_looked_into_stay_in_order() -> None:
    """Messages of a thread that turns out to be ours are turns in the order in which they were said."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    root = double.say(channel, "<@UBOT> hello", author=ann, quiet=True)
    double.faults.add("GET", "conversations.replies", Kind.DELAY, seconds=0.3)
    async with double.running(), connected(double) as (_, inbox):
        for number in range(5):
            double.say(channel, f"follow-up {number}", author=ann, thread=root)
        await inbox.turn(5)
        assert inbox.questions == [f"follow-up {number}" for number in range(5)]


async def test_two_mentions_stay_in_order_behind_a_message_that_is_looked_into() -> None:
    """Questions of one thread are turns in their order, whatever is still being looked into beside them."""
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


async def test_a_quiet_server_answers_as_before() -> None:
    """Where reads work, a mention behind a foreign message is answered with all that was said."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), bot(double, ScriptedModel(ANSWER)):
        root = double.say(channel, "lunch?", author=ann, quiet=True)
        double.say(channel, "yes", author=ann, thread=root)
        double.say(channel, "<@UBOT> where?", author=ann, thread=root)
        assert len(await finished(double, channel, 1)) == 1
