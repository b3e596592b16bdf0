"""What a platform counts, and when the next write may spend it.

What belongs here: one class for each way of counting, with its arithmetic and its spacing. What does not: who writes
next (`bot.pacer`), and the numbers of any platform (adapters build their budgets with them).

A budget is asked `ready_at(now, final=...)`, then told `spend(now)` when a write is sent and `settle(now)` when its
answer, whatever it was, is there. A server counts a write at some instant between the two; each class takes the one
that is worse for us, so that latency and jitter never provoke a 429. `hold(now, seconds)` is the server's own word and
beats everything. `live` is how many replies are at work that may spend the budget: pacers keep it, spacing reads it.

All times are the event loop's, in seconds. Nothing here waits or asks for the time, but for `Reads`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from aiolimiter import AsyncLimiter

# A pause that a server orders is obeyed up to this; the bound only keeps a nonsensical header (days) from silencing a
# bot until somebody restarts it. Read by `_Held.hold`.
LONGEST_HOLD_SECONDS = 3600.0

# A window's length is learned from its first answer, up to this: a longer one is a pause, not a window to space writes
# over. Read by `FixedWindow`.
LONGEST_PERIOD_SECONDS = 60.0

# A window that is about to close is treated as open for this much longer, for clocks that do not tick alike.
# Read by `FixedWindow`.
EDGE_SECONDS = 0.02


class Budget(Protocol):
    """Something that a platform counts. See the module's docstring for the order of calls."""

    live: int

    def ready_at(self, now: float, *, final: bool) -> float:
        """The earliest time at which a write may be sent; `now` or earlier means at once.

        A `final` write may have what is kept back from the others, and does not keep to their spacing.
        """
        ...

    def spend(self, now: float) -> None:
        """A write is being sent."""
        ...

    def settle(self, now: float, *, sent: float | None = None) -> None:
        """The answer to a write that was spent at `sent` is there, or is given up."""
        ...

    def hold(self, now: float, seconds: float) -> None:
        """The server said: nothing more for this long."""
        ...


class _Held:
    """What all budgets share: who is at work, what is in flight, and the server's holds."""

    def __init__(self) -> None:
        self.live = 0
        self._in_flight = 0
        self._not_before = 0.0

    def hold(self, now: float, seconds: float) -> None:
        """Send nothing for `seconds`; a shorter hold never shortens a longer one."""
        self._not_before = max(self._not_before, now + min(seconds, LONGEST_HOLD_SECONDS))


@dataclass(frozen=True, slots=True)
class WindowReport:
    """What an answer said about a fixed window (Discord: ``X-RateLimit-Limit``, ``-Remaining``, ``-Reset-After``)."""

    limit: int
    remaining: int
    reset_after: float


class FixedWindow(_Held):
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

    def ready_at(self, now: float, *, final: bool) -> float:
        """See `Budget`."""
        permitted = self._permitted_at(now)
        if final or not self._paced:
            return max(permitted, self._not_before)
        return max(permitted, self._spaced_at(max(now, permitted)), self._not_before)

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

    def settle(self, now: float, *, sent: float | None = None) -> None:
        """See `Budget`. Without the server's word, the window is taken to have opened when its first answer came.

        `sent` is when the write was spent: an answer to one of an earlier window says nothing about this one.
        """
        self._in_flight -= 1
        if self._closes_at is None and (sent is None or sent >= self._opened_at):
            self._closes_at = now + self._period + EDGE_SECONDS
        elif now >= self._closes_after and sent not in self._told:
            self._late += 1

    def observe(self, now: float, report: WindowReport, *, sent: float | None = None) -> None:
        """Follow what an answer's headers say; called before `settle` of the same write, with the same `sent`."""
        # The server wrote it at some time between `sent` and now.
        reset_after = min(report.reset_after, LONGEST_HOLD_SECONDS)
        earliest = float("-inf") if sent is None else sent + reset_after
        latest = now + reset_after + EDGE_SECONDS
        counted = report.limit - report.remaining
        self._limit = max(report.limit, 1)
        if self._closes_at is None or latest < self._closes_after:
            mine = sent is None or sent >= self._opened_at
            if self._closes_at is None and mine:
                self._begin(earliest, latest, counted, report)
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

    def _spaced_at(self, now: float) -> float:
        step = self._period / self._limit
        if self._closes_at is None or now >= self._closes_at:
            return self._last_spent + step * self.REOPEN_STEPS
        opened_at = self._closes_at - self._period
        if self.live > 1:
            return opened_at + step * self._used
        if self._used == self._limit - 1:
            return self._closes_at - self.RELEASE_SECONDS
        return opened_at + step * self._used * self.LONE_STRETCH


