"""The platform's side of counting: what a Discord channel would let through, and its 429 when it would not.

What belongs here: the strict count. What does not: when we choose to write, which is `bot.rate_limits`'s; that
the two are apart, as a server and its client are, is what makes the playground an honest place to watch pacing.
"""

from __future__ import annotations

from bot.errors import RateLimited
from bot.rate_limits import WindowReport

# Five in five seconds for each channel and each verb, as observed of Discord
# (https://github.com/discord-net/Discord.Net/issues/2375). Read by `Room`.
WRITES = 5
WINDOW_SECONDS = 5.0


class Counter:
    """A fixed window that the first request after the last window's close opens. Refused requests are not counted."""

    def __init__(self, limit: int = WRITES, period: float = WINDOW_SECONDS) -> None:
        self._limit = limit
        self._period = period
        self._used = 0
        self._closes_at = float("-inf")
        self.refused = 0  # how many were answered with 429; shown in the page

    def count(self, now: float) -> WindowReport:
        """Count one request at `now`; the report says what is left, as Discord's headers do.

        Over the limit, raises `RateLimited`.

        Its `retry_after` is the time until the window closes.
        """
        if now >= self._closes_at:
            self._used, self._closes_at = 0, now + self._period
        if self._used >= self._limit:
            self.refused += 1
            wait = self._closes_at - now
            raise RateLimited(f"the channel's window is spent for {wait:.2f} s", retry_after=wait)
        self._used += 1
        return self.report(now)

    def report(self, now: float) -> WindowReport:
        """What is left at `now`, without counting anything."""
        if now >= self._closes_at:
            return WindowReport(limit=self._limit, remaining=self._limit, reset_after=0.0)
        remaining = self._limit - self._used
        return WindowReport(limit=self._limit, remaining=remaining, reset_after=self._closes_at - now)
