"""Ten thousand Slack workspaces and a hundred Discord shards on sixteen processes, with faults and a rolling deploy.

Keepers, leases, lane limits and shares are the real ones; the engine is in memory, each call of it takes some
milliseconds. Everything is seeded, and times are virtual.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.scale_out.costed_engine import Cost, CostedEngine
from benchmarks.scale_out.hosts import HostLoop
from benchmarks.scale_out.process import LIMIT, Process
from benchmarks.scale_out.world import DISCORD, SHARED, SLACK, HandOver, Usage, World
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from tests.support.engine import LaneRow
from tests.support.ownership import MemoryOwnership

# A call of the engine; Slack's wait for a response, and its next delivery without one. Seconds.
LATENCY_SECONDS, SLACK_SECONDS, REDELIVERY_SECONDS = 0.004, 3.0, 3.0

# How often all owners are compared. Seconds.
CHECK_SECONDS = 0.5

# Processes of a deployment start within this time. Seconds.
START_SECONDS = 2.0

# A killed process is started again after this time, and a stopping one has this long for its answers. Seconds.
RESTART_SECONDS, DRAIN_SECONDS = 10.0, 20.0

# Seconds of text in an answer, and the wait for the last ones.
TEXT = (3, 20)
LAST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is: lanes and processes, and questions a second."""

    workspaces: int = 10_000
    shards: int = 100
    processes: int = 16
    slack_rate: float = 20.0
    discord_rate: float = 7.0
    seed: int = 1


@dataclass
class Report:
    """What came of it. Times in seconds."""

    size: Size
    hand_overs: dict[str, Sequence[HandOver]] = field(default_factory=dict)  # by phase
    usage: dict[str, Usage] = field(default_factory=dict)  # of Discord's permits, by phase
    cost: Cost = field(default_factory=Cost)
    seconds: float = 0.0
    imbalance: dict[str, tuple[float, float]] = field(default_factory=dict)  # most over mean: Slack's, Discord's
    pauses: dict[str, float] = field(default_factory=dict)  # the longest of an answer, by phase
    asked: int = 0
    answered: int = 0
    lost: int = 0  # acknowledged, and lost with the engine's last commits