class RollingWindow(_Held):
    """So many writes in any period (Slack's tiers, counted as a log of the last minute; Discord's 50 a second in all).

    Spacing of writes that are not final (`paced`): the gap grows with what the last period has spent already, so that
    a burst goes to the start of a reply, where readers look, and the whole period is survived by whoever goes on; with
    several replies at work the gap is shared among them, and stretched before the last permits are gone. A write for
    each live reply is kept back for its end.
    """

    # gap(used) = FIRST_GAP + GROWTH * used, in units of period / limit. Chosen so that a lone reply spends about all in
    # one period (the sum of the gaps over `limit` writes is the period) and starts at a third of the even gap.
    FIRST_GAP = 0.33
    GROWTH = 1.34
    # Several replies share the gap by this power of their number, and the gap never falls below an even spread of what
    # is left until a write is free again, times the share that is used to this power: at first it hardly counts, and
    # the last permits are rationed. Nobody knows how long answers will be. Found by simulation, as what is good for 4
    # and 12 replies of 400 words (mean delays 0.8 and 1.8 s; 1.4 s without the ration) and bearable for 4 replies of
    # 3,000 words or one of 400 every 3 s (4.8 and 2.9 s; 11 and 6.6 s without it, standing still for 40 s).
    SHARING = 0.4
    RATION = 4.0

    def __init__(self, limit: int, period: float, *, paced: bool = True) -> None:
        super().__init__()
        self._limit = limit
        self._period = period
        self._paced = paced
        self._settled: deque[float] = deque()  # when each write of the last period was counted, at the latest
        self._last_spent = float("-inf")

    def ready_at(self, now: float, *, final: bool) -> float:
        """See `Budget`."""
        at_once = final or not self._paced
        kept_back = 0 if at_once else min(self.live, self._limit - 1)
        permitted = self._permitted_at(now, self._limit - kept_back)
        if at_once:
            return max(permitted, self._not_before)
        return max(permitted, self._last_spent + self._gap(now, self._limit - kept_back), self._not_before)

    def spend(self, now: float) -> None:
        """See `Budget`."""
        self._in_flight += 1
        self._last_spent = now

    def settle(self, now: float, *, sent: float | None = None) -> None:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`. Counted from its answer: the server cannot have counted it later."""
        self._in_flight -= 1
        self._settled.append(now + EDGE_SECONDS)

    def _permitted_at(self, now: float, allowed: int) -> float:
        while self._settled and self._settled[0] + self._period <= now:
            self._settled.popleft()
        over = len(self._settled) + self._in_flight - allowed
        if over < 0:
            return now
        if over < len(self._settled):
            return self._settled[over] + self._period
        return now + self._period  # all of it is in flight: an answer will come first

    def _gap(self, now: float, allowed: int) -> float:
        used = len(self._settled) + self._in_flight
        even = self._period / self._limit
        among = float(max(self.live, 1) ** self.SHARING)
        gap = even * (self.FIRST_GAP + self.GROWTH * used / self._limit) / among
        if not self._settled or used >= allowed:
            return gap
        until_one_is_free = self._settled[0] + self._period - now
        spread = until_one_is_free / (allowed - used)
        return max(gap, spread * float((used / allowed) ** self.RATION))


class Leak(_Held):
    """One write each `interval` seconds, with up to `burst` at once after a rest (the virtual scheduling algorithm).

    `AsyncLimiter` counts alike but only answers "now or not"; here the time is asked for, so it is kept.
    Nothing is kept back and nothing is spaced: for posts. At most `burst` are in flight at once.
    """

    def __init__(self, interval: float, *, burst: int = 1) -> None:
        super().__init__()
        self._interval = interval
        self._burst = burst
        self._full_at = float("-inf")  # when the bucket will have run empty again

    def ready_at(self, now: float, *, final: bool) -> float:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`."""
        owed = max(self._full_at, now) + self._in_flight * self._interval
        return max(owed - (self._burst - 1) * self._interval, self._not_before)

    def spend(self, now: float) -> None:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`."""
        self._in_flight += 1

    def settle(self, now: float, *, sent: float | None = None) -> None:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`. Counted from its answer: the server cannot have counted it later."""
        self._in_flight -= 1
        self._full_at = max(self._full_at, now) + self._interval


class Reads:
    """A budget of reads: first come, first served, and waited for; nobody's read is more urgent than another's.

    `rate` reads in `period` seconds at the most in any stretch of that length. An `AsyncLimiter` of (rate, period)
    would admit nearly twice that at first (its burst and what leaks meanwhile), so a part of the rate is the burst (a
    tenth, unless `burst` says more, for reads that come all at once) and the rest leaks.
    """

    def __init__(self, rate: int, period: float, *, burst: int = 0) -> None:
        burst = burst or max(rate // 10, 1)
        self._limiter = AsyncLimiter(burst, period * burst / max(rate - burst, 1))
        self._not_before = 0.0

    async def acquire(self) -> None:
        """Wait for leave to read."""
        loop = asyncio.get_running_loop()
        while True:
            # The hold first: a permit taken before waiting it out would be followed by a second one at once.
            while (wait := self._not_before - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._limiter.acquire()
            if loop.time() >= self._not_before:  # a hold may have come while we queued
                return

    def hold(self, now: float, seconds: float) -> None:
        """The server said: no more reads for this long."""
        self._not_before = max(self._not_before, now + min(seconds, LONGEST_HOLD_SECONDS))
