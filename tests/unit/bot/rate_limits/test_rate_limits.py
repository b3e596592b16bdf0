"""Rate limits never exceed a server's count at any latency, and pace their permits."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Protocol

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.rate_limits import (
    LONGEST_HOLD_SECONDS,
    AdaptiveLimit,
    Budget,
    FixedWindow,
    LeakyBucket,
    ReadLimiter,
    RollingWindow,
    WindowReport,
)

LATENCY = st.floats(0, 3)
SCHEDULE = st.lists(st.tuples(st.floats(0, 2), LATENCY, LATENCY, st.booleans()), max_size=60)


class FixedServer:
    """Counts arriving writes in a fixed window, opened by the first write after the last close."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit, self.period = limit, period
        self.opened_at, self.used = float("-inf"), 0

    def arrive(self, at: float) -> WindowReport:
        if at >= self.opened_at + self.period:
            self.opened_at, self.used = at, 0
        self.used += 1
        assert self.used <= self.limit, "a 429 was provoked"
        return WindowReport(self.limit, self.limit - self.used, self.opened_at + self.period - at)


class RollingServer:
    """Counts the arrivals of the last period."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit, self.period = limit, period
        self.arrived: deque[float] = deque()

    def arrive(self, at: float) -> None:
        self.arrived.append(at)
        recent = [arrival for arrival in self.arrived if arrival > at - self.period + 1e-9]  # but for rounding
        assert len(recent) <= self.limit, "a 429 was provoked"


class Server(Protocol):
    """Counts writes."""

    def arrive(self, at: float) -> WindowReport | None: ...


def play(budget: Budget, server: Server, schedule: list[tuple[float, float, float, bool]], *, told: bool) -> None:
    """Send writes as soon as they may be, many in flight at once, and let the server count them as they arrive.

    A schedule says for each write: a pause before it, its way there, its way back, and whether it is final. Its request
    begins a little after it was spent, as in an adapter.
    """
    now = 0.0
    events: list[tuple[float, int, str, WindowReport | None]] = []

    def happen(until: float) -> None:
        while events and min(events)[0] <= until:
            event = min(events, key=lambda item: item[:2])
            events.remove(event)
            at, number, kind, report = event
            if kind == "arrive":
                told_back = server.arrive(at)
                events.append((at + backs[number], number, "back", told_back))
            else:
                if told and report is not None and isinstance(budget, FixedWindow):
                    budget.observe(at, report, sent=sents[number] + min(theres[number], 1e-4))
                budget.record_response(at, sent=sents[number])

    backs: dict[int, float] = {}
    theres: dict[int, float] = {}
    sents: dict[int, float] = {}
    for serial, (pause, there, back, final) in enumerate(schedule):
        now += pause
        happen(now)
        while (at := budget.ready_at(now, final=final)) > now:
            next_event = min((event[0] for event in events), default=at)
            now = min(at, max(next_event, now + 1e-9))
            happen(now)
        budget.spend(now)
        backs[serial], theres[serial], sents[serial] = back, there, now
        events.append((now + there, serial, "arrive", None))
    happen(float("inf"))


# One comes into the window that another opened, and is answered after that window's report was written and before it
# is read.
CROSSING = [
    (2.0, 0.0, 0.0, False),
    (2.0, 2.0, 0.0, False),
    (2.0, 1.0, 1.0, False),
    (0.5, 2.0, 0.0, False),
    (0.5, 1.0, 1.0, False),
    (0.0, 2.0, 1.0, False),
    (0.0, 0.5, 1.0, False),
    (0.0, 0.0, 0.0, False),
]


@given(SCHEDULE, st.booleans(), st.integers(0, 5))
def test_a_fixed_window_without_reports_never_provokes_a_429(
    schedule: list[tuple[float, float, float, bool]], paced: bool, live: int
) -> None:
    """At any latency each way."""
    budget = FixedWindow(5, 5.0, paced=paced)
    budget.live = live
    play(budget, FixedServer(5, 5.0), schedule, told=False)


# How much longer a write's ways are than the shortest, and how often one is the shortest.
SHORTEST_EVERY = 5


@st.composite
def met_floor(draw: st.DrawFn) -> list[tuple[float, float, float, bool]]:
    """Trips of any asymmetry that vary in any way above their shortest one, or grow."""
    there, back, schedule = draw(LATENCY), draw(LATENCY), draw(SCHEDULE)
    if draw(st.booleans()):
        longer = zip(*(sorted(write[way] for write in schedule) for way in (1, 2)), strict=True)
        more = list(longer)
    else:
        more = [write[1:3] if at % SHORTEST_EVERY else (0.0, 0.0) for at, write in enumerate(schedule)]
    return [
        (pause, there + more_there, back + more_back, final)
        for (pause, _, _, final), (more_there, more_back) in zip(schedule, more, strict=True)
    ]


@example(CROSSING, False, 0)
@given(met_floor(), st.booleans(), st.integers(0, 5))
def test_a_fixed_window_with_reports_never_provokes_a_429(
    schedule: list[tuple[float, float, float, bool]], paced: bool, live: int
) -> None:
    """With trips fixed, random, asymmetric or growing, if the shortest of the last minute is met by some write."""
    budget = FixedWindow(5, 5.0, paced=paced)
    budget.live = live
    play(budget, FixedServer(5, 5.0), schedule, told=True)


@given(met_floor(), st.integers(0, 9))
def test_a_rolling_window_never_provokes_a_429(schedule: list[tuple[float, float, float, bool]], live: int) -> None:
    """With trips fixed, random, asymmetric or growing, if the shortest of the last minute is met by some write."""
    budget = RollingWindow(6, 10.0)
    budget.live = live
    play(budget, RollingServer(6, 10.0), schedule, told=False)


@given(SCHEDULE)
def test_a_leak_never_provokes_a_429(schedule: list[tuple[float, float, float, bool]]) -> None:
    """One a second is one a second where it is counted, not where it is sent."""
    play(LeakyBucket(1.0), RollingServer(1, 1.0), schedule, told=False)


def test_other_programs_writes_are_known_from_headers() -> None:
    """A server reporting fewer permits left than we computed is believed."""
    budget = FixedWindow(5, 5.0, paced=False)
    budget.spend(0.0)
    budget.observe(0.1, WindowReport(5, 1, 4.0), sent=0.0)
    budget.record_response(0.1)
    budget.spend(0.2)
    budget.record_response(0.3)
    assert budget.ready_at(0.4, final=True) == pytest.approx(4.1, abs=0.05)


def test_a_reported_write_costs_the_next_window_nothing() -> None:
    """A response after a possible close, to a write reported as counted before it; its request began after its permit.

    Round trips of 0.35 s, half of it each way: the last write arrives 0.13 s before the close.
    """
    budget = FixedWindow(5, 5.0, paced=False)
    for sent, remaining in ((0.0, 4), (1.0, 3), (2.0, 2), (3.0, 1), (4.695, 0)):
        budget.spend(sent)
        began, answered = sent + 0.002, sent + 0.35
        budget.observe(answered, WindowReport(5, remaining, 5.0 - sent), sent=began)
        budget.record_response(answered, sent=sent)
    for sent in (5.4, 5.5, 5.6, 5.7, 5.8):
        assert budget.ready_at(sent, final=True) <= sent
        budget.spend(sent)
    assert budget.ready_at(5.9, final=True) > 5.9


def test_a_lone_reply_keeps_one_write_for_its_end() -> None:
    """In a window of five, four are spaced and the fifth is kept until just before the close."""
    budget = FixedWindow(5, 5.0, paced=True)
    budget.live = 1
    times, now = [], 100.0
    for _ in range(6):
        now = max(now, budget.ready_at(now, final=False))
        assert budget.ready_at(now, final=True) <= now
        budget.spend(now)
        budget.record_response(now)
        times.append(round(now - 100, 2))
    assert times == [0.0, 1.17, 2.32, 3.47, 4.87, 5.77]


def test_a_window_shorter_than_assumed_delays_nothing() -> None:
    """Another write opened a window of two seconds; the second write of ours is spaced by its end, not by five."""
    budget = FixedWindow(5, 5.0, paced=True)
    budget.live = 1
    budget.spend(100.0)
    budget.observe(100.01, WindowReport(5, 3, 1.8), sent=100.0)
    budget.record_response(100.01)
    assert budget.ready_at(100.02, final=False) < 101.0


def test_several_replies_spend_one_write_a_step() -> None:
    """Replies sharing a window spend it evenly and reserve nothing."""
    budget = FixedWindow(5, 5.0, paced=True)
    budget.live = 4
    times, now = [], 100.0
    for _ in range(6):
        now = max(now, budget.ready_at(now, final=False))
        budget.spend(now)
        budget.record_response(now)
        times.append(round(now - 100, 1))
    assert times == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_permits_stay_for_final_writes_where_replies_are_fewer() -> None:
    """No reply writes much sooner than its turn: with four there are moments without a permit spent, with five none."""
    budget = FixedWindow(5, 5.0, paced=True)
    for live, interval in ((1, 0.0), (2, 2 * FixedWindow.OWN_SHARE), (4, 4 * FixedWindow.OWN_SHARE), (5, 0.0)):
        budget.live = live
        assert budget.paced_at(100.0, began=90.0, wrote=99.0) == pytest.approx(99.0 + interval)


def test_a_window_for_more_replies_than_permits_opens_at_once() -> None:
    """Not while it is open or held, nor where each reply has a permit; limits without windows have none to open."""
    window = FixedWindow(5, 5.0, paced=False)
    window.live = 5
    assert not window.should_open(0.0)
    window.live = 6
    assert window.should_open(0.0)
    window.spend(0.0)
    assert not window.should_open(0.0)
    window.record_response(0.1)
    assert not window.should_open(5.0)
    assert window.should_open(5.2)
    window.hold(5.2, 3.0)
    assert not window.should_open(8.1)
    assert window.should_open(8.2)
    for other in (RollingWindow(5, 5.0), LeakyBucket(1.0)):
        other.live = 6
        assert not other.should_open(0.0)


def spend(budget: Budget, now: float, times: int = 1) -> None:
    """So many writes, answered at once."""
    for _ in range(times):
        budget.spend(now)
        budget.record_response(now)


def test_a_rolling_window_keeps_a_write_for_each_live_reply_and_for_the_next_readers() -> None:
    """However much is written, all live replies can end at once, and so can later ones."""
    budget = RollingWindow(10, 60.0)
    budget.live = 4
    while budget.ready_at(0.0, final=False) <= 0.0:
        spend(budget, 0.0)
    for _ in range(4 + RollingWindow.SPARE):
        assert budget.ready_at(0.0, final=True) <= 0.0
        spend(budget, 0.0)
    assert budget.ready_at(0.0, final=True) >= 60.0


def test_first_words_are_promised_while_every_end_has_a_write() -> None:
    """In a window of ten with four spent, six replies may post; the seventh waits for a permit."""
    budget = RollingWindow(10, 60.0)
    spend(budget, 0.0, 4)
    for reserved_finals in range(6):
        budget.reserved_finals = reserved_finals
        assert budget.first_post_at(1.0) == 1.0
    budget.reserved_finals = 6
    assert budget.first_post_at(1.0) == pytest.approx(60.0, abs=0.1)
    assert FixedWindow(5, 5.0, paced=True).first_post_at(1.0) == 1.0
    everything = RollingWindow(2, 1.0, paced=False)
    everything.reserved_finals = 1_000
    assert everything.first_post_at(1.0) == 1.0, "a second's window is back before anybody would mind"


def test_promised_ends_are_not_spent_on_growth() -> None:
    """With as many reserved finals as permits, only final writes are sent, however few replies are live."""
    budget = RollingWindow(10, 60.0)
    budget.reserved_finals = budget.live = 10
    assert budget.ready_at(0.0, final=False) > 0.0
    assert budget.ready_at(0.0, final=True) == 0.0


@example(2, 34, 0.0, 0.0)
@given(st.integers(1, 40), st.integers(0, 49), st.floats(0, 100), st.floats(0, 100))
def test_intervals_grow_with_age_and_with_what_is_spent(live: int, spent: int, age: float, more: float) -> None:
    """Spent permits and other replies each lengthen the interval, and age does once a reply is longer than usual."""
    budget = RollingWindow(50, 60.0)
    budget.live = live
    spend(budget, 100.0, spent)

    def interval(age: float) -> float:
        return budget.paced_at(100.0, began=100.0 - age, wrote=100.0) - 100.0

    young, typical = interval(age), RollingWindow.TYPICAL
    assert young > 0
    assert interval(typical + age) <= interval(typical + age + more) + 1e-9
    fresh = RollingWindow(50, 60.0)
    fresh.live = live
    alone = fresh.paced_at(100.0, began=100.0 - age, wrote=100.0)
    fresh.live += 1
    assert fresh.paced_at(100.0, began=100.0 - age, wrote=100.0) >= alone
    if budget.ready_at(100.0, final=False) <= 100.0:
        spend(budget, 100.0)
        assert interval(age) >= young - 1e-9 or budget.ready_at(100.0, final=False) > 100.0


def test_a_lone_reply_can_go_on_for_ever_in_a_rolling_window() -> None:
    """The growing gap spends about a period's writes in a period, so no long silence follows."""
    budget = RollingWindow(50, 60.0)
    budget.live = 1
    now, last, longest = 0.0, 0.0, 0.0
    while now < 600:
        now = max(now, budget.ready_at(now, final=False), budget.paced_at(now, began=0.0, wrote=last))
        longest, last = max(longest, now - last), now
        budget.spend(now)
        budget.record_response(now)
    assert longest < 3.5


