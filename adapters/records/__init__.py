"""The records: settings made in chat, the ledger, quotas, feedback and the audit log.

`store` implements the core's ports with scripts: the modules beside it hold those of one subject each. An engine runs
them in SQLite or PostgreSQL.
"""

from adapters.records.options import RecordsOptions

__all__ = ["RecordsOptions"]
