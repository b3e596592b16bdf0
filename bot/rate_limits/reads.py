"""A limit of reads, with a reserve for live replies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from aiolimiter import AsyncLimiter

from bot.rate_limits.base import ANSWERED_SECONDS, LONGEST_HOLD_SECONDS, no_op


class ReadLimiter:
    """A budget of reads, waited for: first come, first served, but that some leave room for others.

    At most `rate` reads in any stretch of `period` seconds. Who waits for nobody's eyes (what an earlier process left
    is looked into) acquires with `spare`: so many of the rate are left to whoever reads for a live answer. All that is
    there at once is not sent at once: a third is, and the rest within a tenth of the period, so that posts and edits
    find connections free.
    """

    def __init__(self, rate: int, period: float, *, on_spent: Callable[[], object] = no_op) -> None:
        """`on_spent` is called for each read, so that another process can `remember` it."""
        self._rate = rate
        self._period = period
        self._on_spent = on_spent
        burst = max(rate // 3, 1)
        self._spread = AsyncLimiter(burst, burst * period / 10 / max(rate - burst, 1))
        self._times: deque[float] = deque()  # of the reads of the last `period`
        self._first, self._patient = asyncio.Lock(), asyncio.Lock()  # the two lines
        self._not_before = 0.0

    async def acquire(self, *, spare: int = 0) -> None:
        """Wait for leave to read; there is always some, so `spare` is below `rate`."""
        loop = asyncio.get_running_loop()
        async with self._patient if spare else self._first:
            await self._spread.acquire()
            while (wait := self.wait(loop.time(), spare)) > 0:
                await asyncio.sleep(wait)
            self._times.append(loop.time())
            self._on_spent()

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count the reads of an earlier process: each was sent so many seconds ago, and answered soon after."""
        counted = (now - max(age - ANSWERED_SECONDS, 0.0) for age in ages)
        self._times = deque(sorted([*self._times, *counted]))

    def hold(self, now: float, seconds: float) -> None:
        """The server said: no more reads for this long."""
        self._not_before = max(self._not_before, now + min(seconds, LONGEST_HOLD_SECONDS))

    def wait(self, now: float, spare: int = 0) -> float:
        """Seconds until there is leave to read, as far as is known now; not above 0 where there is."""
        while self._times and self._times[0] <= now - self._period:
            self._times.popleft()
        over = len(self._times) - (self._rate - spare)
        free_at = self._times[over] + self._period if over >= 0 else now
        return max(free_at, self._not_before) - now
