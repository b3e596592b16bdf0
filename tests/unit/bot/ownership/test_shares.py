"""The division of one limit among processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.ownership.shares import WINDOW_SECONDS, Share, divide, grant

DEMANDS = st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.integers(0, 1000), min_size=1)


@given(limit=st.integers(0, 100), demands=DEMANDS)
def test_the_parts_are_the_whole_limit(limit: int, demands: dict[str, int]) -> None:
    """Nothing is left over, however small the parts; with enough for all, each has one at least."""
    parts = divide(limit, demands)
    assert sum(parts.values()) == limit
    assert min(parts.values()) >= (limit >= len(demands))


@given(limit=st.integers(20, 100), demands=DEMANDS)
def test_more_demand_never_gets_less(limit: int, demands: dict[str, int]) -> None:
    """Equal demands differ by a remainder at most."""
    parts = divide(limit, demands)
    pairs = ((demands[one] - demands[other], parts[one] - parts[other]) for one in demands for other in demands)
    for more_demand, more in pairs:
        assert more >= 0 if more_demand > 0 else abs(more) <= 1 or more_demand


def test_sixteen_processes_share_all_permits() -> None:
    """Rounding down would lose eight of 45."""
    assert sorted(divide(45, dict.fromkeys("abcdefghijklmnop", 5)).values()) == [2] * 3 + [3] * 13


def test_a_share_grows_by_what_others_have_given_back() -> None:
    """Not by what they are to give back."""
    assert grant(45, reported=10, target=30, held_by_others=35) == 10
    assert grant(45, reported=10, target=30, held_by_others=20) == 25
    assert grant(45, reported=10, target=30, held_by_others=0) == 30
    assert grant(45, reported=20, target=5, held_by_others=25) == 5


def test_even_an_exceeded_limit_makes_no_share_negative() -> None:
    """An engine without the last commits may count too much."""
    assert grant(45, reported=20, target=30, held_by_others=40) == 20


def test_a_smaller_share_is_used_at_once_and_given_back_a_window_later() -> None:
    """The writes of the last second count still."""
    share = Share(20).granted(5, now=10.0)
    assert share.limit == 5
    assert share.in_use(10.0 + WINDOW_SECONDS - 0.01) == 20
    assert share.in_use(10.0 + WINDOW_SECONDS) == 5


def test_shrinking_twice_within_a_window_counts_the_greatest() -> None:
    """20, then 5, then 3: for a window after the last, 20 may be in use, and then 5 no more."""
    share = Share(20).granted(5, now=10.0).granted(3, now=10.5)
    assert share.in_use(11.6) == 20
    assert share.in_use(11.7) == 3


def test_a_bigger_share_is_used_at_once() -> None:
    """The engine counts it as ours already."""
    share = Share(5).granted(9, now=1.0)
    assert (share.limit, share.in_use(1.0)) == (9, 9)


def test_writes_in_flight_keep_a_share() -> None:
    """A slow write counts when it arrives, long after the share shrank."""
    assert Share(20).granted(5, now=10.0).in_use(15.0, spent=12) == 12
