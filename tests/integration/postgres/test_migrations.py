"""Migrations on a real PostgreSQL, alone and at once, and the commands around them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from adapters.postgres import NotMigrated
from adapters.postgres.check import check
from adapters.postgres.migrations import Kind, Migration, all_migrations, migrate, require_migrated, status
from adapters.postgres.options import PostgresOptions
from bot.errors import Permanent, ServiceError
from tests.servers.ports import free_port
from tests.servers.postgres_pooler import pooler
from tests.support.postgres import PATIENT, engine, read_rows, run_script

pytestmark = pytest.mark.sockets(seconds=60)

GOOD = Migration(1, "notes", Kind.EXPAND, "adds notes", "CREATE TABLE tickertape.notes (id int); SELECT pg_sleep(0.1);")
BAD = Migration(2, "bad", Kind.EXPAND, "fails half way", "CREATE TABLE tickertape.half (id int); SELECT 1 / 0;")
LAST = Migration(3, "last", Kind.EXPAND, "adds words", "ALTER TABLE tickertape.notes ADD COLUMN words text")


@pytest.mark.quick
async def test_the_tables_of_this_version_fit(bare_database: str) -> None:
    """A bare database gets all migrations in order, once; then the program may start."""
    ran: list[str] = []
    async with engine(bare_database) as opened:
        with pytest.raises(NotMigrated, match="run `tickertape migrate`"):
            await require_migrated(opened)
        found = await migrate(opened, ran.append)
        assert (found.problem, ran) == ("", [each.title for each in all_migrations()])
        await require_migrated(opened)
        assert not (await migrate(opened, ran.append)).problem
    assert len(ran) == len(all_migrations())
    recorded = await read_rows(bare_database, "SELECT number, name, checksum FROM tickertape.migrations ORDER BY 1")
    assert [tuple(row) for row in recorded] == [(each.number, each.name, each.checksum) for each in all_migrations()]


async def test_of_several_at_once_each_migration_runs_in_one(bare_database: str) -> None:
    """Releases of several machines start together; the others wait, and then have nothing to do."""
    ran: list[str] = []
    async with engine(bare_database) as one, engine(bare_database) as other:
        done = await asyncio.gather(*(migrate(each, ran.append, [GOOD]) for each in (one, other, one)))
    assert ran == [GOOD.title]
    assert not any(each.problem for each in done)


async def test_a_failed_migration_leaves_nothing_of_itself(bare_database: str) -> None:
    """Earlier ones stay, later ones do not run, and a corrected one runs the next time."""
    async with engine(bare_database) as opened:
        with pytest.raises(ServiceError):
            await migrate(opened, lambda _: None, [GOOD, BAD, LAST])
        found = await status(opened, [GOOD, BAD, LAST])
        assert [each.number for each in found.pending] == [2, 3]
        assert await opened.fetch_value("SELECT to_regclass('tickertape.half')") is None
        corrected = replace(BAD, script="CREATE TABLE tickertape.half (id int)")
        assert not (await migrate(opened, lambda _: None, [GOOD, corrected, LAST])).problem


async def test_they_run_behind_a_pooler(bare_database: str) -> None:
    """The lock belongs to the transaction, not to the session."""
    async with pooler(bare_database) as (url, _), engine(url) as opened:
        assert not (await migrate(opened, lambda _: None)).problem
        await require_migrated(opened)


async def test_a_table_in_use_is_not_waited_for_long(bare_database: str) -> None:
    """A migration gives up on a held table rather than stopping everyone behind it; the next run does it."""
    async with engine(bare_database) as opened, engine(bare_database) as other:
        await migrate(opened, lambda _: None, [GOOD])
        async with other.transaction(seconds=30) as session:
            await session.fetch("SELECT * FROM tickertape.notes")
            running = asyncio.Task(migrate(opened, lambda _: None, [GOOD, LAST]))
            waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while not await read_rows(bare_database, waits):
                await asyncio.sleep(0.01)
            while not running.done():
                await session.fetch("SELECT 1")
                await asyncio.sleep(0.1)
        with pytest.raises(ServiceError, match="a lock is held"):
            await running
        assert not (await migrate(opened, lambda _: None, [GOOD, LAST])).problem


async def test_a_user_without_the_right_is_told(bare_database: str) -> None:
    """The line names the missing permission's remedy."""
    await run_script(bare_database, "DO $$ BEGIN CREATE USER humble; EXCEPTION WHEN duplicate_object THEN END $$")
    async with engine(bare_database.replace("tickertape@", "humble@")) as opened:
        with pytest.raises(Permanent, match="lacks a permission"):
            await migrate(opened, lambda _: None)


async def test_a_user_with_only_the_rows_may_run_the_bot(database: str) -> None:
    """The bot itself changes no table, so its user needs no right to."""
    await run_script(
        database,
        "DO $$ BEGIN CREATE USER humble; EXCEPTION WHEN duplicate_object THEN END $$",
        "GRANT USAGE ON SCHEMA tickertape TO humble; GRANT SELECT ON ALL TABLES IN SCHEMA tickertape TO humble",
    )
    async with engine(database.replace("tickertape@", "humble@")) as opened:
        await require_migrated(opened)


async def test_check_tells_the_state_of_the_database(bare_database: str) -> None:
    """Version, way, migrations and notifications, without a change."""
    options = replace(PostgresOptions(bare_database), **PATIENT)
    first, second, third = await check(options)
    assert first.ok
    assert "directly" in first.message
    assert (second.ok, second.subject) == (False, "migrations")
    assert third.ok
    assert not third.warning
    async with engine(bare_database) as opened:
        await migrate(opened, lambda _: None)
    assert all(each.ok for each in await check(options))
    async with pooler(bare_database) as (url, _):
        first, second, third = await check(replace(PostgresOptions(url), **PATIENT))
        assert "through a pooler" in first.message
        assert (second.ok, third.ok, third.warning) == (True, True, True)


async def test_check_tells_an_unreachable_database() -> None:
    """One line, with what to look at."""
    pytest.importorskip("asyncpg")
    (result,) = await check(PostgresOptions(f"postgresql://a:secret@127.0.0.1:{free_port()}/b"))
    assert not result.ok
    assert "JOURNAL_URL" in result.fix
    assert "secret" not in result.message
