"""A rolling window that may turn out to be a leaky bucket, as Slack's edits."""

from __future__ import annotations

from collections.abc import Sequence

from bot.rate_limits.leaky_bucket import LeakyBucket
from bot.rate_limits.rolling_window import RollingWindow


class AdaptiveLimit:
    """A window that may turn out to be a leak (Slack publishes neither): both are kept, the window is believed.

    Nothing is probed. When a 429 comes though the window is not used up, the leak is believed as well, for
    `latch_seconds`; then the window is given another chance.
    """

    def __init__(self, window: RollingWindow, leak: LeakyBucket, latch_seconds: float) -> None:
        self._window = window
        self._leak = leak
        self._latch_seconds = latch_seconds
        self._latched_until = float("-inf")

    @property
    def live(self) -> int:
        """See `Budget`."""
        return self._window.live

    @live.setter
    def live(self, live: int) -> None:
        self._window.live = self._leak.live = live

    @property
    def reserved_finals(self) -> int:
        """See `Budget`."""
        return self._window.reserved_finals

    @reserved_finals.setter
    def reserved_finals(self, reserved_finals: int) -> None:
        self._window.reserved_finals = self._leak.reserved_finals = reserved_finals

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        """See `Budget`."""
        return max(budget.ready_at(now, final=final, ahead=ahead) for budget in self._believed(now))

    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        """See `Budget`."""
        return max(budget.paced_at(now, began=began, wrote=wrote) for budget in self._believed(now))

    def first_post_at(self, now: float) -> float:
        """See `Budget`."""
        return max(budget.first_post_at(now) for budget in self._believed(now))

    def spend(self, now: float) -> None:
        """See `Budget`."""
        self._window.spend(now)
        self._leak.spend(now)

    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """See `Budget`."""
        self._window.record_response(now, sent=sent)
        self._leak.record_response(now, sent=sent)

    def hold(self, now: float, seconds: float) -> None:
        """See `Budget`. A 429 below the window's limit latches the leak."""
        if not self._window.used_up(now):
            self.force_leaky(now, self._latch_seconds)
        self._window.hold(now, seconds)
        self._leak.hold(now, seconds)

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """See `RollingWindow`."""
        self._window.remember(now, ages)
        self._leak.remember(now, ages)

    def force_leaky(self, now: float, seconds: float) -> None:
        """Take it for a leak, and a full one, for so long: it was found to be one, or others may have spent from it."""
        if now >= self._latched_until:
            self._leak.drain(now)
        self._latched_until = max(self._latched_until, now + seconds)

    def _believed(self, now: float) -> tuple[RollingWindow | LeakyBucket, ...]:
        return (self._window, self._leak) if now < self._latched_until else (self._window,)