class LeakServer:
    """Lets one write through each interval, with a burst, and counts arrivals."""

    def __init__(self, interval: float, burst: int) -> None:
        self.interval, self.burst, self.empty_at = interval, burst, float("-inf")

    def arrive(self, at: float) -> None:
        empty_at = max(self.empty_at, at)
        assert empty_at - (self.burst - 1) * self.interval <= at + 1e-9, "a 429 was provoked"
        self.empty_at = empty_at + self.interval


@given(SCHEDULE, st.integers(0, 9))
def test_a_leak_with_a_burst_never_provokes_a_429(schedule: list[tuple[float, float, float, bool]], live: int) -> None:
    """At any latency each way, with any number of live replies."""
    budget = LeakyBucket(1.2, burst=5, paced=True)
    budget.live = live
    play(budget, LeakServer(1.2, 5), schedule, told=False)


def test_a_leak_stretches_its_burst_and_keeps_a_write_for_the_end() -> None:
    """A lone reply starts fast, comes down to the rate of the leak, and can end at any moment."""
    budget = LeakyBucket(1.2, burst=5, paced=True)
    budget.live = 1
    now, times = 0.0, [0.0]
    spend(budget, now)
    for _ in range(12):
        now = max(budget.ready_at(now, final=False), budget.paced_at(now, began=0.0, wrote=now))
        assert budget.ready_at(now, final=True) <= now
        times.append(now)
        spend(budget, now)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 0.7
    assert gaps[-1] == pytest.approx(1.2, abs=0.1)


