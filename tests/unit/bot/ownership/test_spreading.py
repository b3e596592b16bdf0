"""Which lanes an owner of too many gives up, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from bot.ownership.lanes import IDLE_SECONDS, Grant, Lane, LaneCounts
from bot.ownership.lease import EngineTime
from bot.ownership.membership import Membership
from bot.ownership.ports import HeartbeatResponse, TakenLane
from bot.ownership.spreading import CLOSED_SECONDS, Move, Spreading

LANES = [Lane("discord", f"{number}/4") for number in range(4)]
BEGIN = 7.0
TOO_MANY = {"discord": LaneCounts(lanes=4, takers=2, members=2, rank=1, least=0)}


@dataclass
class Owner:
    """The owner of four of four lanes, one of two processes. The other one has none."""

    member: Membership = field(default_factory=lambda: Membership("p", platforms=("discord",)))
    spreading: Spreading = field(default_factory=Spreading)

    def __post_init__(self) -> None:
        grants = [Grant(lane, 1) for lane in LANES]
        for at in range(int(BEGIN)):
            self._beat(float(at), TOO_MANY)
        self.member.taken(map(TakenLane, grants), asked=BEGIN - 0.9, now=BEGIN - 0.8)
        self.spreading.saw(LANES, BEGIN)

    def _beat(self, at: float, counts: Mapping[str, LaneCounts]) -> None:
        sent = self.member.heartbeat(at, {}, {})
        response = HeartbeatResponse(EngineTime("1", at), frozenset(self.member.lanes), counts)
        self.member.answered(sent, response, at + 0.01)

    def move(self, at: float, *live: int) -> Move:
        """The move at a time of a valid lease, which is followed."""
        self._beat(at, self.member.counts)
        answers = {lane: count for lane, count in zip(LANES, live, strict=False) if count}
        self.spreading.saw(answers, at)
        move = self.spreading.next_move(self.member, answers, at + 0.02)
        if move.close is not None:
            self.member.begin_release(move.close)
        self.member.let_go(move.give_up)
        return move


@pytest.fixture
def owner() -> Owner:
    return Owner()


def test_idle_lanes_move_at_once(owner: Owner) -> None:
    """Two of four quiet for a minute, as soon as there is a process without any."""
    owner.member.counts = {"discord": LaneCounts(lanes=4, takers=1, members=1, least=4)}
    last = BEGIN + IDLE_SECONDS
    for at in range(int(BEGIN), int(last)):
        assert owner.move(float(at)) == Move()
    owner.member.counts = TOO_MANY
    assert owner.move(last) == Move(tuple(LANES[:2]))


def test_a_busy_lane_moves_while_it_has_no_answer(owner: Owner) -> None:
    """The one that has been quiet for longest; the next one some heartbeats later."""
    owner.move(BEGIN, 1, 0, 1, 1)
    moved = owner.move(BEGIN + 1, 0, 0, 1, 1)
    assert moved == Move()  # the first one has just moved
    assert LANES[1] not in {grant.lane for grant in owner.member.lanes}
    assert [owner.move(BEGIN + at, 0, 0, 1, 1).give_up for at in (2, 3)] == [(), (LANES[0],)]
    assert owner.move(BEGIN + 6, 0, 0, 0, 0) == Move()  # both have two


def test_a_lane_that_always_has_answers_is_closed_first(owner: Owner) -> None:
    """The one with the fewest; it moves when they have ended, and no other one meanwhile."""
    assert owner.move(BEGIN, 3, 2, 1, 4) == Move(close=LANES[2])
    assert not owner.member.may_begin(LANES[2], BEGIN + 0.1)
    assert owner.member.may_write(LANES[2], BEGIN + 0.1)
    assert owner.move(BEGIN + 1, 0, 0, 1, 0) == Move()
    assert owner.move(BEGIN + 2, 1, 1, 0, 1) == Move((LANES[2],))


def test_a_closed_lane_moves_in_the_end(owner: Owner) -> None:
    """New questions wait there no longer than this."""
    assert owner.move(BEGIN, 1, 1, 1, 1) == Move(close=LANES[0])
    at = BEGIN
    while not (moved := owner.move(at, 1, 1, 1, 1)).give_up:
        at += 1
    assert moved == Move((LANES[0],))
    assert at - BEGIN == pytest.approx(CLOSED_SECONDS, abs=1.0)


def test_a_closed_lane_that_is_lost_is_forgotten(owner: Owner) -> None:
    """Another one may be closed then."""
    owner.move(BEGIN, 1, 1, 1, 1)
    owner.member.let_go([LANES[0]])
    assert owner.move(BEGIN + 1, 0, 2, 1, 2) == Move(close=LANES[2])
