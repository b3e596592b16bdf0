"""Processes that keep their lanes, with the real core and an engine in memory, on virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from bot.conversation import Ending, TurnKey
from bot.errors import ConnectFailed, Retryable
from bot.ownership.keeper import Keeper, KeeperOptions
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from bot.ports import Verb
from bot.rate_limits import Budget, RollingWindow
from bot.rate_limits.shared_window import SharedWindow
from bot.turns.manager import TurnManager
from tests.support.core import TurnRecords, make_turns
from tests.support.engine import Engine
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, Server, Step, turn, words
from tests.support.ownership import MemoryOwnership
from tests.support.waiting import until

LANE = Lane("memory", "W")
PLATFORM = "memory"
SECONDS = 5.0  # a lease


@dataclass
class LaneChannel(FakeChannel):
    """The lane's limit is the last of each write."""

    lane_limit: Budget = field(default_factory=lambda: SharedWindow(1.0))

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        return (*super().budgets(verb), self.lane_limit)


@dataclass
class World:
    """What all processes see: the platform, the journal, the engine."""

    engine: Engine
    server: Server = field(default_factory=Server)
    journal: FakeJournal = field(default_factory=lambda: FakeJournal(durable=True))
    channels: list[LaneChannel] = field(default_factory=list)
    listeners: list[Callable[[str], None]] = field(default_factory=list)
    script: list[Step] = field(default_factory=lambda: words(250))
    handled: Counter[str] = field(default_factory=Counter)

    @property
    def writes(self) -> list[float]:
        return sorted(wrote.at for channel in self.channels for wrote in channel.writes())

    @property
    def shown(self) -> Mapping[str, str]:
        """The messages that readers see, by id."""
        return {id_: body.text for channel in self.channels for id_, body in channel.shown.items()}


class Process:
    """One process: core, keeper, and a platform that answers in one workspace."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.connection = MemoryOwnership(world.engine, world.listeners)
        self.records = TurnRecords()
        self.model = ScriptedModel(world.script)
        self.turns: TurnManager = make_turns(self.model, world.journal, self.records)
        numbers = itertools.count(1)
        self.window = SharedWindow(1.0)
        options = KeeperOptions((PLATFORM,), limits={"memory": self})
        self.keeper = Keeper(self.connection, self, options, lambda: f"{name}.{next(numbers)}")
        self.lost: list[Lane] = []
        self.closed: list[Lane] = []
        self.sessions: list[str] = []  # as left by the earlier owners
        self._stack = AsyncExitStack()

    def demand(self, live: Mapping[Lane, int]) -> int:
        return len(self.turns.queues.accepted)

    def lane_won(self, lane: Lane, session: str) -> None:
        self.sessions.append(session)
        self.turns.start(self._recover(lane), f"recovery {lane}")

    def lane_closed(self, lane: Lane) -> None:
        self.closed.append(lane)

    def lane_lost(self, lane: Lane) -> None:
        self.lost.append(lane)
        self.turns.abandon(lambda key: lane_of(key) == lane)

    def live_answers(self) -> Mapping[Lane, int]:
        return Counter(lane_of(pending.turn.key) for pending in self.turns.queues.turns)

    async def handle(self, event: RoutedEvent) -> None:
        self.world.handled[event.id] += 1
        await self.ask(event.id, event.lane)

    async def ask(self, message: str, lane: Lane = LANE) -> None:
        question = turn(message, conversation=message)
        if await self.turns.receive(question.key, message):
            self.turns.accept(question, self._channel(lane))

    async def _recover(self, lane: Lane) -> None:
        for key in list(self.world.journal.entries):
            is_open = self.world.journal.ends.get(key, Ending.INTERRUPTED) is Ending.INTERRUPTED
            if is_open and lane_of(key) == lane and key.digest not in self.turns.queues.accepted:
                self.world.journal.orphan(key)
        for found in await self.turns.unfinished_turns(PLATFORM):
            self.turns.accept(turn(found.key.message, conversation=found.key.message), self._channel(lane))

    def _channel(self, lane: Lane) -> LaneChannel:
        earlier = self.world.channels
        channel = LaneChannel(self.world.server, lane_limit=self.keeper.records.limit(lane))
        if earlier:  # the platform is the same, whoever writes
            channel.shown, channel.keys = earlier[0].shown, earlier[0].keys
        self.world.channels.append(channel)
        return channel

    async def start(self) -> Process:
        self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._tasks = [self._group.create_task(self.turns.run()), self._group.create_task(self.keeper.run())]
        await self.turns.started.wait()
        return self

    async def kill(self) -> None:
        """`kill -9`: nothing more happens here."""
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    async def stop(self, seconds: float) -> None:
        """SIGTERM."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keeper.release_all(seconds))
            group.create_task(self.turns.drain(seconds))
        await self.keeper.leave()
        await self.kill()


