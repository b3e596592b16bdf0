"""A rolling window that may turn out to be a leaky bucket, as Slack's edits."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from bot.rate_limits.base import Budget
from bot.rate_limits.leaky_bucket import LeakyBucket
from bot.rate_limits.rolling_window import RollingWindow


class AdaptiveLimit(Budget):
    """A rolling window that may turn out to be a leaky bucket (Slack publishes neither).

    Both are counted, and the window applies. There is no probing: after a 429 with permits left in the window, the
    bucket applies too for `leaky_seconds`; then the window gets another chance.
    """

    def __init__(self, window: RollingWindow, bucket: LeakyBucket, leaky_seconds: float) -> None:
        self._window = window
        self._bucket = bucket
        self._leaky_seconds = leaky_seconds
        self._leaky_until = float("-inf")

    @property
    @override
    def live(self) -> int:
        return self._window.live

    @live.setter
    def live(self, live: int) -> None:
        self._window.live = self._bucket.live = live

    @property
    @override
    def reserved_finals(self) -> int:
        return self._window.reserved_finals

    @reserved_finals.setter
    def reserved_finals(self, reserved_finals: int) -> None:
        self._window.reserved_finals = self._bucket.reserved_finals = reserved_finals

    @override
    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        return max(budget.ready_at(now, final=final, ahead=ahead) for budget in self._applying(now))

    @override
    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        return max(budget.paced_at(now, began=began, wrote=wrote) for budget in self._applying(now))

    @override
    def first_post_at(self, now: float) -> float:
        return max(budget.first_post_at(now) for budget in self._applying(now))

    @override
    def spend(self, now: float) -> None:
        self._window.spend(now)
        self._bucket.spend(now)

    @override
    def record_response(self, now: float, *, sent: float | None = None) -> None:
        self._window.record_response(now, sent=sent)
        self._bucket.record_response(now, sent=sent)

    @override
    def hold(self, now: float, seconds: float) -> None:
        """Hold both. A 429 below the window's limit makes the bucket apply."""
        if not self._window.used_up(now):
            self.force_leaky(now, self._leaky_seconds)
        self._window.hold(now, seconds)
        self._bucket.hold(now, seconds)

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count an earlier process's writes; `ages` are the seconds since each was sent."""
        self._window.remember(now, ages)
        self._bucket.remember(now, ages)

    def force_leaky(self, now: float, seconds: float) -> None:
        """Apply a full bucket for `seconds`: the limit is one, or other programs may have spent from it."""
        if now >= self._leaky_until:
            self._bucket.drain(now)
        self._leaky_until = max(self._leaky_until, now + seconds)

    def _applying(self, now: float) -> tuple[RollingWindow | LeakyBucket, ...]:
        return (self._window, self._bucket) if now < self._leaky_until else (self._window,)
