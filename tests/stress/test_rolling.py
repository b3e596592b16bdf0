"""Rolling restarts of real processes under load; ``make rolling`` has more of them."""

from __future__ import annotations

import pytest

from tests.stress.restarts import quick_restarts
from tests.stress.rolling import Load, rolling


@pytest.mark.sockets(seconds=240)
async def test_a_rolling_restart_answers_each_question_once() -> None:
    """Two restarts under load, then a kill of the survivor: every answer is whole and there once, on both platforms."""
    load = Load(restarts=2, rate=0.6, seconds=2.0, survivors=4)
    outcome = await rolling(load)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert not outcome.deleted
    assert outcome.live


@pytest.mark.sockets(seconds=240)
async def test_quick_restarts_on_slack_provoke_no_429() -> None:
    """Each process is killed with answers half written; the next one knows what was used of Slack's limits."""
    outcome = await quick_restarts(3, questions=4)
    assert not outcome.limited, outcome.limited
    assert outcome.whole == outcome.questions
