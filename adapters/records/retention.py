"""Scripts to delete old rows, a limited number at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from adapters.records.options import RecordsOptions
from adapters.records.script import Script, change

# Rows deleted from one table at a time: more would delay questions.
ROWS_AT_ONCE = 2_000


def purge(options: RecordsOptions, now: datetime) -> Script[bool]:
    """Delete rows older than their days, and counters of past periods; whether old rows may be left."""
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
    left = False
    for days, table, key in by_days:
        if days:
            left |= yield from _delete_old(table, key, (now - timedelta(days=days)).timestamp())
    today, month = now.strftime("%Y-%m-%d"), now.strftime("%Y-%m")
    # A period of the future belongs to an earlier time zone or clock, and ends too.
    yield from change(
        "DELETE FROM records.counters WHERE CASE WHEN length(period) = 7 THEN period < $1 ELSE period < $2 END",
        month,
        today,
    )
    yield from change("DELETE FROM records.quota_notices WHERE at < $1", (now - timedelta(days=1)).timestamp())
    return left


def _delete_old(table: str, key: str, before: float) -> Script[bool]:
    """Delete rows from before a time; whether more may be left."""
    if table == "audit":
        yield from change("UPDATE records.audit_retention SET kept_since = $1 WHERE kept_since < $1", before)
    if not key:
        yield from change(f"DELETE FROM records.{table} WHERE at < $1", before)  # noqa: S608 (constants)
        return False
    oldest = f"SELECT {key} FROM records.{table} WHERE at < $1 ORDER BY at, {key} LIMIT {ROWS_AT_ONCE}"  # noqa: S608 (constants)
    if table == "questions":  # "forget me" finds an answer by its question, so none stays without
        yield from change(f"DELETE FROM records.answers WHERE turn IN ({oldest})", before)  # noqa: S608 (constants)
    count = yield from change(f"DELETE FROM records.{table} WHERE at < $1 AND {key} IN ({oldest})", before)  # noqa: S608 (constants)
    return count >= ROWS_AT_ONCE
