"""How many lanes a process takes or gives up, and which first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.ownership.lanes import (
    POISONED_SECONDS,
    FreeLane,
    Lane,
    LaneCounts,
    is_poisoned,
    lanes_to_give_up,
    lanes_to_take,
    taking_order,
)


def lane(name: str) -> Lane:
    return Lane("slack", name)


@given(takers=st.integers(1, 20), lanes=st.integers(0, 500), free=st.integers(0, 500))
def test_one_look_of_each_process_takes_all_lanes_evenly(takers: int, lanes: int, free: int) -> None:
    """Whatever the others own, nothing is left over, and nobody takes more than its fair share."""
    free = min(free, lanes)
    owned = [(lanes - free) // takers + (number < (lanes - free) % takers) for number in range(takers)]
    left = free
    for rank, each in enumerate(reversed(owned)):
        counts = LaneCounts(lanes, free, takers, members=takers, rank=rank)
        taken = min(lanes_to_take(counts, each), left)
        assert each + taken <= max(counts.fair_share, each)
        left -= taken
    assert left == 0


def test_lanes_of_a_dead_owner_are_spread() -> None:
    """A third of 30 lanes is left to two survivors: each takes half of it."""
    assert lanes_to_take(LaneCounts(lanes=30, free=10, takers=2), owned=10) == 5


def test_lanes_left_over_are_taken_regardless_of_fairness() -> None:
    """The process whose part they are cannot take them: the others do, a part at each look."""
    counts = LaneCounts(10, free=4, takers=2)
    assert lanes_to_take(counts, owned=6) == 0
    assert lanes_to_take(counts, owned=6, is_left_over=True) == 2


@given(lanes=st.integers(0, 500), members=st.integers(1, 20))
def test_fair_shares_differ_by_one_at_most_and_leave_nothing_over(lanes: int, members: int) -> None:
    """A hundred shards and sixteen processes: four get seven, twelve get six."""
    shares = [LaneCounts(lanes, members=members, rank=rank).fair_share for rank in range(members)]
    assert sum(shares) == lanes
    assert max(shares) - min(shares) <= 1


def test_processes_that_start_together_leave_each_other_their_parts() -> None:
    """One of three is past its grace period: it takes a third of 30 lanes, not all."""
    assert lanes_to_take(LaneCounts(30, free=30, takers=1, is_overdue=True, members=3), owned=0) == 10


@given(takers=st.integers(0, 20), lanes=st.integers(0, 100), free=st.integers(0, 100), owned=st.integers(0, 100))
def test_never_more_than_are_free(takers: int, lanes: int, free: int, owned: int) -> None:
    """Whatever the counts, a process takes between none and all free lanes."""
    assert 0 <= lanes_to_take(LaneCounts(lanes, free, takers, is_overdue=True), owned, is_left_over=True) <= free


def test_an_owner_of_far_more_than_the_mean_gives_up_the_difference() -> None:
    """At 1.25 times the mean it keeps all; above, it gives up what exceeds a fair share."""
    assert lanes_to_give_up(LaneCounts(lanes=40, takers=2), owned=25) == 0
    assert lanes_to_give_up(LaneCounts(lanes=40, takers=2), owned=26) == 6


def test_a_process_with_far_less_than_the_mean_gets_some() -> None:
    """Fifteen owners of six or seven of 100 lanes have too many once a sixteenth process has none."""
    counts = LaneCounts(lanes=100, takers=16, members=16, rank=9, least=0)
    assert lanes_to_give_up(counts, owned=7) == 1
    assert lanes_to_give_up(counts, owned=6) == 0
    assert lanes_to_give_up(replace(counts, least=5), owned=7) == 0


@pytest.mark.parametrize(("lanes", "owned", "least"), [(3, 2, 1), (1, 1, 0), (5, 2, 1)])
def test_a_difference_of_one_lane_moves_nothing(lanes: int, owned: int, least: int) -> None:
    """It would only be somebody else's."""
    assert lanes_to_give_up(LaneCounts(lanes, takers=2, members=2, rank=1, least=least), owned) == 0


def test_nothing_is_given_up_while_lanes_are_free_or_nobody_else_is_there() -> None:
    """Those in need take the free ones first."""
    assert lanes_to_give_up(LaneCounts(lanes=40, free=1, takers=2), owned=39) == 0
    assert lanes_to_give_up(LaneCounts(lanes=40, takers=1), owned=40) == 0


def test_poisoned_lanes_are_taken_last() -> None:
    """An owner died there three times within ten minutes; else the longest free comes first."""
    deaths = (100.0, 300.0, 500.0)
    free = [FreeLane(lane("poisoned"), 1.0, deaths), FreeLane(lane("later"), 9.0), FreeLane(lane("earlier"), 5.0)]
    assert [each.name for each in taking_order(free, 600.0)] == ["earlier", "later", "poisoned"]
    assert [each.name for each in taking_order(free, 100.0 + POISONED_SECONDS)] == ["poisoned", "earlier", "later"]


def test_two_deaths_are_no_poison() -> None:
    """Nor are three in a longer time."""
    assert not is_poisoned((1.0, 2.0), 3.0)
    assert is_poisoned((1.0, 2.0, 3.0), 3.0)
    assert not is_poisoned((1.0, 2.0, 3.0), 1.0 + POISONED_SECONDS)
