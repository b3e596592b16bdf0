"""Rolling restarts of real processes under load; ``make rolling`` has more of them."""

from __future__ import annotations

import pytest

from tests.stress.restarts import quick_restarts
from tests.stress.rolling import Load, rolling


@pytest.mark.sockets(seconds=240)
async def test_a_rolling_restart_answers_each_question_once() -> None:
    """After two restarts under load and a kill, every answer on both platforms is whole and exists once."""
    load = Load(restarts=2, rate=0.6, seconds=2.0, survivors=4)
    outcome = await rolling(load)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert not outcome.deleted
    assert outcome.live


@pytest.mark.sockets(seconds=240)
async def test_quick_restarts_on_slack_provoke_no_429() -> None:
    """Each process is killed with half-written answers; the next one knows the used part of Slack's limits."""
    outcome = await quick_restarts(3, questions=4)
    assert not outcome.limited, outcome.limited
    assert outcome.whole == outcome.questions
