"""PostgreSQL as the engine of several processes: connections, migrations and errors.

Nothing here imports asyncpg until an `Engine` is opened, so a bot on SQLite needs no extra package.
"""

from adapters.postgres.engine import Engine, Row, Session
from adapters.postgres.errors import NotMigrated
from adapters.postgres.options import PostgresOptions
from adapters.postgres.priorities import Priority

__all__ = ["Engine", "NotMigrated", "PostgresOptions", "Priority", "Row", "Session"]
