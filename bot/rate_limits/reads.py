"""A limit of reads, with a reserve for live replies."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence

from aiolimiter import AsyncLimiter

from bot.callbacks import no_op
from bot.rate_limits.base import LONGEST_HOLD_SECONDS, count_times

# Share of the period in which a permit is left to live replies, if the rate is too small for a reserve.
_LIVE_SHARE = 0.25


class ReadLimiter:
    """A limit for reads: at most `rate` in any `period` (seconds), first come, first served.

    Background reads pass `reserve=n`, so that n permits stay available to live replies. If the rate is not above n,
    each new permit belongs to live replies alone for a quarter of the period. A burst is spread by aiolimiter: a third
    is sent at once and the rest within a tenth of the period, so that posts and edits find free connections.
    """

    def __init__(self, rate: int, period: float, *, on_spent: Callable[[], object] = no_op) -> None:
        """`on_spent` is called for each read, so that a later process can `remember` it."""
        self._rate = rate
        self._period = period
        self._on_spent = on_spent
        burst = max(rate // 3, 1)
        self._spread = AsyncLimiter(burst, burst * period / 10 / max(rate - burst, 1))
        self._times: deque[float] = deque()  # of reads in the last period and its share, ascending
        self._live, self._background = asyncio.Lock(), asyncio.Lock()  # two queues
        self._not_before = 0.0

    def set_rate(self, rate: int) -> None:
        """Allow `rate` reads in any period from now on, counting those sent before."""
        self._rate = rate

    async def acquire(self, *, reserve: int = 0, deadline: float = math.inf) -> bool:
        """Wait for a permit; false as soon as none is expected before `deadline` (in the loop's seconds)."""
        loop = asyncio.get_running_loop()
        async with self._background if reserve else self._live:
            await self._spread.acquire()
            while (wait := self.wait(loop.time(), reserve)) > 0:
                if loop.time() + wait > deadline:
                    return False
                await asyncio.sleep(wait)
            self._times.append(loop.time())
            self._on_spent()
            return True

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count an earlier process's reads; `ages` are the seconds since each was sent. See `RollingWindow`."""
        counted = (at for at in count_times(now, ages) if at + self._period > now)
        self._times = deque(sorted([*self._times, *sorted(counted)[: self._rate]]))

    def hold(self, now: float, seconds: float) -> None:
        """Send no reads for this long, by the server's order."""
        self._not_before = max(self._not_before, now + min(seconds, LONGEST_HOLD_SECONDS))

    def wait(self, now: float, reserve: int = 0) -> float:
        """Seconds until the next permit, as far as known now; 0 or less if there is one."""
        room, pause = (self._rate - reserve, 0.0) if reserve < self._rate else (self._rate, self._period * _LIVE_SHARE)
        while self._times and self._times[0] <= now - self._period * (1 + _LIVE_SHARE):
            self._times.popleft()
        spent = sum(sent > now - self._period - pause for sent in self._times)
        free_at = self._times[-room] + self._period + pause if spent >= room else now
        return max(free_at, self._not_before) - now
