"""The journal in PostgreSQL, shared by several processes.

Each operation is one statement. After an outage this process's memory (`adapters.journal.live_turns`) restores what the
database lacks: the operations of the outage, and commits lost in a failover. A question the database did not take is
not answered: its platform delivers it again, perhaps to another process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Self

from typing_extensions import override

from adapters.journal import postgres_statements as sql
from adapters.journal.operations import Accept, AddMessage, Drop, End, Operation, OperationJournal, UpdateEvent
from adapters.journal.options import JournalOptions
from adapters.journal.postgres_groups import Acceptance, Ended, GroupedOperations, Posted
from adapters.journal.postgres_memory import JournalMemory
from adapters.journal.postgres_values import (
    encode_event,
    key_arrays,
    key_columns,
    to_json,
)
from adapters.journal.sql import CALL_RETENTION_SECONDS
from adapters.postgres import Engine, Priority, Row
from adapters.postgres.migrations import require_migrated
from bot.conversation import TurnKey
from bot.errors import ConnectFailed, Failure, OutcomeUnknown, Permanent, ServiceError
from bot.journal import Answered
from bot.ports import RateLimitLog, UnfinishedTurn
from bot.privacy import JournalRows

log = logging.getLogger(__name__)

# How often the database is tried, and work for it is looked for. Seconds.
WORK_SECONDS = 1.0

# The longest wait for the last writes at the program's end, in seconds.
CLOSE_SECONDS = 5.0

SECONDS_OF_A_DAY = 86_400.0


class PostgresJournal(OperationJournal, JournalRows, RateLimitLog):
    """A journal for many processes. An async context manager of the running loop; `wait_until_ready` comes next.

    A turn belongs to a process, by the name of its lease. On platforms with lanes it follows its lane: tell `lane_won`
    and `lane_lost`.

    `accept` and `newest_answer` raise a `Failure` if the database does not answer. The other operations never raise;
    they are made up for after the outage.
    """

    def __init__(
        self,
        engine: Engine,
        wall_clock: Callable[[], datetime],
        process: Callable[[], str],
        options: JournalOptions | None = None,
        *,
        may_run: Callable[[TurnKey], bool],
        work_seconds: float = WORK_SECONDS,
    ) -> None:
        """`process` tells the present name of this process's lease; it changes once others declare it dead.

        `may_run` is that of `JournalMemory`.
        """
        self._engine = engine
        self._wall_clock = wall_clock
        self._options = options or JournalOptions()
        self._work_seconds = work_seconds
        self._process = process
        self._owner = process()  # the name in the database
        self._memory = JournalMemory(self._options, may_run)
        self._operations = GroupedOperations(self._ask, lambda: self._owner, engine.options.call_seconds)
        self._group = asyncio.TaskGroup()
        self._calls: list[tuple[str, float]] = []  # the limit, and the loop's time of the call
        self._has_calls = asyncio.Event()
        self._purge_at = 0.0
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whether the last statement failed.
        self._away = False

    @property
    def degraded(self) -> bool:
        """Whether the database does not answer, or lacks operations that are still to be made up for."""
        return self._away or self._memory.is_ahead

    @property
    def away(self) -> bool:
        """Whether the database does not answer, or has not yet; for ``/readyz``."""
        return self._away or not self._ready.done()

    @property
    @override
    def durable(self) -> bool:
        return True  # what was accepted is in the database, whether or not it answers now

    @property
    @override
    def shared(self) -> bool:
        return True

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        work = (self._probe_forever(), self._maintain_forever(), self._write_calls())
        self._tasks = [self._group.create_task(each) for each in work]
        self._operations.start(self._group)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        if self._ready.done():
            await self._write_the_rest()
        else:
            self._ready.cancel()
        self._operations.stop()
        await self._group.__aexit__(None, None, None)

    async def _write_the_rest(self) -> None:
        with suppress(TimeoutError, Failure):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._flush_calls()
                if self._memory.is_ahead:
                    await self._restore()
                await self._engine.fetch(sql.RELEASE, self._owner)

    async def wait_until_ready(self) -> None:
        """Wait for the database. Raises `Permanent` if this version cannot use it."""
        await asyncio.shield(self._ready)

    # ----------------------------------------------------------------------------------------------------------- lanes

    def lane_won(self) -> None:
        """Turns of our own may be found in the lane, known to us no more."""
        self._memory.start_doubt()

    def lane_lost(self, concerns: Callable[[TurnKey], bool]) -> None:
        """These turns are another process's, now or soon."""
        self._memory.forget(concerns)

    # ----------------------------------------------------------------------------------------------------- operations

    @override
    async def accept(self, key: TurnKey, event: str = "", messages: Sequence[str] = ()) -> bool:
        memory = self._memory
        if memory.knows(key):
            return False
        with memory.accepting(key):
            acceptance = Acceptance(key, event, messages, memory.is_doubtful(key))
            accepted = await self._operations.accept(acceptance)
            if not (accepted.is_ours and memory.is_accepting(key)):
                raise ServiceError(f"the turn {key.reference} belongs to another process, now or soon")
            if accepted.is_new:
                memory.turns.apply(Accept(key, event, self._wall_clock().timestamp(), tuple(messages)))
            return accepted.is_new

    @override
    async def newest_answer(self, question: TurnKey) -> Answered | None:
        try:
            rows = await self._ask(sql.NEWEST, *key_columns(question)[:4])
        except Failure:
            if (known := self._memory.turns.newest_answer(question)) is None:
                raise
            return known
        if not rows:
            return None
        row = rows[0]
        return Answered(replace(question, generation=row["generation"]), tuple(row["messages"]), row["ended"])

    @override
    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:
        """Claim the turns of our lanes on a platform, or those of the dead. Call it again later: more may come.

        If the lane of a claimed turn is not in our hands yet, a call after `lane_won` returns the turn again.
        """
        memory, asked_at = self._memory, asyncio.get_running_loop().time()
        compares = memory.in_doubt(platform)
        try:
            rows = await self._ask(sql.CLAIM, platform, self._owner, compares)
        except Failure:
            return ()  # made up for by a later call: what was claimed without an answer is compared with the memory
        if compares:
            memory.compared(platform, asked_at)
        return self._memory.claimed(rows, self._wall_clock().timestamp())

    @override
    async def rows(self, keys: Sequence[TurnKey]) -> Sequence[Mapping[str, object]]:
        try:
            found = await self._ask(sql.ROWS, *key_arrays(keys))
        except Failure:
            return ()
        return [to_json(row) for row in found]

    @override
    def record_call(self, limit: str) -> None:
        self._calls.append((limit, asyncio.get_running_loop().time()))
        self._has_calls.set()

    @override
    async def recent_calls(self, limit: str, seconds: float) -> Sequence[float]:
        now = asyncio.get_running_loop().time()
        pending = [now - at for name, at in self._calls if name == limit and now - at <= seconds]
        try:
            rows = await self._ask(sql.RECENT_CALLS, limit, seconds)
        except Failure:
            return pending
        return [*(max(row["age"], 0.0) for row in rows), *pending]

    @override
    async def _apply(self, operation: Operation) -> None:
        """Apply an operation to the memory, then to the database as soon as it answers."""
        is_own = operation.key in self._memory.turns
        self._memory.turns.apply(operation)
        try:
            await self._execute(operation)
        except Failure:
            self._memory.missed(operation, is_own=is_own)

    async def _execute(self, operation: Operation) -> None:
        key, owner = key_columns(operation.key), self._owner
        match operation:
            case UpdateEvent(event=event):
                await self._ask(sql.UPDATE_EVENT, *key, encode_event(event), owner)
            case AddMessage(message=message):
                place = self._memory.turns.place_of(operation.key, message)
                await self._operations.add_message(Posted(operation.key, message, place))
            case End(ending=ending):
                await self._operations.end(Ended(operation.key, ending))
            case Drop():
                await self._ask(sql.DROP, *key, owner)
            case Accept():
                raise AssertionError("accepted by `accept` alone")

    async def _ask(self, statement: str, *values: object, priority: Priority = Priority.ORDINARY) -> Sequence[Row]:
        try:
            rows = await self._engine.fetch(statement, *values, priority=priority)
        except OutcomeUnknown as failure:
            self._memory.start_doubt()
            self._note(failure)
            raise
        except Failure as failure:
            if isinstance(failure, ConnectFailed | Permanent):
                self._note(failure)
            raise
        self._note(None)
        return rows

    def _note(self, failure: Failure | None) -> None:
        if failure is not None and not self._away:
            log.error("journal: %s. No question is taken until it answers; running answers go on", failure)
        elif failure is None and self._away:
            log.info("the journal works again")
        if failure is not None:
            self._memory.failed()
        self._away = failure is not None

    # ------------------------------------------------------------------------------------------------- recurring work

    async def _probe_forever(self) -> None:
        """Wait for the database, then try it until cancelled."""
        if await self._get_ready():
            await self._repeat(self._probe)

    async def _maintain_forever(self) -> None:
        """Restore what the database lacks and purge, until cancelled. Probes do not wait for it."""
        with suppress(Permanent):  # `wait_until_ready` raises it
            await asyncio.shield(self._ready)
            await self._repeat(self._maintain)

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            next_at = loop.time() + self._work_seconds
            try:
                await work()
            except Failure as failure:
                log.debug("journal: %s", failure)  # `_note` has told the first one
            except Exception:
                log.exception("the journal's recurring work failed")  # its boundary: the next time tries again
            await asyncio.sleep(max(next_at - loop.time(), 0.0))

    async def _get_ready(self) -> bool:
        """Wait for the database; false if this version cannot use it."""
        while True:
            try:
                await require_migrated(self._engine)
            except Permanent as failure:
                self._ready.set_exception(failure)
                return False
            except Failure as failure:
                if not self._away:
                    log.warning("waiting for the journal: %s", failure)
                self._away = True
                await asyncio.sleep(self._work_seconds)
            else:
                self._note(None)
                self._ready.set_result(None)
                return True

    async def _probe(self) -> None:
        """Notice an outage and its end. After a fencing, go on under the new name."""
        try:
            await self._engine.fetch(sql.PROBE, priority=Priority.LEASE)
            if (process := self._process()) != self._owner:
                await self._engine.fetch(sql.RENAME, self._owner, process, priority=Priority.LEASE)
                self._owner = process
                self._memory.failed()
        except Failure as failure:
            self._note(failure)
            raise
        self._note(None)

    async def _maintain(self) -> None:
        if self._memory.is_ahead and not self._away:
            await self._restore()
        await self._purge(asyncio.get_running_loop().time())

    async def _restore(self) -> None:
        """Bring the database up to the memory."""
        memory, owner = self._memory, self._owner
        async with memory.restoring():
            while memory.foreign:
                await self._execute(memory.foreign[0])
                memory.foreign.popleft()
            for statement, values in memory.statements(owner):
                await self._ask(statement, *values)

    async def _purge(self, now: float) -> None:
        if now < self._purge_at:
            return
        options = self._options
        self._purge_at = now + options.purge_interval_seconds
        seconds = (options.days * SECONDS_OF_A_DAY, options.repair_seconds)
        (row,) = await self._ask(sql.PURGE, *seconds, options.purge_batch, CALL_RETENTION_SECONDS)
        if row["count"] == options.purge_batch:
            self._purge_at = now + self._work_seconds

    async def _write_calls(self) -> None:
        """Write calls as they come, together if the database is slower."""
        while True:
            await self._has_calls.wait()
            with suppress(Failure):
                await self._flush_calls()

    async def _flush_calls(self) -> None:
        """Write the pending calls; they are dropped if the database does not answer."""
        calls, self._calls = self._calls, []
        self._has_calls.clear()
        if calls:
            now = asyncio.get_running_loop().time()
            await self._ask(sql.RECORD_CALLS, [name for name, _ in calls], [now - at for _, at in calls])
