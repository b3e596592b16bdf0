"""What one owner of a lane leaves to the next: the calls that count still."""

from __future__ import annotations

import pytest

from bot.ownership.write_history import LaneLimit, StoredReport, WriteHistory, WriteReport
from bot.rate_limits import LeakyBucket, RollingWindow

EDITS = "slack/T1/chat.update"


def history(*sent: float) -> WriteHistory:
    made = WriteHistory()
    for at in sent:
        made.record(EDITS, at)
    return made


def test_a_report_has_the_age_of_each_call_of_the_last_minute() -> None:
    """Older ones count no more."""
    assert history(10.0, 45.0, 69.0).report(72.0, 8) == WriteReport({EDITS: [27.0, 3.0]}, 8)


def test_the_next_owner_counts_the_calls_and_the_whole_allowance() -> None:
    """As late as the earlier owner can have written: 3 s after its last good heartbeat."""
    stored = StoredReport(history(40.0).report(50.0, 2), age=5.5)
    made = WriteHistory()
    made.remember(900.0, stored, write_seconds=3.0)
    assert made.ages(EDITS, 900.0) == pytest.approx([15.5, 2.5, 2.5])
    assert made.ages("another limit", 900.0) == pytest.approx([2.5, 2.5])  # the allowance may have been used there


def test_a_released_lane_has_no_allowance_left() -> None:
    """Its report is exact."""
    made = WriteHistory()
    made.remember(900.0, StoredReport(history(49.0).report(50.0, 0), age=0.2), write_seconds=3.0)
    assert made.ages(EDITS, 900.0) == pytest.approx([1.2])


def test_the_third_owner_counts_all_of_them_too() -> None:
    """What was assumed is passed on."""
    second, third = WriteHistory(), WriteHistory()
    second.remember(100.0, StoredReport(history(40.0).report(50.0, 1), 5.0), 3.0)
    second.record(EDITS, 101.0)
    third.remember(500.0, StoredReport(second.report(102.0, 0), 1.0), 3.0)
    assert sorted(third.ages(EDITS, 500.0)) == pytest.approx([2.0, 5.0, 18.0])


@pytest.mark.parametrize("known", [0, 30, 50])
def test_no_more_is_assumed_than_the_limit_allows(known: int) -> None:
    """The earlier owner kept the limit: so the oldest call that counts opens the window again."""
    window = RollingWindow(50, 60.0, paced=False)
    ages = [*(5.0 + 55.0 * number / 50 for number in range(known)), *(2.5,) * 50]
    window.remember(1000.0, ages)
    at = window.ready_at(1000.0, final=True)
    assert at == pytest.approx(1000.0 - max(ages) + 2.0 + 60.0 if known else 1059.5, abs=0.01)


def test_a_leaky_bucket_is_assumed_full_at_most() -> None:
    """A permit comes after one interval, not after one for each assumed call."""
    bucket = LeakyBucket(1.2, burst=5)
    bucket.remember(100.0, [2.5] * 40)
    assert bucket.ready_at(100.0, final=True) <= 101.2


def test_a_lane_is_closed_until_its_first_report_is_stored() -> None:
    """Until then, the next owner would not know of our writes."""
    limit = LaneLimit()
    limit.renew(100.0)
    limit.promise(1, 3)
    assert not limit.is_open(1.0)
    limit.stored(1)
    assert limit.is_open(1.0)


def test_the_allowance_closes_a_lane_until_the_next_report() -> None:
    """Another heartbeat opens it, and wakes whoever waits."""
    woken: list[int] = []
    limit = LaneLimit()
    limit.watch(lambda: woken.append(1))
    limit.promise(1, 2)
    limit.stored(1)
    limit.renew(10.0)
    limit.spend(1.0)
    limit.spend(1.0)
    assert limit.ready_at(1.5, final=True) == float("inf")
    limit.promise(2, 2)
    limit.stored(2)
    limit.renew(11.0)
    assert limit.ready_at(1.6, final=True) == 1.6
    assert len(woken) == 2


def test_a_report_that_may_be_stored_binds_already() -> None:
    """Its response may be lost, and its allowance is less than what is left of the earlier one."""
    limit = LaneLimit()
    limit.promise(1, 10)
    limit.stored(1)
    limit.renew(10.0)
    limit.promise(2, 1)
    limit.spend(1.0)
    assert not limit.is_open(1.0)


def test_an_unstored_report_gives_nothing() -> None:
    """Its allowance is greater than the stored one's."""
    limit = LaneLimit()
    limit.promise(1, 1)
    limit.stored(1)
    limit.renew(10.0)
    limit.promise(2, 100)
    limit.spend(1.0)
    assert not limit.is_open(1.0)
