"""The composition root's part for the journal and the records, in memory, files or a database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from adapters.http_server import ComponentStatus
from adapters.journal import JournalOptions, MemoryJournal, SqliteJournal
from adapters.prometheus import PrometheusRecorder
from bot.bootstrap_lanes import Ownership, make_sole_owner
from bot.bootstrap_records import open_records
from bot.ports import RateLimitLog
from bot.record_store import RecordStore
from config.settings import Settings

if TYPE_CHECKING:
    from adapters.journal.postgres import PostgresJournal
    from adapters.postgres import Engine

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
    lane_journal: PostgresJournal | None = None  # the journal, if turns follow their lanes


async def open_stores(
    settings: Settings, stack: AsyncExitStack, wall_clock: WallClock, recorder: PrometheusRecorder
) -> Stores:
    """Open all stores; `stack` closes them. An unusable file is logged and does not raise.

    Raises `Permanent` if a database's driver is not installed.
    """
    chosen = settings.journal
    options = JournalOptions(days=chosen.days, repair_seconds=chosen.recovery_max_age_seconds)
    if settings.journal_database is not None:
        from bot.bootstrap_shared import open_shared_stores  # noqa: PLC0415 (megabytes that SQLite does not need)

        return await open_shared_stores(settings, stack, wall_clock, recorder, options)
    file = settings.journal_file
    local: AnyJournal = MemoryJournal()
    if file is not None:
        local = await stack.enter_async_context(SqliteJournal(file, wall_clock, options))
    records = await open_records(settings, stack, wall_clock)
    return Stores(local, records, make_sole_owner(call_log_of(local)), _ready_at_once)


async def _ready_at_once() -> None:
    await asyncio.sleep(0)


def journal_status(journal: AnyJournal, *, degraded: bool) -> ComponentStatus:
    """The status of the journal, for ``/readyz``. While the database is away, the bot takes no questions."""
    if isinstance(journal, MemoryJournal):
        return ComponentStatus("degraded" if degraded else "memory")
    if journal.away:
        return ComponentStatus("away", healthy=False)
    return ComponentStatus("degraded" if degraded or journal.degraded else "ok")


def call_log_of(journal: AnyJournal) -> RateLimitLog | None:
    """The log of calls under a rate limit, for the next process; None for a journal in memory."""
    return None if isinstance(journal, MemoryJournal) else journal
