"""A semaphore with limits per user and per channel, and a fair order.

A free slot goes to the user with the fewest slots, and among equals to the longest waiting request. Twenty requests of
one user are served one after the other and do not delay another user's single request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Waiter:
    user: str
    channel: str
    granted: asyncio.Future[None]


class FairSemaphore:
    """`total` slots: at most `per_user` for one user and `per_channel` for one channel."""

    def __init__(self, total: int, *, per_user: int, per_channel: int) -> None:
        self._total = total
        self._per_user = per_user
        self._per_channel = per_channel
        self._used = 0
        self._by_user: Counter[str] = Counter()  # slots in use; without zeros
        self._by_channel: Counter[str] = Counter()
        self._waiters: list[_Waiter] = []  # in order of arrival

    @property
    def is_unused(self) -> bool:
        """Whether all slots are free and no request waits."""
        return not (self._used or self._by_user or self._by_channel or self._waiters)

    @asynccontextmanager
    async def acquire(self, user: str, channel: str) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        waiter = _Waiter(user, channel, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._grant()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            else:
                self._release(waiter)
            raise
        try:
            yield
        finally:
            self._release(waiter)

    def _grant(self) -> None:
        """Give the free slots to the next waiters."""
        while self._used < self._total:
            eligible = [waiter for waiter in self._waiters if self._may_run(waiter) and not waiter.granted.done()]
            if not eligible:
                return
            waiter = min(eligible, key=lambda waiter: self._by_user[waiter.user])  # `min` takes the first of equals
            self._waiters.remove(waiter)
            self._used += 1
            self._by_user[waiter.user] += 1
            self._by_channel[waiter.channel] += 1
            waiter.granted.set_result(None)

    def _may_run(self, waiter: _Waiter) -> bool:
        return self._by_user[waiter.user] < self._per_user and self._by_channel[waiter.channel] < self._per_channel

    def _release(self, waiter: _Waiter) -> None:
        self._used -= 1
        for slots, name in ((self._by_user, waiter.user), (self._by_channel, waiter.channel)):
            slots[name] -= 1
            if not slots[name]:
                del slots[name]
        self._grant()
