"""A platform's view of lanes: which ones are ours, and where events of the others go.

`SoleOwner` is the view of a process without others: it owns every lane and asks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Protocol

from typing_extensions import override

from bot.ownership.holder import LaneHolder
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from bot.ports import RateLimitLog
from bot.rate_limits import Budget


class Lanes(Protocol):
    """The lanes of all processes, as one platform's adapter sees and uses them.

    Calls of the shared engine raise `bot.errors.Retryable`.
    """

    @property
    def keeps_sessions(self) -> bool:
        """Whether a lane's next owner gets the text of `save_session`."""
        return True

    async def announce(self, platform: str, names: Collection[str], *, replace: bool = False) -> None:
        """Make lanes known, so that some process takes each; with `replace`, the platform has no others any more.

        `LaneHolder.lane_won` follows for those taken by this process, now or later.
        """
        ...

    async def withdraw(self, lane: Lane) -> None:
        """The lane no longer exists (an app was uninstalled): nobody takes it again, and its inbox is emptied."""
        ...

    def owns(self, lane: Lane) -> bool:
        """Whether new turns of the lane begin in this process."""
        ...

    async def route(self, event: RoutedEvent) -> bool:
        """Whether this process handles the event itself; else it is in the inbox of the lane's owner.

        Acknowledge an event only after this has returned. A free or unknown lane may become ours by it.
        """
        ...

    def limit(self, lane: Lane) -> Budget | None:
        """The last budget of each write in the lane, always the same object; None if nothing limits the owner."""
        ...

    def call_log(self, lane: Lane) -> RateLimitLog | None:
        """The calls of the lane within the last minute, by earlier owners too; to be read anew after `lane_won`."""
        ...

    def save_session(self, lane: Lane, session: str) -> None:
        """Keep this text for the lane's next owner (`LaneHolder.lane_won`): with the next heartbeat, or its release."""
        ...

    async def reserve(self, name: str, seconds: float) -> float:
        """Reserve the next slot of a series, `seconds` apart for all processes. Returns the wait until it."""
        ...


class SoleOwner(Lanes):
    """One process with all lanes, from their announcement on."""

    def __init__(self, call_log: RateLimitLog | None = None) -> None:
        """`call_log` outlives this process, for the next one."""
        self._call_log = call_log
        self._platforms: Mapping[str, LaneHolder] = {}
        self._lanes: set[Lane] = set()
        self._slots: dict[str, float] = {}  # the loop's time of each series' next slot

    def attach(self, platforms: Mapping[str, LaneHolder]) -> None:
        """Tell these of their lanes, by name; before any announcement."""
        self._platforms = platforms

    @property
    @override
    def keeps_sessions(self) -> bool:
        """The next process begins anew."""
        return False

    @override
    async def announce(self, platform: str, names: Collection[str], *, replace: bool = False) -> None:
        announced = {Lane(platform, name) for name in names}
        known = {lane for lane in self._lanes if lane.platform == platform}
        for lane in sorted(known - announced) if replace else ():
            await self.withdraw(lane)
        for lane in sorted(announced - known):
            self._lanes.add(lane)
            self._platforms[platform].lane_won(lane)

    @override
    async def withdraw(self, lane: Lane) -> None:
        if lane in self._lanes:
            self._lanes.remove(lane)
            self._platforms[lane.platform].lane_lost(lane)

    @override
    def owns(self, lane: Lane) -> bool:
        return lane in self._lanes

    @override
    async def route(self, event: RoutedEvent) -> bool:
        await self.announce(event.lane.platform, [event.lane.name])
        return True

    @override
    def limit(self, lane: Lane) -> Budget | None:
        return None

    @override
    def call_log(self, lane: Lane) -> RateLimitLog | None:
        return self._call_log

    @override
    def save_session(self, lane: Lane, session: str) -> None:
        return

    @override
    async def reserve(self, name: str, seconds: float) -> float:
        now = asyncio.get_running_loop().time()
        at = max(self._slots.get(name, now), now)
        self._slots[name] = at + seconds
        return at - now
