"""The history of figures, and its charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from adapters.admin.charts import BAR_MINUTES, BARS, HEIGHT, HOURS, WIDTH, charts
from adapters.admin.history import MINUTES, History, Minute
from bot.conversation import Ending, TurnKey
from bot.telemetry import Figures, TurnRecord

NOW = datetime(2026, 11, 28, 12, 34, tzinfo=UTC)


class Clock:
    """A wall clock set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def record(ending: Ending, *, first: float = 0.0, settle: float = 0.0) -> TurnRecord:
    """The record of a turn with a first text after `first` seconds."""
    figures = Figures(0.0)
    figures.received(first, 10)
    figures.shown(first + settle, 10)
    return figures.record(10.0, TurnKey("memory", "W", "C", "1"), ending, 1)


def test_minutes_count_turns_failures_and_rate_limits() -> None:
    """Figures of one minute are together; a new minute begins a new count, and old ones are left out."""
    clock = Clock()
    history = History(clock)
    history.ended(record(Ending.DONE, first=0.5, settle=0.25))
    history.ended(Figures(0.0).record(10.0, TurnKey("memory", "W", "C", "2"), Ending.FAILED, 0))
    history.wrote("memory", "edit", "limited")
    history.wrote("memory", "edit", "ok")
    history.attempt_failed("broken")
    clock.now += timedelta(minutes=1)
    history.ended(record(Ending.STOPPED))
    first, second = history.minutes(60)
    assert (first.turns, first.failed, first.rate_limited, first.failed_attempts) == (2, 1, 1, 1)
    assert list(first.first_text) == [0.75]
    assert list(first.settle) == [0.25]
    assert (second.turns, second.failed) == (1, 0)
    assert history.minutes(1) == (second,)


def test_the_history_is_bounded() -> None:
    """A day of minutes is kept."""
    clock = Clock()
    history = History(clock)
    for _ in range(MINUTES + 10):
        history.attempt_failed("broken")
        clock.now += timedelta(minutes=1)
    assert len(history.minutes(10 * MINUTES)) == MINUTES


def test_an_empty_history_says_so() -> None:
    """Each chart has words and no bar."""
    for chart in charts((), NOW):
        assert chart.summary == f"No answer in the last {HOURS} hours."
        assert not chart.bars


def test_charts_tell_their_figures_in_words() -> None:
    """The tables have the operator's local times; sums and medians are told apart."""
    minute = Minute(int(NOW.timestamp() // 60))
    minute.first_text.extend([1.0, 2.0, 6.0])
    minute.turns, minute.failed = 3, 1
    by_name = {chart.name: chart for chart in charts((minute,), NOW)}
    assert by_name["first"].rows == (("12:30", "2.00 s"),)
    assert by_name["answers"].summary == "3 in the last 6 hours."
    assert by_name["failed"].rows == (("12:30", "1"),)
    (bar,) = by_name["first"].bars
    assert (bar.y, bar.height) == (0.0, HEIGHT)
    assert bar.x + bar.width <= WIDTH


@given(st.lists(st.tuples(st.integers(0, 3 * HOURS * 60), st.floats(0, 1e6)), max_size=40))
def test_every_bar_is_within_its_chart(events: list[tuple[int, float]]) -> None:
    """Bars stay within the drawing, one for each step at most; older minutes are left out."""
    last = int(NOW.timestamp() // 60)
    minutes = []
    for back, value in sorted(events, reverse=True):
        minute = Minute(last - back)
        minute.first_text.append(value)
        minutes.append(minute)
    for chart in charts(minutes, NOW):
        assert len(chart.bars) <= BARS == HOURS * 60 // BAR_MINUTES
        assert len(chart.rows) == len(chart.bars)
        for bar in chart.bars:
            assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
            assert 0 <= bar.y <= HEIGHT + 1e-6
            assert abs(bar.y + bar.height - HEIGHT) < 0.02
