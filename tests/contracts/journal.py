"""The contract of `bot.journal.Journal`: an adapter's test file subclasses `JournalContract`.

A journal shared with later processes passes `DurableJournalContract` too.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from bot.conversation import Ending, TurnKey
from bot.journal import Answered, Journal

FIRST = TurnKey("slack", "T1", "C1", "1700000000.000100")
# Further answers to the same question; 10 comes after 9 as a number, and before it as text.
AGAIN = tuple(replace(FIRST, generation=generation) for generation in (1, 9, 10))
# Each differs from the first in one part.
OTHERS = (
    TurnKey("discord", "T1", "C1", "1700000000.000100"),
    TurnKey("slack", "T2", "C1", "1700000000.000100"),
    TurnKey("slack", "T1", "C2", "1700000000.000100"),
    TurnKey("slack", "T1", "C1", "1700000000.000200"),
)


class JournalContract(ABC):
    """The tests of every journal; a subclass opens the journal."""

    @abstractmethod
    def journal(self) -> AbstractAsyncContextManager[Journal]:
        """Open an empty journal, and close it afterwards."""

    async def test_a_turn_is_accepted_once(self) -> None:
        """A second delivery of a message is recognised."""
        async with self.journal() as journal:
            assert await journal.accept(FIRST)
            assert not await journal.accept(FIRST)

    async def test_every_part_of_the_key_counts(self) -> None:
        """Messages of other platforms, workspaces and channels are other turns, even with the same id."""
        async with self.journal() as journal:
            assert await journal.accept(FIRST)
            for other in OTHERS:
                assert await journal.accept(other)

    async def test_an_equal_key_is_the_same_turn(self) -> None:
        """Keys compare by value: a redelivered event has a new key object."""
        async with self.journal() as journal:
            assert await journal.accept(FIRST)
            again = TurnKey(FIRST.platform, FIRST.workspace, FIRST.channel, FIRST.message)
            assert not await journal.accept(again)

    async def test_two_deliveries_at_once_make_one_turn(self) -> None:
        """Exactly one of several simultaneous deliveries is accepted."""
        async with self.journal() as journal:
            answers = await asyncio.gather(*(journal.accept(FIRST) for _ in range(10)))
            assert answers.count(True) == 1

    async def test_an_ended_turn_is_not_accepted_again(self) -> None:
        """A turn with any ending is not accepted again."""
        async with self.journal() as journal:
            for key, ending in zip((FIRST, *OTHERS), Ending, strict=False):
                await journal.accept(key)
                await journal.posted(key, "m1")
                await journal.ended(key, ending)
                assert not await journal.accept(key)

    async def test_a_turn_may_have_many_messages_and_one_reported_twice(self) -> None:
        """A long answer takes several messages; a repeated report is no error."""
        async with self.journal() as journal:
            await journal.accept(FIRST)
            for message in ("m1", "m2", "m2"):
                await journal.posted(FIRST, message)
            await journal.ended(FIRST, Ending.DONE)

    async def test_an_unknown_turn_is_no_error(self) -> None:
        """An evicted turn must not make its answer fail."""
        async with self.journal() as journal:
            await journal.posted(FIRST, "m1")
            await journal.ended(FIRST, Ending.GONE)
            assert await journal.accept(FIRST)

    async def test_a_dropped_turn_may_come_again(self) -> None:
        """A dropped message can be accepted later: an edit may turn it into a question. An unknown key is no error."""
        async with self.journal() as journal:
            await journal.drop(FIRST)
            assert await journal.accept(FIRST, "text")
            await journal.drop(FIRST)
            assert await journal.accept(FIRST)

    async def test_each_generation_is_another_turn(self) -> None:
        """Another answer to the same question is accepted, once."""
        async with self.journal() as journal:
            for key in (FIRST, *AGAIN):
                assert await journal.accept(key, "text")
                assert not await journal.accept(key, "text")

    async def test_the_newest_answer_is_that_of_the_last_generation(self) -> None:
        """It has its messages in order, the replaced ones first, and tells whether it has ended."""
        async with self.journal() as journal:
            assert await journal.newest_answer(FIRST) is None
            await journal.accept(FIRST, "text")
            assert await journal.newest_answer(FIRST) == Answered(FIRST, (), ended=False)
            await journal.posted(FIRST, "9")
            await journal.posted(FIRST, "10")
            await journal.ended(FIRST, Ending.FAILED)
            assert await journal.newest_answer(FIRST) == Answered(FIRST, ("9", "10"), ended=True)
            for key in AGAIN:
                await journal.accept(key, "text", ("9", "10"))
                await journal.posted(key, "10")
                await journal.posted(key, f"more {key.generation}")
            await journal.ended(AGAIN[-1], Ending.INTERRUPTED)
            messages = ("9", "10", f"more {AGAIN[-1].generation}")
            assert await journal.newest_answer(FIRST) == Answered(AGAIN[-1], messages, ended=False)
            await journal.ended(AGAIN[-1], Ending.DONE)
            assert await journal.newest_answer(FIRST) == Answered(AGAIN[-1], messages, ended=True)

    async def test_other_questions_are_no_answers(self) -> None:
        """Questions in other places, or with an id that begins in the same way, have answers of their own."""
        longer = replace(FIRST, message=f"{FIRST.message}0")
        async with self.journal() as journal:
            for key in (*OTHERS, replace(longer, generation=7), longer):
                await journal.accept(key, "text")
            assert await journal.newest_answer(FIRST) is None

    async def test_a_dropped_generation_leaves_the_earlier_answer(self) -> None:
        """A generation that was refused does not count."""
        async with self.journal() as journal:
            for key in (FIRST, AGAIN[0]):
                await journal.accept(key, "text")
            await journal.drop(AGAIN[0])
            assert await journal.newest_answer(FIRST) == Answered(FIRST, (), ended=False)

    async def test_its_own_turns_are_not_given_to_a_process(self) -> None:
        """A process gets neither its live turns nor those it has interrupted."""
        async with self.journal() as journal:
            for key in (FIRST, *OTHERS):
                await journal.accept(key, "text")
            await journal.ended(FIRST, Ending.INTERRUPTED)
            assert not await journal.unfinished("slack")
            assert not await journal.unfinished("discord")


class DurableJournalContract(JournalContract):
    """The tests of a durable journal: `process` opens and closes the same one repeatedly."""

    @abstractmethod
    def process(self) -> AbstractAsyncContextManager[Journal]:
        """Open the journal as a new process, alone with it."""

    def journal(self) -> AbstractAsyncContextManager[Journal]:
        """A journal opened by one process."""
        return self.process()

    async def test_it_is_durable(self) -> None:
        """The notice of an interrupted answer depends on it."""
        async with self.process() as journal:
            assert journal.durable

    async def test_a_turn_is_accepted_once_by_all_processes(self) -> None:
        """A second delivery is recognised after a restart, whether or not the first turn has ended."""
        async with self.process() as journal:
            for key in (FIRST, *OTHERS):
                assert await journal.accept(key, "text")
            await journal.ended(FIRST, Ending.DONE)
        async with self.process() as journal:
            for key in (FIRST, *OTHERS):
                assert not await journal.accept(key, "text")

    async def test_an_unfinished_turn_is_found_with_its_messages(self) -> None:
        """It has its event unchanged, its messages in the order of posting, and its age."""
        text = '{"text": "naïve \u2014 \U0001f600 \\u0000 \udc80"}'
        async with self.process() as journal:
            await journal.accept(FIRST, text)
            for message in ("9", "10", "8"):
                await journal.posted(FIRST, message)
        async with self.process() as journal:
            (record,) = await journal.unfinished("slack")
        assert (record.key, record.event, record.messages) == (FIRST, text, ("9", "10", "8"))
        assert 0.0 <= record.age < 60.0

    async def test_an_event_can_be_updated_until_the_turn_ends(self) -> None:
        """The last update is found; an update of an ended or unknown turn changes nothing."""
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

    async def test_a_generation_continues_in_the_messages_that_it_replaces(self) -> None:
        """Both survive the process, and the newest answer is found by every process."""
        async with self.process() as journal:
            await journal.accept(AGAIN[-1], "text", ("9", "10"))
        async with self.process() as journal:
            (record,) = await journal.unfinished("slack")
            assert (record.key, record.messages) == (AGAIN[-1], ("9", "10"))
            assert await journal.newest_answer(FIRST) == Answered(AGAIN[-1], ("9", "10"), ended=False)
            await journal.ended(AGAIN[-1], Ending.DONE)
        async with self.process() as journal:
            assert await journal.newest_answer(FIRST) == Answered(AGAIN[-1], ("9", "10"), ended=True)

    async def test_the_oldest_comes_first_and_each_platform_gets_its_own(self) -> None:
        """Turns come in the order of acceptance."""
        keys = [TurnKey("slack", "T", "C", str(number)) for number in (5, 3, 9, 1)]
        async with self.process() as journal:
            for key in (*keys, OTHERS[0]):
                await journal.accept(key, "text")
        async with self.process() as journal:
            assert [record.key for record in await journal.unfinished("slack")] == keys
            assert [record.key for record in await journal.unfinished("discord")] == [OTHERS[0]]
            assert not await journal.unfinished("playground")

    async def test_each_turn_is_returned_once(self) -> None:
        """A returned turn is not returned again, until its process leaves it unfinished too."""
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
    async def test_only_an_interrupted_turn_continues(self, ending: Ending) -> None:
        """Every other ending is final."""
        async with self.process() as journal:
            await journal.accept(FIRST, "text")
            await journal.ended(FIRST, ending)
        async with self.process() as journal:
            found = [(record.key, record.event) for record in await journal.unfinished("slack")]
        assert found == ([(FIRST, "text")] if ending is Ending.INTERRUPTED else [])

    async def test_a_dropped_turn_leaves_no_trace(self) -> None:
        """It is not found, and can be accepted again."""
        async with self.process() as journal:
            await journal.accept(FIRST, "text")
            await journal.drop(FIRST)
        async with self.process() as journal:
            assert not await journal.unfinished("slack")
            assert await journal.accept(FIRST)
