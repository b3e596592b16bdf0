"""Lanes in the engine's list before, or without, a response to `take` with the calls of their earlier owner."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from bot.ownership.lanes import Grant
from bot.ownership.ports import TakenLane


class LateResponses:
    """Responses overtaken by a heartbeat, until a later list tells whether the lane is still ours."""

    def __init__(self, timeout_seconds: float) -> None:
        """`timeout_seconds` is the longest wait for a response."""
        self._timeout_seconds = timeout_seconds
        self._late: dict[Grant, tuple[TakenLane, float]] = {}  # and when it came
        self._awaited: dict[Grant, float] = {}  # in the engine's list alone, and since when

    def add(self, lanes: Iterable[TakenLane], now: float) -> None:
        """A response came after a later heartbeat."""
        self._late |= {each.grant: (each, now) for each in lanes}

    def confirm(self, lanes: Collection[Grant], sent: float) -> Sequence[TakenLane]:
        """The late responses for lanes of a list, asked for at `sent`. Those it should have are forgotten."""
        found = [taken for grant, (taken, _) in self._late.items() if grant in lanes]
        self._late = {grant: late for grant, late in self._late.items() if late[1] > sent and grant not in lanes}
        return found

    def overdue(self, missed: Iterable[Grant], now: float) -> tuple[Grant, ...]:
        """Which of the lanes without a response get none any more. `missed` are all those of the engine's list."""
        self._awaited = {grant: self._awaited.get(grant, now) for grant in missed}
        return tuple(grant for grant, since in self._awaited.items() if now - since >= self._timeout_seconds)
