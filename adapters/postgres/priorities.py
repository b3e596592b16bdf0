"""Which call gets the next free connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto


class Priority(Enum):
    """How long a call may wait behind others."""

    LEASE = auto()  # heartbeats: a connection is kept for them
    FIRST = auto()  # before all ordinary calls: an acknowledgement or a hand-over waits for it
    ORDINARY = auto()


class PrioritySemaphore:
    """Slots for `FIRST` and `ORDINARY` calls, each kind in order of arrival."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._first: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def hold(self, priority: Priority) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        if self._free:  # then nobody waits
            self._free -= 1
        else:
            await self._wait(self._first if priority is Priority.FIRST else self._others)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(slot)
        try:
            await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():
                self._release()  # given at the same time
            else:
                queue.remove(slot)
            raise

    def _release(self) -> None:
        """Give a slot to the next call. A cancelled one leaves its queue by itself."""
        for queue in (self._first, self._others):
            for slot in queue:
                if not slot.done():
                    queue.remove(slot)
                    slot.set_result(None)
                    return
        self._free += 1
