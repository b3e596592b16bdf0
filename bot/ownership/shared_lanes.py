"""A platform's view of the lanes of many processes, on their keeper and their engine."""

from __future__ import annotations

from collections.abc import Collection

from typing_extensions import override

from bot.ownership.access import Lanes
from bot.ownership.keeper import Keeper
from bot.ownership.lanes import Lane
from bot.ownership.ports import Ownership, RoutedEvent
from bot.ports import RateLimitLog
from bot.rate_limits import Budget


class SharedLanes(Lanes):
    """This process owns some of the lanes, and takes others as their owners end."""

    def __init__(self, keeper: Keeper, ownership: Ownership) -> None:
        self._keeper = keeper
        self._ownership = ownership

    @override
    async def announce(self, platform: str, names: Collection[str], *, replace: bool = False) -> None:
        await self._ownership.add_lanes(platform, names, replace=replace)
        self._keeper.look()

    @override
    async def withdraw(self, lane: Lane) -> None:
        self._keeper.withdraw(lane)
        await self._ownership.remove_lanes(lane.platform, [lane.name])

    @override
    def owns(self, lane: Lane) -> bool:
        return self._keeper.owns(lane)

    @override
    async def route(self, event: RoutedEvent) -> bool:
        return await self._keeper.route(event)

    @override
    def limit(self, lane: Lane) -> Budget | None:
        return self._keeper.records.limit(lane)

    @override
    def call_log(self, lane: Lane) -> RateLimitLog | None:
        return self._keeper.records.log(lane)

    @override
    def save_session(self, lane: Lane, session: str) -> None:
        self._keeper.records.save_session(lane, session)

    @override
    async def reserve(self, name: str, seconds: float) -> float:
        return await self._ownership.reserve(name, seconds)
