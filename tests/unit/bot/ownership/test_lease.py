"""A lease by one clock: when a process may write, take lanes, and declare others dead."""

from __future__ import annotations

import pytest

from bot.ownership.lease import EngineTime, Lease, LeaseTimes

TIMES = LeaseTimes(5.0)


def heard(lease: Lease, *sent: float, epoch: str = "1", clock: float = 500.0) -> Lease:
    """Good heartbeats, each answered after 10 ms; the engine's clock is ahead by `clock`."""
    for at in sent:
        lease = lease.confirmed(at, at + 0.01, EngineTime(epoch, at + 0.005 + clock))
    return lease


def test_times_follow_from_the_lease() -> None:
    """Heartbeats each second, writes for three, dead after five."""
    assert (TIMES.heartbeat_seconds, TIMES.write_seconds, TIMES.lease_seconds) == (1.0, 3.0, 5.0)
    assert TIMES.timeout_seconds + TIMES.heartbeat_seconds < TIMES.write_seconds  # one may be lost


def test_writes_end_three_seconds_after_the_sending_of_the_last_good_heartbeat() -> None:
    """The response may take long: the engine may have counted from the sending."""
    lease = Lease(TIMES).confirmed(10.0, 12.5, EngineTime("1", 0.0))
    assert lease.is_valid(12.99)
    assert not lease.is_valid(13.0)


def test_without_a_heartbeat_nothing_is_written() -> None:
    """A new process has no lease."""
    assert not Lease(TIMES).is_valid(0.0)


def test_a_response_that_comes_too_late_tells_nothing() -> None:
    """It arrives when its own time to write is over."""
    lease = Lease(TIMES)
    assert lease.confirmed(10.0, 13.0, EngineTime("1", 0.0)) is lease


def test_an_older_response_changes_nothing() -> None:
    """Responses may overtake each other."""
    lease = heard(Lease(TIMES), 10.0, 11.0)
    assert lease.confirmed(10.5, 11.5, EngineTime("1", 510.0)) is lease


def test_a_fenced_process_never_writes_again() -> None:
    """Not even after a good heartbeat."""
    lease = heard(Lease(TIMES), 10.0).fenced()
    assert not lease.is_valid(10.5)
    assert not heard(lease, 11.0).is_valid(11.5)


def test_it_takes_nothing_for_a_whole_lease_after_its_start() -> None:
    """The grace period is counted from the first response."""
    lease = heard(Lease(TIMES), *range(10, 16))
    assert not lease.may_take(15.0)
    assert lease.may_take(15.02)


def test_one_lost_heartbeat_does_not_begin_the_grace_period_anew() -> None:
    """Two seconds between good ones are no outage."""
    assert heard(Lease(TIMES), *range(10, 16), 17.0).may_take(17.1)


def test_after_an_outage_it_waits_a_whole_lease() -> None:
    """Others may have had no chance to be heard. Writes go on at once."""
    lease = heard(Lease(TIMES), *range(10, 16), 18.5)
    assert lease.is_valid(18.6)
    assert not lease.may_take(18.6)
    assert not heard(lease, *range(19, 23)).may_take(23.0)
    assert heard(lease, *range(19, 24)).may_take(23.6)


@pytest.mark.parametrize("jump", [1.5, -1.5, 3600.0])
def test_a_jump_of_the_engines_clock_is_an_outage(jump: float) -> None:
    """All leases may seem to be over at once."""
    lease = heard(Lease(TIMES), *range(10, 16))
    assert not heard(lease, 16.0, clock=500.0 + jump).may_take(16.1)


def test_clocks_of_slightly_different_rates_are_no_jump() -> None:
    """A tenth is far more than real clocks differ."""
    lease = Lease(TIMES)
    for at in range(10, 17):
        lease = lease.confirmed(at, at + 0.01, EngineTime("1", at * 1.1))
    assert lease.may_take(16.1)


def test_another_engine_begins_the_grace_period_anew() -> None:
    """It may lack the last commits."""
    lease = heard(Lease(TIMES), *range(10, 16))
    lease = heard(lease, 16.0, epoch="2")
    assert lease.is_valid(16.1)
    assert not lease.may_take(16.1)


def test_a_lapsed_process_waits_at_another_engine() -> None:
    """Its death, and the next owner of its lanes, may be among the lost commits: the other still writes for 3 s."""
    lease = heard(Lease(TIMES), *range(10, 16))
    lease = heard(lease, 19.0, 20.0, 21.0, 22.0, epoch="2")
    assert not lease.is_valid(23.0)
    assert lease.is_valid(23.02)


def test_a_lapsed_process_goes_on_at_once_at_the_same_engine() -> None:
    """No commit is lost, so nobody has taken its lanes."""
    lease = heard(Lease(TIMES), *range(10, 16), 19.0)
    assert lease.is_valid(19.02)
