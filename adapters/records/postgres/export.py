"""Reads usage and feedback from PostgreSQL for the command line, beside running bots."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from adapters.postgres import Engine, PostgresOptions
from adapters.records.export import PAGES, ExportFailed, Row, to_readable
from adapters.records.postgres.script_engine import own_tables
from bot.errors import Failure

# Rows read at once: no statement takes long, and the reader of the lines may be slow.
PAGE_ROWS = 5_000


async def read_pages(options: PostgresOptions, kind: str, since: float, until: float) -> AsyncIterator[Sequence[Row]]:
    """The rows of ``usage`` or ``feedback``, the oldest first, in at least one page. Raises `ExportFailed`.

    `since` and `until` are in seconds since 1970; `until` is exclusive.
    """
    page = PAGES[kind]
    after = page.first(since)
    try:
        async with Engine(options) as engine:
            while True:
                rows = await engine.fetch(own_tables(page.sql), *after, until, PAGE_ROWS)
                yield [to_readable(dict(row)) for row in rows]
                if len(rows) < PAGE_ROWS:
                    return
                after = tuple(rows[-1][name] for name in page.key)
    except Failure as failure:
        raise ExportFailed(str(failure)) from failure
