"""A platform's view of lanes shared with other processes: announcements, sessions, and what is kept of each lane."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bot.conversation import TurnKey
from bot.ownership.holder import LaneHolder
from bot.ownership.keeper import Keeper, KeeperOptions
from bot.ownership.lane_records import LaneRecords
from bot.ownership.lanes import Grant, Lane
from bot.ownership.ports import RoutedEvent, TakenLane
from bot.ownership.shared_lanes import SharedLanes
from bot.ownership.write_history import StoredReport, WriteReport
from bot.turns.lane_work import LaneWork
from bot.turns.lost_turns import LostTurns
from bot.turns.queues import TurnQueues
from tests.support.engine import Engine
from tests.support.ownership import MemoryOwnership
from tests.support.waiting import until

LANE = Lane("memory", "A")
NOBODY = LostTurns({}, TurnQueues())


class Process(LaneHolder):
    """A platform with its lanes; it saves a session when it loses one."""

    name = "memory"

    def __init__(self, name: str, engine: Engine, listeners: list[Callable[[str], None]]) -> None:
        self.log: list[str] = []
        self.engine = engine
        numbers = itertools.count()
        self.work = LaneWork(lambda lane: self.keeper.holds(lane))  # noqa: PLW0108 (the keeper comes later)
        ownership = MemoryOwnership(engine, listeners)
        self.keeper = Keeper(ownership, self.work, KeeperOptions((self.name,)), lambda: f"{name}.{next(numbers)}")
        self.lanes = SharedLanes(self.keeper, ownership)
        self.work.attach(NOBODY, {self.name: self})
        self.last_session = ""

    def lane_of(self, key: TurnKey) -> Lane:
        return Lane(key.platform, key.workspace)

    def lane_won(self, lane: Lane, session: str = "") -> None:
        self.log.append(f"won {lane.name}{session}")

    def lane_lost(self, lane: Lane) -> None:
        self.log.append(f"lost {lane.name}")
        if self.last_session:
            self.lanes.save_session(lane, self.last_session)

    async def handle_routed(self, event: RoutedEvent) -> None:
        self.log.append(f"event {event.id}")


@asynccontextmanager
async def processes(*names: str) -> AsyncIterator[list[Process]]:
    engine, listeners = Engine(asyncio.get_running_loop().time), list[Callable[[str], None]]()
    made = [Process(name, engine, listeners) for name in names]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(each.keeper.run()) for each in made]
        await until(lambda: all(each.keeper.is_ready for each in made))
        yield made
        for task in running:
            task.cancel()


async def test_an_announced_lane_is_won_by_somebody_at_once() -> None:
    """Without an event, within a heartbeat; a withdrawn one is lost by its owner, and by nobody taken again."""
    async with processes("a", "b") as (first, second):
        began = asyncio.get_running_loop().time()
        await first.lanes.announce("memory", ["A"])
        await until(lambda: bool(first.log + second.log))
        assert asyncio.get_running_loop().time() - began < 1.1
        assert first.log + second.log == ["won A"]
        owner = first if first.log else second
        assert owner.lanes.owns(LANE)
        await owner.lanes.withdraw(LANE)
        assert owner.log == ["won A", "lost A"]
        await asyncio.sleep(10.0)
        assert len(first.log + second.log) == 2


async def test_the_next_owner_gets_the_last_session() -> None:
    """Of a heartbeat if the owner died, of the loss if it has released the lane, within a moment of it."""
    async with processes("a", "b") as (first, second):
        assert await first.lanes.route(RoutedEvent(LANE, "1", b""))
        first.lanes.save_session(LANE, " early")
        first.last_session = " late"
        began = asyncio.get_running_loop().time()
        await first.keeper.release_all(1.0)
        await until(lambda: bool(second.log))
        assert asyncio.get_running_loop().time() - began < 0.2
        assert second.log == ["won A late"]
        second.lanes.save_session(LANE, " of a heartbeat")
        await asyncio.sleep(1.1)
        report = second.engine.tables.lanes[LANE].report
        assert report is not None
        assert report.session == " of a heartbeat"


async def test_a_turn_runs_only_where_its_lane_is() -> None:
    """A turn of a platform without lanes runs anywhere."""
    async with processes("a", "b") as (first, second):
        assert await first.lanes.route(RoutedEvent(LANE, "1", b""))
        turn, other = TurnKey("memory", "A", "C", "1"), TurnKey("playground", "", "C", "1")
        assert [each.work.may_run(turn) for each in (first, second)] == [True, False]
        assert [each.work.may_run(other) for each in (first, second)] == [True, True]


async def test_slots_are_shared() -> None:
    """Whichever process asks, the next one comes after it."""
    async with processes("a", "b") as (first, second):
        assert await first.lanes.reserve("log-in", 5.0) == 0.0
        assert 4.9 < await second.lanes.reserve("log-in", 5.0) <= 5.0


def test_a_session_is_reported_until_it_is_stored() -> None:
    """A quiet lane with the same session costs nothing."""
    records, grant = LaneRecords(3.0), Grant(LANE, 1)
    records.save_session(LANE, "too early")
    records.won(TakenLane(grant, StoredReport(WriteReport(session="0"), 1.0)), 0.0)
    records.promise(1, records.reports([grant], {}, 0.0))
    records.stored(1, [grant])
    assert records.reports([grant], {}, 1.0) == {}
    records.save_session(LANE, "1")
    for number in (2, 3):  # the second is lost
        reports = records.reports([grant], {}, 1.0)
        assert reports[grant].session == "1"
        records.promise(number, reports)
    records.stored(3, [grant])
    assert records.reports([grant], {}, 1.0) == {}
    assert records.final_report(LANE, 1.0).session == "1"


def test_lanes_lost_for_a_minute_are_forgotten() -> None:
    """Unless somebody holds the limit: there is one for each lane."""
    records, grant = LaneRecords(3.0), Grant(LANE, 1)
    records.won(TakenLane(grant), 0.0)
    limit = records.limit(LANE)
    records.lost(LANE, 10.0)
    records.reports([], {}, 69.0)
    assert len(records) == 1
    records.reports([], {}, 71.0)
    assert len(records) == 0
    assert records.limit(LANE) is limit
