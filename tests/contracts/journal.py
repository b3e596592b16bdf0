"""What every journal must do, whatever it writes to: subclass `JournalContract` in the adapter's test file.

One that another process goes on with passes `LastingJournalContract` too.

What belongs here: promises of the port `bot.ports.Journal`. What does not: how a journal keeps them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

import pytest

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

    async def test_a_dropped_turn_may_come_again(self) -> None:
        """What asked nothing is forgotten: an edit may yet make a question of it. To forget nothing is no error."""
        async with self.journal() as journal:
            await journal.drop(FIRST)
            assert await journal.accept(FIRST, "text")
            await journal.drop(FIRST)
            assert await journal.accept(FIRST)

    async def test_its_own_turns_are_not_given_to_a_process(self) -> None:
        """What this process works on, or has interrupted, it did not find."""
        async with self.journal() as journal:
            for key in (FIRST, *OTHERS):
                await journal.accept(key, "text")
            await journal.ended(FIRST, Ending.INTERRUPTED)
            assert not await journal.unfinished("slack")
            assert not await journal.unfinished("discord")


class LastingJournalContract(JournalContract):
    """The tests of one that outlives its process: `process` opens, and closes, the same one again and again."""

    @abstractmethod
    def process(self) -> AbstractAsyncContextManager[Journal]:
        """Open the journal as a process of its own does that is alone with it."""

    def journal(self) -> AbstractAsyncContextManager[Journal]:
        """See `JournalContract`."""
        return self.process()

    async def test_it_says_that_it_lasts(self) -> None:
        """Readers are told by it whether an interrupted answer will be gone on with."""
        async with self.process() as journal:
            assert journal.durable

    async def test_a_turn_is_accepted_once_by_all_processes(self) -> None:
        """A second delivery is told from the first after a restart, whether the first one has ended or not."""
        async with self.process() as journal:
            for key in (FIRST, *OTHERS):
                assert await journal.accept(key, "text")
            await journal.ended(FIRST, Ending.DONE)
        async with self.process() as journal:
            for key in (FIRST, *OTHERS):
                assert not await journal.accept(key, "text")

    async def test_what_was_left_is_found_with_all_that_is_known_of_it(self) -> None:
        """The text as it was given, the messages in the order of posting, and how long ago it came."""
        text = '{"text": "naïve \u2014 \U0001f600 \\u0000 \udc80"}'
        async with self.process() as journal:
            await journal.accept(FIRST, text)
            for message in ("9", "10", "8"):
                await journal.posted(FIRST, message)
        async with self.process() as journal:
            (record,) = await journal.unfinished("slack")
        assert (record.key, record.event, record.messages) == (FIRST, text, ("9", "10", "8"))
        assert 0.0 <= record.age < 60.0

    async def test_more_may_be_kept_of_a_turn_until_it_ends(self) -> None:
        """What is found is what was kept last; nothing is kept of what has ended, or never came."""
        async with self.process() as journal:
            for key in (FIRST, *OTHERS):
                await journal.accept(key, "text")
            await journal.ended(OTHERS[0], Ending.DONE)
            for key in (FIRST, OTHERS[0]):
                await journal.update_event(key, "text, and by whom")
            await journal.drop(OTHERS[1])
            await journal.update_event(OTHERS[1], "text, and by whom")
        async with self.process() as journal:
            found = {
                record.key: record.event
                for platform in {key.platform for key in (FIRST, *OTHERS)}
                for record in await journal.unfinished(platform)
            }
        assert found == {FIRST: "text, and by whom"} | dict.fromkeys(OTHERS[2:], "text")

    async def test_the_oldest_comes_first_and_each_platform_gets_its_own(self) -> None:
        """Whoever has waited longest is answered first."""
        keys = [TurnKey("slack", "T", "C", str(number)) for number in (5, 3, 9, 1)]
        async with self.process() as journal:
            for key in (*keys, OTHERS[0]):
                await journal.accept(key, "text")
        async with self.process() as journal:
            assert [record.key for record in await journal.unfinished("slack")] == keys
            assert [record.key for record in await journal.unfinished("discord")] == [OTHERS[0]]
            assert not await journal.unfinished("playground")

    async def test_each_is_given_once(self) -> None:
        """Asked again, it gives nothing that it gave before; left once more, it is found once more."""
        async with self.process() as journal:
            await journal.accept(FIRST, "text")
        for message in ("m1", "m2"):
            async with self.process() as journal:
                assert [record.key for record in await journal.unfinished("slack")] == [FIRST]
                assert not await journal.unfinished("slack")
                await journal.posted(FIRST, message)
        async with self.process() as journal:
            (record,) = await journal.unfinished("slack")
            assert record.messages == ("m1", "m2")
            await journal.ended(FIRST, Ending.DONE)
        async with self.process() as journal:
            assert not await journal.unfinished("slack")

    @pytest.mark.parametrize("ending", Ending)
    async def test_only_what_was_interrupted_is_gone_on_with(self, ending: Ending) -> None:
        """Every other end is one."""
        async with self.process() as journal:
            await journal.accept(FIRST, "text")
            await journal.ended(FIRST, ending)
        async with self.process() as journal:
            found = [(record.key, record.event) for record in await journal.unfinished("slack")]
        assert found == ([(FIRST, "text")] if ending is Ending.INTERRUPTED else [])

    async def test_what_was_dropped_was_never_there(self) -> None:
        """It is not found, and may be accepted."""
        async with self.process() as journal:
            await journal.accept(FIRST, "text")
            await journal.drop(FIRST)
        async with self.process() as journal:
            assert not await journal.unfinished("slack")
            assert await journal.accept(FIRST)
