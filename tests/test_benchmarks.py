"""The benchmark's scenarios lose nothing and provoke nothing; how fast they are is printed, not asserted."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import COLUMNS, SCENARIOS, row
from benchmarks.scenarios import Scenario, measure


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_answer_of_a_scenario_is_whole(scenario: Scenario) -> None:
    """Whatever the load, no 429, every word in order, and a figure for each column."""
    result = measure(scenario)
    assert result.limited == 0
    assert result.whole == len(result.records) == scenario.replies
    assert len(row(result)) == len(COLUMNS)
