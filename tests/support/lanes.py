"""Lanes of several platform objects in one event loop, moved by a test at once: no leases, no heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from typing_extensions import override

from bot.ownership.access import Lanes
from bot.ownership.holder import LaneHolder
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from bot.ports import RateLimitLog
from bot.rate_limits import Budget


@dataclass
class LaneTable:
    """What the engine knows: the lanes, their sessions, and the slots of each series."""

    owners: dict[Lane, MovableLanes | None] = field(default_factory=dict)
    sessions: dict[Lane, str] = field(default_factory=dict)
    slots: dict[str, float] = field(default_factory=dict)  # the loop's time
    reserved: list[tuple[str, float]] = field(default_factory=list)  # the series, and the slot

    def give(self, lane: Lane, owner: MovableLanes) -> None:
        """A free lane is taken."""
        self.owners[lane] = owner
        owner.holder.lane_won(lane, self.sessions.get(lane, ""))

    def crash(self, process: MovableLanes) -> None:
        """Nothing this process says counts from now on, and its lanes are free."""
        process.is_dead = True
        for lane in process.lanes:
            self.owners[lane] = None


class MovableLanes(Lanes):
    """One process's view. `takes`: it takes lanes that are new, up to this number in all."""

    def __init__(self, table: LaneTable, *, takes: int = 0, limit: Budget | None = None) -> None:
        self.table = table
        self.takes = takes
        self.is_dead = False
        self._limit = limit
        self.holder: LaneHolder

    @property
    def lanes(self) -> list[Lane]:
        """The lanes owned by this process."""
        return [lane for lane, owner in self.table.owners.items() if owner is self]

    def release(self, lane: Lane) -> None:
        """Give a lane up in order."""
        self.holder.lane_lost(lane)
        self.table.owners[lane] = None

    @override
    async def announce(self, platform: str, names: Collection[str], *, replace: bool = False) -> None:
        announced = [Lane(platform, name) for name in names]
        for lane in [lane for lane in self.table.owners if replace and lane not in announced]:
            await self.withdraw(lane)
        for lane in announced:
            if self.table.owners.setdefault(lane) is None and len(self.lanes) < self.takes:
                self.table.give(lane, self)

    @override
    async def withdraw(self, lane: Lane) -> None:
        owner = self.table.owners.pop(lane, None)
        if owner is not None:
            owner.holder.lane_lost(lane)

    @override
    def owns(self, lane: Lane) -> bool:
        return self.table.owners.get(lane) is self

    @override
    async def route(self, event: RoutedEvent) -> bool:
        return self.owns(event.lane)

    @override
    def limit(self, lane: Lane) -> Budget | None:
        return self._limit

    @override
    def call_log(self, lane: Lane) -> RateLimitLog | None:
        return None

    @override
    def save_session(self, lane: Lane, session: str) -> None:
        if self.owns(lane):
            self.table.sessions[lane] = session

    @override
    async def reserve(self, name: str, seconds: float) -> float:
        now = asyncio.get_running_loop().time()
        at = max(self.table.slots.get(name, now), now)
        self.table.slots[name] = at + seconds
        self.table.reserved.append((name, at))
        return at - now
