"""What every journal must do, whatever it writes to: subclass `JournalContract` in the adapter's test file.

What belongs here: promises of the port `bot.ports.Journal`. What does not: how a journal keeps them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from bot.conversation import Ending, TurnKey
from bot.ports import Journal

FIRST = TurnKey("slack", "T1", "C1", "1700000000.000100")
# One that differs from the first in each part alone.
OTHERS = (
    TurnKey("discord", "T1", "C1", "1700000000.000100"),
    TurnKey("slack", "T2", "C1", "1700000000.000100"),
    TurnKey("slack", "T1", "C2", "1700000000.000100"),
    TurnKey("slack", "T1", "C1", "1700000000.000200"),
)


class JournalContract(ABC):
    """The tests; an adapter's test file says how to open one of its journals."""

    @abstractmethod
    def journal(self) -> AbstractAsyncContextManager[Journal]:
        """Open a journal in which nothing is written yet, and close it afterwards."""

    async def test_a_turn_is_accepted_once(self) -> None:
        """A second delivery of the same message is told from the first."""
        async with self.journal() as journal:
            assert await journal.accept(FIRST)
            assert not await journal.accept(FIRST)

    async def test_every_part_of_the_key_counts(self) -> None:
        """Messages of other platforms, workspaces and channels may have the same id and are other turns."""
        async with self.journal() as journal:
            assert await journal.accept(FIRST)
            for other in OTHERS:
                assert await journal.accept(other)

    async def test_an_equal_key_is_the_same_turn(self) -> None:
        """A redelivered event makes a new key object; what counts is what it says."""
        async with self.journal() as journal:
            assert await journal.accept(FIRST)
            again = TurnKey(FIRST.platform, FIRST.workspace, FIRST.channel, FIRST.message)
            assert not await journal.accept(again)

    async def test_two_deliveries_at_once_make_one_turn(self) -> None:
        """Of deliveries that arrive together exactly one is accepted."""
        async with self.journal() as journal:
            answers = await asyncio.gather(*(journal.accept(FIRST) for _ in range(10)))
            assert answers.count(True) == 1

    async def test_an_ended_turn_is_not_accepted_again(self) -> None:
        """A message that was answered is answered, whatever came of it."""
        async with self.journal() as journal:
            for key, ending in zip((FIRST, *OTHERS), Ending, strict=False):
                await journal.accept(key)
                await journal.posted(key, "m1")
                await journal.ended(key, ending)
                assert not await journal.accept(key)

    async def test_a_turn_may_have_many_messages_and_be_told_of_one_twice(self) -> None:
        """A long answer takes several messages; a repeated report is no error."""
        async with self.journal() as journal:
            await journal.accept(FIRST)
            for message in ("m1", "m2", "m2"):
                await journal.posted(FIRST, message)
            await journal.ended(FIRST, Ending.DONE)

    async def test_a_turn_that_is_not_known_is_no_error(self) -> None:
        """It may have been forgotten to make room: nobody's answer fails for that."""
        async with self.journal() as journal:
            await journal.posted(FIRST, "m1")
            await journal.ended(FIRST, Ending.GONE)
            assert await journal.accept(FIRST)