def lane_of(key: TurnKey) -> Lane:
    return Lane(key.platform, key.workspace)


@asynccontextmanager
async def processes(*names: str, ready: bool = True, count: int = 250) -> AsyncIterator[tuple[World, list[Process]]]:
    """Each answer has `count` words."""
    world = World(Engine(asyncio.get_running_loop().time, {"memory": 45}), script=words(count))
    made = [await Process(name, world).start() for name in names]
    try:
        if ready:
            await until(lambda: all(each.keeper.is_ready for each in made), seconds=2 * SECONDS)
        yield world, made
    finally:
        for each in made:
            await each.kill()


def event(number: int = 1) -> RoutedEvent:
    return RoutedEvent(LANE, str(number), b"")


async def owner_of(found: Iterable[Process], lane: Lane = LANE) -> Process:
    await until(lambda: any(each.keeper.owns(lane) for each in found), seconds=4 * SECONDS)
    return next(each for each in found if each.keeper.owns(lane))


async def answering(world: World, process: Process, message: str = "1") -> None:
    """The process answers a question, and readers see some of it."""
    assert await process.keeper.route(event())
    await process.ask(message)
    await until(lambda: len(world.writes) >= 4, seconds=20.0)


async def test_an_answer_goes_on_in_the_same_message_after_a_kill() -> None:
    """The other process takes over within seven seconds, and completes it without a second message."""
    async with processes("a", "b") as (world, (first, second)):
        await answering(world, first)
        killed = asyncio.get_running_loop().time()
        await first.kill()
        assert await owner_of([second]) is second
        await until(lambda: bool(second.model.calls), seconds=1.0)
        assert asyncio.get_running_loop().time() - killed <= 7.0
        await second.turns.idle()
        assert list(world.journal.ends.values()) == [Ending.DONE]
        assert len(world.shown) == 1
        assert next(iter(world.shown.values())).split() == [f"word{number}" for number in range(250)]
        assert world.server.limited == 0


async def test_a_released_lane_is_written_by_its_next_owner_within_a_moment() -> None:
    """A deploy: idle lanes go at once, and the next answer there begins within 1.5 s of the release."""
    async with processes("a", "b") as (world, (first, second)):
        assert await first.keeper.route(event())
        released = asyncio.get_running_loop().time()
        stopping = asyncio.TaskGroup()
        async with stopping:
            stopping.create_task(first.stop(20.0))
            assert not await second.keeper.route(event(2)) or second.keeper.owns(LANE)
            await until(lambda: bool(world.writes), seconds=5.0)
        assert world.writes[0] - released <= 1.5
        assert world.handled["2"] == 1


async def test_a_busy_lane_is_released_after_its_answers() -> None:
    """Until then nobody else writes there, and new events wait for the next owner."""
    async with processes("a", "b") as (world, (first, second)):
        world.script[:] = words(200)
        await answering(world, first)
        async with asyncio.TaskGroup() as group:
            group.create_task(first.stop(20.0))
            await asyncio.sleep(0.2)
            assert not await first.keeper.route(event(2))
            assert not await second.keeper.route(event(3))
            await until(lambda: bool(world.journal.ends), seconds=20.0)
            ended = asyncio.get_running_loop().time()
            assert not second.keeper.owns(LANE)
            await until(lambda: any(at > ended for at in world.writes), seconds=5.0)
            assert next(at for at in world.writes if at > ended) - ended <= 1.5
        await until(lambda: len(world.journal.ends) == 3, seconds=60.0)
        assert set(world.journal.ends.values()) == {Ending.DONE}


async def test_a_lane_busy_for_too_long_is_handed_over_in_mid_answer() -> None:
    """The answer is interrupted, and the next owner completes it."""
    async with processes("a", "b") as (world, (first, second)):
        await answering(world, first)
        await first.stop(2.0)
        await owner_of([second])
        await second.turns.idle()
        assert list(world.journal.ends.values()) == [Ending.DONE]
        assert "word249" in "".join(world.shown.values())


async def test_a_process_cut_off_from_the_engine_stops_writing_and_leaves_no_trace() -> None:
    """Three seconds after its last heartbeat; on its return it is fenced, and begins anew."""
    async with processes("a", "b") as (world, (first, second)):
        await answering(world, first)
        cut = asyncio.get_running_loop().time()
        first.connection.swallows = True
        await owner_of([second])
        taken = asyncio.get_running_loop().time()
        assert taken - cut <= 7.0
        assert not [at for at in world.writes if cut + 3.0 < at < taken]
        before = first.keeper.process
        first.connection.swallows = False
        await until(lambda: first.keeper.process != before, seconds=SECONDS)
        assert first.lost == [LANE]
        assert first.model.open == 0
        await second.turns.idle()
        assert list(world.journal.ends.values()) == [Ending.DONE]
        assert first.records.records == []
        await until(lambda: first.keeper.is_ready, seconds=2 * SECONDS)


