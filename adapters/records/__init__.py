"""The records: settings made in chat, the ledger, quotas, feedback and the audit log, in an SQLite file of their own.

`store` implements the core's ports on `database`; the other modules hold the statements of one subject each.
"""

from adapters.records.options import RecordsOptions
from adapters.records.store import SqliteRecords

__all__ = ["RecordsOptions", "SqliteRecords"]
