"""Budgets never let more through than a server counts, whatever the latency, and space what they let through."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budget import LONGEST_HOLD_SECONDS, Budget, FixedWindow, Leak, Reads, RollingWindow, WindowReport

LATENCY = st.floats(0, 3)
SCHEDULE = st.lists(st.tuples(st.floats(0, 2), LATENCY, LATENCY, st.booleans()), max_size=60)


class FixedServer:
    """Counts a write when it arrives: so many in a window that the first after the last one's close opens."""

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


def play(
    budget: Budget, server: FixedServer | RollingServer, schedule: list[tuple[float, float, float, bool]], *, told: bool
) -> None:
    """Send writes as soon as they may be, many in flight at once, and let the server count them as they arrive.

    A schedule says for each write: a pause before it, its way there, its way back, and whether it is final.
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
                    budget.observe(at, report, sent=sents[number])
                budget.settle(at, sent=sents[number])

    backs: dict[int, float] = {}
    sents: dict[int, float] = {}
    for serial, (pause, there, back, final) in enumerate(schedule):
        now += pause
        happen(now)
        while (at := budget.ready_at(now, final=final)) > now:
            next_event = min((event[0] for event in events), default=at)
            now = min(at, max(next_event, now + 1e-9))
            happen(now)
        budget.spend(now)
        backs[serial], sents[serial] = back, now
        events.append((now + there, serial, "arrive", None))
    happen(float("inf"))


@given(SCHEDULE, st.booleans(), st.booleans(), st.integers(0, 5))
def test_a_fixed_window_never_provokes_a_429(
    schedule: list[tuple[float, float, float, bool]], told: bool, paced: bool, live: int
) -> None:
    """Whatever the latency each way, with the server's headers or without them."""
    budget = FixedWindow(5, 5.0, paced=paced)
    budget.live = live
    play(budget, FixedServer(5, 5.0), schedule, told=told)


@given(SCHEDULE, st.integers(0, 9))
def test_a_rolling_window_never_provokes_a_429(schedule: list[tuple[float, float, float, bool]], live: int) -> None:
    """Whatever the latency each way."""
    budget = RollingWindow(6, 10.0)
    budget.live = live
    play(budget, RollingServer(6, 10.0), schedule, told=False)


@given(SCHEDULE)
def test_a_leak_never_provokes_a_429(schedule: list[tuple[float, float, float, bool]]) -> None:
    """One a second is one a second where it is counted, not where it is sent."""
    play(Leak(1.0), RollingServer(1, 1.0), schedule, told=False)


def test_other_programs_writes_are_known_from_headers() -> None:
    """A server that says that less is left than we spent is believed."""
    budget = FixedWindow(5, 5.0, paced=False)
    budget.spend(0.0)
    budget.observe(0.1, WindowReport(5, 1, 4.0), sent=0.0)
    budget.settle(0.1)
    budget.spend(0.2)
    budget.settle(0.3)
    assert budget.ready_at(0.4, final=True) == pytest.approx(4.1, abs=0.05)


def test_a_lone_reply_keeps_one_write_for_its_end() -> None:
    """In a window of five, four are spaced and the fifth is kept until just before the close."""
    budget = FixedWindow(5, 5.0, paced=True)
    budget.live = 1
    times, now = [], 100.0
    for _ in range(6):
        now = max(now, budget.ready_at(now, final=False))
        assert budget.ready_at(now, final=True) <= now
        budget.spend(now)
        budget.settle(now)
        times.append(round(now - 100, 2))
    assert times == [0.0, 1.17, 2.32, 3.47, 4.87, 5.77]


def test_several_replies_spend_one_write_a_step() -> None:
    """Sharing a window, they spend it evenly and keep nothing back."""
    budget = FixedWindow(5, 5.0, paced=True)
    budget.live = 4
    times, now = [], 100.0
    for _ in range(6):
        now = max(now, budget.ready_at(now, final=False))
        budget.spend(now)
        budget.settle(now)
        times.append(round(now - 100, 1))
    assert times == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_rolling_window_keeps_a_write_for_each_live_reply() -> None:
    """However much is written meanwhile, every live reply can end at once."""
    budget = RollingWindow(10, 60.0)
    budget.live = 4
    now = 0.0
    for _ in range(6):
        now = max(now, budget.ready_at(now, final=False))
        budget.spend(now)
        budget.settle(now)
    assert budget.ready_at(now, final=False) >= 60.0
    for _ in range(4):
        assert budget.ready_at(now, final=True) <= now
        budget.spend(now)
        budget.settle(now)


def test_a_lone_reply_can_go_on_for_ever_in_a_rolling_window() -> None:
    """The growing gap spends about a period's writes in a period, so no long silence follows."""
    budget = RollingWindow(50, 60.0)
    budget.live = 1
    now, last, longest = 0.0, 0.0, 0.0
    while now < 600:
        now = max(now, budget.ready_at(now, final=False))
        longest, last = max(longest, now - last), now
        budget.spend(now)
        budget.settle(now)
    assert longest < 3.5


@pytest.mark.parametrize("budget", [FixedWindow(5, 5.0, paced=True), RollingWindow(50, 60.0), Leak(1.0)])
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
    reads, times = Reads(50, 60.0), []
    for _ in range(120):
        await reads.acquire()
        times.append(loop.time())
    assert all(sum(start <= at < start + 60 for at in times) <= 50 for start in times)
    reads.hold(loop.time(), 30.0)
    before = loop.time()
    await reads.acquire()
    assert loop.time() - before >= 30.0
