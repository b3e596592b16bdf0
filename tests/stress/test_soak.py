"""Short storm and soak tests: one reply to each event, nothing lost, no growth.

`make storm` sends 10,000 events, and `make soak` takes an hour.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc

import pytest

from adapters.journal import MemoryJournal
from bot.turns.config import TurnLimits
from bot.turns.manager import TurnManager
from tests.stress import soak, storm
from tests.support.core import make_turns, running
from tests.support.fakes import FakeChannel, ScriptedModel, answer_of, turn, words


@pytest.mark.sockets(seconds=150)
@pytest.mark.parametrize("platform", storm.PLATFORMS)
async def test_every_event_is_answered_once(platform: str) -> None:
    """Each event gets one answer, with every tenth delivered twice and breaking connections."""
    outcome = await storm.storm(platform, storm.Load(150, channels=50, breaks=50))
    assert not outcome.wrong, "\n".join(outcome.wrong[:5])
    assert outcome.asked == outcome.answered == 150
    assert not outcome.limited


@pytest.mark.sockets(seconds=150)
@pytest.mark.skipif(sys.platform != "linux", reason="memory and open files are read from /proc")
async def test_nothing_is_lost_or_left_open() -> None:
    """Twenty live answers at a time lose nothing and close their connections; the time is too short to judge memory."""
    load = soak.Load(seconds=4.0, words=60, rest=0.5)
    outcome = await soak.soak("discord", load)
    assert not outcome.lost
    assert outcome.answered > load.live
    assert outcome.keeps_little_open(load)
    assert outcome.resident
    assert not outcome.limited


async def test_memory_is_flat_over_many_answers() -> None:
    """Python's memory is the same after each round of twenty answers, and no task is left."""
    model, journal = ScriptedModel(words(20)), MemoryJournal(limit=20)
    turns = make_turns(model, journal, limits=TurnLimits(notified=20))
    held = []
    async with running(turns):
        tracemalloc.start()
        try:
            for first in range(0, 120, 20):
                await _answer(turns, model, range(first, first + 20))
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert model.open == 0
        assert len([task for task in asyncio.all_tasks() if "pacer" not in task.get_name()]) <= 2
    # Remembered digests take 100-200 bytes each, and so do the ids of an answer's messages and the newest question of
    # its conversation; all are bounded. A leaked answer would take 30 KiB.
    assert held[5] - held[2] < 60 * 1_000


async def _answer(turns: TurnManager, model: ScriptedModel, numbers: range) -> None:
    channels = [FakeChannel() for _ in numbers]
    for number, channel in zip(numbers, channels, strict=True):
        turns.accept(turn(str(number), conversation=str(number)), channel)
    await turns.idle()
    assert all(channel.text.split() == answer_of(words(20)).split() for channel in channels)
    model.calls.clear()
