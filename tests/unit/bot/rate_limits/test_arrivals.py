"""The estimate of later answers, and the intervals that follow from it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rate_limits import RollingWindow
from bot.rate_limits.arrivals import FORGET_SECONDS, PRIOR_ANSWERS, PRIOR_SECONDS, ArrivalEstimate


def after(*times: float, now: float) -> ArrivalEstimate:
    estimate = ArrivalEstimate()
    for time in times:
        estimate = estimate.after_arrival(time)
    return estimate.at(now)


@pytest.mark.parametrize(
    ("times", "low", "high"),
    [
        ((), 0.2, 0.6),
        ((0.0,), 0.8, 1.6),
        ((0.0,) * 12, 0.8, 1.6),
        (tuple(range(0, 600, 10)), 4.0, 9.0),
        (tuple(range(0, 600, 60)), 1.0, 3.0),
    ],
    ids=["prior", "one", "twelve at once", "six a minute", "one a minute"],
)
def test_the_next_minutes_answers_follow_those_of_the_last_minutes(
    times: tuple[float, ...], low: float, high: float
) -> None:
    """Between a quiet workspace and a busy one; twelve at once count as one occasion."""
    assert low <= after(*times, now=max(times, default=0.0)).within(60.0) <= high


def test_a_long_silence_brings_the_prior_rate_down_and_forgets_the_busy_hour() -> None:
    """Nothing of a rush is left after an hour."""
    quiet = after(*range(0, 600, 5), now=600.0 + 12 * FORGET_SECONDS)
    assert quiet.answers == pytest.approx(PRIOR_ANSWERS, abs=0.01)
    assert quiet.seconds == pytest.approx(PRIOR_SECONDS + FORGET_SECONDS, abs=0.01)


def test_a_clock_that_goes_back_changes_nothing() -> None:
    """The estimate stays finite and as it was."""
    estimate = after(10.0, 20.0, now=30.0)
    assert estimate.at(5.0) == estimate
    assert math.isfinite(estimate.after_arrival(5.0).within(60.0))


@given(st.floats(0.05, 20.0), st.floats(0.05, 20.0), st.integers(1, 30), st.integers(0, 45))
def test_an_interval_is_monotone_in_the_arrival_rate(first: float, second: float, live: int, spent: int) -> None:
    """More expected answers, no shorter interval."""
    found = []
    for answers in sorted((first, second)):
        window = RollingWindow(50, 60.0, arrivals=ArrivalEstimate(answers=answers, updated_at=0.0))
        window.live = live
        for _ in range(spent):
            window.spend(1.0)
            window.record_response(1.0)
        found.append(window.paced_at(5.0, began=1.0, wrote=5.0))
    assert found[0] <= found[1] + 1e-9


@given(st.integers(1, 40), st.lists(st.floats(0.0, 3.0), max_size=150))
def test_growth_leaves_every_live_reply_its_final_write(live: int, pauses: list[float]) -> None:
    """However growth is timed, the window holds, and all live replies can end at any time."""
    window, now, sent = RollingWindow(50, 60.0), 100.0, list[float]()
    window.live = live
    for pause in pauses:
        now += pause
        if window.ready_at(now, final=False) <= now:
            window.spend(now)
            window.record_response(now)
            sent.append(now)
        in_window = sum(at > now - 60.0 for at in sent)
        assert in_window + live <= 50
        assert window.ready_at(now, final=True) <= now
