"""The composition root's part for several processes with one database: journal, records, lease and lanes.

Imported only if `JOURNAL_URL` names a database.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from adapters.discord import SharedRequests
from adapters.journal import JournalOptions
from adapters.journal.postgres import PostgresJournal
from adapters.postgres import Engine
from adapters.postgres.ownership import PostgresOwnership
from adapters.prometheus import PrometheusRecorder
from adapters.records.postgres import PostgresRecords
from adapters.slack import OWNED_WRITES
from bot.bootstrap_journal import Stores, WallClock
from bot.bootstrap_lanes import Ownership
from bot.bootstrap_postgres import make_postgres_options
from bot.bootstrap_records import make_records_options
from bot.ownership.keeper import Keeper, KeeperOptions, SharedLimit
from bot.ownership.lanes import Lane
from bot.ownership.lease import LeaseTimes
from bot.ownership.shared_lanes import SharedLanes
from bot.ownership.shares import demand_of
from bot.turns.lane_work import LaneWork
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


async def open_shared_stores(
    settings: Settings,
    stack: AsyncExitStack,
    wall_clock: WallClock,
    recorder: PrometheusRecorder,
    options: JournalOptions,
) -> Stores:
    """Open all stores in the database; `stack` closes them. Raises `Permanent` if its driver is not installed."""
    database = make_postgres_options(settings)
    assert database is not None
    engine = await stack.enter_async_context(Engine(database))
    ownership = make_shared_ownership(settings, engine, recorder)
    journal = await stack.enter_async_context(
        PostgresJournal(engine, wall_clock, ownership.process, options, may_run=ownership.may_run)
    )
    records = await stack.enter_async_context(PostgresRecords(engine, wall_clock, make_records_options(settings)))
    return Stores(journal, records, ownership, journal.wait_until_ready, engine, journal)


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
