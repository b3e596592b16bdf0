"""Ten thousand answers: a small crowd is played here, and the kept figures are those of the large ones."""

from __future__ import annotations

import math
from functools import cache

import pytest

from benchmarks.latency import page
from benchmarks.latency.crowd import CROWDS, Crowd, crowd_table, measure_crowd, questions
from benchmarks.latency.table import load

# The worst reply's mean is at most this many times the average of the replies that share its rate limit.
FAIRNESS = 2.2

# One workspace of the full crowd.
SMALL = Crowd("200 within ten minutes", answers=200, channels=40, workspaces=1)
AT_ONCE = Crowd("60 at the same time", answers=60, channels=12, workspaces=2, seconds=60.0, models_at=60.0)

played = cache(measure_crowd)


@pytest.mark.parametrize("crowd", [SMALL, AT_ONCE], ids=lambda crowd: crowd.name)
def test_a_crowd_is_answered_whole_and_fairly(crowd: Crowd) -> None:
    """Every word of every answer, no 429, no reply far behind those that share its rate limit, and few steps."""
    result = played(crowd)
    assert result.whole == len(result.replies) == crowd.answers
    assert result.limited == 0
    assert result.fairness <= FAIRNESS
    assert 1.0 < result.steps_per_write < 32 * math.log2(max(result.live, 2))


def test_all_of_a_crowd_that_waits_for_its_model_run_at_once() -> None:
    """Otherwise it would not be as concurrent as it says."""
    assert played(AT_ONCE).live == AT_ONCE.answers
    assert played(SMALL).live < SMALL.answers / 4


def test_a_seed_gives_the_same_crowd() -> None:
    """Results are the same on every machine."""
    assert questions(SMALL) == questions(SMALL)
    assert {question.channel for question in questions(SMALL)} <= set(range(SMALL.channels))


def test_the_kept_crowds_are_whole_fair_and_cheap() -> None:
    """Ten thousand each: complete, without a 429; those within ten minutes are fair; steps as a logarithm allows."""
    kept = load("crowd")
    assert list(kept) == [crowd.name for crowd in CROWDS]
    for found in kept.values():
        assert found["whole"] == found["answers"] == 10_000
        assert found["limited"] == 0
        assert found["steps_per_write"] < 32 * math.log2(found["answers"])
    assert kept[CROWDS[0].name]["fairness"] <= FAIRNESS
    assert kept[CROWDS[1].name]["live"] == 10_000


def test_the_table_has_a_line_for_each_crowd() -> None:
    """With its name to the left."""
    table = crowd_table({"small": played(SMALL).figures()})
    assert table.splitlines()[1].startswith("small")


def test_the_page_shows_the_kept_figures() -> None:
    """`make bench-virtual WRITE=--write` makes the tables of docs/performance.md anew."""
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.filled(text) == text
    assert "| Discord, ten in a channel |" in text