async def test_an_outage_of_the_engine_is_a_pause_for_all() -> None:
    """Nobody dies: writes rest after three seconds, and go on when it is back."""
    async with processes("a", "b") as (world, (first, second)):
        await answering(world, first)
        began = asyncio.get_running_loop().time()
        for each in (first, second):
            each.connection.is_away = True
        await asyncio.sleep(9.0)
        for each in (first, second):
            each.connection.is_away = False
        back = asyncio.get_running_loop().time()
        await first.turns.idle()
        assert not [at for at in world.writes if began + 3.0 < at < back]
        assert [at for at in world.writes if back < at < back + 1.0]
        assert world.engine.deaths == []
        assert second.lost == first.lost == []
        assert "".join(world.shown.values()).split() == [f"word{number}" for number in range(250)]


async def test_after_a_long_pause_answers_go_on_in_their_messages() -> None:
    """Twenty seconds without a lease are no wait for an edit: a new message would not have come earlier."""
    async with processes("a", "b", count=1600) as (world, (first, second)):
        world.server = Server(limit=50, period=60.0, rolling=True)
        assert await first.keeper.route(event())
        edits = RollingWindow(50, 60.0)
        for number in range(3):
            question = turn(str(number), conversation=str(number))
            await first.turns.receive(question.key, "event")
            limit = first.keeper.records.limit(LANE)
            world.channels.append(LaneChannel(world.server, limit=40_000, lane_limit=limit, edits=edits))
            first.turns.accept(question, world.channels[-1])
        await asyncio.sleep(6.0)
        for each in (first, second):
            each.connection.is_away = True
        await asyncio.sleep(20.0)
        for each in (first, second):
            each.connection.is_away = False
        await first.turns.idle()
        assert [len(channel.shown) for channel in world.channels] == [1] * 3


async def test_an_event_at_the_wrong_process_is_answered_by_the_owner() -> None:
    """At once by a hint; without one, at the next heartbeat. A repeated delivery makes no second answer."""
    async with processes("a", "b") as (world, (first, second)):
        assert await first.keeper.route(event())
        began = asyncio.get_running_loop().time()
        assert not await second.keeper.route(event(2))
        await until(lambda: world.handled["2"] == 1, seconds=1.0)
        assert asyncio.get_running_loop().time() - began < 0.2
        world.listeners.clear()  # nobody hears hints any more
        assert not await second.keeper.route(event(3))
        await until(lambda: world.handled["3"] == 1, seconds=1.5)
        assert not await second.keeper.route(event(3))
        await first.turns.idle()
        assert len(world.journal.ends) == 2


async def test_an_event_without_an_engine_is_not_acknowledged() -> None:
    """Whoever received it is told so; its platform sends it again."""
    async with processes("a") as (_, (first,)):
        first.connection.is_away = True
        with pytest.raises(ConnectFailed):
            await first.keeper.route(event())
        first.connection.is_away, first.connection.swallows = False, True
        with pytest.raises((Retryable, TimeoutError)):
            await first.keeper.route(event())


async def test_nothing_is_taken_in_the_grace_period() -> None:
    """The first event of a new deployment waits for it, in the inbox."""
    async with processes("a", ready=False) as (world, (first,)):
        began = asyncio.get_running_loop().time()
        await until(lambda: first.keeper.is_valid, seconds=1.0)
        assert not await first.keeper.route(event())
        await until(lambda: world.handled["1"] == 1, seconds=8.0)
        assert SECONDS <= asyncio.get_running_loop().time() - began <= SECONDS + 2.0


async def test_lanes_of_the_dead_are_spread() -> None:
    """Two survivors take three each of six lanes, within seven seconds."""
    async with processes("a", "b", "c") as (_, found):
        lanes = [Lane(PLATFORM, f"W{number}") for number in range(6)]
        for number, lane in enumerate(lanes):
            assert await found[0].keeper.route(RoutedEvent(lane, str(number), b""))
        killed = asyncio.get_running_loop().time()
        await found[0].kill()
        await until(lambda: sum(len(each.keeper.lanes) for each in found[1:]) == 6, seconds=10.0)
        assert asyncio.get_running_loop().time() - killed <= 7.0
        assert [len(each.keeper.lanes) for each in found[1:]] == [3, 3]


async def test_a_new_process_gets_its_part_of_idle_lanes() -> None:
    """An owner of all gives up what has been idle for a minute."""
    async with processes("a") as (world, found):
        for number in range(6):
            await found[0].keeper.route(RoutedEvent(Lane(PLATFORM, f"W{number}"), str(number), b""))
        found.append(await Process("b", world).start())
        await until(lambda: len(found[1].keeper.lanes) == 3, seconds=90.0)
        assert len(found[0].keeper.lanes) == 3


