"""Short storm and soak tests: one reply to each event, nothing lost, no growth.

`make storm` sends 10,000 events, and `make soak` takes an hour.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tracemalloc
from datetime import UTC, datetime

import pytest

from adapters.journal import MemoryJournal
from bot.access import AccessRules
from bot.completion import Completion, CompletionPolicy
from bot.delivery.policy import WritePolicy
from bot.prompt import PromptConfig, PromptOverride
from bot.strings import Strings
from bot.telemetry import NoRecorder
from bot.turns.config import TurnConfig, TurnLimits
from bot.turns.manager import TurnManager
from tests.stress import soak, storm
from tests.support.fakes import FakeChannel, ScriptedModel, answer_of, turn, words


@pytest.mark.sockets(seconds=150)
@pytest.mark.parametrize("platform", ["discord", "slack"])
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
    seeded = random.Random(3)
    turns = TurnManager(
        TurnConfig(AccessRules(), PromptConfig(PromptOverride("")), Strings(), WritePolicy(), TurnLimits(notified=20)),
        Completion(model, CompletionPolicy(), NoRecorder(), seeded),
        journal,
        NoRecorder(),
        random_=seeded,
        wall_clock=lambda: datetime(2026, 11, 22, tzinfo=UTC),
    )
    held = []
    async with asyncio.TaskGroup() as group:
        running = group.create_task(turns.run())
        await turns.started.wait()
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
        running.cancel()
    # Remembered digests take 100-200 bytes each; a leaked answer would take 30 KiB.
    assert held[5] - held[2] < 60 * 500


async def _answer(turns: TurnManager, model: ScriptedModel, numbers: range) -> None:
    channels = [FakeChannel() for _ in numbers]
    for number, channel in zip(numbers, channels, strict=True):
        turns.accept(turn(str(number), conversation=str(number)), channel)
    await turns.idle()
    assert all(channel.text.split() == answer_of(words(20)).split() for channel in channels)
    model.calls.clear()
