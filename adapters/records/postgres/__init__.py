"""The records in PostgreSQL, shared by all processes of the bot."""

from adapters.records.postgres.store import PostgresRecords

__all__ = ["PostgresRecords"]
