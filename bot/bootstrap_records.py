"""The composition root's part for the records: the store and the parts of the core around it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

from adapters.http_server import ComponentStatus
from adapters.records import RecordsOptions, SqliteRecords
from config.settings import Settings


async def open_records(settings: Settings, stack: AsyncExitStack, wall_clock: Callable[[], datetime]) -> SqliteRecords:
    """Open the store beside the journal's file, or in memory. An unusable file is logged and does not raise."""
    return await stack.enter_async_context(SqliteRecords(settings.records_file, wall_clock, RecordsOptions()))


def records_status(settings: Settings, records: SqliteRecords) -> ComponentStatus:
    """The status of the store, for ``/readyz``."""
    if records.degraded:
        return ComponentStatus("degraded")
    return ComponentStatus("ok" if settings.records_file else "memory")
