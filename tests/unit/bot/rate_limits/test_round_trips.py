"""Writes are sent early by the round trips of the last minute, and never too early."""

from __future__ import annotations

import random

import pytest

from bot.rate_limits import FixedWindow, RollingWindow, WindowReport
from bot.rate_limits.round_trips import EARLY_SHARE, LEAST_TRIPS, REMEMBERED_SECONDS, RoundTrips
from tests.unit.bot.rate_limits.test_rate_limits import FixedServer, RollingServer, play


def reported(there: float, back: float, *, reset_after: float = 5.0) -> FixedWindow:
    """A window whose writes were all sent at 100 s and travelled alike."""
    window = FixedWindow(5, 5.0, paced=False)
    for _ in range(5):
        window.spend(100.0)
    for remaining in range(4, -1, -1):
        answered = 100.0 + there + back
        window.observe(answered, WindowReport(5, remaining, reset_after), sent=100.0)
        window.record_response(answered, sent=100.0)
    return window


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("trip", [0.05, 0.15, 0.35, 3.0])
def test_the_next_window_opens_a_part_of_the_round_trip_early(trip: float, share: float) -> None:
    """Whatever the share of the way there: after the close where it is counted, by a fifth of a trip."""
    window = reported(trip * share, trip * (1 - share))
    opens_at = window.ready_at(100.0 + trip, final=True)
    assert opens_at == pytest.approx(105.0 + trip - EARLY_SHARE * trip, abs=0.021)
    arrives = opens_at + trip * share
    assert arrives >= 105.0 + trip * share + (1 - EARLY_SHARE) * trip - 1e-9


def test_varying_trips_are_not_trusted() -> None:
    """Ways there and back that are short apart from each other leave no lead, though no trip is short."""
    trips = RoundTrips()
    for there, back in ((0.01, 0.19), (0.19, 0.01), (0.1, 0.1)):
        trips.record_report(there + back, sent=0.0, reset_after=5.0 - there)
    assert trips.lead(1.0) == 0.0


def test_few_trips_are_not_trusted() -> None:
    """Until their spread can be seen."""
    trips = RoundTrips()
    for _ in range(LEAST_TRIPS - 1):
        trips.record(0.2, sent=0.0)
    assert trips.lead(1.0) == 0.0
    trips.record(0.2, sent=0.0)
    assert trips.lead(1.0) == pytest.approx(EARLY_SHARE * 0.2)


def test_trips_are_forgotten_after_a_minute_or_two() -> None:
    """The lead follows the network; the shortest trip of the last minute always counts."""
    trips = RoundTrips()
    for _ in range(LEAST_TRIPS):
        trips.record(0.1, sent=0.0)
    for second in (59.0, 61.0, 119.0):
        trips.record(second + 0.3, sent=second)
    assert trips.lead(119.4) == 0.0, "0.1 s counts still, with a spread of 0.2 s"
    for second in (125.0, 185.0, 186.0):
        trips.record(second + 0.3, sent=second)
    assert trips.lead(187.0) == pytest.approx(EARLY_SHARE * 0.3)
    assert trips.lead(187.0 + 2 * REMEMBERED_SECONDS) == 0.0


@pytest.mark.parametrize("least_share", [0.5, 0.3, 0.0])
def test_unevenly_shared_trips_never_provoke_a_429(least_share: float) -> None:
    """Trips of 120 to 350 ms that split at random into their two ways, at the edge of each window."""
    for seed in range(10):
        seeded = random.Random(seed)  # seeded: the same on every machine
        schedule = []
        for _ in range(60):
            trip, there = seeded.uniform(0.12, 0.35), seeded.uniform(least_share, 1 - least_share)
            schedule.append((0.0, trip * there, trip * (1 - there), True))
        play(FixedWindow(5, 5.0, paced=False), FixedServer(5, 5.0), schedule, told=True)
        play(RollingWindow(6, 10.0), RollingServer(6, 10.0), schedule, told=False)


@pytest.mark.parametrize("trip", [0.05, 0.35, 3.0])
def test_a_permit_of_a_rolling_window_returns_a_part_of_the_round_trip_early(trip: float) -> None:
    """A write counts from its arrival, and the next one takes its way: together a round trip, less a fifth of it."""
    window = RollingWindow(1, 10.0, paced=False)
    sent = at = 0.0
    for _ in range(LEAST_TRIPS):
        window.spend(at)
        window.record_response(at + trip, sent=at)
        sent, at = at, window.ready_at(at + trip, final=True)
    assert at == pytest.approx(sent + 10.0 + (1 - EARLY_SHARE) * trip, abs=0.021)
    assert at >= sent + 10.0 + (1 - EARLY_SHARE) * trip - 1e-9
