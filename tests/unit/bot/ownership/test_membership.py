"""One process among others: how it follows the engine's responses, in whichever order they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from bot.ownership.lanes import Grant, Lane, LaneCounts
from bot.ownership.lease import EngineTime
from bot.ownership.membership import Changes, Load, Membership, SentHeartbeat
from bot.ownership.ports import HeartbeatResponse, TakenLane
from bot.ownership.write_history import StoredReport, WriteReport

LANE = Lane("slack", "T1")
FIRST, SECOND = Grant(LANE, 1), Grant(LANE, 2)


@dataclass
class Driver:
    """A process, its heartbeats each answered within 10 ms."""

    member: Membership = field(default_factory=lambda: Membership("p", platforms=("slack",), limits=("discord",)))

    def send(self, at: float) -> SentHeartbeat:
        return self.member.heartbeat(at, {}, {})

    def beat(self, at: float, *lanes: Grant, epoch: str = "1", share: int = 0, is_settled: bool = False) -> Changes:
        return self.answer(self.send(at), at + 0.01, *lanes, epoch=epoch, share=share, is_settled=is_settled)

    def answer(
        self,
        sent: SentHeartbeat,
        now: float,
        *lanes: Grant,
        epoch: str = "1",
        share: int = 0,
        is_settled: bool = False,
    ) -> Changes:
        counts = {"slack": LaneCounts(lanes=4, free=2, takers=1)}
        engine, shares = EngineTime(epoch, sent.at), {"discord": share}
        response = HeartbeatResponse(engine, frozenset(lanes), counts, shares, is_settled=is_settled)
        return self.member.answered(sent, response, now)

    def answer_with(self, sent: SentHeartbeat, counts: Mapping[str, LaneCounts]) -> None:
        self.member.answered(sent, HeartbeatResponse(EngineTime("1", sent.at), frozenset(), counts), sent.at + 0.01)

    def own(self, at: float, *lanes: Grant) -> None:
        """Take lanes after a heartbeat."""
        self.beat(at)
        self.member.taken(map(TakenLane, lanes), asked=at + 0.02, now=at + 0.03)

    def past_grace(self, *lanes: Grant, share: int = 0) -> None:
        for at in range(7):
            self.beat(float(at), *lanes, share=share)


@pytest.fixture
def driver() -> Driver:
    return Driver()


def test_it_takes_its_part_after_the_grace_period(driver: Driver) -> None:
    """And none before it, nor while it stops."""
    driver.beat(0.0)
    assert driver.member.takes(0.1) == {}
    driver.past_grace()
    assert driver.member.takes(6.1) == {"slack": 2}
    driver.member.is_stopping = True
    assert driver.member.takes(6.1) == {}


def test_a_lane_whose_taking_has_no_response_is_released_as_it_is(driver: Driver) -> None:
    """The calls of its earlier owner are unknown. A response may be on its way until its time limit."""
    assert driver.beat(0.0, FIRST) == Changes()
    assert not driver.member.may_write(LANE, 0.1)
    assert driver.beat(1.0, FIRST) == Changes()
    assert driver.beat(2.0, FIRST).unknown == (FIRST,)
    assert driver.member.taken([TakenLane(FIRST)], asked=2.1, now=2.2) == ()
    assert driver.beat(3.0, FIRST).unreleased == (FIRST,)


def test_a_lane_missing_in_the_list_is_lost(driver: Driver) -> None:
    """It is another's: not one more write."""
    driver.own(0.0, FIRST)
    assert driver.beat(1.0).lost == (FIRST,)
    assert not driver.member.may_write(LANE, 1.1)


def test_a_lane_taken_after_the_list_was_made_is_kept(driver: Driver) -> None:
    """The heartbeat was sent before the response to `take` came."""
    driver.past_grace()
    sent = driver.send(7.0)
    driver.member.taken([TakenLane(FIRST)], asked=6.9, now=7.005)
    assert driver.answer(sent, 7.01).lost == ()
    assert driver.member.may_write(LANE, 7.1)


def test_a_response_to_take_overtaken_by_a_heartbeat_is_left_to_the_next_one(driver: Driver) -> None:
    """The engine may have lost the lane since. If not, the calls told by the response count."""
    taken = TakenLane(FIRST, StoredReport(WriteReport({"chat.update": [1.0]}), 0.5))
    driver.past_grace()
    assert driver.member.taken([taken], asked=5.9, now=6.5) == ()
    assert driver.member.owned(LANE) is None
    assert driver.beat(7.0, FIRST).won == (taken,)


def test_a_late_response_is_forgotten_once_the_list_lacks_its_lane(driver: Driver) -> None:
    """Then another process may have written there."""
    driver.past_grace()
    driver.member.taken([TakenLane(FIRST)], asked=5.9, now=6.5)
    driver.beat(7.0)
    assert driver.beat(8.0, FIRST).won == ()


def test_a_late_response_waits_for_a_list_made_after_it(driver: Driver) -> None:
    """A heartbeat was on its way when the lane was taken."""
    driver.past_grace()
    sent = driver.send(7.0)
    driver.member.lease = driver.member.lease.confirmed(6.9, 6.95, EngineTime("1", 6.9))
    driver.member.taken([TakenLane(FIRST)], asked=6.8, now=7.005)
    assert driver.answer(sent, 7.01).won == ()
    assert driver.beat(8.0, FIRST).won == (TakenLane(FIRST),)


