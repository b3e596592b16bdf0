"""The journal in an SQLite file: `bot.journal.Journal` on a thread of its own, so that no disk blocks the event loop.

The thread's work does not belong here (`adapters.journal.fallback`). It writes all queued operations in one
transaction, so a hundred turns at once cost one flush of the disk.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from typing_extensions import override

from adapters.journal.errors import JournalBroken
from adapters.journal.fallback import JournalFallback
from adapters.journal.operations import Accept, Drop, Operation, OperationJournal
from adapters.journal.options import JournalOptions
from adapters.journal.sql import Connect, connect
from bot.conversation import TurnKey
from bot.journal import Answered
from bot.ports import RateLimitLog, UnfinishedTurn
from bot.privacy import JournalRows

log = logging.getLogger(__name__)

# The longest wait for the thread: longer than the wait for a locked file (`sql.BUSY_SECONDS`), shorter than the 3 s
# until Slack's acknowledgement is late. Answers continue beside a hanging disk.
RESPONSE_SECONDS = 2.0

# The key of no turn: dropping it tests whether the file can be written.
PROBE_KEY = TurnKey("", "", "", "")

# The longest wait for the last writes at the program's end.
CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Claim:
    """Claim a platform's unfinished turns."""

    platform: str


@dataclass(frozen=True, slots=True)
class _NewestAnswer:
    """Get the newest answer to a question."""

    question: TurnKey


@dataclass(frozen=True, slots=True)
class _Rows:
    """Get everything stored about turns."""

    keys: tuple[TurnKey, ...]


@dataclass(frozen=True, slots=True)
class _RecordCall:
    """Store a call under a rate limit. `at` is in seconds since 1970."""

    limit: str
    at: float


@dataclass(frozen=True, slots=True)
class _RecentCalls:
    """Get the ages of the calls under a rate limit within the last `seconds`."""

    limit: str
    seconds: float


_Command = Operation | _Claim | _NewestAnswer | _Rows | _RecordCall | _RecentCalls | None  # None: end


@dataclass(frozen=True, slots=True)
class _Request:
    """A command for the thread. `now` is the event loop's time."""

    command: _Command
    now: float
    response: asyncio.Future[Any] = field(repr=False)


