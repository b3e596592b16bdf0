"""The lanes of a process without others."""

from __future__ import annotations

from bot.ownership.access import SoleOwner
from bot.ownership.holder import LaneHolder
from bot.ownership.lane_records import LaneCallLog
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent


class Listener(LaneHolder):
    """Records its lanes."""

    name = "memory"

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []

    def lane_won(self, lane: Lane, session: str = "") -> None:
        self.log.append(("won", lane.name + session))

    def lane_lost(self, lane: Lane) -> None:
        self.log.append(("lost", lane.name))


def made() -> tuple[SoleOwner, Listener]:
    owner, listener = SoleOwner(), Listener()
    owner.attach({listener.name: listener})
    return owner, listener


async def test_each_announced_lane_is_won_once() -> None:
    """A repeated announcement changes nothing."""
    owner, listener = made()
    await owner.announce("memory", ["B", "A"])
    await owner.announce("memory", ["B", "C"])
    assert listener.log == [("won", "A"), ("won", "B"), ("won", "C")]
    assert owner.owns(Lane("memory", "A"))
    assert not owner.owns(Lane("memory", "D"))


async def test_a_replaced_list_loses_the_other_lanes() -> None:
    """A changed number of shards ends the old ones first."""
    owner, listener = made()
    await owner.announce("memory", ["0/1"])
    await owner.announce("memory", ["0/2", "1/2"], replace=True)
    assert listener.log == [("won", "0/1"), ("lost", "0/1"), ("won", "0/2"), ("won", "1/2")]
    assert not owner.owns(Lane("memory", "0/1"))


async def test_every_event_is_ours_and_makes_its_lane_known() -> None:
    """The first event of a workspace wins its lane."""
    owner, listener = made()
    assert await owner.route(RoutedEvent(Lane("memory", "T"), "1", b""))
    assert await owner.route(RoutedEvent(Lane("memory", "T"), "2", b""))
    assert listener.log == [("won", "T")]


async def test_nothing_limits_the_owner() -> None:
    """No budget is added, and calls are recorded in the log of the program."""
    log = LaneCallLog()
    owner, lane = SoleOwner(log), Lane("memory", "T")
    assert owner.limit(lane) is None
    assert owner.call_log(lane) is log


async def test_slots_of_a_series_are_apart() -> None:
    """Each series has slots of its own."""
    owner = SoleOwner()
    first, second, other = [await owner.reserve(name, 5.0) for name in ("a", "a", "b")]
    assert first == other == 0.0
    assert 4.9 < second <= 5.0
