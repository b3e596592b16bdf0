"""What a platform counts, and when the next write may spend it.

What belongs here: one class for each way of counting, with its arithmetic and its spacing. What does not: who writes
next (`bot.delivery.scheduler`), and the numbers of any platform (adapters build their budgets with them).

A budget is asked `ready_at(now, final=...)`, then told `spend(now)` when a write is sent and `record_response(now)`
when its answer, whatever it was, is there. A server counts a write at some instant between the two; each class takes
the one that is worse for us, so that latency and jitter never provoke a 429. `hold(now, seconds)` is the server's own
word and beats everything. `live` is how many replies are at work that may spend the budget, `reserved_finals` how
many of them show something and will need a write for their end: pacers keep both, spacing reads them.

How far apart. A reader of a text that arrives evenly for T seconds and is shown in K evenly spaced updates waits
T / 2K in the mean, and no other spacing of K does better. How long an answer will be is not known; let S(t) be the
share of answers that last longer than t. To spend K writes in all, at the rate r(t), at the least expected wait is to
minimize the integral of S/2r with that of r given: r goes with the square root of S. Answers are many short ones and a
long tail, S(t) falling like a power of t, so the interval between two writes of a reply grows about linearly with its
age: close together where most answers end and readers look, further apart the longer it gets. What the window has
spent already stretches it in the same way (the price of a permit rises), and what is left is rationed over the time
until permits come back, so that the last ones are not gone before the end. Replies that share a budget each keep to an
interval of their own, rather than all of them to a common gap: the updates of each are then even, which the sum asks
for, and no one waits a round because it came last. Where the window is short and fixed (Discord's 5 s), there is no
tail to save for: the window's permits are spread evenly over it. The numbers are from the simulations in
``benchmarks``, which also prints how far all this is from the bound.

All times are the event loop's, in seconds. Nothing here waits or asks for the time, but for `ReadLimiter`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
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

# A call of an earlier process was counted at most so long after it was sent, unless it was lost. Seconds.
ANSWERED_SECONDS = 2.0


def ignored() -> None:
    """Nobody remembers what is spent."""


class Budget(Protocol):
    """Something that a platform counts. See the module's docstring for the order of calls."""

    live: int
    reserved_finals: int

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        """The earliest time at which a write may be sent; `now` or earlier means at once. The same for all replies.

        A `final` write may have what is kept back from the others, and does not keep to their spacing. With so many
        others `ahead` of it, it is the time after theirs, as far as that can be told.
        """
        ...

    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        """When a growing reply does best to write again, for its own later writes and the others'.

        `began` is when its text began, `wrote` when it was last written; what it says changes with what is spent.
        """
        ...

    def first_post_at(self, now: float) -> float:
        """From when on one more reply may show something, with a write left for the end of each that does.

        Showing the first words is a promise that the rest follows; a reply that shows nothing can do without this
        budget, as its whole answer goes up in one post.
        """
        ...

    def spend(self, now: float) -> None:
        """A write is being sent."""
        ...

    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """The answer to a write that was spent at `sent` is there, or is given up."""
        ...

    def hold(self, now: float, seconds: float) -> None:
        """The server said: nothing more for this long."""
        ...


class _Held:
    """What all budgets share: who is at work, what is in flight, and the server's holds."""

    def __init__(self) -> None:
        self.live = 0
        self.reserved_finals = 0
        self._in_flight = 0
        self._not_before = 0.0

    def paced_at(self, now: float, *, began: float, wrote: float) -> float:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`. Without a rhythm of its own: whenever there is a permit."""
        return wrote

    def first_post_at(self, now: float) -> float:
        """See `Budget`. Permits are back before anybody would mind."""
        return now

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


class RollingWindow(_Held):
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
        self, limit: int, period: float, *, paced: bool = True, on_spent: Callable[[], object] = ignored
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


class LeakyBucket(_Held):
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
        self, interval: float, *, burst: int = 1, paced: bool = False, on_spent: Callable[[], object] = ignored
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


class ReadLimiter:
    """A budget of reads, waited for: first come, first served, but that some leave room for others.

    At most `rate` reads in any stretch of `period` seconds. Who waits for nobody's eyes (what an earlier process left
    is looked into) acquires with `spare`: so many of the rate are left to whoever reads for a live answer. All that is
    there at once is not sent at once: a third is, and the rest within a tenth of the period, so that posts and edits
    find connections free.
    """

    def __init__(self, rate: int, period: float, *, on_spent: Callable[[], object] = ignored) -> None:
        """`on_spent` is called for each read, so that another process can `remember` it."""
        self._rate = rate
        self._period = period
        self._on_spent = on_spent
        burst = max(rate // 3, 1)
        self._spread = AsyncLimiter(burst, burst * period / 10 / max(rate - burst, 1))
        self._times: deque[float] = deque()  # of the reads of the last `period`
        self._first, self._patient = asyncio.Lock(), asyncio.Lock()  # the two lines
        self._not_before = 0.0

    async def acquire(self, *, spare: int = 0) -> None:
        """Wait for leave to read; there is always some, so `spare` is below `rate`."""
        loop = asyncio.get_running_loop()
        async with self._patient if spare else self._first:
            await self._spread.acquire()
            while (wait := self.wait(loop.time(), spare)) > 0:
                await asyncio.sleep(wait)
            self._times.append(loop.time())
            self._on_spent()

    def remember(self, now: float, ages: Sequence[float]) -> None:
        """Count the reads of an earlier process: each was sent so many seconds ago, and answered soon after."""
        counted = (now - max(age - ANSWERED_SECONDS, 0.0) for age in ages)
        self._times = deque(sorted([*self._times, *counted]))

    def hold(self, now: float, seconds: float) -> None:
        """The server said: no more reads for this long."""
        self._not_before = max(self._not_before, now + min(seconds, LONGEST_HOLD_SECONDS))

    def wait(self, now: float, spare: int = 0) -> float:
        """Seconds until there is leave to read, as far as is known now; not above 0 where there is."""
        while self._times and self._times[0] <= now - self._period:
            self._times.popleft()
        over = len(self._times) - (self._rate - spare)
        free_at = self._times[over] + self._period if over >= 0 else now
        return max(free_at, self._not_before) - now
