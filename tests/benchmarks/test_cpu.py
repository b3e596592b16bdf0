"""The measure of processor time runs, in a tiny size; what it says is printed, not asserted."""

from __future__ import annotations

import sys

import pytest

from benchmarks.cpu.cost import Load, measure, table
from benchmarks.cpu.paired import Rounds, lines_of
from benchmarks.cpu.paired import measure as measure_paired
from tests.support.paths import ROOT


@pytest.mark.sockets(seconds=120)
async def test_the_measure_of_processor_time_runs() -> None:
    """Every answer is whole, no write is refused, and each part of the ratio is there."""
    costs = await measure(Load([20, 30], words_per_second=200.0))
    assert [cost.platform for cost in costs] == ["discord", "slack"]
    for cost in costs:
        assert cost.limited == 0
        assert cost.whole == 2
        assert cost.words == 50
        assert cost.writes >= 2
        assert cost.bot > 0
        assert cost.ratio > 0
    assert len(table(costs)) == 1 + 6 * len(costs)


@pytest.mark.sockets(seconds=120)
@pytest.mark.skipif(sys.platform != "linux", reason="a process's clock is read as Linux numbers it")
async def test_two_checkouts_are_compared() -> None:
    """Against itself, a checkout answers every question wholly on both sides, and each side has its cost."""
    paired = await measure_paired(ROOT, Rounds("discord", 2, 20, 1), together=True, speed=400.0)
    assert paired.whole == 4
    assert paired.limited == 0
    assert paired.ratio > 0
    assert len(lines_of(paired)) == 5
