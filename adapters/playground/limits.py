"""The server's side of a rate limit: a strict count of writes, and a 429 over the limit.

Pacing does not belong here: `bot.rate_limits` decides on the client's side, as with a real server.
"""

from __future__ import annotations

from bot.errors import RateLimited
from bot.rate_limits import WindowReport

# Five in five seconds for each channel and each verb, as observed of Discord
# (https://github.com/discord-net/Discord.Net/issues/2375).
WRITES = 5
WINDOW_SECONDS = 5.0


class FixedWindowCounter:
    """A fixed window, opened by the first request after the previous window closed. Rejected requests do not count."""

    def __init__(self, limit: int = WRITES, period: float = WINDOW_SECONDS) -> None:
        self._limit = limit
        self._period = period
        self._used = 0
        self._closes_at = float("-inf")
        self.rejected = 0  # requests answered with 429; the page shows it

    def count(self, now: float) -> WindowReport:
        """Count one request at `now`, and report the rest of the window, as Discord's headers do.

        Raises `RateLimited` over the limit, with `retry_after` until the window closes.
        """
        if now >= self._closes_at:
            self._used, self._closes_at = 0, now + self._period
        if self._used >= self._limit:
            self.rejected += 1
            wait = self._closes_at - now
            raise RateLimited(f"the channel's window is used up for {wait:.2f} s", retry_after=wait)
        self._used += 1
        return self.report(now)

    def report(self, now: float) -> WindowReport:
        """The rest of the window at `now`; counts nothing."""
        if now >= self._closes_at:
            return WindowReport(limit=self._limit, remaining=self._limit, reset_after=0.0)
        remaining = self._limit - self._used
        return WindowReport(limit=self._limit, remaining=remaining, reset_after=self._closes_at - now)
