"""A limit in time: writes may be sent until it expires, unless it is renewed before."""

from __future__ import annotations

import math

from typing_extensions import override

from bot.rate_limits.watched import WatchedLimit


class RenewableLimit(WatchedLimit):
    """Any number of writes until a time, then none until it is renewed (as with a lease).

    It belongs last in a write's budgets, since it is the widest. Whoever renews it sets `until` early enough for a
    write to arrive before the condition behind it ends: a write may take as long as its timeout.
    """

    def __init__(self, until: float = -math.inf) -> None:
        """`until`: in seconds of the event loop; the default is closed."""
        super().__init__()
        self._until = until

    def is_open(self, now: float) -> bool:
        """Whether writes may be sent."""
        return now < self._until

    def renew(self, until: float) -> None:
        """Allow writes until this time, and wake whoever waits. An earlier time than before closes it sooner."""
        is_later = until > self._until
        self._until = until
        if is_later:
            self._wake()

    @override
    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        return now if self.is_open(now) else math.inf

    @override
    def spend(self, now: float) -> None:
        return

    @override
    def record_response(self, now: float, *, sent: float | None = None) -> None:
        return

    @override
    def hold(self, now: float, seconds: float) -> None:
        """Nothing: a server holds its own limits, and other connections share this one."""
