"""A write of an earlier owner arrives after the last edit of the next one, on virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from bot.errors import Failure, NotFound, RateLimited
from bot.ports import Body, Verb
from bot.rate_limits import Budget, RollingWindow
from bot.turns.manager import TurnManager
from tests.support.core import make_turns, running
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, turn, words

WHOLE = [f"word{number}" for number in range(40)]
HALF = Body("word0 word1 word2")


@dataclass
class TakenOver:
    """An answer of another process, completed here a second after it was taken over."""

    turns: TurnManager
    channel: FakeChannel
    journal: FakeJournal

    def arrives_late(self) -> None:
        """The earlier owner's write is applied now."""
        self.channel.shown["m1"] = HALF

    @property
    def text(self) -> list[str]:
        return self.channel.shown["m1"].text.split()

    @property
    def edits(self) -> int:
        return len(self.channel.writes(Verb.EDIT))


@asynccontextmanager
async def taken_over(*, shared: bool = True, edits: Budget | None = None, count: int = 40) -> AsyncIterator[TakenOver]:
    question, journal = turn("1"), FakeJournal(durable=True)
    journal.shared = shared
    channel = FakeChannel(shown={"m1": HALF}, edits=edits)
    channel.keys["earlier"] = "m1"
    await journal.accept(question.key, "event")
    await journal.posted(question.key, "m1")
    journal.orphan(question.key)
    async with running(make_turns(ScriptedModel(words(count)), journal)) as turns:
        assert len(await turns.unfinished_turns(question.key.platform)) == 1
        turns.accept(question, channel)
        await turns.idle()
        yield TakenOver(turns, channel, journal)


async def test_the_last_edit_is_made_once_more() -> None:
    """Ten seconds after the take-over: the earlier owner's write cannot be under way any more."""
    async with taken_over() as answer:
        assert answer.text == WHOLE
        before = answer.edits
        await asyncio.sleep(4.0)
        answer.arrives_late()
        await asyncio.sleep(3.0)
        assert answer.text == HALF.text.split()
        await asyncio.sleep(3.0)
        assert answer.text == WHOLE
        await asyncio.sleep(60.0)
        assert answer.edits == before + 1


async def test_an_answer_that_took_longer_needs_no_repetition() -> None:
    """Its last edit came after all writes of the earlier owner."""
    async with taken_over(count=500) as answer:
        before = answer.edits
        await asyncio.sleep(60.0)
        assert answer.edits == before


async def test_a_process_alone_repeats_nothing() -> None:
    """Nobody else wrote there."""
    async with taken_over(shared=False) as answer:
        before = answer.edits
        await asyncio.sleep(60.0)
        assert answer.edits == before


async def test_without_a_spare_permit_nothing_is_repeated() -> None:
    """Live answers need what is left."""
    edits = RollingWindow(20, 3600.0, paced=False)
    async with taken_over(edits=edits) as answer:
        now = asyncio.get_running_loop().time()
        while edits.ready_at(now, final=False) <= now:
            edits.spend(now)
        before = answer.edits
        await asyncio.sleep(60.0)
        assert answer.edits == before


async def test_a_later_answer_in_the_message_is_left_alone() -> None:
    """Somebody asked for another one meanwhile."""
    async with taken_over() as answer:
        before, key = answer.edits, turn("1").key
        await answer.journal.accept(replace(key, generation=1), "event", ["m1"])
        await asyncio.sleep(60.0)
        assert answer.edits == before


@pytest.mark.parametrize("error", [NotFound("deleted"), RateLimited("slower", retry_after=3.0)])
async def test_a_refused_repetition_is_no_failure(error: Failure, caplog: pytest.LogCaptureFixture) -> None:
    """The turn has ended in any case."""
    caplog.set_level(logging.INFO)
    async with taken_over() as answer:
        answer.channel.fault = lambda _: error
        await asyncio.sleep(60.0)
        assert "the last edit is not repeated" in caplog.text
        assert len([wrote for wrote in answer.channel.log if wrote.failure]) == 1


async def test_a_process_that_stops_does_not_wait_for_it() -> None:
    """Neither does the next turn of the conversation."""
    async with taken_over() as answer:
        began = asyncio.get_running_loop().time()
        await answer.turns.drain(20.0)
        assert asyncio.get_running_loop().time() == began
