"""Several processes on one database, killed and replaced under load; ``make fleet`` has ten minutes of it."""

from __future__ import annotations

import pytest

from tests.stress.fleet import Load, Why, fleet


@pytest.mark.sockets(seconds=300)
async def test_a_fleet_answers_each_question_once(database: str) -> None:
    """After kills of owners and a rolling deploy, every answer on both platforms is whole and exists once."""
    load = Load(seconds=30.0, rate=0.5, words=60, kill_seconds=8.0, drain_seconds=5.0)
    outcome = await fleet(load, database)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert not outcome.limited
    assert outcome.kills
    assert outcome.deploys == load.processes
    assert outcome.after(Why.KILL)
    assert outcome.after(Why.RELEASE)
