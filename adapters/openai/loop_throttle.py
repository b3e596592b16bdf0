"""Bounds the work done in one iteration of the event loop, so that other tasks get their turn.

Preparing a request takes the SDK, httpx2 and aiohttp about a millisecond of processor time in one piece; one read of a
stream takes 50 us. A thousand of either in a row would stop everything else for a second, or for a twentieth. The
number of turns itself is bounded by `bot.turns.manager`.
"""

from __future__ import annotations

import asyncio
from collections import deque


class LoopThrottle:
    """At most `per_iteration` permits in one iteration of the event loop, first come, first served."""

    def __init__(self, per_iteration: int) -> None:
        self._per_iteration = per_iteration
        self._remaining = per_iteration
        self._waiters: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take a permit of this iteration. False if none is left; call `acquire_later` then."""
        if self._remaining == 0:
            return False
        if self._remaining == self._per_iteration:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._start_iteration, loop)
        self._remaining -= 1
        return True

    async def acquire_later(self) -> None:
        """Wait for a permit of a later iteration, behind earlier waiters."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _start_iteration(self, loop: asyncio.AbstractEventLoop) -> None:
        self._remaining = self._per_iteration
        while self._waiters and self._remaining:
            waiter = self._waiters.popleft()
            if not waiter.done():  # done: the waiting task was cancelled
                waiter.set_result(None)
                self._remaining -= 1
        if self._remaining < self._per_iteration:
            loop.call_soon(self._start_iteration, loop)
