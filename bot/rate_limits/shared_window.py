"""One process's share of a rolling window that several processes spend."""

from __future__ import annotations

import asyncio

from bot.rate_limits.rolling_window import RollingWindow
from bot.rate_limits.watched import WatchedLimit


class SharedWindow(RollingWindow, WatchedLimit):
    """A rolling window with a limit that changes: `set_limit`. It begins with none."""

    def __init__(self, period: float) -> None:
        super().__init__(0, period, paced=False)

    @property
    def limit(self) -> int:
        """The writes allowed in a period."""
        return self._limit

    def set_limit(self, limit: int) -> None:
        """Allow so many writes in a period from now on, those sent before included; wake whoever waits."""
        has_grown = limit > self._limit
        self._limit = limit
        if has_grown:
            self._wake()

    async def opened(self) -> None:
        """Wait until any writes are allowed."""
        changed = asyncio.Event()
        self.watch(changed.set)
        try:
            while not self._limit:
                changed.clear()
                await changed.wait()
        finally:
            self.unwatch(changed.set)

    def spent(self, now: float) -> int:
        """Writes that count still, and those in flight."""
        self._expire(now)
        return self._spent
