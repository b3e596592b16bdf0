"""The measure of processor time runs, in a tiny size; what it says is printed, not asserted."""

from __future__ import annotations

import pytest

from benchmarks.cpu.cost import Load, measure, table


@pytest.mark.sockets(seconds=60)
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