class Simulation:
    """The world and its processes."""

    def __init__(self, size: Size) -> None:
        loop = asyncio.get_running_loop()
        self.size = size
        self.report = Report(size)
        self.world = World(CostedEngine(loop.time, {LIMIT: SHARED}))
        self.processes: dict[str, Process] = {}
        self._faults = self._seeded("faults")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._group = asyncio.TaskGroup()
        self._starts = iter(range(1, 1_000_000))
        self._asking = True
        self._is_away = False
        now = loop.time()
        for lane in self.lanes():
            self.world.engine.tables.lanes[lane] = LaneRow(free_since=now)

    def lanes(self) -> Iterator[Lane]:
        """All of them."""
        yield from (Lane(SLACK, f"T{number}") for number in range(self.size.workspaces))
        yield from (Lane(DISCORD, f"{shard}/{self.size.shards}") for shard in range(self.size.shards))

    async def run(self, phases: Sequence[tuple[str, Callable[[Simulation], Awaitable[None]]]]) -> Report:
        """Play the phases, then wait for the last answers."""
        loop, report = asyncio.get_running_loop(), self.report
        began = loop.time()
        async with self._group as group:
            work = [self._ask(SLACK), self._ask(DISCORD), self._check(), self._look()]
            tasks = [group.create_task(each) for each in work]
            for name, phase in phases:
                self.world.begin_phase()
                await phase(self)
                self._end_phase(name)
            self._asking = False
            await asyncio.sleep(LAST_SECONDS)
            for each in [*tasks, *self._tasks.values()]:
                each.cancel()
        report.cost, report.seconds = self.world.engine.cost, loop.time() - began
        report.answered = len(self.world.ended)
        return report

    def _end_phase(self, name: str) -> None:
        report, world = self.report, self.world
        report.hand_overs[name], report.usage[name] = world.hand_overs, world.usage
        report.pauses[name] = world.longest_pause
        report.imbalance[name] = self._imbalance(SLACK), self._imbalance(DISCORD)

    def _seeded(self, of: str) -> random.Random:
        """A source of its own for each purpose, so that results are the same everywhere."""
        return random.Random(f"{self.size.seed} {of}")  # noqa: S311 (seeded)

    # ---------------------------------------------------------------------------------------------------------- faults

    async def start_all(self) -> None:
        """Start the deployment."""
        for _ in range(self.size.processes):
            self.start()
            await asyncio.sleep(START_SECONDS / self.size.processes)

    def start(self) -> Process:
        """Start one process."""
        name = f"p{next(self._starts):03}"
        ownership = MemoryOwnership(self.world.engine, self._listeners, LATENCY_SECONDS)
        ownership.is_away = self._is_away
        process = self.processes[name] = Process(name, self.world, ownership, self._seeded)
        self._tasks[name] = process.host.create_task(self._group, process.run())
        return process

    def any_process(self) -> Process:
        """One that runs, at random."""
        return self._faults.choice([each for each in self.processes.values() if not each.is_stopping])

    def kill(self, process: Process) -> None:
        """`kill -9`."""
        self._lanes_end(process, "kill")
        self._end(process)

    async def pause(self, process: Process, seconds: float) -> None:
        """Stop it, as SIGSTOP does, for so long."""
        self._lanes_end(process, "pause")
        process.host.pause()
        await asyncio.sleep(seconds)
        process.host.resume()

    def _lanes_end(self, process: Process, why: str) -> None:
        now = asyncio.get_running_loop().time()
        for lane, row in self.world.engine.tables.lanes.items():
            if row.owner == process.keeper.process:
                self.world.engine.free.add(lane, why, now)

    async def stop(self, process: Process) -> None:
        """SIGTERM, and the process's end."""
        await process.stop(DRAIN_SECONDS)
        self._end(process)

    def _end(self, process: Process) -> None:
        del self.processes[process.name]
        self._tasks.pop(process.name).cancel()

    def set_away(self, *, is_away: bool) -> None:
        """The engine goes, or comes back."""
        self._is_away = is_away
        for each in self.processes.values():
            each.ownership.is_away = is_away

    async def fail_over(self, lost: float, away: float) -> None:
        """The engine fails, and a stand-by without the commits of the last `lost` seconds follows it."""
        engine = self.world.engine
        tables, known = engine.snapshot(), set(engine.tables.inbox)
        await asyncio.sleep(lost)
        inbox = [event for number, event in engine.tables.inbox.items() if number not in known]
        self.set_away(is_away=True)
        await asyncio.sleep(away)
        engine.restart(tables)
        self.set_away(is_away=False)
        self.report.lost += sum(event.id not in self.world.accepted for event in inbox)

    # -------------------------------------------------------------------------------------------------------- questions

    async def _ask(self, platform: str) -> None:
        """Questions at random times, in random lanes."""
        is_slack, seeded = platform == SLACK, self._seeded(platform)
        rate = self.size.slack_rate if is_slack else self.size.discord_rate
        for number in range(1_000_000):
            await asyncio.sleep(seeded.expovariate(rate))
            if not self._asking:
                return
            workspace, shard = seeded.randrange(self.size.workspaces), seeded.randrange(self.size.shards)
            lane = Lane(platform, f"T{workspace}" if is_slack else f"{shard}/{self.size.shards}")
            event = RoutedEvent(lane, f"{platform}{number}", _text(seeded.randint(*TEXT)))
            self.report.asked += 1
            self._group.create_task(self._deliver(event) if is_slack else self._bring(event))

    async def _deliver(self, event: RoutedEvent) -> None:
        """Slack sends an event to any process, until one acknowledges it."""
        seeded = self._seeded(event.id)
        while True:
            if self.processes:
                process = seeded.choice(list(self.processes.values()))
                acknowledged = asyncio.Event()
                work = self._receive(process, event, acknowledged)
                task = process.host.create_task(self._group, work)
                try:
                    async with asyncio.timeout(SLACK_SECONDS):
                        await acknowledged.wait()
                except TimeoutError:
                    task.cancel()
                else:
                    return
            await asyncio.sleep(REDELIVERY_SECONDS)

    async def _receive(self, process: Process, event: RoutedEvent, acknowledged: asyncio.Event) -> None:
        if await process.receive(event):
            acknowledged.set()

    async def _bring(self, event: RoutedEvent) -> None:
        """Discord sends an event to the shard's session, wherever it is resumed."""
        while True:
            for process in self.processes.values():
                if not process.host.is_paused and process.keeper.owns(event.lane):
                    await process.handle(event)
                    return
            await asyncio.sleep(CHECK_SECONDS)

    # ----------------------------------------------------------------------------------------------------------- checks

    async def _check(self) -> None:
        """Never two valid owners."""
        while True:
            owned: Counter[Lane] = Counter()
            for process in self.processes.values():
                if process.keeper.is_valid:
                    owned.update(grant.lane for grant in process.keeper.lanes)
            twice = [lane for lane, count in owned.items() if count > 1]
            assert not twice, f"{twice} have two owners"
            await asyncio.sleep(CHECK_SECONDS)

    async def _look(self) -> None:
        """The demand for Discord's permits, once a second."""
        while True:
            await asyncio.sleep(1.0)
            running = [each for each in self.processes.values() if each.keeper.is_valid and not each.host.is_paused]
            self.world.look(sum(each.wanted() for each in running))

    def _imbalance(self, platform: str) -> float:
        """The most lanes of a process over the mean of those that take lanes."""
        running = [each.keeper for each in self.processes.values() if each.keeper.is_ready]
        counts = [sum(grant.lane.platform == platform for grant in keeper.lanes) for keeper in running]
        return max(counts) * len(counts) / sum(counts) if any(counts) else 0.0


def _text(seconds: int) -> bytes:
    return json.dumps(seconds).encode()


def simulate(size: Size, phases: Sequence[tuple[str, Callable[[Simulation], Awaitable[None]]]]) -> Report:
    """Play the phases on the virtual clock."""

    async def play() -> Report:
        return await Simulation(size).run(phases)

    with asyncio.Runner(loop_factory=HostLoop) as runner:
        return runner.run(play())
