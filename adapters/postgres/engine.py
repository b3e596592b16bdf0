"""Statements on PostgreSQL over a few connections. Every statement and every wait has a time limit.

A single statement is a transaction of its own, in one round trip: a process that is cut off in its middle holds no
lock. Behind a transaction pooler each is wrapped into a transaction with its own time limits. Tables belong to
`adapters.postgres.migrations`; notifications to `adapters.postgres.listener`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Self, TypeVar

from adapters.postgres.connecting import connect, import_asyncpg
from adapters.postgres.errors import ErrorTranslator, ParameterRefused, PoolerFound, StandbyFound
from adapters.postgres.options import PostgresOptions
from adapters.postgres.priorities import Priority, PrioritySemaphore
from bot.errors import ConnectFailed, Failure, Permanent, ServiceError

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = Mapping[str, Any]  # an asyncpg.Record, by column name


class Session:
    """Statements within one transaction."""

    def __init__(self, connection: Any, translator: ErrorTranslator) -> None:  # noqa: ANN401 (asyncpg has no types)
        self._connection = connection
        self._translator = translator

    async def fetch(self, query: str, *arguments: object) -> Sequence[Row]:
        """The rows of a statement."""
        with self._translator.translating():
            rows: Sequence[Row] = await self._connection.fetch(query, *arguments)
            return rows

    async def execute(self, script: str) -> None:
        """Run statements without arguments, in one round trip."""
        with self._translator.translating():
            await self._connection.execute(script)


class Engine:
    """Connections to one database. An async context manager of the running loop; connects at the first call.

    All methods raise the failures of `bot.errors` alone: `ConnectFailed` if nothing was asked, `OutcomeUnknown` if the
    statement may have run, `ServiceError` if it did not, `Permanent` if an operator must help. After an outage calls
    connect again by themselves.
    """

    def __init__(self, options: PostgresOptions, random_: random.Random | None = None) -> None:
        self.options = options
        self._random = random_ or random.Random()  # noqa: S311 (it spreads retries; nothing secret is drawn)
        self._translator = ErrorTranslator(options.url)
        self._pool: Any = None
        # One connection is for heartbeats: they must not queue behind a flood of questions.
        self._others = PrioritySemaphore(max(options.connections - 1, 1))
        # Whether a pooler may change the server's session between transactions; found out by the first connection.
        self.pooled = False
        self._failures = 0
        self._retry_at = 0.0
        self._last_failure = ""

    @property
    def place(self) -> str:
        """The server and the database, for messages."""
        return self._translator.place

    @property
    def away(self) -> bool:
        """Whether the last attempt to connect failed."""
        return self._failures > 0

    @property
    def busy(self) -> int:
        """The connections in use."""
        return 0 if self._pool is None else int(self._pool.get_size() - self._pool.get_idle_size())

    async def __aenter__(self) -> Self:
        """Raises `Permanent` if asyncpg is not installed or the address cannot be used."""
        asyncpg = import_asyncpg()
        self._pool = asyncpg.create_pool(
            min_size=0, max_size=self.options.connections, connect=self._connect, reset=_keep_session
        )
        await self._pool
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            async with asyncio.timeout(self.options.close_seconds):
                await self._pool.close()
        except (TimeoutError, OSError, Failure):
            self._pool.terminate()

    # ------------------------------------------------------------------------------------------------------ statements

    async def fetch(
        self,
        query: str,
        *arguments: object,
        seconds: float | None = None,
        priority: Priority = Priority.ORDINARY,
    ) -> Sequence[Row]:
        """The rows of one statement, in a transaction of its own. `seconds` replaces `call_seconds`."""

        async def work(connection: Any) -> Sequence[Row]:  # noqa: ANN401 (asyncpg has no types)
            rows: Sequence[Row] = await connection.fetch(query, *arguments)
            return rows

        try:
            return await self._run_single(work, seconds, priority)
        except PoolerFound:
            if self.pooled:
                raise
            await self._become_pooled()
            return await self._run_single(work, seconds, priority)

    async def fetch_row(
        self,
        query: str,
        *arguments: object,
        seconds: float | None = None,
        priority: Priority = Priority.ORDINARY,
    ) -> Row | None:
        """The first row of one statement, or None."""
        rows = await self.fetch(query, *arguments, seconds=seconds, priority=priority)
        return rows[0] if rows else None

    async def fetch_value(self, query: str, *arguments: object, seconds: float | None = None) -> Any:  # noqa: ANN401 (of any column's type)
        """The first column of the first row of one statement; None without a row."""
        row = await self.fetch_row(query, *arguments, seconds=seconds)
        return row[0] if row is not None else None  # type: ignore[index]  # a record has positions too

    @asynccontextmanager
    async def transaction(self, seconds: float | None = None) -> AsyncIterator[Session]:
        """Several statements in one transaction with its own time limits. Rolled back if the block raises.

        Its locks last over several round trips, so it must not take a lock that every process needs.
        """
        async with self._connection(seconds) as connection:
            await connection.execute(self.options.begin())
            try:
                yield Session(connection, self._translator)
            except Exception:  # a cancelled one is terminated, so that nobody waits for its answer
                with suppress(Exception):  # the first error counts; a broken connection rolls back by itself
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    async def _run_single(self, work: Callable[[Any], Awaitable[T]], seconds: float | None, priority: Priority) -> T:
        async with self._connection(seconds, priority) as connection:
            if not self.pooled:
                return await work(connection)
            await connection.execute(self.options.begin())
            try:
                result = await work(connection)
            except Exception:
                with suppress(Exception):  # as in `transaction`
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")
            return result

    # ----------------------------------------------------------------------------------------------------- connections

    @asynccontextmanager
    async def _connection(self, seconds: float | None, priority: Priority = Priority.ORDINARY) -> AsyncIterator[Any]:
        """A connection, for at most `seconds` with the wait for it. One with an unknown state is not used again."""
        if self._pool is None:
            raise ServiceError(f"{self.place}: it is closed")
        deadline = asyncio.get_running_loop().time() + (self.options.call_seconds if seconds is None else seconds)
        async with AsyncExitStack() as stack:
            with self._translator.translating(connecting=True):
                async with asyncio.timeout_at(deadline):
                    if priority is not Priority.LEASE:
                        await stack.enter_async_context(self._others.hold(priority))
                    connection = await self._pool.acquire()
            stack.push_async_callback(self._pool.release, connection)
            try:
                with self._translator.translating():
                    async with asyncio.timeout_at(deadline):
                        yield connection
            except BaseException as error:
                if not _is_clean(error):
                    with suppress(Exception):  # a lost connection has left the pool already
                        connection.terminate()
                raise

    async def _connect(self, *_: object, **arguments: Any) -> Any:  # noqa: ANN401 (asyncpg's own arguments)
        """A new connection; called by the pool. Fails at once for a short time after a failure."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._retry_at:
            raise ConnectFailed(self._last_failure)
        try:
            with self._translator.translating(connecting=True):
                async with asyncio.timeout(self.options.connect_seconds):
                    connection = await self._try_both_ways(arguments)
        except Failure as failure:
            self._failures += 1
            self._last_failure = str(failure)
            self._retry_at = loop.time() + self.options.backoff.delay(self._failures, self._random)
            raise
        self._failures = 0
        return connection

    async def _try_both_ways(self, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 (asyncpg has no types)
        if not self.pooled:
            try:
                with self._translator.translating(connecting=True):
                    connection, accepted = await connect(self.options, arguments, pooled=False)
            except ParameterRefused:
                accepted, connection = False, None
            if accepted:
                return connection
            self.pooled = True
            log.info("%s: a pooler is in front, so each transaction sets its own time limits", self.place)
            if connection is not None:
                connection.terminate()
        connection, _ = await connect(self.options, arguments, pooled=True)
        return connection

    async def _become_pooled(self) -> None:
        """Open no further session with parameters or prepared statements."""
        self.pooled = True
        await self._pool.expire_connections()


def _is_clean(error: BaseException) -> bool:
    """Whether a connection can be used after an error: the server has answered, and can still write."""
    is_answer = isinstance(error, ServiceError | Permanent)
    return is_answer and not isinstance(error, StandbyFound | ConnectFailed)


async def _keep_session(_connection: object) -> None:
    """Called at a connection's return to the pool: nothing in a session changes, so nothing is reset."""
