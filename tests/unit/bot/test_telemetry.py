"""The arithmetic of a turn's figures, on times given by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation import Ending
from bot.telemetry import Figures, TurnRecord
from tests.support.fakes import turn


def ended(figures: Figures, now: float, ending: Ending = Ending.DONE) -> TurnRecord:
    return figures.record(now, turn().key, ending, 1)


def test_character_delay_is_the_mean_over_all_characters() -> None:
    """Ten characters that waited 2 s and ten that waited 1 s waited 1.5 s on average."""
    figures = Figures(100.0)
    figures.received(101.0, 10)
    figures.received(102.0, 10)
    figures.shown(103.0, 20)
    record = ended(figures, 110.0)
    assert record.character_delay == pytest.approx(1.5)
    assert (record.first_delta, record.first_visible, record.settle) == (1.0, 3.0, 1.0)
    assert (record.characters, record.characters_shown, record.deltas) == (20, 20, 2)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50), st.booleans()), min_size=1, max_size=40))
def test_the_running_sum_is_the_mean_of_each_characters_delay(steps: list[tuple[float, int, bool]]) -> None:
    """However chunks and writes interleave, the one running sum gives what counting every character would."""
    figures, now = Figures(0.0), 0.0
    arrivals: list[float] = []
    delays: list[float] = []
    for pause, characters, write in steps:
        now += pause
        figures.received(now, characters)
        arrivals += [now] * characters
        if write:
            now += pause / 2
            figures.shown(now, len(arrivals))
            delays += [now - at for at in arrivals[len(delays) :]]
    figures.shown(now, len(arrivals))
    delays += [now - at for at in arrivals[len(delays) :]]
    record = ended(figures, now)
    assert record.character_delay == pytest.approx(sum(delays) / len(delays), abs=1e-6)


def test_a_turn_that_showed_nothing_has_no_delays() -> None:
    """Figures that it never came to are absent, not zero."""
    record = ended(Figures(0.0), 5.0, Ending.FAILED)
    assert (record.first_delta, record.first_visible, record.character_delay, record.settle) == (None,) * 4
    assert record.partial


def test_a_later_attempts_text_counts_from_when_it_was_wanted() -> None:
    """What an earlier attempt sent is not waited for any more."""
    figures = Figures(0.0)
    figures.received(1.0, 10)
    figures.shown(1.0, 10)
    figures.replaced(5.0, 30)
    figures.shown(6.0, 30)
    record = ended(figures, 6.0)
    assert record.character_delay == pytest.approx(20 / 30)
    assert record.characters == 30
