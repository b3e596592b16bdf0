"""A fixed window, as Discord counts each channel's writes."""

from __future__ import annotations

from bot.rate_limits.base import EDGE_SECONDS, LONGEST_HOLD_SECONDS, RateLimitBase, WindowReport

# A window's length is learned from its first answer, up to this: a longer one is a pause, not a window to space writes
# over. Read by `FixedWindow`.
LONGEST_PERIOD_SECONDS = 60.0


class FixedWindow(RateLimitBase):
    """So many writes in a window, which the first write after the last window's close opens (Discord's channels).

    `limit` and `period` (seconds) are where it starts from; `observe` follows what the server says. When a window
    closes is only known to lie between two bounds, since an answer does not say when it was written: a write may be
    sent from the later one on.

    Spacing of writes that are not final (`paced`): a lone reply spends all but one evenly and the last just before the
    window closes, so that an end that comes at any moment finds one left; several replies spend one each
    ``period / limit``, which leaves on average as much for whoever ends and reads better for the rest.
    """

    # A lone reply's steps are this much longer than an even share: with one kept for the end, its four writes cover
    # the window instead of leaving a gap of two steps before the close. Found by simulation (mean delay of 200 and
    # 1,000 words at 40 a second).
    LONE_STRETCH = 1.15
    # Before the close, the kept write is released this early: late enough to have served an end, early enough to be
    # counted in its own window in spite of latency.
    RELEASE_SECONDS = 0.15
    # From the last write to the one that opens the next window, in steps: a little less than one, since what was kept
    # back went out just before the close.
    REOPEN_STEPS = 0.9

    def __init__(self, limit: int, period: float, *, paced: bool) -> None:
        super().__init__()
        self._limit = limit
        self._period = period
        self._paced = paced
        self._used = 0
        self._opened_at = float("-inf")  # when we sent what opened the window, or what may have
        self._closes_after = float("-inf")  # the window does not close before this
        self._closes_at: float | None = float("-inf")  # it has closed by then; None: its opener is not answered yet
        self._late = 0  # writes answered after it may have closed: perhaps counted in the next window
        self._told: set[float] = set()  # when those were sent that the server said are counted in this window
        self._last_spent = float("-inf")

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        """See `Budget`."""
        permitted = self._permitted_at(now)
        if ahead:
            permitted = max(permitted, self._after(ahead, now))
        if final or not self._paced:
            return max(permitted, self._not_before)
        return max(permitted, self._paced_at(max(now, permitted)), self._not_before)

    def spend(self, now: float) -> None:
        """See `Budget`. What may have reached the server after a close is counted in the next window too."""
        if self._closes_at is not None and now >= self._closes_at:
            self._used = self._in_flight + self._late
            # With nothing else on its way, this write opens the window; else it opened after the last one's close.
            self._closes_after = self._period + (self._closes_after if self._used else now)
            self._opened_at, self._closes_at = now, None
            self._late = 0
            self._told.clear()
        self._used += 1
        self._in_flight += 1
        self._last_spent = now

    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """See `Budget`. Without the server's word, the window is taken to have opened when its first answer came.

        `sent` is when the write was spent: an answer to one of an earlier window says nothing about this one.
        """
        self._in_flight -= 1
        if self._closes_at is None and (sent is None or sent >= self._opened_at):
            self._closes_at = now + self._period + EDGE_SECONDS
        elif now >= self._closes_after and sent not in self._told:
            self._late += 1

    def absorb(self, other: FixedWindow) -> None:
        """Count what `other` counted as well: the two have turned out to be one. The worse of both is taken."""
        self.live += other.live
        self.reserved_finals += other.reserved_finals
        self._in_flight += other._in_flight
        self._used += other._used
        self._not_before = max(self._not_before, other._not_before)
        self._last_spent = max(self._last_spent, other._last_spent)
        self._opened_at = max(self._opened_at, other._opened_at)
        self._closes_after = max(self._closes_after, other._closes_after)
        if self._closes_at is not None:
            self._closes_at = None if other._closes_at is None else max(self._closes_at, other._closes_at)
        self._late += other._late
        self._told |= other._told

    def observe(self, now: float, report: WindowReport, *, sent: float | None = None) -> None:
        """Follow a response's headers; called before `record_response` of the same write, with the same `sent`."""
        # The server wrote it at some time between `sent` and now.
        reset_after = min(report.reset_after, LONGEST_HOLD_SECONDS)
        earliest = float("-inf") if sent is None else sent + reset_after
        latest = now + reset_after + EDGE_SECONDS
        counted = report.limit - report.remaining
        self._limit = max(report.limit, 1)
        if self._closes_at is None or latest < self._closes_after:
            mine = sent is None or sent >= self._opened_at
            if self._closes_at is None and mine:
                # Some that were on their way when it opened may have come, and been answered, since this was written.
                spent = self._used
                self._begin(earliest, latest, counted, report)
                self._used = max(self._used, spent)
                self._tell(sent)
        elif earliest > self._closes_at:
            self._begin(earliest, latest, counted, report)
            self._late = 0
            self._told.clear()
            self._tell(sent)
        elif latest < self._closes_after + self._period:  # no other window can close then
            self._closes_after = max(self._closes_after, earliest)
            self._closes_at = min(self._closes_at, latest)
            self._count(counted)
            self._tell(sent)
        else:  # this window or the next: what is worse for us
            self._closes_at = max(self._closes_at, latest)
            self._count(counted)

    def _begin(self, earliest: float, latest: float, counted: int, report: WindowReport) -> None:
        """The report is of a window that we knew no close of."""
        if counted == 1 and 0 < report.reset_after <= LONGEST_PERIOD_SECONDS:
            self._period = report.reset_after
        self._closes_after = max(self._closes_after, earliest)
        self._closes_at = latest
        # Others in flight may or may not be counted already: take it that they are not.
        self._used = counted + max(self._in_flight - 1, 0)

    def _tell(self, sent: float | None) -> None:
        if sent is not None:
            self._told.add(sent)

    def _count(self, counted: int) -> None:
        """More than we spent was counted: other programs write there too."""
        if counted > self._used:
            self._used = counted + max(self._in_flight - 1, 0)

    def _permitted_at(self, now: float) -> float:
        if self._closes_at is None:
            # Until its opener is answered the close is not known; the answer will come first.
            return now if self._used < self._limit else now + self._period
        return now if now >= self._closes_at or self._used < self._limit else self._closes_at

    def _after(self, ahead: int, now: float) -> float:
        """When so many more have been sent, each as soon as it may be."""
        closes_at = now + self._period if self._closes_at is None else max(self._closes_at, now)
        left = self._limit - self._used if closes_at > now else self._limit
        if ahead < left:
            return now
        return closes_at + (ahead - left) // self._limit * self._period + (0 if closes_at > now else self._period)

    def _paced_at(self, now: float) -> float:
        step = self._period / self._limit
        if self._closes_at is None or now >= self._closes_at:
            return self._last_spent + step * self.REOPEN_STEPS
        opened_at = self._closes_at - self._period
        if self.live > 1:
            return opened_at + step * self._used
        if self._used == self._limit - 1:
            return self._closes_at - self.RELEASE_SECONDS
        return opened_at + step * self._used * self.LONE_STRETCH