def latching() -> AdaptiveLimit:
    return AdaptiveLimit(RollingWindow(50, 60.0), LeakyBucket(1.2, burst=5, paced=True), leaky_seconds=600.0)


def test_a_429_below_the_windows_limit_latches_the_leak_for_its_time() -> None:
    """Before: bursts. After: no more than the leak lets through, from the server's hold on. Then the window again."""
    budget = latching()
    budget.live = 1
    spend(budget, 0.0, 10)
    assert budget.ready_at(0.0, final=True) == 0.0
    budget.hold(0.0, 3.0)
    server, now, spent = LeakServer(1.2, 5), 3.0, 0
    for _ in range(5):
        server.arrive(0.0)  # the server's bucket is full when it says no
    while now < 60.0:
        now = max(now, budget.ready_at(now, final=True))
        server.arrive(now)
        spend(budget, now)
        spent += 1
    assert spent >= 40  # with the ten of before, all that a minute has
    now = 700.0
    spend(budget, now, 12)
    assert budget.ready_at(now, final=True) == now


def test_a_429_of_a_window_that_is_used_up_latches_nothing() -> None:
    """A used-up window explains the 429."""
    budget = latching()
    spend(budget, 0.0, 50)
    budget.hold(1.0, 59.0)
    spend(budget, 61.0, 20)
    assert budget.ready_at(61.0, final=True) == 61.0