def test_a_lane_given_up_is_not_taken_back_by_an_older_list(driver: Driver) -> None:
    """Instead it is released once more, since the engine has it still."""
    driver.own(0.0, FIRST)
    sent = driver.send(1.0)
    assert driver.member.let_go([LANE]) == (FIRST,)
    changes = driver.answer(sent, 1.01, FIRST)
    assert (changes.won, changes.unreleased) == ((), (FIRST,))
    driver.member.taken([TakenLane(SECOND)], asked=1.0, now=1.1)
    assert driver.member.owned(LANE) == SECOND


def test_a_lane_given_up_is_not_taken_back_by_a_late_response(driver: Driver) -> None:
    """The list told of it first; then it was given up; then the response to `take` came."""
    driver.past_grace()
    driver.member.taken([TakenLane(FIRST)], asked=6.1, now=6.2)
    driver.member.let_go([LANE])
    assert driver.member.taken([TakenLane(FIRST)], asked=6.1, now=6.3) == ()


def test_a_lapsed_process_takes_nothing(driver: Driver) -> None:
    """The response came when its lease was over."""
    driver.past_grace()
    assert driver.member.taken([TakenLane(FIRST)], asked=6.1, now=9.1) == ()


def test_a_refusal_fences_it(driver: Driver) -> None:
    """All lanes are lost at once, however late the refusal comes."""
    driver.own(0.0, FIRST)
    old = driver.send(1.0)
    driver.beat(1.5, FIRST)
    assert driver.member.answered(old, None, 4.0) == Changes(lost=(FIRST,), is_fenced=True)
    assert not driver.member.lease.is_valid(1.6)


def test_a_heartbeat_given_up_tells_nothing(driver: Driver) -> None:
    """Another one was sent meanwhile, with newer figures."""
    old = driver.send(0.0)
    driver.send(1.0)
    assert driver.answer(old, 1.1, FIRST) == Changes()


def test_a_releasing_lane_is_written_but_begins_nothing(driver: Driver) -> None:
    """Live answers end; new events go to the next owner."""
    driver.own(0.0, FIRST)
    driver.member.begin_release(LANE)
    assert driver.member.may_write(LANE, 0.1)
    assert not driver.member.may_begin(LANE, 0.1)
    driver.member.begin_release(LANE)
    assert driver.member.is_releasing(LANE)


def test_a_failed_heartbeat_is_repeated_soon(driver: Driver) -> None:
    """An engine that comes back finds nobody late."""
    driver.send(10.0)
    assert driver.member.next_heartbeat_at == 11.0
    driver.member.failed(10.05)
    assert driver.member.next_heartbeat_at == pytest.approx(10.3)


def test_a_share_does_not_grow_in_the_grace_period(driver: Driver) -> None:
    """What others hold may be unknown to the engine still."""
    driver.beat(0.0, share=20)
    assert driver.member.shares["discord"].limit == 0
    driver.past_grace(share=20)
    assert driver.member.shares["discord"].limit == 20


def test_a_lapsed_process_gives_its_share_up_at_another_engine(driver: Driver) -> None:
    """It may be another's already. What was sent before counts for a window."""
    driver.past_grace(share=20)
    driver.beat(10.0, share=20, epoch="2")
    assert driver.member.shares["discord"].limit == 0
    sent = driver.member.heartbeat(11.0, {}, {"discord": Load(spent=3)})
    assert sent.heartbeat.shares["discord"].in_use == 20
    driver.answer(sent, 11.01, share=15, epoch="2")
    assert driver.member.shares["discord"].limit == 0


def test_an_owner_of_too_many_gives_up_the_difference_to_its_part(driver: Driver) -> None:
    """An owner of four of four lanes has two too many for two processes."""
    driver.past_grace()
    driver.own(7.0, *(Grant(Lane("slack", f"T{number}"), 1) for number in range(4)))
    driver.member.counts = {"slack": LaneCounts(lanes=4, takers=2)}
    assert driver.member.excess(7.1) == {"slack": 2}
    driver.member.is_stopping = True
    assert driver.member.excess(7.1) == {}


def test_a_new_process_takes_its_part_at_once_beside_an_old_one(driver: Driver) -> None:
    """Another one is past its grace period at the same engine; only at that one."""
    driver.beat(0.0, is_settled=True)
    assert driver.member.takes(0.1) == {"slack": 2}
    assert not driver.member.lease.may_reap(0.1)
    assert driver.member.next_heartbeat_at == pytest.approx(0.01)
    driver.beat(0.2, epoch="2")
    assert driver.member.takes(0.3) == {}


def test_lanes_left_over_are_taken_after_a_lease(driver: Driver) -> None:
    """Two free lanes are another member's part, and overdue: they are left to it for five seconds."""
    driver.past_grace()
    counts = {"slack": LaneCounts(lanes=2, free=2, takers=1, is_overdue=True, members=3, rank=2)}
    for at in range(7, 12):
        driver.answer_with(driver.send(float(at)), counts)
        assert driver.member.takes(at + 0.1) == {}
    driver.answer_with(driver.send(12.0), counts)
    assert driver.member.takes(12.1) == {"slack": 2}


def test_lanes_that_a_member_could_have_taken_are_left_over_soon(driver: Driver) -> None:
    """It may have been killed just now: others wait for one look of it, not for its end."""
    driver.past_grace()
    counts = {"slack": LaneCounts(lanes=2, free=2, takers=3, members=3, rank=2)}
    driver.answer_with(driver.send(7.0), counts)
    assert driver.member.takes(7.1) == {}
    driver.answer_with(driver.send(8.0), counts)
    assert driver.member.takes(8.1) == {"slack": 1}


def test_a_heartbeat_ends_the_grace_period(driver: Driver) -> None:
    """It comes at the very moment."""
    for at in range(6):
        driver.beat(float(at))
    assert driver.member.next_heartbeat_at == pytest.approx(driver.member.lease.grace_until)
