"""Native streams beside edits reach the figures promised for them, on the virtual clock."""

from __future__ import annotations

import pytest

from benchmarks.latency.native_streams import STREAM_SCENARIOS, StreamScenario, measure_streams


@pytest.mark.parametrize("case", STREAM_SCENARIOS, ids=lambda case: case.scenario.name)
def test_answers_with_streams_are_prompt(case: StreamScenario) -> None:
    """Every answer is whole, no limit is exceeded, and delays are within the promise."""
    result = measure_streams(case)
    assert (result.whole, result.limited) == (len(case.scenario.asks), 0)
    for figure, most in case.scenario.must:
        assert getattr(result, figure) <= most, figure
