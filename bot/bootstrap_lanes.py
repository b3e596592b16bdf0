"""The composition root's part for lanes, of one process or of several."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adapters.discord import SharedRequests
from adapters.postgres import Engine
from adapters.postgres.ownership import PostgresOwnership
from adapters.prometheus import PrometheusRecorder
from adapters.slack import OWNED_WRITES
from bot.conversation import TurnKey
from bot.ownership.access import Lanes, SoleOwner
from bot.ownership.keeper import Keeper, KeeperOptions, SharedLimit
from bot.ownership.lanes import Lane
from bot.ownership.lease import LeaseTimes
from bot.ownership.shared_lanes import SharedLanes
from bot.ownership.shares import demand_of
from bot.ownership.telemetry import NoOwnershipRecorder, SharedAccountRecorder
from bot.ports import Platform, RateLimitLog
from bot.turns.lane_work import LaneJournal, LaneWork
from bot.turns.manager import TurnManager
from config.settings import Settings
from config.settings_digests import settings_digests


@dataclass(frozen=True, slots=True)
class PlatformLimit(SharedLimit):
    """A platform's limit for all processes."""

    platform: str
    window: SharedRequests = field(default_factory=SharedRequests)

    def demand(self, live: Mapping[Lane, int]) -> int:
        """The writes of the platform's live answers."""
        return demand_of(sum(count for lane, count in live.items() if lane.platform == self.platform))


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


def make_shared_ownership(settings: Settings, engine: Engine, recorder: PrometheusRecorder) -> Ownership:
    """The lanes of processes with one database."""
    keeper: Keeper

    def holds(lane: Lane) -> bool:
        return keeper.holds(lane)

    work = LaneWork(holds)
    limit = PlatformLimit("discord")
    limits = {limit.platform: limit} if limit.platform in settings.platforms else {}
    totals = {limit.platform: settings.discord.per_second}
    ownership = PostgresOwnership(engine, totals, settings_digests(settings))
    metrics = recorder.add_ownership(settings.platforms)
    times = LeaseTimes(settings.journal.lease_seconds)
    options = KeeperOptions(settings.platforms, times, limits, metrics, {"slack": OWNED_WRITES})
    keeper = Keeper(ownership, work, options, new_process_id)
    metrics.add_status(keeper.status)
    windows = {name: each.window for name, each in limits.items()}
    return Ownership(SharedLanes(keeper, ownership), keeper, work, windows, metrics)


def new_process_id() -> str:
    """A name used by no other process, nor by this one before."""
    return secrets.token_hex(8)
