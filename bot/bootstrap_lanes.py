"""The composition root's part for lanes. What only several processes need is in `bot.bootstrap_shared`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.conversation import TurnKey
from bot.ownership.access import Lanes, SoleOwner
from bot.ownership.telemetry import NoOwnershipRecorder, SharedAccountRecorder
from bot.ports import Platform, RateLimitLog
from bot.turns.manager import TurnManager

if TYPE_CHECKING:
    from adapters.discord import SharedRequests
    from bot.ownership.keeper import Keeper
    from bot.turns.lane_work import LaneJournal, LaneWork


@dataclass(frozen=True, slots=True)
class Ownership:
    """The lanes for the platforms, and with PostgreSQL their keeper. `windows` are shared limits by platform."""

    lanes: Lanes
    keeper: Keeper | None = None
    work: LaneWork | None = None
    windows: Mapping[str, SharedRequests] = field(default_factory=dict)
    accounts: SharedAccountRecorder = field(default_factory=NoOwnershipRecorder)

    def process(self) -> str:
        """The present name of this process among the others; empty for the only one."""
        return self.keeper.process if self.keeper is not None else ""

    def may_run(self, key: TurnKey) -> bool:
        """Whether a turn is this process's."""
        return self.work is None or self.work.may_run(key)

    def attach(self, turns: TurnManager, platforms: Sequence[Platform], journal: LaneJournal | None = None) -> None:
        """Connect the lanes to their users, before anything runs."""
        by_name = {platform.name: platform for platform in platforms}
        if self.work is not None:
            self.work.attach(turns.lost, by_name, journal)
        if isinstance(self.lanes, SoleOwner):
            self.lanes.attach(by_name)


def make_sole_owner(call_log: RateLimitLog | None) -> Ownership:
    """The lanes of the only process. `call_log` outlives it."""
    return Ownership(SoleOwner(call_log))
