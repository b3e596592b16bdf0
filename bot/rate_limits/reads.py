"""A limit of reads, with a reserve for live replies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from aiolimiter import AsyncLimiter

from bot.callbacks import no_op
from bot.rate_limits.base import LONGEST_HOLD_SECONDS, count_times


class ReadLimiter:
    """A limit for reads: at most `rate` in any `period` (seconds), first come, first served.

    Background recovery reads pass `reserve=n`, so that n permits stay available to live replies. A burst is spread by
    aiolimiter: a third is sent at once and the rest within a tenth of the period, so that posts and edits find free
    connections.
    """

    def __init__(self, rate: int, period: float, *, on_spent: Callable[[], object] = no_op) -> None:
        """`on_spent` is called for each read, so that a later process can `remember` it."""
        self._rate = rate
        self._period = period
        self._on_spent = on_spent
        burst = max(rate // 3, 1)
        self._spread = AsyncLimiter(burst, burst * period / 10 / max(rate - burst, 1))
        self._times: deque[float] = deque()  # of reads in the last `period`
        self._live, self._background = asyncio.Lock(), asyncio.Lock()  # two queues
        self._not_before = 0.0

    async def acquire(self, *, reserve: int = 0) -> None:
        """Wait for a permit. `reserve` must be below `rate`, or it never comes."""
        loop = asyncio.get_running_loop()
        async with self._background if reserve else self._live:
            await self._spread.acquire()
            while (wait := self.wait(loop.time(), reserve)) > 0:
                await asyncio.sleep(wait)
            self._times.append(loop.time())
            self._on_spent()

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count an earlier process's reads; `ages` are the seconds since each was sent."""
        self._times = deque(sorted([*self._times, *count_times(now, ages)]))

    def hold(self, now: float, seconds: float) -> None:
        """Send no reads for this long, by the server's order."""
        self._not_before = max(self._not_before, now + min(seconds, LONGEST_HOLD_SECONDS))

    def wait(self, now: float, reserve: int = 0) -> float:
        """Seconds until the next permit, as far as known now; 0 or less if there is one."""
        while self._times and self._times[0] <= now - self._period:
            self._times.popleft()
        over = len(self._times) - (self._rate - reserve)
        free_at = self._times[over] + self._period if over >= 0 else now
        return max(free_at, self._not_before) - now
