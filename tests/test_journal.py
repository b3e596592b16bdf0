"""The journal in memory: the port's contract, and its own bound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.journal import MemoryJournal
from bot.conversation import Ending, TurnKey
from bot.ports import Journal
from tests.contracts.journal import JournalContract


def key(number: int) -> TurnKey:
    return TurnKey("discord", "g", "c", str(number))


class TestMemoryJournal(JournalContract):
    """The contract, in memory."""

    @asynccontextmanager
    async def journal(self) -> AsyncIterator[Journal]:
        yield MemoryJournal()


async def test_the_oldest_turns_are_forgotten() -> None:
    """A process that runs for years remembers a bounded number of turns, the newest."""
    journal = MemoryJournal(limit=3)
    for number in range(1_000):
        assert await journal.accept(key(number))
    assert len(journal) == 3
    assert not await journal.accept(key(999))
    assert await journal.accept(key(0))


async def test_what_was_written_down_can_be_read() -> None:
    """Messages stand in the order of posting, each once; a live turn has no ending."""
    journal = MemoryJournal()
    assert journal.entry(key(1)) is None
    await journal.accept(key(1))
    entry = journal.entry(key(1))
    assert entry is not None
    assert entry.ending is None
    for message in ("a", "b", "a"):
        await journal.posted(key(1), message)
    await journal.ended(key(1), Ending.STOPPED)
    assert entry.messages == ["a", "b"]
    assert entry.ending is Ending.STOPPED


def test_a_journal_without_memory_is_refused() -> None:
    """It would take every redelivery for a new question."""
    with pytest.raises(ValueError, match="remembers nothing"):
        MemoryJournal(limit=0)
