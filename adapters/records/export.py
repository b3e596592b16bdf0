"""Reads usage and feedback for the command line, beside a running bot: read-only, without owning anything."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from adapters.journal.errors import JournalBroken, translate_errors
from adapters.records.quotas import from_units
from adapters.records.schema import APPLICATION_ID, SCHEMA_VERSION

# A spreadsheet takes a cell with one of these at its beginning for a formula
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")

# How long to wait for a lock; readers wait only while the last writer closes the file. Seconds.
_BUSY_SECONDS = 5.0

USAGE_FIELDS = (
    "at",
    "platform",
    "workspace",
    "channel",
    "user",
    "turn",
    "model",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "cost_source",
    "estimated",
)
FEEDBACK_FIELDS = ("platform", "workspace", "channel", "message", "user", "vote", "reason", "at")

_SELECTS: Mapping[str, str] = MappingProxyType(
    {
        "usage": """
            SELECT at, platform, workspace, channel, user, turn, model, input_tokens, cached_tokens, output_tokens,
                reasoning_tokens, cost AS cost_usd, cost_source, estimated
            FROM calls WHERE at >= ? AND at < ? ORDER BY at, id
        """,
        "feedback": """
            SELECT platform, workspace, channel, message, user, vote, reason, votes.at AS at,
                coalesce(answers.text, '') AS answer
            FROM votes LEFT JOIN answers ON answers.turn = votes.turn
            WHERE votes.at >= ? AND votes.at < ? ORDER BY votes.at, votes.turn, user
        """,
    }
)

Row = Mapping[str, object]


class ExportFailed(Exception):
    """The records cannot be read. The message is one line for the operator."""


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
            for row in connection.execute(_SELECTS[kind], (since, until)):
                yield _readable(dict(row))
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


def _readable(row: dict[str, object]) -> dict[str, object]:
    """A row with a time in ISO 8601, a cost as a decimal number and a word for yes or no."""
    at = row["at"]
    if isinstance(at, float):
        with suppress(ValueError, OverflowError, OSError):
            row["at"] = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    if "cost_usd" in row:
        cost = row["cost_usd"]
        row["cost_usd"] = f"{from_units(cost):.9f}" if isinstance(cost, int) else ""
        row["estimated"] = "yes" if row["estimated"] else "no"
    return row


def to_csv(fields: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    """Lines of CSV, the header first. Cells a spreadsheet would take for formulas begin with an apostrophe."""
    yield _csv_line(fields)
    for row in rows:
        yield _csv_line([_inert(str(row[name])) for name in fields])


def to_jsonl(fields: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    """One JSON object a line."""
    for row in rows:
        yield json.dumps({name: row[name] for name in fields}, ensure_ascii=False) + "\n"


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_MARKS) else cell