def test_either_way_of_counting_knows_who_is_at_work() -> None:
    """Both keep something back for the same replies, whichever is believed."""
    budget = latching()
    budget.live += 3
    budget.reserved_finals += 2
    assert (budget.live, budget.reserved_finals) == (3, 2)
    budget.hold(0.0, 0.0)
    spend(budget, 100.0, 2)
    assert budget.ready_at(100.0, final=True) == 100.0
    assert budget.ready_at(100.0, final=False) > 100.0


@pytest.mark.parametrize(
    "budget", [FixedWindow(5, 5.0, paced=True), RollingWindow(50, 60.0), LeakyBucket(1.0), latching()]
)
def test_a_hold_beats_everything(budget: Budget) -> None:
    """The server's word holds finals too, is never shortened by a later one, and is bounded."""
    budget.hold(10.0, 7.0)
    budget.hold(11.0, 1.0)
    assert budget.ready_at(12.0, final=True) == 17.0
    budget.hold(12.0, 1e9)
    assert budget.ready_at(13.0, final=True) == 12.0 + LONGEST_HOLD_SECONDS


async def test_reads_wait_in_order_within_their_rate() -> None:
    """Fifty a minute are fifty in any minute, and a hold pauses them all."""
    loop = asyncio.get_running_loop()
    reads, times = ReadLimiter(50, 60.0), []
    for _ in range(120):
        await reads.acquire()
        times.append(loop.time())
    assert all(sum(start <= at < start + 60 for at in times) <= 50 for start in times)
    reads.hold(loop.time(), 30.0)
    before = loop.time()
    await reads.acquire()
    assert loop.time() - before >= 30.0


