"""When the journal compares the turns of a process in the database with its memory, on virtual time."""

from __future__ import annotations

import asyncio

from adapters.journal.options import JournalOptions
from adapters.journal.postgres_memory import DOUBT_SECONDS, JournalMemory
from bot.turns.hooks import every_turn


def compare(memory: JournalMemory, platform: str) -> None:
    memory.compared(platform, asyncio.get_running_loop().time())


async def test_nothing_is_compared_without_a_doubt() -> None:
    """Neither at the start nor later."""
    memory = JournalMemory(JournalOptions(), every_turn)
    assert not memory.in_doubt("slack")
    await asyncio.sleep(DOUBT_SECONDS)
    assert not memory.in_doubt("slack")


async def test_turns_are_compared_until_the_time_of_a_late_statement_is_over() -> None:
    """Each look until then may find another one."""
    memory = JournalMemory(JournalOptions(), every_turn)
    memory.start_doubt()
    compare(memory, "slack")
    await asyncio.sleep(DOUBT_SECONDS / 2)
    assert memory.in_doubt("slack")
    await asyncio.sleep(DOUBT_SECONDS / 2)
    compare(memory, "slack")
    assert not memory.in_doubt("slack")


async def test_a_doubt_lasts_until_a_platform_looks_again() -> None:
    """An outage may be longer, and Discord looks for turns only once a shard is connected."""
    memory = JournalMemory(JournalOptions(), every_turn)
    memory.start_doubt()
    await asyncio.sleep(2 * DOUBT_SECONDS)
    compare(memory, "slack")
    assert not memory.in_doubt("slack")
    assert memory.in_doubt("discord")
