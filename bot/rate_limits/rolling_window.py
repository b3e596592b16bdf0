"""A rolling window, as Slack's tiers and Discord's global limit are counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from typing_extensions import override

from bot.callbacks import no_op
from bot.rate_limits.base import EDGE_SECONDS, RateLimitBase, count_times


class RollingWindow(RateLimitBase):
    """At most `limit` writes in any `period` (Slack's tiers, as a log of the last minute; Discord's 50 a second).

    Pacing (`paced`): each reply's interval grows with its age and with the permits spent in the last period. A burst
    goes to the start of a reply, where readers look, and long replies survive the whole period. One permit per live
    reply is reserved for its final write, and `SPARE` more: any number of answers ending together end at once.
    """

    # interval = FIRST * live^SHARING + GROWTH * grown, in units of period / limit. `grown`, from 0 to 1, combines the
    # spent share of the window (by SPENT) and the reply's age (over AGED seconds). A lone reply starts with about half
    # an even interval and ends at one and a half. Several start further apart, but closer than evenly (SHARING = 1),
    # since most end soon. Found by simulation over 1 to 40 replies of 200 to 3,000 words, together and one after the
    # other: mean delays of 0.50 s for one of 1,000 words, 0.70 for the next asked right after it, 1.4 for 12 of 400,
    # 4.3 for 4 of 3,000.
    FIRST = 0.37
    GROWTH = 1.34
    SHARING = 0.65
    SPENT = 0.65
    AGED = 25.0
    # The interval is at least an even spread of the permits left until one returns, times the spent share to this power
    # (the larger of the two): negligible at first, then the last permits are rationed. Many replies ration late, since
    # one more edit each is little, and most end before long.
    RATION = 4.0
    RATION_EACH = 3.0
    # Reserved for the final writes of future replies.
    SPARE = 2

    def __init__(
        self, limit: int, period: float, *, paced: bool = True, on_spent: Callable[[], object] = no_op
    ) -> None:
        """`on_spent` is called for each write, so that a later process can `remember` it."""
        super().__init__()
        self._limit = limit
        self._period = period
        self._paced = paced
        self._on_spent = on_spent
        self._counted: deque[float] = deque()  # latest possible count times in the last period

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count an earlier process's writes; `ages` are the seconds since each was sent."""
        self._counted = deque(sorted([*self._counted, *count_times(now, ages)]))

    def used_up(self, now: float) -> bool:
        """Whether even a final write must wait."""
        return self._permitted_at(now, self._limit) > now

    def has_room(self, now: float, writes: int) -> bool:
        """Whether this many more writes could be sent at once, for work of lower priority."""
        return max(self._permitted_at(now, self._limit - writes + 1), self._not_before) <= now

    @override
    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        return max(self._permitted_at(now, (self._limit if final else self._allowed) - ahead), self._not_before)

    @override
    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        if not self._paced:
            return wrote
        self._expire(now)
        live, spent, even = max(self.live, 1), self._spent, self._period / self._limit
        grown = self.SPENT * spent / self._limit + (1 - self.SPENT) * min((wrote - began) / self.AGED, 1.0)
        interval = even * (self.FIRST * float(live**self.SHARING) + self.GROWTH * grown)
        if self._counted and spent < self._allowed:
            until_one_is_free = self._counted[0] + self._period - now
            spread = live * until_one_is_free / (self._allowed - spent)
            power = max(self.RATION, self.RATION_EACH * live)
            interval = max(interval, spread * float((spent / self._allowed) ** power))
        return wrote + interval

    @override
    def first_post_at(self, now: float) -> float:
        return self._permitted_at(now, self._limit - self.reserved_finals) if self._paced else now

    @override
    def spend(self, now: float) -> None:
        self._in_flight += 1
        self._on_spent()

    @override
    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """Count from the response: the server cannot have counted the write later."""
        self._in_flight -= 1
        self._counted.append(now + EDGE_SECONDS)

    @property
    def _spent(self) -> int:
        return len(self._counted) + self._in_flight

    @property
    def _allowed(self) -> int:
        """Permits available to other than final writes."""
        reserved = min(self.live + self.SPARE, max(self._limit - 1, self.reserved_finals))
        return self._limit - reserved if self._paced else self._limit

    def _permitted_at(self, now: float, allowed: int) -> float:
        self._expire(now)
        over = self._spent - max(allowed, 0)
        if over < 0:
            return now
        if over < len(self._counted):
            return self._counted[over] + self._period
        return now + self._period  # all in flight or reserved: a response or an end comes first

    def _expire(self, now: float) -> None:
        while self._counted and self._counted[0] + self._period <= now:
            self._counted.popleft()
