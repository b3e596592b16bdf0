"""Scripts on PostgreSQL: a failure makes the store degraded, and fails the next operations at once for a moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any, TypeVar

from typing_extensions import override

from adapters.postgres import Engine
from adapters.postgres.options import SCHEMA
from adapters.records.script import TABLES, Change, Lock, Script, ScriptEngine, Step
from adapters.records.values import clean
from adapters.shared.log_throttle import LogThrottle
from bot.errors import Failure
from bot.records import RecordsUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
Fetch = Callable[..., Awaitable[Sequence[Any]]]

# Begins the name of a table of the records.
PREFIX = f"{SCHEMA}.records_"

# Time between two attempts while the database is away; in between, operations fail at once. A question waits for
# several of them. Seconds.
RETRY_SECONDS = 1.0

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"


class PostgresScripts(ScriptEngine):
    """Runs scripts on an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._degraded = False
        self._is_trying = False
        self._retry_at = 0.0  # the event loop's time
        self._throttle = LogThrottle()
        self._is_told = False  # the present outage

    @property
    @override
    def degraded(self) -> bool:
        return self._degraded

    @override
    async def run(self, script: Script[T], seconds: float | None = None) -> T:
        """Run a script, each step on its own and for at most `seconds`, if given."""
        async with self._guarded():
            return await _perform(partial(self._engine.fetch, seconds=seconds), script)

    @override
    async def transact(self, script: Script[T], seconds: float | None = None) -> T:
        """Run a script in one transaction, for at most `seconds`, if given."""
        async with self._guarded(), self._engine.transaction(seconds) as session:
            if seconds is not None:
                await session.execute(f"SET LOCAL statement_timeout = '{seconds:g}s'")
            return await _perform(session.fetch, script)

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        """The rows of a statement of PostgreSQL's own, in a transaction of its own."""
        async with self._guarded():
            return await self._engine.fetch(query, *arguments)

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """Raise `RecordsUnavailable` for any failure. After one, a single operation at a time tries again."""
        loop = asyncio.get_running_loop()
        if self._degraded and (self._is_trying or loop.time() < self._retry_at):
            raise RecordsUnavailable("the database was away within the last second")
        self._is_trying = True
        try:
            yield
        except Failure as failure:
            self._retry_at = loop.time() + RETRY_SECONDS
            self._start_degraded(str(failure))
            raise RecordsUnavailable(str(failure)) from failure
        finally:
            self._is_trying = False
        if self._degraded:
            self._degraded = False
            self._tell_end()

    def _start_degraded(self, problem: str) -> None:
        self._degraded = True
        if not self._is_told and self._throttle.count():
            self._is_told = True
            log.error("records: %s. Answers continue, without quotas and settings", problem)

    def _tell_end(self) -> None:
        if self._is_told:
            log.info("the records work again", extra={"place": self._engine.place})
        self._is_told = False


async def _perform(fetch: Fetch, script: Script[T]) -> T:
    result: object = None
    try:
        while True:
            result = await _perform_step(fetch, script.send(result))
    except StopIteration as end:
        found: T = end.value
        return found


async def _perform_step(fetch: Fetch, step: Step) -> object:
    if isinstance(step, Lock):
        return await fetch(_LOCK, step.name)
    values = (clean(each) if isinstance(each, str) else each for each in step.values)
    if not isinstance(step, Change):
        return await fetch(own_tables(step.sql), *values)
    counted = f"WITH changed AS ({own_tables(step.sql)} RETURNING 1) SELECT count(*) FROM changed"  # noqa: S608 (constants)
    return (await fetch(counted, *values))[0][0]


@cache
def own_tables(sql: str) -> str:
    """A statement with PostgreSQL's names of the tables."""
    return sql.replace(TABLES, PREFIX)
