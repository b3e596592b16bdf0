"""A leaky bucket with a burst, as Slack may count edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from typing_extensions import override

from bot.callbacks import no_op
from bot.rate_limits.base import RateLimitBase, count_times


class LeakyBucket(RateLimitBase):
    """One write per `interval` seconds, with up to `burst` at once after a rest (the virtual scheduling algorithm).

    Not aiolimiter's `AsyncLimiter`, although it counts alike: it answers only "now or wait". Pacing edits needs a limit
    that can be asked for its next free time. The scheduler compares that time across a write's budgets, picks the most
    urgent reply when it comes, and continues in a new message if it is far off. A queue inside of the limit could do
    none of these. At most `burst` writes are in flight.

    Pacing (`paced`, for edits): a burst is stretched over a reply's first seconds. As far as the burst allows, a permit
    per live reply is reserved for its final write.
    """

    # A reply's interval, in units of `interval` per live reply: this with a full burst, growing to one with only
    # reserved permits left. By simulation: mean delay of 0.36 s for a lone reply of 200 words (0.45 with 0.7), 0.54 for
    # one of 1,000, 0.63 for the next.
    FULL = 0.35
    # A first post needs all final writes to be possible within this time. Seconds.
    PATIENCE = 10.0

    def __init__(
        self, interval: float, *, burst: int = 1, paced: bool = False, on_spent: Callable[[], object] = no_op
    ) -> None:
        """`on_spent`: see `RollingWindow`."""
        super().__init__()
        self._on_spent = on_spent
        self._interval = interval
        self._burst = burst
        self._paced = paced
        self._empty_at = float("-inf")  # when the bucket will be empty again
        self._rejected = 0  # writes in flight with a 429

    @override
    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        reserved = ahead if final else ahead + self._reserved
        return max(self._busy_until(now) - (self._burst - 1 - reserved) * self._interval, self._not_before)

    @override
    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        if not self._paced:
            return wrote
        most = self._burst - self._reserved
        left = min(max(most - (self._busy_until(now) - now) / self._interval, 0.0), most)
        each = 1.0 - (1.0 - self.FULL) * left / most
        return wrote + self._interval * each * max(self.live, 1)

    @override
    def spend(self, now: float) -> None:
        self._in_flight += 1
        self._on_spent()

    @override
    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """Count from the response: the server cannot have counted the write later."""
        self._in_flight -= 1
        if self._rejected:
            self._rejected -= 1
        else:
            self._empty_at = max(self._empty_at, now) + self._interval

    @override
    def hold(self, now: float, seconds: float) -> None:
        """Hold all writes. The rejected one is not counted, and after the hold one passes."""
        super().hold(now, seconds)
        self._rejected = min(self._rejected + 1, self._in_flight)
        self._empty_at = min(self._empty_at, now + seconds + (self._burst - 1) * self._interval)

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count an earlier process's writes; `ages` are the seconds since each was sent.

        Some may be assumed, but the bucket was never more than full.
        """
        for counted in sorted(count_times(now, ages)):
            self._empty_at = min(max(self._empty_at, counted) + self._interval, counted + self._burst * self._interval)

    def drain(self, now: float) -> None:
        """Assume exactly the whole burst as spent: the server just sent a 429."""
        self._empty_at = now + self._burst * self._interval

    @override
    def first_post_at(self, now: float) -> float:
        if not self._paced:
            return now
        end = self._busy_until(now) + (self.reserved_finals + 1 - self._burst) * self._interval
        return max(now, end - self.PATIENCE)

    @property
    def _reserved(self) -> int:
        return min(self.live, self._burst - 1) if self._paced else 0

    def _busy_until(self, now: float) -> float:
        return max(self._empty_at, now) + self._in_flight * self._interval
