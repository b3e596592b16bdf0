"""Turns wait in a burst of events while the processor is busy, one behind the other, and never otherwise."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from bot.turns.start_gate import (
    BACKLOG_SECONDS,
    BURST_EVENTS,
    BURST_SECONDS,
    BUSY_SHARE,
    LONGEST_SECONDS,
    MEASURE_SECONDS,
    StartGate,
)
from tests.support.clock import VirtualLoop


class Processor:
    """Uses a share of the virtual time."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() * self.share


def passed(share: float, *, turns: int, seconds: float, events: int = 100, delay: float = 0.0) -> list[float]:
    """When so many waiting turns pass the gate, while `events` a second come for `seconds`; each delays the loop."""

    async def play() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        gate, began, times = StartGate(Processor(share)), loop.time(), list[float]()

        async def turn() -> None:
            await gate.wait()
            times.append(loop.time() - began)

        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * events)):
                gate.event_received()
                if number + 1 == BURST_EVENTS:
                    for _ in range(turns):
                        group.create_task(turn())
                await asyncio.sleep(1 / events)
                loop.advance(delay)
        return times

    return run(play)


def run(play: Callable[[], object]) -> list[float]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(play())  # type: ignore[arg-type]


def test_a_busy_process_starts_few_turns_in_a_burst() -> None:
    """One each `LONGEST_SECONDS`, and the others one by one after the burst: each reads and writes the database."""
    times = passed(BUSY_SHARE + 0.1, turns=20, seconds=1.0)
    burst_ends = 1.0 - BURST_EVENTS / 100 + BURST_SECONDS  # the first of the last events is too old then
    early = [at for at in times if at < burst_ends - 0.1]
    assert len(early) == pytest.approx((burst_ends - BURST_EVENTS / 100) / LONGEST_SECONDS, abs=1)
    assert len(times) == 20
    late = [at for at in times if at > burst_ends]
    steps = [later - earlier for earlier, later in itertools.pairwise(late)]
    assert steps == pytest.approx([BACKLOG_SECONDS] * (len(late) - 1))
    assert max(times) < burst_ends + LONGEST_SECONDS + 20 * BACKLOG_SECONDS


def test_a_process_with_time_starts_one_turn_after_the_other() -> None:
    """Each after one measurement."""
    times = passed(BUSY_SHARE - 0.1, turns=10, seconds=1.0)
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert steps == pytest.approx([MEASURE_SECONDS] * 9)


def test_a_late_loop_starts_few_turns_in_a_burst() -> None:
    """Other programs use the processor, so this one's share is small."""
    times = passed(0.1, turns=20, seconds=0.6, events=200, delay=0.025)
    steps = [later - earlier for earlier, later in itertools.pairwise(times) if later < 3.0]
    assert len(steps) >= 5
    assert min(steps) >= LONGEST_SECONDS


def test_no_turn_waits_without_a_burst() -> None:
    """However busy the process is: 20 events a second are none."""
    events = 20
    assert BURST_EVENTS / events > BURST_SECONDS
    times = passed(1.0, turns=10, seconds=2.0, events=events)
    assert times == pytest.approx([(BURST_EVENTS - 1) / events] * 10)


async def test_a_gate_without_a_clock_is_open() -> None:
    """As in tests of other parts."""
    gate = StartGate(None)
    for _ in range(BURST_EVENTS):
        gate.event_received()
    async with asyncio.timeout(MEASURE_SECONDS / 2):
        await gate.wait()