async def test_processes_that_start_together_share_evenly() -> None:
    """Nothing has to move afterwards: the first one past its grace period leaves the others their part."""
    async with processes(ready=False) as (world, found):
        for number in range(6):
            world.engine.add_lanes(PLATFORM, [f"W{number}"], replace=False)
        for name in ("a", "b", "c"):
            found.append(await Process(name, world).start())
            await asyncio.sleep(0.7)
        await until(lambda: sum(len(each.keeper.lanes) for each in found) == 6, seconds=10.0)
        assert [len(each.keeper.lanes) for each in found] == [2, 2, 2]
        assert not any(each.lost for each in found)


async def test_a_new_process_takes_free_lanes_at_once() -> None:
    """Another one is past its grace period, so what the engine says is certain. It reaps nobody."""
    async with processes("a") as (world, found):
        found.append(await Process("b", world).start())
        await until(lambda: found[1].keeper.is_ready, seconds=0.5)
        assert await found[1].keeper.route(event())


async def test_a_lane_that_is_always_busy_moves_to_a_process_without_any() -> None:
    """Its questions wait for the next owner from then on. The live answers end first."""
    async with processes("a", count=400) as (world, found):
        first = found[0]
        for name in ("W", "W2"):
            assert await first.keeper.route(RoutedEvent(Lane(PLATFORM, name), name, b""))
            question = turn(name, conversation=name)
            question = replace(question, key=replace(question.key, workspace=name))
            await first.turns.receive(question.key, name)
            first.turns.accept(question, first._channel(Lane(PLATFORM, name)))
        found.append(await Process("b", world).start())
        await until(lambda: bool(first.closed), seconds=10.0)
        (closed,) = first.closed
        assert not await first.keeper.route(RoutedEvent(closed, "later", b""))
        assert not world.journal.ends
        await until(lambda: found[1].keeper.owns(closed), seconds=25.0)
        await until(lambda: world.handled["later"] == 1, seconds=2.0)


async def test_shares_follow_demand() -> None:
    """Both get half while idle; the busy one gets nearly all."""
    async with processes("a", "b") as (world, (first, second)):
        await asyncio.sleep(5.0)
        assert sorted(each.window.limit for each in (first, second)) == [22, 23]
        world.script[:] = words(2000)
        assert await first.keeper.route(event())
        for number in range(30):
            await first.ask(str(number))
        await asyncio.sleep(5.0)
        assert first.window.limit > 35
        assert first.window.limit + second.window.limit == 45


async def test_the_next_owner_counts_the_writes_before_it() -> None:
    """Slack counts a minute: the calls of the old owner, and as many as it may have made unheard."""
    async with processes("a", "b") as (_, (first, second)):
        assert await first.keeper.route(event())
        log = first.keeper.records.log(LANE)
        for _ in range(10):
            log.record_call("chat.update")
            await asyncio.sleep(0.3)
        await first.kill()
        await owner_of([second])
        ages = await second.keeper.records.log(LANE).recent_calls("chat.update", 60.0)
        assert 10 <= len(ages) <= 10 + 8
        assert min(ages) < 2.1


async def test_a_lane_whose_response_was_overtaken_is_confirmed_at_once() -> None:
    """A heartbeat was sent meanwhile, without the lane in its list; the next one does not wait for its second."""
    async with processes("a", "b") as (world, (first, second)):
        assert await first.keeper.route(event())
        second.connection.delays["take"] = 1.2
        await first.stop(1.0)
        await until(lambda: world.engine.tables.lanes[LANE].owner == second.keeper.process, seconds=3.0)
        given = asyncio.get_running_loop().time()
        await owner_of([second])
        assert asyncio.get_running_loop().time() - given <= 1.2 + 0.1


@pytest.mark.parametrize("seconds", [1.2, 1.45, 60.0])
async def test_the_writes_before_it_count_whenever_the_response_comes(seconds: float) -> None:
    """The next heartbeat tells of the lane first, or its taking has no response at all: then it is taken once more."""
    async with processes("a", "b") as (_, (first, second)):
        assert await first.keeper.route(event())
        log = first.keeper.records.log(LANE)
        for _ in range(10):
            log.record_call("chat.update")
            await asyncio.sleep(0.3)
        first.keeper.records.save_session(LANE, "session")
        second.connection.delays["take"] = seconds
        asyncio.get_running_loop().call_later(3.0, second.connection.delays.clear)
        await first.stop(1.0)
        await owner_of([second])
        assert len(await second.keeper.records.log(LANE).recent_calls("chat.update", 60.0)) >= 10
        assert second.sessions == ["session"]
