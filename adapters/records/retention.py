"""Deletes old rows, a limited number at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from adapters.records.database import Connection
from adapters.records.options import RecordsOptions

# Rows deleted from one table at a time: more would delay questions.
ROWS_AT_ONCE = 2_000


def purge(connection: Connection, options: RecordsOptions, now: datetime) -> None:
    """Delete rows older than their days, and counters of past periods."""
    by_days: Sequence[tuple[int, str, str]] = (
        (options.usage_days, "calls", "id"),
        (options.usage_days, "questions", "turn"),
        (options.feedback_days, "votes", "turn"),
        (options.feedback_days, "answers", "turn"),
        (options.settings_days, "preferences", ""),
        (options.settings_days, "people", ""),
        (options.settings_days, "resets", ""),
        (options.audit_days, "audit", "id"),
    )
    for days, table, key in by_days:
        if days:
            _delete_old(connection, table, key, (now - timedelta(days=days)).timestamp())
    # "Forget me" finds an answer by its question, so none stays without.
    connection.execute("DELETE FROM answers WHERE turn NOT IN (SELECT turn FROM questions)")
    today, month = now.strftime("%Y-%m-%d"), now.strftime("%Y-%m")
    # A period of the future belongs to an earlier time zone or clock, and ends too.
    connection.execute(
        "DELETE FROM counters WHERE CASE WHEN length(period) = 7 THEN period < ? ELSE period < ? END", (month, today)
    )
    connection.execute("DELETE FROM quota_notices WHERE at < ?", ((now - timedelta(days=1)).timestamp(),))


def _delete_old(connection: Connection, table: str, key: str, before: float) -> None:
    if table == "audit":
        connection.execute("UPDATE audit_retention SET kept_since = max(kept_since, ?)", (before,))
    if key:
        chosen = f"{key} IN (SELECT {key} FROM {table} WHERE at < ? LIMIT {ROWS_AT_ONCE})"  # noqa: S608 (constants)
        connection.execute(f"DELETE FROM {table} WHERE at < ? AND {chosen}", (before, before))  # noqa: S608 (constants)
    else:
        connection.execute(f"DELETE FROM {table} WHERE at < ?", (before,))  # noqa: S608 (constants)
