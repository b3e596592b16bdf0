"""The composition root's part for the journal and the records, in memory, files or a database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import NamedTuple

from adapters.http_server import ComponentStatus
from adapters.journal import JournalOptions, MemoryJournal, SqliteJournal
from adapters.journal.postgres import PostgresJournal
from adapters.postgres import Engine
from adapters.prometheus import PrometheusRecorder
from bot.bootstrap_lanes import Ownership, make_shared_ownership, make_sole_owner
from bot.bootstrap_postgres import make_postgres_options
from bot.bootstrap_records import open_records
from bot.ports import RateLimitLog
from bot.record_store import RecordStore
from config.settings import Settings

AnyJournal = MemoryJournal | SqliteJournal | PostgresJournal
WallClock = Callable[[], datetime]


class Stores(NamedTuple):
    """The journal, the records, and the lanes of this process.

    `wait_until_ready` waits for their database, if any; raises `Permanent` if this version cannot use it.
    """

    journal: AnyJournal
    records: RecordStore
    ownership: Ownership
    wait_until_ready: Callable[[], Awaitable[None]]
    engine: Engine | None = None  # of the database


async def open_stores(
    settings: Settings, stack: AsyncExitStack, wall_clock: WallClock, recorder: PrometheusRecorder
) -> Stores:
    """Open all stores; `stack` closes them. An unusable file is logged and does not raise.

    Raises `Permanent` if a database's driver is not installed.
    """
    chosen = settings.journal
    options = JournalOptions(days=chosen.days, repair_seconds=chosen.recovery_max_age_seconds)
    if (database := make_postgres_options(settings)) is not None:
        engine = await stack.enter_async_context(Engine(database))
        ownership = make_shared_ownership(settings, engine, recorder)
        journal = await stack.enter_async_context(PostgresJournal(engine, wall_clock, ownership.process, options))
        records = await open_records(settings, stack, wall_clock, engine)
        return Stores(journal, records, ownership, journal.wait_until_ready, engine)
    file = settings.journal_file
    local: AnyJournal = MemoryJournal()
    if file is not None:
        local = await stack.enter_async_context(SqliteJournal(file, wall_clock, options))
    records = await open_records(settings, stack, wall_clock, None)
    return Stores(local, records, make_sole_owner(call_log_of(local)), _ready_at_once)


async def _ready_at_once() -> None:
    await asyncio.sleep(0)


def journal_status(journal: AnyJournal, *, degraded: bool) -> ComponentStatus:
    """The status of the journal, for ``/readyz``. While the database is away, the bot takes no questions."""
    if isinstance(journal, MemoryJournal):
        return ComponentStatus("degraded" if degraded else "memory")
    if isinstance(journal, PostgresJournal) and journal.away:
        return ComponentStatus("away", healthy=False)
    return ComponentStatus("degraded" if degraded or journal.degraded else "ok")


def call_log_of(journal: AnyJournal) -> RateLimitLog | None:
    """The log of calls under a rate limit, for the next process; None for a journal in memory."""
    return None if isinstance(journal, MemoryJournal) else journal
