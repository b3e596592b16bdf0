"""The composition root's part for the journal: in memory, in a file or in a database."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial

from adapters.journal import JournalOptions, MemoryJournal, SqliteJournal
from bot.errors import Permanent
from config.settings import Settings

NOT_YET = "JOURNAL_URL: this version prepares PostgreSQL (migrate, check) but keeps its journal in SQLite"


async def open_journal(settings: Settings, stack: AsyncExitStack) -> MemoryJournal | SqliteJournal:
    """Open the journal's file, or keep the journal in memory. An unusable file is logged and does not raise."""
    file, chosen = settings.journal_file, settings.journal
    if settings.journal_database is not None:
        raise Permanent(NOT_YET)
    if file is None:
        return MemoryJournal()
    options = JournalOptions(days=chosen.days, repair_seconds=chosen.recovery_max_age_seconds)
    wall_clock = partial(datetime.now, settings.conversation.zone())
    return await stack.enter_async_context(SqliteJournal(file, wall_clock, options))
