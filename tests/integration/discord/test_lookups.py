"""No question waits for another message's look-up in its thread."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.servers.limits import Kind
from tests.support.discord import bot_at_work

pytestmark = pytest.mark.sockets


async def test_a_mention_does_not_wait_for_what_was_said_before_it() -> None:
    """A mention is a turn at once, though it cannot be found out if an earlier message of its thread is for us."""
    threads: list[str] = []
    async with bot_at_work(
        prepare=lambda bot: threads.append(bot.double.world.thread(bot.general)),
        change=lambda options: replace(options, read_seconds=600.0),
    ) as bot:
        double, [thread] = bot.double, threads
        double.faults.add("GET", "/messages", Kind.STALL_BEFORE, seconds=math.inf, times=99)
        for text in ("yes", "no"):
            double.say(thread, text, author=bot.bob)
        await double.transcript.wait_for(path="/messages")
        for number in range(3):
            double.say(thread, f"<@{double.world.bot}> question {number}", author=bot.ada)
        await bot.inbox.wait_for(3)
        assert bot.inbox.questions == [f"question {number}" for number in range(3)]


async def test_follow_ups_whose_thread_is_looked_into_stay_in_order() -> None:
    """Messages in a thread found to be ours become turns in the order of their arrival."""
    threads: list[str] = []
    async with bot_at_work(prepare=lambda bot: threads.append(bot.double.world.thread(bot.general))) as bot:
        double, [thread] = bot.double, threads
        double.say(thread, f"<@{double.world.bot}> hello", author=bot.bob, quiet=True)
        double.faults.add("GET", "/messages", Kind.DELAY, seconds=0.3)
        for number in range(4):
            double.say(thread, f"follow-up {number}", author=bot.bob)
        await bot.inbox.wait_for(1)
        double.say(thread, "follow-up 4", author=bot.bob)
        await bot.inbox.wait_for(5)
        assert bot.inbox.questions == [f"follow-up {number}" for number in range(5)]