class SqliteJournal(OperationJournal, JournalRows, RateLimitLog):
    """A durable journal: other processes can continue its turns. An async context manager of the running loop.

    A broken file never raises: `degraded` becomes true, and memory stands in for the file.
    """

    def __init__(
        self,
        file: Path,
        wall_clock: Callable[[], datetime],
        options: JournalOptions | None = None,
        connect: Connect = connect,
        response_seconds: float = RESPONSE_SECONDS,
    ) -> None:
        self._file = file
        self._response_seconds = response_seconds
        self._wall_clock = wall_clock
        self._fallback = JournalFallback(file, options or JournalOptions(), wall_clock, connect)
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        # A daemon: a hanging disk must not keep the program from ending.
        self._thread = threading.Thread(target=self._run_thread, name="journal", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._open = False

    @property
    def degraded(self) -> bool:
        """Whether the file is broken, or was recovered within the last seconds; for ``/readyz``."""
        return self._fallback.degraded or self._fallback.recovering

    @property
    @override
    def shared(self) -> bool:
        return False

    @property
    @override
    def durable(self) -> bool:
        return not self._fallback.degraded

    async def __aenter__(self) -> Self:
        """Start the thread and open the file, so that the log reports a broken file before the first answer."""
        self._thread.start()
        self._open = True
        with suppress(JournalBroken):
            await self._execute(Drop(PROBE_KEY))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        ended = self._submit(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await ended
                self._thread.join()

    @override
    async def accept(self, key: TurnKey, event: str = "", messages: Sequence[str] = ()) -> bool:
        return await self._execute(Accept(key, event, self._wall_clock().timestamp(), tuple(messages)))

    @override
    async def newest_answer(self, question: TurnKey) -> Answered | None:
        newest: Answered | None = await self._respond(_NewestAnswer(question))
        return newest

    @override
    async def rows(self, keys: Sequence[TurnKey]) -> Sequence[Mapping[str, object]]:
        found: Sequence[Mapping[str, object]] = await self._respond(_Rows(tuple(keys)))
        return found

    @override
    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:
        """Claim the platform's turns of dead processes. Call it again later: an older process may still finish some."""
        # No time-out: turns claimed but not returned would stay unanswered until the next start.
        turns: Sequence[UnfinishedTurn] = await self._submit(_Claim(platform))
        return turns

    @override
    def record_call(self, limit: str) -> None:
        with suppress(JournalBroken):
            response = self._submit(_RecordCall(limit, self._wall_clock().timestamp()))
            response.add_done_callback(_discard_failure)

    @override
    async def recent_calls(self, limit: str, seconds: float) -> Sequence[float]:
        try:
            async with asyncio.timeout(self._response_seconds):
                ages: Sequence[float] = await self._submit(_RecentCalls(limit, seconds))
        except (JournalBroken, TimeoutError):
            return ()
        return ages

    @override
    async def _apply(self, operation: Operation) -> None:
        await self._execute(operation)

    async def _execute(self, operation: Operation) -> bool:
        changed: bool = await self._respond(operation)
        return changed

    async def _respond(self, command: _Command) -> Any:  # noqa: ANN401 (each command has its own type of response)
        try:
            async with asyncio.timeout(self._response_seconds):
                return await self._submit(command)
        except TimeoutError:
            problem = f"its disk did not answer within {self._response_seconds:g} s"
            raise JournalBroken(self._file, problem) from None

    def _submit(self, command: _Command) -> asyncio.Future[Any]:
        if not self._open and command is not None:
            raise JournalBroken(self._file, "it is closed")
        response = self._loop.create_future()
        self._requests.put(_Request(command, self._loop.time(), response))
        return response

    # ----------------------------------------------------------------------------------------------------- the thread

    def _run_thread(self) -> None:
        """Process requests, with maintenance in between, until the end."""
        running = True
        while running:
            if requests := self._next_requests():
                running = requests[-1].command is not None  # no request follows the end
                self._process(requests)
            if running:  # after the responses: a check of the file takes longer than a write
                self._maintain()

    def _process(self, requests: Sequence[_Request]) -> None:
        try:
            results = self._execute_batch(requests)
        except Exception as error:  # noqa: BLE001 (the thread's boundary: all callers get the error, and it continues)
            results = [error] * len(requests)
        with suppress(RuntimeError):  # the loop is closed: no caller waits any more
            self._loop.call_soon_threadsafe(_deliver, requests, results)

    def _maintain(self) -> None:
        try:
            self._fallback.maintain(self._loop.time())
        except Exception:
            log.exception("the journal's maintenance failed")  # the thread's boundary, as in `_process`

    def _next_requests(self) -> list[_Request]:
        """All queued requests; waits for the first, at most until the next heartbeat."""
        requests: list[_Request] = []
        heartbeat_at = self._fallback.next_heartbeat_at
        with suppress(queue.Empty):
            timeout = None if heartbeat_at is None else max(heartbeat_at - self._loop.time(), 0.0)
            requests.append(self._requests.get(timeout=timeout))
            while True:
                requests.append(self._requests.get_nowait())
        return requests

    def _execute_batch(self, requests: Sequence[_Request]) -> list[object]:
        """The results of requests, in order; all operations are written in one transaction."""
        fallback, now = self._fallback, requests[-1].now
        commands = [request.command for request in requests]
        operations = [command for command in commands if isinstance(command, Operation)]
        written = iter(fallback.write(operations, now) if operations else ())
        if calls := [(command.limit, command.at) for command in commands if isinstance(command, _RecordCall)]:
            fallback.record_calls(calls, now)
        results: list[object] = []
        for command in commands:
            match command:
                case _Claim(platform):
                    results.append(fallback.claim(platform, now))
                case _NewestAnswer(question):
                    results.append(fallback.newest_answer(question, now))
                case _Rows(keys):
                    results.append(fallback.rows(keys, now))
                case _RecentCalls(limit, seconds):
                    results.append(fallback.recent_calls(limit, seconds, now))
                case _RecordCall() | None:
                    results.append(None)
                case _:
                    results.append(next(written))
        if commands[-1] is None:
            fallback.close()
        return results


def _discard_failure(response: asyncio.Future[Any]) -> None:
    """Retrieve the exception of an unobserved response, or asyncio would log it."""
    if not response.cancelled():
        response.exception()


def _deliver(requests: Sequence[_Request], results: Sequence[object]) -> None:
    """In the event loop: resolve the responses whose callers still wait."""
    for request, result in zip(requests, results, strict=True):
        if request.response.done():
            continue
        if isinstance(result, Exception):
            request.response.set_exception(result)
        else:
            request.response.set_result(result)
