"""The records' SQLite file on a thread of its own, so that no disk blocks the event loop.

A broken file never raises anything but `RecordsUnavailable`. SQL statements do not belong here.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

from adapters.journal.errors import JournalBroken, translate_errors
from adapters.journal.file_state import create, identify
from adapters.records.script import TABLES, Change, Lock, Script, Step
from adapters.records.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION, UPGRADES
from adapters.shared.log_throttle import LogThrottle
from bot.records import RecordsUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
Connection = sqlite3.Connection
Connect = Callable[[Path | None], Connection]

# Stands for a database in memory.
MEMORY = Path(":memory:")

# How long a transaction waits for another process's, which takes under a millisecond. A longer lock is a shell or a
# backup. Seconds.
BUSY_SECONDS = 1.5

# The longest wait for the thread: longer than the wait for a lock. A question waits for it. Seconds.
RESPONSE_SECONDS = 3.0

# Time between two attempts to use a broken file; in between, operations fail at once. Seconds.
RETRY_SECONDS = 1.0

# Time between two purges, and after one with rows left; the first is at the start. Seconds.
PURGE_SECONDS, PURGE_AGAIN_SECONDS = 3_600.0, 10.0

# The longest wait for the last writes at the program's end. Seconds.
CLOSE_SECONDS = 5.0


def connect(file: Path | None) -> Connection:
    """Open the file, or a database in memory. A new file is readable by this user alone."""
    if file is not None:
        create(file)
    return sqlite3.connect(file or MEMORY, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


@dataclass(frozen=True, slots=True)
class _Request:
    """An action for the thread; `action` is None at the end. `now` is the event loop's time."""

    action: Callable[[Connection], Any] | None
    is_transaction: bool
    now: float
    response: asyncio.Future[Any] = field(repr=False)


