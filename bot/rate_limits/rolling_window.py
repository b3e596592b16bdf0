"""A rolling window, as Slack's tiers and Discord's global limit are counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from typing_extensions import override

from bot.callbacks import no_op
from bot.rate_limits.arrivals import ArrivalEstimate
from bot.rate_limits.base import EDGE_SECONDS, RateLimitBase, count_times
from bot.rate_limits.round_trips import RoundTrips


class RollingWindow(RateLimitBase):
    """At most `limit` writes in any `period` (Slack's tiers, as a log of the last minute; Discord's 50 a second).

    Pacing (`paced`): an interval spreads the permits evenly over all text expected until others return, of the live
    replies and of those that may begin meanwhile (`ArrivalEstimate`). It is the largest over several return times. One
    permit per live reply is reserved for its final write, and `SPARE` more: any number of answers ending together end
    at once.
    """

    # Found by simulation over 1 to 70 replies of 100 to 3,000 words, together, one after the other, and as seeded
    # arrivals (docs/adr/0011-adaptive-reserve.md).
    # Text of a typical answer: 400 words at 40 a second, less a last step. Seconds.
    TYPICAL = 9.05
    # A reply still at work has this share of its age to come at the age of a typical one. The share grows with age: the
    # longer it is, the longer it may become. All live ones together get no more than a period's permits for that.
    TAIL = 0.45
    # Least text to come of any reply, as a share of a typical one.
    LEAST = 0.2
    # So many return times of permits are looked at: more change no figure. Their number bounds the processor time.
    HORIZONS = 6
    # Reserved for the final writes of future replies.
    SPARE = 2

    def __init__(
        self,
        limit: int,
        period: float,
        *,
        paced: bool = True,
        on_spent: Callable[[], object] = no_op,
        arrivals: ArrivalEstimate | None = None,
    ) -> None:
        """`on_spent` is called for each write, so that a later process can `remember` it. `arrivals`: the prior."""
        self._live = 0
        self._began = False  # whether replies began since the last look at the clock
        super().__init__()
        self._limit = limit
        self._period = period
        self._paced = paced
        self._arrivals = arrivals or ArrivalEstimate()
        self._on_spent = on_spent
        self._counted: deque[float] = deque()  # latest count times in the last period, less the lead of `RoundTrips`
        self._trips = RoundTrips()

    @property
    @override
    def live(self) -> int:
        return self._live

    @live.setter
    def live(self, live: int) -> None:
        self._began |= live > self._live
        self._live = live

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count an earlier process's writes; `ages` are the seconds since each was sent.

        Some may be assumed. That process kept the limit, so no more than the limit are, the latest of them.
        """
        counted = (at for at in count_times(now, ages) if at + self._period > now)
        self._counted = deque(sorted([*self._counted, *sorted(counted)[: self._limit]]))

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
        self._learn(now)
        age = max(wrote - began, 0.0)
        live, typical = max(self.live, 1), self.TYPICAL
        tail = max(self.TAIL * age * age / typical, self.LEAST * typical)
        left = max(typical - age, min(tail, self._period / live))
        count, interval = len(self._counted), 0.0
        for returned in (*range(0, count, max(count // self.HORIZONS, 1)), count):
            until = self._counted[returned] + self._period - now if returned < count else self._period
            future = self._arrivals.within(until) * min(typical, until / 2)  # they begin anywhere before `until`
            text = live * min(left, until) + future
            free = self._limit - self._spent + returned - (self.SPARE if returned < count else 0)
            interval = max(interval, text / max(free, 1))
        # With less than one update for each reply, the few who get one have it in the middle, where it helps most.
        return wrote + min(interval, max(typical, age + tail) / 2)

    def _learn(self, now: float) -> None:
        self._arrivals = self._arrivals.after_arrival(now) if self._began else self._arrivals.at(now)
        self._began = False

    @override
    def first_post_at(self, now: float) -> float:
        self._learn(now)
        return self._permitted_at(now, self._limit - self.reserved_finals) if self._paced else now

    @override
    def spend(self, now: float) -> None:
        self._learn(now)
        self._in_flight += 1
        self._on_spent()

    @override
    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """Count from the response: the server cannot have counted the write later, and a write then takes its way."""
        self._in_flight -= 1
        if sent is not None:
            self._trips.record(now, sent=sent)
        counted = now + EDGE_SECONDS - self._trips.lead(now)
        self._counted.append(max(counted, self._counted[-1]) if self._counted else counted)

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
