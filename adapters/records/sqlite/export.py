"""Reads usage and feedback for the command line, beside a running bot: read-only, without owning anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from adapters.journal.errors import JournalBroken, translate_errors
from adapters.records.export import PAGES, ExportFailed, Row, to_readable
from adapters.records.script import TABLES
from adapters.records.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION

# How long to wait for a lock; readers wait only while the last writer closes the file. Seconds.
_BUSY_SECONDS = 5.0

# SQLite's number of rows without a limit.
NO_LIMIT = -1


def read_rows(file: Path | None, kind: str, since: float, until: float) -> Iterator[Row]:
    """The rows of ``usage`` or ``feedback``, the oldest first; none if there is no file yet. Raises `ExportFailed`.

    `since` and `until` are in seconds since 1970; `until` is exclusive.
    """
    if file is None or not file.exists():
        if file is not None and not file.parent.is_dir():
            raise ExportFailed(f"{file}: its folder does not exist: set JOURNAL_URL as for the bot")
        return
    try:
        with translate_errors(file), closing(_open(file)) as connection:
            connection.row_factory = sqlite3.Row
            page = PAGES[kind]
            values = (*page.first(since), until, NO_LIMIT)
            found = connection.execute(page.sql.replace(TABLES, ""), {str(n): each for n, each in enumerate(values, 1)})
            yield from map(to_readable, map(dict, found))
    except JournalBroken as broken:
        raise ExportFailed(str(broken)) from broken


def _open(file: Path) -> sqlite3.Connection:
    """Open read-only; the folder may be read-only too."""
    address = f"file:{quote(str(file.absolute()))}"
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
    try:
        _check(connection, file)
    except sqlite3.OperationalError:  # the log's index cannot be created: nobody writes, so read without one
        connection.close()
        connection = sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True)
        _check(connection, file)
    return connection


def _check(connection: sqlite3.Connection, file: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise JournalBroken(file, "it is not a file of this bot's records: set JOURNAL_URL as for the bot")
    if connection.execute("PRAGMA user_version").fetchone()[0] > SCHEMA_VERSION:
        raise JournalBroken(file, "it was made by a later version: use that version")