class _BreakLog:
    """Log lines about a broken file. A full disk refuses some writes and accepts others: one break a minute is told."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._throttle = LogThrottle()
        self._is_told = False  # the present break

    def occurred(self, problem: str) -> None:
        """The file is broken, newly or still."""
        if not self._is_told and self._throttle.count():
            self._is_told = True
            log.error("records %s: %s. Answers continue, without quotas and settings", self._name, problem)

    def ended(self) -> None:
        """The file works again."""
        if self._is_told:
            log.info("the records work again", extra={"file": self._name})
        self._is_told = False


class Database:
    """An SQLite file, or a database in memory without a `file`. An async context manager of the running loop.

    `purge` deletes old rows in the background, and tells whether some may be left. Memory needs no thread: an action
    takes microseconds.
    """

    def __init__(
        self,
        file: Path | None,
        *,
        connect: Connect,
        purge: Callable[[Connection], bool] = lambda _: False,
        response_seconds: float = RESPONSE_SECONDS,
    ) -> None:
        self._file = file.absolute() if file is not None else None  # the working folder may be removed
        self._connect = connect
        self._purge = purge
        self._response_seconds = response_seconds
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        # A daemon: a hanging disk must not keep the program from ending.
        self._thread = threading.Thread(target=self._run_thread, name="records", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._identity: object = None
        self._purge_at = self._retry_at = 0.0  # the event loop's time
        self._is_open = self._is_hanging = False
        self.degraded = False
        self._breaks = _BreakLog(str(self._file or "memory"))

    async def __aenter__(self) -> Self:
        """Start the thread and open the file, so that the log reports a broken file before the first answer."""
        if self._file is not None:
            self._thread.start()
        self._is_open = True
        with suppress(RecordsUnavailable):
            await self.transaction(lambda _: None)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        ended: asyncio.Future[None] = self._submit(None, is_transaction=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await ended
                if self._file is not None:
                    self._thread.join()

    async def transaction(self, action: Callable[[Connection], T]) -> T:
        """Run an action in a transaction with the write lock. Raises `RecordsUnavailable`."""
        return await self._execute(action, is_transaction=True)

    async def maintain(self, action: Callable[[Connection], T]) -> T:
        """Run an action without a transaction. Raises `RecordsUnavailable`."""
        return await self._execute(action, is_transaction=False)

    async def transact(self, script: Script[T]) -> T:
        """Run a script in a transaction with the write lock. Raises `RecordsUnavailable`."""
        return await self.transaction(lambda connection: perform(connection, script))

    async def run(self, script: Script[T]) -> T:
        """Run a script, each step on its own. Raises `RecordsUnavailable`."""
        return await self.maintain(lambda connection: perform(connection, script))

    async def _execute(self, action: Callable[[Connection], T], *, is_transaction: bool) -> T:
        if not self._is_open or self._is_hanging:
            raise RecordsUnavailable("the records are closed, or their disk hangs")
        if self._file is None:  # no disk to wait for
            in_memory: T = await self._submit(action, is_transaction=is_transaction)
            return in_memory
        try:
            async with asyncio.timeout(self._response_seconds):
                result: T = await self._submit(action, is_transaction=is_transaction)
        except TimeoutError:
            self._is_hanging = True  # until the thread responds
            problem = f"the disk did not answer within {self._response_seconds:g} s"
            self._start_degraded(problem)
            raise RecordsUnavailable(problem) from None
        return result

    def _submit(self, action: Callable[[Connection], T] | None, *, is_transaction: bool) -> asyncio.Future[T]:
        response: asyncio.Future[T] = self._loop.create_future()
        request = _Request(action, is_transaction, self._loop.time(), response)
        if self._file is not None:
            self._requests.put(request)
        else:
            self._deliver(request, self._result(request))
            self._maintain(request.now)
        return response

    def _deliver(self, request: _Request, result: object) -> None:
        """In the event loop: resolve the response if its caller still waits."""
        self._is_hanging = False
        if isinstance(result, RecordsUnavailable):
            self._start_degraded(str(result))
        elif self.degraded and not isinstance(result, Exception):
            self.degraded = False
            self._breaks.ended()
        if request.response.done():
            return
        if isinstance(result, Exception):
            request.response.set_exception(result)
        else:
            request.response.set_result(result)

    def _start_degraded(self, problem: str) -> None:
        self.degraded = True
        self._breaks.occurred(problem)

    # ----------------------------------------------------------------------------------------------------- the thread

    def _run_thread(self) -> None:
        while True:
            with suppress(queue.Empty):
                request = self._requests.get(timeout=max(self._purge_at - self._loop.time(), PURGE_AGAIN_SECONDS))
                result = self._result(request)
                with suppress(RuntimeError):  # the loop is closed: no caller waits any more
                    self._loop.call_soon_threadsafe(self._deliver, request, result)
                if request.action is None:
                    return
            self._maintain(self._loop.time())

    def _result(self, request: _Request) -> object:
        """The result of a request, or its exception."""
        if request.action is None:
            self._close()
            return None
        if request.now < self._retry_at:
            return RecordsUnavailable("the file was broken within the last second")
        try:
            return self._perform(request.action, is_transaction=request.is_transaction)
        except JournalBroken as broken:
            self._retry_at = request.now + RETRY_SECONDS
            if self._file is not None:
                self._close()  # the next attempt opens it again
            return RecordsUnavailable(str(broken).removeprefix(f"{self._file}: "))
        except Exception as error:  # noqa: BLE001 (the thread's boundary: the caller gets the error)
            return error

    def _perform(self, action: Callable[[Connection], T], *, is_transaction: bool) -> T:
        with translate_errors(self._file or MEMORY):
            if self._file is not None and self._connection is not None and identify(self._file) != self._identity:
                self._close()
                log.warning("records %s: the file was removed or replaced", self._file)
            connection = self._connection or self._open()
            if not is_transaction:
                return action(connection)
            return in_transaction(connection, action)

    def _open(self) -> Connection:
        connection = self._connect(self._file)
        try:
            prepare(connection, self._file)
        except BaseException:
            connection.close()
            raise
        if self._file is not None:
            self._identity = identify(self._file)
        self._connection = connection
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _maintain(self, now: float) -> None:
        """Purge old rows if it is time."""
        if now < self._purge_at or self._connection is None:
            return
        self._purge_at = now + PURGE_SECONDS
        try:
            if in_transaction(self._connection, self._purge):
                self._purge_at = now + PURGE_AGAIN_SECONDS
        except sqlite3.Error as error:
            log.warning("old records were not deleted", extra={"failure": repr(error)})
        except Exception:
            log.exception("old records were not deleted")  # the thread's boundary, as in `_result`


def prepare(connection: Connection, file: Path | None) -> None:
    """Check the owner of a database, and create or upgrade its tables. Raises `JournalBroken`, `sqlite3.Error`."""
    run = connection.execute
    connection.row_factory = sqlite3.Row
    is_new = not run("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not is_new and run("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise JournalBroken(file or MEMORY, "it belongs to another program: move it away")
    # A reader never waits for a writer, and a commit is one write to the end of one file.
    run("PRAGMA journal_mode = WAL")
    # NORMAL: a commit survives the end of the process, and costs no flush. A power loss may lose the last seconds.
    run("PRAGMA synchronous = NORMAL")
    run("PRAGMA secure_delete = ON")  # overwrites deleted rows
    run("PRAGMA temp_store = MEMORY")
    in_transaction(connection, lambda _: _upgrade(connection, file))


def _upgrade(connection: Connection, file: Path | None) -> None:
    run = connection.execute
    version = run("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise JournalBroken(file or MEMORY, "it was made by a later version: move it away")
    for statements in UPGRADES[version:]:
        for statement in statements:
            run(statement)
    if version < SCHEMA_VERSION:
        run(f"PRAGMA application_id = {APPLICATION_ID}")
        run(f"PRAGMA user_version = {SCHEMA_VERSION}")


def in_transaction(connection: Connection, action: Callable[[Connection], T]) -> T:
    """Run an action, all of it or nothing, with the write lock from the start."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = action(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    return result


def perform(connection: Connection, script: Script[T]) -> T:
    """Run the steps of a script. A transaction has the write lock already, so a lock is none of them."""
    result: object = None
    try:
        while True:
            result = _perform(connection, script.send(result))
    except StopIteration as end:
        found: T = end.value
        return found


@cache
def _own_tables(sql: str) -> str:
    return sql.replace(TABLES, "")


def _perform(connection: Connection, step: Step) -> object:
    if isinstance(step, Lock):
        return None
    cursor = connection.execute(
        _own_tables(step.sql), {str(number): value for number, value in enumerate(step.values, 1)}
    )
    return cursor.rowcount if isinstance(step, Change) else cursor.fetchall()
