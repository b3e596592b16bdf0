"""The composition root's part for PostgreSQL: its options, migrations and checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from adapters import postgres
from adapters.postgres import migrations
from adapters.postgres.check import check as check_postgres
from adapters.shared.diagnostics import CheckResult
from bot.errors import Failure, Permanent
from config.settings import Settings

NOTHING_TO_MIGRATE = "JOURNAL_URL names no PostgreSQL database, so there is nothing to migrate"

# How long a release waits for a database that starts beside it, and between two attempts. Seconds.
MIGRATION_WAIT_SECONDS, MIGRATION_RETRY_SECONDS = 30.0, 1.0


def make_postgres_options(settings: Settings) -> postgres.PostgresOptions | None:
    """The options of the database, or None without one."""
    return postgres.PostgresOptions(settings.journal_database) if settings.journal_database is not None else None


async def migrate(settings: Settings, report: Callable[[str], None], *, only_check: bool) -> bool:
    """Run the migrations, or with `only_check` list them; returns whether the tables fit this version.

    Raises `Failure` if the database cannot be used, `Permanent` if waiting does not help.
    """
    if (options := make_postgres_options(settings)) is None:
        report(NOTHING_TO_MIGRATE)
        return True
    async with postgres.Engine(options) as engine:
        await _wait_until_reached(engine, report)
        if only_check:
            found = await migrations.status(engine)
            for each in found.pending:
                report(f"to run: {each.title} ({each.kind.value}: {each.purpose})")
        else:
            found = await migrations.migrate(engine, lambda title: report(f"ran {title}"))
        report(found.problem or f"{engine.place}: the tables fit this version")
        return not found.problem


async def _wait_until_reached(engine: postgres.Engine, report: Callable[[str], None]) -> None:
    end = asyncio.get_running_loop().time() + MIGRATION_WAIT_SECONDS
    said = False
    while True:
        try:
            await engine.fetch("SELECT 1")
        except Permanent:
            raise
        except Failure as failure:
            if asyncio.get_running_loop().time() >= end:
                raise
            if not said:
                report(f"{failure}; trying again for {MIGRATION_WAIT_SECONDS:.0f} s")
                said = True
            await asyncio.sleep(MIGRATION_RETRY_SECONDS)
        else:
            return


async def check_engine(settings: Settings) -> Sequence[CheckResult]:
    """Try the database, if there is one."""
    options = make_postgres_options(settings)
    return await check_postgres(options) if options is not None else []
