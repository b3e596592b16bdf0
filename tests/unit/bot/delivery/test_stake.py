"""A reply's part in its budgets, by its mode."""

from __future__ import annotations

import pytest

from bot.delivery.mode import Mode
from bot.delivery.stake import Stake
from bot.ports import Verb
from bot.rate_limits import RollingWindow


@pytest.mark.parametrize(
    ("mode", "beside", "edits", "appends"),
    [
        (Mode.EDITS, None, False, False),
        (Mode.STREAM, None, False, False),
        (Mode.EDITS, Mode.EDITS, True, False),
        (Mode.STREAM, Mode.EDITS, True, False),  # its last edit would take the permit kept for the other reply
        (Mode.STREAM, Mode.STREAM, False, True),
        (Mode.EDITS, Mode.STREAM, False, True),
    ],
)
def test_others_are_counted_where_they_write(mode: Mode, beside: Mode | None, edits: bool, appends: bool) -> None:
    """A reply that streams is live in the budget of appends, and one that edits in the budget of edits."""
    budgets = {verb: (RollingWindow(50, 60.0),) for verb in Verb}
    stake = Stake(budgets)
    stake.enter(mode)
    if beside is not None:
        Stake(budgets).enter(beside)
    assert stake.others_live(budgets[Verb.EDIT][0]) is edits
    assert stake.others_live(budgets[Verb.APPEND][0]) is appends
