"""Native streams beside edits reach the figures promised for them, on the virtual clock."""

from __future__ import annotations

import pytest

from benchmarks.latency.native_streams import STREAM_SCENARIOS, StreamScenario, measure_streams
from benchmarks.latency.table import load


@pytest.mark.parametrize("case", STREAM_SCENARIOS, ids=lambda case: case.scenario.name)
def test_answers_with_streams_are_prompt(case: StreamScenario) -> None:
    """Every answer is whole, no limit is exceeded, and delays are within the promise."""
    result = measure_streams(case)
    assert (result.whole, result.limited) == (len(case.scenario.asks), 0)
    for figure, most in case.scenario.must:
        assert getattr(result, figure) <= most, figure
    assert result.mean >= load("bounds")[case.scenario.name]["bound"], "limits of edits and streams together"


def test_streams_make_the_bound_lower() -> None:
    """More limits side by side are more room: with half of the answers in the agent view, and with all of them."""
    bounds = load("bounds")
    edits, half, all_ = (
        bounds[name]["bound"]
        for name in ("slack window: 12 x 400", "slack, 12 x 400, half in the agent view", "slack streams: 12 x 400")
    )
    assert edits > half > all_