async def test_reads_that_can_wait_leave_room() -> None:
    """Reads for a live answer pass while a hundred background reads wait for the next minute."""
    loop = asyncio.get_running_loop()
    reads, patient = ReadLimiter(45, 60.0), []

    async def look() -> None:
        await reads.acquire(reserve=10)
        patient.append(loop.time())

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(look())
        await asyncio.sleep(20)
        assert len(patient) == 35
        before = loop.time()
        for _ in range(10):
            await reads.acquire()
        assert loop.time() - before < 2
    assert all(sum(start <= at < start + 60 for at in patient) <= 35 for start in patient)
    assert patient[-1] - patient[0] <= 145


def test_what_others_may_have_spent_is_spent_one_by_one() -> None:
    """After another process, edits come a second apart for a minute, and are fifty in it; then all at once again."""
    budget, sent = latching(), []
    budget.force_leaky(100.0, 60.0)
    now = 100.0
    while now < 160.0:
        now = max(budget.ready_at(now, final=True), now)
        spend(budget, now)
        sent.append(now)
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(sent))
    assert len(sent) >= 45
    assert budget.ready_at(300.0, final=True) <= 300.0
    spend(budget, 300.0, 20)
    assert budget.ready_at(300.0, final=True) <= 300.0


def test_what_an_earlier_process_used_counts() -> None:
    """A window, a bucket and both together start with an earlier process's last minute, and forget it in time."""
    window = RollingWindow(3, 60.0, paced=False)
    window.remember(100.0, [50.0, 10.0, 5.0])
    assert window.ready_at(100.0, final=True) == pytest.approx(100.0 - 48.0 + 60.0)
    assert window.ready_at(112.1, final=True) == 112.1
    leak = LeakyBucket(1.2, burst=5)
    leak.remember(100.0, [3.0] * 8)
    assert leak.ready_at(100.0, final=True) > 100.0
    either = AdaptiveLimit(RollingWindow(2, 60.0, paced=False), LeakyBucket(1.2, burst=5), 60.0)
    either.remember(100.0, [1.0, 1.0])
    assert either.ready_at(100.0, final=True) == pytest.approx(160.0)


async def test_reads_of_an_earlier_process_count() -> None:
    """A read waits for one of an earlier process to be a period old."""
    loop = asyncio.get_running_loop()
    reads = ReadLimiter(3, 60.0)
    reads.remember(loop.time(), [30.0, 20.0, 10.0])
    began = loop.time()
    await reads.acquire()
    assert loop.time() - began == pytest.approx(32.0, abs=0.1)


async def test_reads_of_a_lower_rate_count_what_was_sent() -> None:
    """After its rate drops, a limit waits for its earlier reads; nobody waits longer than their deadline."""
    loop = asyncio.get_running_loop()
    reads = ReadLimiter(45, 60.0)
    for _ in range(3):
        await reads.acquire()
    reads.set_rate(1)
    began = loop.time()
    assert not await reads.acquire(deadline=began + 30.0)
    assert loop.time() - began < 1.0
    assert await reads.acquire(deadline=began + 61.0)
    assert loop.time() - began == pytest.approx(60.0, abs=1.0)


async def test_a_rate_below_the_reserve_serves_live_reads_first() -> None:
    """With one read a minute, a background read leaves a quarter of a minute to live ones, and then comes."""
    loop = asyncio.get_running_loop()
    reads = ReadLimiter(1, 60.0)
    assert await reads.acquire(reserve=10)
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        patient = group.create_task(reads.acquire(reserve=10))
        await asyncio.sleep(70.0)
        assert not patient.done()
        assert reads.wait(loop.time()) <= 0
    assert loop.time() - began == pytest.approx(75.0, abs=0.1)
