"""A rolling window, as Slack's tiers and Discord's global limit are counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from bot.rate_limits.base import ANSWERED_SECONDS, EDGE_SECONDS, RateLimitBase, no_op


class RollingWindow(RateLimitBase):
    """So many writes in any period (Slack's tiers, counted as a log of the last minute; Discord's 50 a second in all).

    Spacing of writes that are not final (`paced`): each reply keeps to an interval that grows with its age and with
    what the last period has spent, so that a burst goes to the start of a reply, where readers look, and the whole
    period is survived by whoever goes on. A write for each live reply is kept back for its end, and one for the next
    reader's: with those, all of any number of answers that end together end at once.
    """

    # interval = FIRST * live^SHARING + GROWTH * grown, in units of period / limit; `grown` is from 0 to 1 and made of
    # the share of the window that is spent (by SPENT) and of the reply's age (over AGED seconds). A lone reply starts
    # with half an even interval and ends at one and a half; several start further apart, less so than evenly (SHARING
    # 1 would be), since most will not last. Found by simulation over 1 to 40 replies of 200 to 3,000 words, together
    # and one after the other: mean delays of 0.50 s for one of 1,000 words, 0.70 for the next one asked right after
    # it, 1.4 for 12 of 400, 4.3 for 4 of 3,000.
    FIRST = 0.37
    GROWTH = 1.34
    SHARING = 0.65
    SPENT = 0.65
    AGED = 25.0
    # ... and is never less than an even spread of the permits left until one comes back, times the share that is
    # spent to this power (the larger one): at first it hardly counts, then the last permits are rationed. Many replies
    # ration late, since one edit each of what is left is little for each and most will end before long.
    RATION = 4.0
    RATION_EACH = 3.0
    # Kept back for the ends of readers who have not asked yet.
    SPARE = 2

    def __init__(
        self, limit: int, period: float, *, paced: bool = True, on_spent: Callable[[], object] = no_op
    ) -> None:
        """`on_spent` is called for each write that is sent, so that another process can `remember` it."""
        super().__init__()
        self._limit = limit
        self._period = period
        self._paced = paced
        self._on_spent = on_spent
        self._settled: deque[float] = deque()  # when each write of the last period was counted, at the latest

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count the writes of an earlier process: each was sent so many seconds ago, and answered soon after."""
        counted = (now - max(age - ANSWERED_SECONDS, 0.0) for age in ages)
        self._settled = deque(sorted([*self._settled, *counted]))

    def used_up(self, now: float) -> bool:
        """Whether not even a final write could be sent now."""
        return self._permitted_at(now, self._limit) > now

    def has_room(self, now: float, writes: int) -> bool:
        """Whether so many writes more could be sent at once; for what is to give way to them."""
        return max(self._permitted_at(now, self._limit - writes + 1), self._not_before) <= now

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        """See `Budget`."""
        return max(self._permitted_at(now, (self._limit if final else self._allowed) - ahead), self._not_before)

    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        """See `Budget`."""
        if not self._paced:
            return wrote
        self._forget(now)
        live, spent, even = max(self.live, 1), self._spent, self._period / self._limit
        grown = self.SPENT * spent / self._limit + (1 - self.SPENT) * min((wrote - began) / self.AGED, 1.0)
        interval = even * (self.FIRST * float(live**self.SHARING) + self.GROWTH * grown)
        if self._settled and spent < self._allowed:
            until_one_is_free = self._settled[0] + self._period - now
            spread = live * until_one_is_free / (self._allowed - spent)
            power = max(self.RATION, self.RATION_EACH * live)
            interval = max(interval, spread * float((spent / self._allowed) ** power))
        return wrote + interval

    def first_post_at(self, now: float) -> float:
        """See `Budget`."""
        return self._permitted_at(now, self._limit - self.reserved_finals) if self._paced else now

    def spend(self, now: float) -> None:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`."""
        self._in_flight += 1
        self._on_spent()

    def record_response(self, now: float, *, sent: float | None = None) -> None:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`. Counted from its answer: the server cannot have counted it later."""
        self._in_flight -= 1
        self._settled.append(now + EDGE_SECONDS)

    @property
    def _spent(self) -> int:
        return len(self._settled) + self._in_flight

    @property
    def _allowed(self) -> int:
        """What may be spent by writes that are not final."""
        kept_back = min(self.live + self.SPARE, max(self._limit - 1, self.reserved_finals))
        return self._limit - kept_back if self._paced else self._limit

    def _permitted_at(self, now: float, allowed: int) -> float:
        self._forget(now)
        over = self._spent - max(allowed, 0)
        if over < 0:
            return now
        if over < len(self._settled):
            return self._settled[over] + self._period
        return now + self._period  # all of it is in flight, or kept back: an answer or an end will come first

    def _forget(self, now: float) -> None:
        while self._settled and self._settled[0] + self._period <= now:
            self._settled.popleft()
