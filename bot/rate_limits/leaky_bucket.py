"""A leaky bucket with a burst, as Slack may count edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.rate_limits.base import ANSWERED_SECONDS, RateLimitBase, no_op


class LeakyBucket(RateLimitBase):
    """One write each `interval` seconds, with up to `burst` at once after a rest (the virtual scheduling algorithm).

    `AsyncLimiter` counts alike but only answers "now or not"; here the time is asked for, so it is kept. At most
    `burst` are in flight at once.

    Spacing of writes that are not final (`paced`, for edits): a burst is not spent at once but stretched over a reply's
    first seconds, and a write for each live reply is kept back for its end, as far as the burst goes.
    """

    # A reply's interval, in units of `interval` for each that is live: from this, while the whole burst is there, up to
    # one, when nothing is left but what is kept back. By simulation: 0.36 s for a lone reply of 200 words (0.45 with
    # 0.7), 0.54 for one of 1,000, 0.63 for the next.
    FULL = 0.35
    # First words are shown where the ends of all that show some could be written within this. Seconds.
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
        self._full_at = float("-inf")  # when the bucket will have run empty again
        self._refused = 0  # of those in flight

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        """See `Budget`."""
        kept_back = ahead if final else ahead + self._kept_back
        return max(self._owed_until(now) - (self._burst - 1 - kept_back) * self._interval, self._not_before)

    def paced_at(self, now: float, *, began: float, wrote: float) -> float:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`."""
        if not self._paced:
            return wrote
        most = self._burst - self._kept_back
        left = min(max(most - (self._owed_until(now) - now) / self._interval, 0.0), most)
        each = 1.0 - (1.0 - self.FULL) * left / most
        return wrote + self._interval * each * max(self.live, 1)

    def spend(self, now: float) -> None:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`."""
        self._in_flight += 1
        self._on_spent()

    def record_response(self, now: float, *, sent: float | None = None) -> None:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`. Counted from its answer: the server cannot have counted it later."""
        self._in_flight -= 1
        if self._refused:
            self._refused -= 1
        else:
            self._full_at = max(self._full_at, now) + self._interval

    def hold(self, now: float, seconds: float) -> None:
        """See `Budget`. What was refused is not counted, and then one goes through again."""
        super().hold(now, seconds)
        self._refused = min(self._refused + 1, self._in_flight)
        self._full_at = min(self._full_at, now + seconds + (self._burst - 1) * self._interval)

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count the writes of an earlier process: each was sent so many seconds ago, and answered soon after."""
        for age in sorted(ages, reverse=True):
            counted = now - max(age - ANSWERED_SECONDS, 0.0)
            self._full_at = max(self._full_at, counted) + self._interval

    def drain(self, now: float) -> None:
        """Take the whole burst for spent, and no more than that: the server has just said no."""
        self._full_at = now + self._burst * self._interval

    def first_post_at(self, now: float) -> float:
        """See `Budget`."""
        if not self._paced:
            return now
        end = self._owed_until(now) + (self.reserved_finals + 1 - self._burst) * self._interval
        return max(now, end - self.PATIENCE)

    @property
    def _kept_back(self) -> int:
        return min(self.live, self._burst - 1) if self._paced else 0

    def _owed_until(self, now: float) -> float:
        return max(self._full_at, now) + self._in_flight * self._interval
