"""The port `Ownership` in memory, for processes within one event loop: with a latency, outages and lost responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from typing_extensions import override

from bot.errors import ConnectFailed, ServiceError
from bot.ownership.holder import LaneUser
from bot.ownership.lanes import Grant, Lane
from bot.ownership.ports import (
    Caller,
    Heartbeat,
    HeartbeatResponse,
    InboxEvent,
    Ownership,
    Routed,
    RoutedEvent,
    TakenLane,
)
from bot.ownership.write_history import WriteReport
from tests.support.engine import Engine, Stale

T = TypeVar("T")


class MemoryOwnership(Ownership):
    """One process's connection to an engine shared with others."""

    def __init__(
        self,
        engine: Engine,
        listeners: list[Callable[[str], None]] | None = None,
        latency: float = 0.002,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Connections with the same `listeners` give each other hints."""
        self.engine = engine
        self.latency = latency
        self.settings = settings
        self.delays: dict[str, float] = {}  # of responses, by call
        self.is_away = False  # no connection
        self.swallows = False  # no response, ever
        self.calls: list[str] = []
        self._listeners = [] if listeners is None else listeners

    async def _call(self, name: str, apply: Callable[[], T]) -> T:
        self.calls.append(name)
        await asyncio.sleep(self.latency / 2)
        if self.swallows:
            await asyncio.Event().wait()
        if self.is_away:
            raise ConnectFailed("the engine is away")
        try:
            result = apply()
        except Stale as error:
            raise ServiceError("a newer heartbeat was applied") from error
        await asyncio.sleep(self.latency / 2 + self.delays.get(name, 0.0))
        return result

    @override
    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatResponse | None:
        return await self._call("heartbeat", lambda: self.engine.heartbeat(heartbeat, self.settings))

    @override
    async def reap(self, caller: Caller) -> Sequence[str]:
        dead = await self._call("reap", lambda: self.engine.reap(caller))
        if dead:
            self._tell("")
        return dead

    @override
    async def take(self, caller: Caller, platform: str, most: int) -> Sequence[TakenLane]:
        return await self._call("take", lambda: self.engine.take(caller, platform, most))

    @override
    async def route(self, caller: Caller, event: RoutedEvent, *, may_take: bool, may_keep: bool) -> Routed:
        routed = await self._call(
            "route", lambda: self.engine.route(caller, event, may_take=may_take, may_keep=may_keep)
        )
        owner = self.engine.tables.lanes[event.lane].owner
        if owner is not None:
            self._tell(owner)
        return routed

    @override
    async def release(self, process: str, lanes: Mapping[Grant, WriteReport | None]) -> None:
        await self._call("release", lambda: self.engine.release(process, lanes))
        self._tell("")

    @override
    async def events(self, process: str, most: int, without: Collection[Lane] = ()) -> Sequence[InboxEvent]:
        return await self._call("events", lambda: self.engine.events(process, most, frozenset(without)))

    @override
    async def handled(self, numbers: Sequence[int]) -> None:
        await self._call("handled", lambda: self.engine.handled(numbers))

    @override
    async def leave(self, process: str) -> None:
        await self._call("leave", lambda: self.engine.leave(process))
        self._tell("")

    def _tell(self, hint: str) -> None:
        for each in list(self._listeners):
            each(hint)

    @override
    async def listen(self, on_hint: Callable[[str], None]) -> None:
        self._listeners.append(on_hint)
        on_hint("")
        try:
            await asyncio.Event().wait()
        finally:
            if on_hint in self._listeners:
                self._listeners.remove(on_hint)

    @override
    async def add_lanes(self, platform: str, names: Collection[str], *, replace: bool) -> None:
        await self._call("add_lanes", lambda: self.engine.add_lanes(platform, names, replace=replace))

    @override
    async def remove_lanes(self, platform: str, names: Collection[str]) -> None:
        await self._call("remove_lanes", lambda: self.engine.remove_lanes(platform, names))

    @override
    async def reserve(self, name: str, seconds: float) -> float:
        return await self._call("reserve", lambda: self.engine.reserve(name, seconds))


class IdleUser(LaneUser):
    """Whoever works in the lanes, without a question."""

    def lane_won(self, lane: Lane, session: str) -> None:
        pass

    def lane_closed(self, lane: Lane) -> None:
        pass

    def lane_lost(self, lane: Lane) -> None:
        pass

    def live_answers(self) -> Mapping[Lane, int]:
        return {}

    async def handle(self, event: RoutedEvent) -> None:
        pass
