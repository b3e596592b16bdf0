"""Runs migrations, and compares the database with them.

Several releases may start at once: a lock of the transaction lets one of them migrate. It works behind every pooler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.postgres.engine import Engine, Session
from adapters.postgres.errors import MIGRATE, NotMigrated
from adapters.postgres.migrations.files import Kind, Migration, all_migrations
from adapters.postgres.options import OLDEST_VERSION, SCHEMA
from bot.errors import Permanent

# The number of the lock, in a space shared with other programs: "Tick" in ASCII.
LOCK = 0x5469636B

# Seconds to wait for a release that migrates already, and for one migration: an index on a large table takes minutes.
LOCK_SECONDS, MIGRATION_SECONDS = 60, 900

# Seconds that a migration waits for a table in use. Everyone behind it waits too, so it gives up and can be repeated.
TABLE_LOCK_SECONDS = 5

_PREPARE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL,
    checksum text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_IS_PREPARED = f"SELECT to_regclass('{SCHEMA}.migrations') IS NOT NULL"
_RECORDED = f"SELECT number, name, kind, checksum FROM {SCHEMA}.migrations ORDER BY number"  # noqa: S608 (a constant)
_RECORD = f"INSERT INTO {SCHEMA}.migrations (number, name, kind, checksum) VALUES ($1, $2, $3, $4)"  # noqa: S608 (a constant)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A migration that ran on the database, perhaps by a later version."""

    number: int
    name: str
    kind: str
    checksum: str


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """The database, compared with the migrations of this version."""

    pending: tuple[Migration, ...] = ()
    later: tuple[Recorded, ...] = ()  # of a later version
    changed: tuple[str, ...] = ()  # titles of migrations whose file differs from the one that ran

    @property
    def problem(self) -> str:
        """Why this version cannot run on the database, with a remedy; empty if it can.

        A later version's additions do no harm: during a deploy both versions run.
        """
        if self.changed:
            return f"migration {self.changed[0]} ran with another text: install the version of the database"
        if any(each.kind != Kind.EXPAND.value for each in self.later):
            return "a later version has taken away tables or columns of this one: install the later version"
        if self.pending:
            return f"{len(self.pending)} migrations have not run yet: {MIGRATE}"
        return ""


def compare(migrations: Sequence[Migration], recorded: Sequence[Recorded]) -> MigrationStatus:
    """Compare this version's migrations with the recorded ones."""
    ran = {each.number: each for each in recorded}
    own = {each.number: each for each in migrations}
    return MigrationStatus(
        pending=tuple(each for each in migrations if each.number not in ran),
        later=tuple(each for each in recorded if each.number not in own),
        changed=tuple(
            each.title for each in migrations if each.number in ran and ran[each.number].checksum != each.checksum
        ),
    )


async def status(engine: Engine, migrations: Sequence[Migration] | None = None) -> MigrationStatus:
    """Compare the database with this version's migrations. Raises as `Engine` does."""
    chosen = all_migrations() if migrations is None else migrations
    if not await engine.fetch_value(_IS_PREPARED):
        return MigrationStatus(pending=tuple(chosen))
    return compare(chosen, [_recorded(row) for row in await engine.fetch(_RECORDED)])


async def require_migrated(engine: Engine) -> None:
    """Raises `NotMigrated` with one line unless this version can run on the database; others as `Engine` does."""
    await require_version(engine)
    if problem := (await status(engine)).problem:
        raise NotMigrated(f"{engine.place}: {problem}")


async def require_version(engine: Engine) -> int:
    """The server's major version. Raises `Permanent` for one that is too old."""
    version = int(await engine.fetch_value("SELECT current_setting('server_version_num')::integer")) // 10_000
    if version < OLDEST_VERSION:
        raise Permanent(f"{engine.place}: it is version {version}; {OLDEST_VERSION} or later is needed")
    return version


async def migrate(
    engine: Engine, report: Callable[[str], None], migrations: Sequence[Migration] | None = None
) -> MigrationStatus:
    """Run all pending migrations, one after the other; returns the status afterwards.

    `report` gets the title of each. A failure leaves the earlier ones in place, and nothing of the failed one.
    """
    chosen = all_migrations() if migrations is None else migrations
    await require_version(engine)
    while (ran := await _run_next(engine, chosen)) is not None:
        report(ran.title)
    return await status(engine, chosen)


async def _run_next(engine: Engine, migrations: Sequence[Migration]) -> Migration | None:
    """Run the first pending migration; None if there is none, or if the database does not fit."""
    async with engine.transaction(seconds=LOCK_SECONDS + MIGRATION_SECONDS) as session:
        await session.execute(
            f"SET LOCAL statement_timeout = '{MIGRATION_SECONDS}s'; SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; "
            f"SELECT pg_advisory_xact_lock({LOCK}); SET LOCAL lock_timeout = '{TABLE_LOCK_SECONDS}s'"
        )
        await _prepare(session)
        found = compare(migrations, [_recorded(row) for row in await session.fetch(_RECORDED)])
        if found.changed or not found.pending:
            return None
        following = found.pending[0]
        await session.execute(following.script)
        values = (following.number, following.name, following.kind.value, following.checksum)
        await session.fetch(_RECORD, *values)
        return following


async def _prepare(session: Session) -> None:
    """Create the schema, unless it exists: an ordinary user may lack the permission."""
    (row,) = await session.fetch(_IS_PREPARED)
    if not next(iter(row.values())):
        await session.execute(_PREPARE)


def _recorded(row: object) -> Recorded:
    return Recorded(*row.values())  # type: ignore[attr-defined]  # a record has the columns in order
