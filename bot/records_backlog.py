"""Writes of records repeated until the store works: an answer never waits for its records, nor fails with them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

from bot.records import RecordsUnavailable

log = logging.getLogger(__name__)

Write = Callable[[], Awaitable[None]]

# Time between two attempts. Seconds.
RETRY_SECONDS = 5.0

# Writes kept at once, a kilobyte each: half an hour of a busy bot. The oldest are lost beyond it.
MOST_WRITES = 10_000

# The longest wait at the program's end, and the time between two attempts then. Seconds.
CLOSE_SECONDS, LAST_RETRY_SECONDS = 3.0, 0.5


class RecordsBacklog:
    """Failed writes, the oldest first. An async context manager of the running loop."""

    def __init__(self) -> None:
        self._writes: deque[Write] = deque()
        self._is_filled = asyncio.Event()
        self._written = self._lost = 0  # since it was empty
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._task = self._group.create_task(self._repeat_until_cancelled(), name="backlog of records")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await self._group.__aexit__(None, None, None)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._repeat()
                while self._writes:
                    await asyncio.sleep(LAST_RETRY_SECONDS)
                    await self._repeat()
        if lost := self._lost + len(self._writes):
            log.error("the records of %d turns are lost", lost)

    def __len__(self) -> int:
        return len(self._writes)

    def add(self, write: Write) -> None:
        """Repeat a failed write later. It must bear the repetition of a success."""
        if not self._writes:
            log.warning("records are not written; this is repeated")
        self._writes.append(write)
        if len(self._writes) > MOST_WRITES:
            self._writes.popleft()
            self._lost += 1
        self._is_filled.set()

    async def _repeat_until_cancelled(self) -> None:
        while True:
            await self._is_filled.wait()
            await asyncio.sleep(RETRY_SECONDS)
            await self._repeat()

    async def _repeat(self) -> None:
        """Try each write once, until one fails."""
        while self._writes:
            write = self._writes[0]
            try:
                await write()
            except RecordsUnavailable:
                return
            except Exception:
                log.exception("a record cannot be written")
                self._lost += 1
            else:
                self._written += 1
            if self._writes[0] is write:  # it may have been too old meanwhile
                self._writes.popleft()
        self._tell_end()

    def _tell_end(self) -> None:
        if self._written or self._lost:
            log.info("missing records are written", extra={"written": self._written, "lost": self._lost})
        self._written = self._lost = 0
        self._is_filled.clear()
