"""The migrations of the database: numbered SQL files, in order, each in one transaction.

A file begins with ``-- expand: `` or ``-- contract: `` and a sentence on its purpose. See ADR 0014 for the rules.
"""

from adapters.postgres.migrations.files import Kind, Migration, all_migrations
from adapters.postgres.migrations.runner import MigrationStatus, migrate, require_migrated, status

__all__ = ["Kind", "Migration", "MigrationStatus", "all_migrations", "migrate", "require_migrated", "status"]
