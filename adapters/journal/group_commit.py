"""Several operations in one commit: those that come while the database is busy with earlier ones go together.

A commit waits for a disk, and a process has few connections. One commit for each operation would limit all of them to
a few hundred a second on a fast disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bot.errors import ConnectFailed, Failure, OutcomeUnknown, ServiceError

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

# Operations in one statement: some hundred kilobytes, and a statement of some milliseconds.
MOST_IN_A_GROUP = 200


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T, R]):
    """An operation, its result, and the loop's time after which nobody waits for it."""

    item: T
    result: asyncio.Future[R]
    deadline: float

    def succeed(self, result: R) -> None:
        if not self.result.done():
            self.result.set_result(result)

    def fail(self, failure: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(failure)


class GroupCommit(Generic[T, R]):
    """Writes operations in groups, in the order of their arrival.

    `write` applies a group as a whole or not at all, and returns the results in the same order. It raises as
    `adapters.postgres.Engine` does. An operation that comes alone is written at once.
    """

    def __init__(
        self, write: Callable[[Sequence[T]], Awaitable[Sequence[R]]], seconds: float, most: int = MOST_IN_A_GROUP
    ) -> None:
        """`seconds` is the longest wait for the groups before; `most` the operations of a group."""
        self._write = write
        self._seconds = seconds
        self._most = most
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False

    async def submit(self, item: T) -> R:
        """The result of an operation, after its commit.

        Raises as `write` does, and `ConnectFailed` if it was not asked in time. After a cancellation it may be applied.
        """
        if self._is_closed:
            raise ConnectFailed("closed")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[R] = loop.create_future()
        waiting = _Waiting(item, result, loop.time() + self._seconds)
        self._waiting.append(waiting)
        self._arrived.set()
        return await result

    async def run(self) -> None:
        """Write groups until cancelled, one after the other. Several may run, each with a group of its own."""
        while True:
            await self._arrived.wait()
            if group := self._take():
                await self._write_group(group)

    def close(self) -> None:
        """Take nothing more. Who waits for a group is told that nothing was asked."""
        self._is_closed = True
        _fail_all(self._waiting, ConnectFailed("closed"))
        self._waiting.clear()

    def _take(self) -> list[_Waiting[T, R]]:
        """The next group. Nobody waits for the results of cancelled operations, so they are left out."""
        now = asyncio.get_running_loop().time()
        group: list[_Waiting[T, R]] = []
        while self._waiting and len(group) < self._most:
            waiting = self._waiting.popleft()
            if now > waiting.deadline:
                waiting.fail(ConnectFailed(f"no free connection within {self._seconds:g} s"))
            elif not waiting.result.done():
                group.append(waiting)
        if not self._waiting:
            self._arrived.clear()
        return group

    async def _write_group(self, group: Sequence[_Waiting[T, R]]) -> None:
        try:
            results = await self._write([waiting.item for waiting in group])
        except Failure as failure:
            is_refused = isinstance(failure, ServiceError) and not isinstance(failure, ConnectFailed)
            if is_refused and len(group) > 1:  # not applied, perhaps because of one of them
                await self._write_each(group, failure)
            else:
                _fail_all(group, failure)
        except asyncio.CancelledError:
            _fail_all(group, OutcomeUnknown("ended in the middle of a commit"))
            raise
        except Exception as error:
            log.exception("a group of operations could not be written")  # its boundary: the next group goes on
            _fail_all(group, error)
        else:
            for waiting, result in zip(group, results, strict=True):
                waiting.succeed(result)

    async def _write_each(self, group: Sequence[_Waiting[T, R]], failure: Failure) -> None:
        """Write the operations of a refused group one by one, in their time: only those at fault are to fail."""
        for waiting in group:
            if asyncio.get_running_loop().time() > waiting.deadline:
                waiting.fail(failure)
            else:
                await self._write_group([waiting])


def _fail_all(group: Iterable[_Waiting[T, R]], failure: Exception) -> None:
    for waiting in group:
        waiting.fail(failure)
