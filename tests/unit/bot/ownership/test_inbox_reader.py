"""Events of the inbox in their lanes: in order, and no lane waits for another."""

from __future__ import annotations

import asyncio
import contextlib

from bot.errors import ServiceError
from bot.ownership.inbox_reader import EVENTS_AT_ONCE, EventUser, InboxReader
from bot.ownership.lanes import Lane
from bot.ownership.ports import Caller, Heartbeat, RoutedEvent
from bot.ownership.telemetry import NoOwnershipRecorder
from tests.support.engine import Engine
from tests.support.ownership import MemoryOwnership

WELL, ILL = Lane("slack", "T1"), Lane("slack", "T2")


class User(EventUser):
    """Handles events, except for those named in `fails`; `breaks` are unreadable."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.fails: set[str] = set()
        self.breaks: set[str] = set()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def handle(self, event: RoutedEvent) -> None:
        if event.id in self.fails:
            await self.may_end.wait()
            raise ServiceError("not now")
        if event.id in self.breaks:
            raise KeyError("event")
        self.handled.append(event.id)


class World:
    """One process that owns both lanes, and its inbox."""

    def __init__(self) -> None:
        self.engine = Engine(lambda: asyncio.get_running_loop().time())
        self.user = User()
        self.owned = {WELL, ILL}
        self.reader = InboxReader(
            MemoryOwnership(self.engine), self.user, NoOwnershipRecorder(), contextlib.nullcontext
        )
        owner, self._receiver = (self._begin(name) for name in ("a", "b"))
        for lane in self.owned:
            self.engine.route(owner, RoutedEvent(lane, "first", b""), may_take=True, may_keep=True)

    def _begin(self, process: str) -> Caller:
        response = self.engine.heartbeat(Heartbeat(process, 1, 5.0))
        assert response is not None
        return Caller(process, response.engine)

    def send(self, lane: Lane, *names: str) -> None:
        """Another process receives events of the lane."""
        for name in names:
            self.engine.route(self._receiver, RoutedEvent(lane, name, b""), may_take=False, may_keep=False)

    async def read(self) -> None:
        await self.reader.read("a", self.owned.__contains__)

    @property
    def left(self) -> list[str]:
        return [event.id for _, event in sorted(self.engine.tables.inbox.items())]


async def test_all_events_are_handled_in_their_order() -> None:
    """However many there are; then the inbox is empty."""
    world, names = World(), [str(number) for number in range(2 * EVENTS_AT_ONCE + 1)]
    world.send(WELL, *names)
    await world.read()
    assert world.user.handled == names
    assert world.left == []


async def test_a_lane_that_cannot_take_an_event_holds_no_other() -> None:
    """Its later events stay behind it, even if they fill the inbox; a later reading begins with it."""
    world = World()
    stuck = [f"stuck {number}" for number in range(2 * EVENTS_AT_ONCE)]
    world.send(ILL, *stuck)
    world.send(WELL, "well")
    world.user.fails = {stuck[0]}
    await world.read()
    assert world.user.handled == ["well"]
    assert world.left == stuck
    world.user.fails = set()
    await world.read()
    assert world.user.handled == ["well", *stuck]


async def test_lanes_do_not_wait_for_a_slow_one() -> None:
    """A workspace that opens slowly takes its time alone."""
    world = World()
    world.send(ILL, "slow")
    world.send(WELL, "well")
    world.user.fails = {"slow"}
    world.user.may_end.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(world.read())
        while not world.user.handled:
            await asyncio.sleep(0.01)
        world.user.may_end.set()
    assert world.left == ["slow"]


async def test_an_unreadable_event_is_logged_and_dropped() -> None:
    """It must not stop those after it."""
    world = World()
    world.send(WELL, "odd", "next")
    world.user.breaks = {"odd"}
    await world.read()
    assert (world.user.handled, world.left) == (["next"], [])


async def test_events_of_a_lane_being_given_up_stay() -> None:
    """They are the next owner's."""
    world = World()
    world.send(WELL, "1")
    world.owned.remove(WELL)
    await world.read()
    assert (world.user.handled, world.left) == ([], ["1"])
