"""The journal in a file: `bot.ports.Journal` over a thread of its own, so that no disk stops the event loop.

What belongs here: the way between the loop and that thread. What does not: what is done there (`fallback`, `store`).

The thread writes all that waits in one transaction, so a hundred turns at once cost one flush of the disk.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from adapters.journal.errors import JournalBroken
from adapters.journal.fallback import JournalFallback, JournalOptions
from adapters.journal.operations import Accept, AddMessage, Drop, End, Operation, UpdateEvent
from adapters.journal.sql import Connect, connect
from bot.conversation import Ending, TurnKey
from bot.ports import UnfinishedTurn

log = logging.getLogger(__name__)

# The longest that one answer of the thread is waited for: longer than a locked file takes to be given up
# (`store.BUSY_SECONDS`), shorter than the 3 s that Slack waits for its acknowledgement. A hanging disk costs no answer.
RESPONSE_SECONDS = 2.0

# A turn that never was: forgetting it tries whether the file can be written.
PROBE_KEY = TurnKey("", "", "", "")

# How long the last writes may take when the program ends.
CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Claim:
    """A platform's unfinished turns."""

    platform: str


@dataclass(frozen=True, slots=True)
class _RecordCall:
    """Remember a call of a rate limit. `at` is in seconds since 1970."""

    budget: str
    at: float


@dataclass(frozen=True, slots=True)
class _RecentCalls:
    """How many seconds ago each call of a rate limit was sent, of the last `seconds`."""

    budget: str
    seconds: float


_Command = Operation | _Claim | _RecordCall | _RecentCalls | None  # None: end


@dataclass(frozen=True, slots=True)
class _Request:
    """What the thread is asked."""

    command: _Command
    now: float
    answer: asyncio.Future[Any] = field(repr=False)


class SqliteJournal:
    """A journal that another process can go on with. An async context manager; made in the loop that uses it.

    It never fails for its file: where that cannot be used, `degraded` says so, and memory stands in for it.
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
        # A daemon, so that a disk that hangs does not keep a program that was told to end.
        self._thread = threading.Thread(target=self._run_thread, name="journal", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._open = False

    @property
    def degraded(self) -> bool:
        """Whether the file cannot be used, or was recovered within the last seconds; for ``/readyz``."""
        return self._fallback.degraded or self._fallback.recovering

    @property
    def durable(self) -> bool:
        """See `bot.ports.Journal`."""
        return not self._fallback.degraded

    async def __aenter__(self) -> Self:
        """Open the file, so that what is wrong with it is said before anything is answered."""
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

    async def accept(self, key: TurnKey, event: str = "") -> bool:
        """See `bot.ports.Journal`."""
        return await self._execute(Accept(key, event, self._wall_clock().timestamp()))

    async def update_event(self, key: TurnKey, event: str) -> None:
        """See `bot.ports.Journal`."""
        await self._execute(UpdateEvent(key, event))

    async def drop(self, key: TurnKey) -> None:
        """See `bot.ports.Journal`."""
        await self._execute(Drop(key))

    async def posted(self, key: TurnKey, message: str) -> None:
        """See `bot.ports.Journal`."""
        await self._execute(AddMessage(key, message))

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        """See `bot.ports.Journal`."""
        await self._execute(End(key, ending))

    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:
        """See `bot.ports.Journal`. May be asked again and again: an older process may still be at work on some."""
        # Waited for however long it takes: what was taken and not brought would be nobody's until the next start.
        records: Sequence[UnfinishedTurn] = await self._submit(_Claim(platform))
        return records

    def record_call(self, limit: str) -> None:
        """See `bot.ports.RateLimitLog`."""
        with suppress(JournalBroken):
            answer = self._submit(_RecordCall(limit, self._wall_clock().timestamp()))
            answer.add_done_callback(_discard_failure)

    async def recent_calls(self, limit: str, seconds: float) -> Sequence[float]:
        """See `bot.ports.RateLimitLog`."""
        try:
            async with asyncio.timeout(self._response_seconds):
                ages: Sequence[float] = await self._submit(_RecentCalls(limit, seconds))
        except (JournalBroken, TimeoutError):
            return ()
        return ages

    async def _execute(self, operation: Operation) -> bool:
        try:
            async with asyncio.timeout(self._response_seconds):
                written: bool = await self._submit(operation)
        except TimeoutError:
            what = f"its disk did not answer within {self._response_seconds:g} s"
            raise JournalBroken(self._file, what) from None
        return written

    def _submit(self, command: _Command) -> asyncio.Future[Any]:
        if not self._open and command is not None:
            raise JournalBroken(self._file, "it is closed")
        answer = self._loop.create_future()
        self._requests.put(_Request(command, self._loop.time(), answer))
        return answer

    # ------------------------------------------------------------------------------------------------------- the thread

    def _run_thread(self) -> None:
        """Answer requests, and beat in between, until told to end."""
        going = True
        while going:
            if requests := self._next_requests():
                going = requests[-1].command is not None  # nothing is asked after that
                self._process(requests)
            if going:  # after the answers: a check of the file takes longer than a write
                self._run_maintenance()

    def _process(self, requests: Sequence[_Request]) -> None:
        try:
            answers = self._execute_batch(requests)
        except Exception as error:  # noqa: BLE001 (the thread's boundary: whoever waits is told, and it goes on)
            answers = [error] * len(requests)
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(_deliver, requests, answers)

    def _run_maintenance(self) -> None:
        try:
            self._fallback.maintain(self._loop.time())
        except Exception:
            log.exception("the journal's round broke")  # the thread's boundary, as in `_process`

    def _next_requests(self) -> list[_Request]:
        """All that is asked by now; waits for the first, at most until the next heartbeat is due."""
        requests: list[_Request] = []
        next_heartbeat_at = self._fallback.next_heartbeat_at
        with suppress(queue.Empty):
            timeout = None if next_heartbeat_at is None else max(next_heartbeat_at - self._loop.time(), 0.0)
            requests.append(self._requests.get(timeout=timeout))
            while True:
                requests.append(self._requests.get_nowait())
        return requests

    def _execute_batch(self, requests: Sequence[_Request]) -> list[object]:
        """The answers to requests: all operations are written at once."""
        fallback, now = self._fallback, requests[-1].now
        commands = [request.command for request in requests]
        operations = [each for each in commands if isinstance(each, Operation)]
        written = iter(fallback.write(operations, now) if operations else ())
        if calls := [(each.budget, each.at) for each in commands if isinstance(each, _RecordCall)]:
            fallback.spend(calls, now)
        answers: list[object] = []
        for request in requests:
            match request.command:
                case _Claim(platform):
                    answers.append(fallback.claim(platform, now))
                case _RecentCalls(budget, seconds):
                    answers.append(fallback.spent(budget, seconds, now))
                case _RecordCall() | None:
                    answers.append(None)
                case _:
                    answers.append(next(written))
        if requests[-1].command is None:
            fallback.close()
        return answers


def _discard_failure(answer: asyncio.Future[Any]) -> None:
    """Nobody waits for this answer: a failure of it is nobody's."""
    if not answer.cancelled():
        answer.exception()


def _deliver(requests: Sequence[_Request], answers: Sequence[object]) -> None:
    """In the loop: hand the answers over to whoever still waits."""
    for request, answer in zip(requests, answers, strict=True):
        if request.answer.done():
            continue
        if isinstance(answer, Exception):
            request.answer.set_exception(answer)
        else:
            request.answer.set_result(answer)
