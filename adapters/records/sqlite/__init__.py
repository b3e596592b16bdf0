"""The records in an SQLite file of their own, or in memory."""

from adapters.records.sqlite.store import SqliteRecords

__all__ = ["SqliteRecords"]
