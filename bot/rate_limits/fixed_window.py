"""A fixed window, as Discord counts each channel's writes."""

from __future__ import annotations

from typing_extensions import override

from bot.rate_limits.base import EDGE_SECONDS, LONGEST_HOLD_SECONDS, RateLimitBase, WindowReport
from bot.rate_limits.round_trips import RoundTrips

# Longest window length learned from a response: anything longer is a pause, not a window to pace writes over. Seconds.
LONGEST_PERIOD_SECONDS = 60.0


class FixedWindow(RateLimitBase):
    """At most `limit` writes per window; the first write after a window closes opens the next (Discord's channels).

    `limit` and `period` (seconds) are initial values; `observe` follows the server. Responses do not tell when they
    were written, so a window's end is known between two bounds. Writes wait for the later one, less the lead of
    `RoundTrips`.

    Pacing (`paced`): a lone reply spends all permits but one evenly, and the last just before the window closes, so one
    permit is always available for a final edit. Several replies spend one each ``period / limit``: on average that
    leaves as many for final edits, and reads better.
    """

    # Stretch of a lone reply's steps: with one permit reserved, four writes cover the window instead of leaving two
    # steps empty before its end. Found by simulation (mean delay of 200 and 1,000 words at 40 a second).
    LONE_STRETCH = 1.15
    # The reserved permit is released this long before the window closes: late enough to have served a final edit, early
    # enough to be counted in this window. It is sent earlier by what the ways to the server vary.
    RELEASE_SECONDS = 0.15
    # From the last write to the opening of the next window, in steps: a little less than one, since the reserved permit
    # was spent just before.
    REOPEN_STEPS = 0.9

    # Least time between two writes of a reply, of the time in which each of several replies gets one. Permits that no
    # reply may take yet serve final writes: four replies of 200 to 600 words end 0.31 s late instead of 0.66. The price
    # is their mean delay: 1.84 s instead of 1.59. As many replies as permits, or more, leave none anyway.
    OWN_SHARE = 0.69

    def __init__(self, limit: int, period: float, *, paced: bool) -> None:
        super().__init__()
        self._limit = limit
        self._period = period
        self._paced = paced
        self._used = 0
        self._opened_at = float("-inf")  # when the opening write was sent, or may have been
        self._closes_after = float("-inf")  # the window does not close before this
        self._closes_at: float | None = float("-inf")  # closed by then; None: no response to its opening write yet
        self._late = 0  # writes answered after a possible close: perhaps counted in the next window
        self._reported: set[float] = set()  # when the requests of writes reported as counted in this window began
        self._last_spent = float("-inf")
        self._trips = RoundTrips()

    @override
    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        permitted = self._permitted_at(now)
        if ahead:
            permitted = max(permitted, self._after(ahead, now))
        if final or not self._paced:
            return max(permitted, self._not_before)
        return max(permitted, self._paced_at(max(now, permitted)), self._not_before)

    @override
    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        if not (self._paced and 1 < self.live < self._limit):
            return wrote
        return wrote + self._period / self._limit * self.live * self.OWN_SHARE

    @override
    def should_open(self, now: float) -> bool:
        """With more live replies than permits."""
        is_closed = not self._in_flight and now >= max(self._opens_at(now), self._not_before)
        return is_closed and self.live > self._limit

    @override
    def spend(self, now: float) -> None:
        """Count a write. One possibly arriving after the window closed counts in the next window too."""
        if now >= self._opens_at(now):
            self._used = self._in_flight + self._late
            # With no other write in flight, this one opens the window; otherwise it opened after the last close.
            self._closes_after = self._period + (self._closes_after if self._used else now)
            self._opened_at, self._closes_at = now, None
            self._late = 0
            self._reported.clear()
            self._trips.begin_window()
        self._used += 1
        self._in_flight += 1
        self._last_spent = now

    @override
    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """Without a report, assume that the window opened with its first response.

        `sent` is when the write was spent; responses to writes of an earlier window say nothing about this one.
        """
        self._in_flight -= 1
        if self._closes_at is None and (sent is None or sent >= self._opened_at):
            self._closes_at = now + self._period + EDGE_SECONDS
        elif now >= self._closes_after and not self._take_report(sent):
            self._late += 1

    def absorb(self, other: FixedWindow) -> None:
        """Merge `other`, which turned out to be the same window. The worse of both values counts."""
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
        self._reported |= other._reported
        self._trips.begin_window()

    def observe(self, now: float, report: WindowReport, *, sent: float | None = None) -> None:
        """Follow a response's headers. Call before `record_response` of the same write.

        `sent` is when its request began: not before the write was spent.
        """
        # The server wrote the report between `sent` and now.
        reset_after = min(report.reset_after, LONGEST_HOLD_SECONDS)
        earliest = float("-inf") if sent is None else sent + reset_after
        latest = now + reset_after + EDGE_SECONDS
        counted = report.limit - report.remaining
        self._limit = max(report.limit, 1)
        if self._closes_at is None or latest < self._closes_after:
            is_ours = sent is None or sent >= self._opened_at
            if self._closes_at is None and is_ours:
                # Other writes in flight may have been counted and answered since the report was written.
                spent = self._used
                self._begin(earliest, latest, counted, report)
                self._used = max(self._used, spent)
                self._mark_reported(now, report, sent)
        elif earliest > self._closes_at:
            self._trips.begin_window()
            self._begin(earliest, latest, counted, report)
            self._late = 0
            self._reported.clear()
            self._mark_reported(now, report, sent)
        elif latest < self._closes_after + self._period:  # no other window can close by then
            self._closes_at = min(self._closes_at, latest)
            self._closes_after = min(max(self._closes_after, earliest), self._closes_at)
            self._count(counted)
            self._mark_reported(now, report, sent)
        else:  # this window or the next: assume the worse
            self._closes_at = max(self._closes_at, latest)
            self._count(counted)

    def report(self, now: float) -> WindowReport | None:
        """The open window, or the hold, as another process must assume it; None if there is neither."""
        closes_at = now + self._period if self._closes_at is None or self._in_flight else self._closes_at
        if self._not_before > now:
            return WindowReport(self._limit, 0, max(self._not_before, closes_at) - now)
        if closes_at <= now:
            return None
        return WindowReport(self._limit, max(self._limit - self._used, 0), closes_at - now)

    def _begin(self, earliest: float, latest: float, counted: int, report: WindowReport) -> None:
        """The report is of a window with an unknown end."""
        if counted == 1 and 0 < report.reset_after <= LONGEST_PERIOD_SECONDS:
            self._period = report.reset_after
        # Earlier than assumed if the server's windows are shorter than `period`.
        self._closes_after = min(max(self._closes_after, earliest), latest)
        self._closes_at = latest
        # Other writes in flight may be counted already: assume not.
        self._used = counted + max(self._in_flight - 1, 0)

    def _take_report(self, sent: float | None) -> bool:
        """Whether the write spent at `sent` was reported as counted in this window."""
        found = None if sent is None else min((began for began in self._reported if began >= sent), default=None)
        if found is not None:
            self._reported.remove(found)
        return found is not None

    def _mark_reported(self, now: float, report: WindowReport, sent: float | None) -> None:
        if sent is not None:
            self._reported.add(sent)
            self._trips.record_report(now, sent=sent, reset_after=report.reset_after)

    def _count(self, counted: int) -> None:
        """Take over a higher count: other programs write there too."""
        if counted > self._used:
            self._used = counted + max(self._in_flight - 1, 0)

    def _opens_at(self, now: float) -> float:
        """When a write opens the next window; infinite while the response that tells it is on its way."""
        return float("inf") if self._closes_at is None else self._closes_at - self._trips.lead(now)

    def _permitted_at(self, now: float) -> float:
        opens_at = self._opens_at(now)
        if opens_at == float("inf"):
            # The end is unknown until the opening write is answered, and the response comes first.
            return now if self._used < self._limit else now + self._period
        return now if now >= opens_at or self._used < self._limit else opens_at

    def _after(self, ahead: int, now: float) -> float:
        """When `ahead` more writes have been sent, each as soon as permitted."""
        opens_at = now + self._period if self._closes_at is None else max(self._opens_at(now), now)
        left = self._limit - self._used if opens_at > now else self._limit
        if ahead < left:
            return now
        return opens_at + (ahead - left) // self._limit * self._period + (0 if opens_at > now else self._period)

    def _paced_at(self, now: float) -> float:
        step = self._period / self._limit
        if self._closes_at is None or now >= self._opens_at(now):
            return self._last_spent + step * self.REOPEN_STEPS
        opened_at = self._closes_after - self._period + EDGE_SECONDS
        if self.live > 1:
            return opened_at + step * self._used
        if self._used == self._limit - 1:
            return self._closes_after + EDGE_SECONDS - self.RELEASE_SECONDS - self._trips.spread_there
        return opened_at + step * self._used * self.LONE_STRETCH
