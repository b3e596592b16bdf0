"""One simulated process: the real keeper, lane limits and shares, and answers of a write a second."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from typing_extensions import override

from benchmarks.scale_out.hosts import Host
from benchmarks.scale_out.world import DISCORD, SLACK, Answer, HandOver, World
from bot.errors import Retryable
from bot.ownership.holder import LaneUser
from bot.ownership.keeper import Keeper, KeeperOptions, SharedLimit
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from bot.ownership.shares import demand_of
from bot.rate_limits import Budget
from bot.rate_limits.shared_window import SharedWindow
from tests.support.ownership import MemoryOwnership

LIMIT = "discord"

# From a write to its response, and the longest wait for a permit before the next look. Seconds.
TRIP_SECONDS, LOOK_SECONDS = 0.15, 0.1

# How often a new owner looks whether its first write may be sent. Seconds.
FIRST_LOOK_SECONDS = 0.01


class Process(LaneUser, SharedLimit):
    """Takes questions, answers those of its lanes, and continues what others began there."""

    def __init__(
        self, name: str, world: World, ownership: MemoryOwnership, seeded: Callable[[str], random.Random]
    ) -> None:
        self.name, self.world, self.ownership = name, world, ownership
        self.host = Host()
        self.window = SharedWindow(1.0)
        starts = iter(range(1, 1_000_000))
        options = KeeperOptions((SLACK, DISCORD), limits={LIMIT: self})
        self.keeper = Keeper(ownership, self, options, lambda: f"{name}.{next(starts)}")
        self.is_stopping = False
        self._seeded = seeded
        self._queue = asyncio.Lock()  # of those who wait for the share, in their order
        self._answers: dict[Lane, dict[str, asyncio.Task[None]]] = defaultdict(dict)
        self._fences: dict[Lane, int] = {}
        self._group: asyncio.TaskGroup | None = None

    # ---------------------------------------------------------------------------------------------- what a keeper asks

    @override
    def demand(self, live: Mapping[Lane, int]) -> int:
        return demand_of(self.wanted())

    @override
    def live_answers(self) -> Mapping[Lane, int]:
        return {lane: len(found) for lane, found in self._answers.items() if found}

    @override
    def lane_won(self, lane: Lane, session: str) -> None:
        self._fences[lane] = self.world.engine.tables.lanes[lane].fence
        self._start(self._measure_first(lane))
        for answer in list(self.world.open.get(lane, {}).values()):
            self.begin(answer)

    @override
    def lane_closed(self, lane: Lane) -> None:
        pass  # questions go to the lane's inbox, or wait

    @override
    def lane_lost(self, lane: Lane) -> None:
        for task in self._answers.pop(lane, {}).values():
            task.cancel()

    @override
    async def handle(self, event: RoutedEvent) -> None:
        answer = self.world.accept(event.id, event.lane, json.loads(event.body))
        if answer is not None:
            self.begin(answer)

    def wanted(self) -> int:
        """The writes a second that Discord's live answers would make without a limit."""
        return sum(len(found) for lane, found in self._answers.items() if lane.platform == DISCORD)

    # ----------------------------------------------------------------------------------------------------------- work

    async def run(self) -> None:
        """Work until cancelled, which is a kill."""
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self.keeper.run())

    async def stop(self, seconds: float) -> None:
        """SIGTERM: give the lanes up as they become idle, then leave."""
        self.is_stopping = True
        await self.keeper.release_all(seconds)
        for lane in list(self._answers):
            self.lane_lost(lane)
        await self.keeper.leave()

    async def receive(self, event: RoutedEvent) -> bool:
        """An event arrives over HTTP. Whether it is acknowledged."""
        with suppress(Retryable, TimeoutError):
            if await self.keeper.route(event):
                await self.handle(event)
            return True
        return False

    def begin(self, answer: Answer) -> None:
        """Show what is left of an answer."""
        task = self._start(self._answer(answer))
        self._answers[answer.lane][answer.id] = task

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work)

    async def _answer(self, answer: Answer) -> None:
        fence = self._fences[answer.lane]
        limits: Sequence[Budget] = [self.keeper.records.limit(answer.lane)]
        queue, seeded = asyncio.Lock(), self._seeded(f"{answer.id} {self.name}")
        if answer.lane.platform == DISCORD:
            limits, queue = [self.window, *limits], self._queue
        try:
            while not answer.has_ended:
                await asyncio.sleep(seeded.uniform(0.9, 1.1))
                async with queue:
                    await _permitted(limits)
                    sent = asyncio.get_running_loop().time()
                    for limit in limits:
                        limit.spend(sent)
                self.world.wrote(answer, fence)
                await asyncio.sleep(TRIP_SECONDS)
                for limit in limits:
                    limit.record_response(sent + TRIP_SECONDS, sent=sent)
        finally:
            self._answers.get(answer.lane, {}).pop(answer.id, None)

    # -------------------------------------------------------------------------------------------------------- measures

    async def _measure_first(self, lane: Lane) -> None:
        """Wait until a write may be sent in a lane just taken."""
        loop, limit = asyncio.get_running_loop(), self.keeper.records.limit(lane)
        freed, taken = self.world.engine.free.lanes.pop(lane, None), loop.time()
        while limit.ready_at(loop.time(), final=True) > loop.time():
            if not self.keeper.owns(lane):
                return
            await asyncio.sleep(FIRST_LOOK_SECONDS)
        if freed is not None:
            self.world.hand_overs.append(HandOver(freed.why, taken - freed.at, loop.time() - freed.at))


async def _permitted(limits: Collection[Budget]) -> None:
    """Wait until all of them permit a write."""
    loop = asyncio.get_running_loop()
    while (at := max(limit.ready_at(loop.time(), final=True) for limit in limits)) > loop.time():
        await asyncio.sleep(min(max(at - loop.time(), 0.001), LOOK_SECONDS))
