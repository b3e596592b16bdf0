"""The port of the shared engine, and its plain values.

Every call is atomic: the engine applies it as a whole or not at all. A call without a response may be applied, at once
or later; so heartbeats have numbers, a released lane is named with its fence, and events have ids. Calls raise
`bot.errors.Retryable`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from bot.ownership.lanes import Grant, Lane, LaneCounts
from bot.ownership.lease import EngineTime
from bot.ownership.shares import ShareReport
from bot.ownership.write_history import StoredReport, WriteReport


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life. `number` grows with each; the engine refuses to apply an older one after a newer.

    `may_take`: past the grace period and not stopping, so others leave it its part. `epoch` is the one last heard of.
    `owned` counts its lanes by platform. `is_stopping`: it takes no more.
    Shares grow only in a heartbeat with `may_take` and the engine's present epoch. `writes` replaces the stored reports
    of lanes owned with these fences. The others stand: they hold at each heartbeat, until the owner's last one.
    """

    process: str
    number: int
    lease_seconds: float
    platforms: tuple[str, ...] = ()
    may_take: bool = False
    epoch: str = ""
    shares: Mapping[str, ShareReport] = field(default_factory=dict)
    writes: Mapping[Grant, WriteReport] = field(default_factory=dict)
    is_stopping: bool = False
    owned: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeartbeatResponse:
    """The engine's view of a live process. It is the truth about its lanes; `counts` are by platform.

    `lapses_in` is the time until the next lease of another process is over; if negative, it is to be reaped.
    `different_settings` names the tables of settings in which another live process differs.
    `is_settled`: another live process sent a heartbeat with `may_take` in the present epoch.
    """

    engine: EngineTime
    lanes: frozenset[Grant] = frozenset()
    counts: Mapping[str, LaneCounts] = field(default_factory=dict)
    shares: Mapping[str, int] = field(default_factory=dict)
    has_events: bool = False  # the inbox holds events of its lanes
    lapses_in: float = math.inf
    different_settings: frozenset[str] = frozenset()
    is_settled: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what it last heard from the engine.

    The engine does nothing for a dead process, nor if the epoch has changed: it may lack what the caller knows.
    """

    process: str
    heard: EngineTime


@dataclass(frozen=True, slots=True)
class TakenLane:
    """A lane just taken, and the last report of its earlier owner, if any."""

    grant: Grant
    writes: StoredReport | None = None

    @property
    def session(self) -> str:
        """The text kept by the earlier owner; empty if there is none."""
        return self.writes.report.session if self.writes is not None else ""


@dataclass(frozen=True, slots=True)
class RoutedEvent:
    """A platform's event. `id` is the platform's own for all deliveries of the event, unique within its lane."""

    lane: Lane
    id: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """An event in the inbox; `number` gives the order of arrival."""

    number: int
    event: RoutedEvent


class Route(Enum):
    """What became of a routed event."""

    QUEUED = "queued"  # it is in the inbox, for the lane's present or next owner
    MINE = "mine"  # the caller owns the lane: it handles the event itself


@dataclass(frozen=True, slots=True)
class Routed:
    """The answer to `route`. With `Route.MINE`, `lane` is the caller's, perhaps taken just now."""

    route: Route
    lane: TakenLane | None = None


class Ownership(Protocol):
    """Leases, lanes and inbox of all processes, as the shared engine keeps them."""

    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatResponse | None:
        """Prolong the lease of a process, known or new. None: it is declared dead, for good."""
        ...

    async def reap(self, caller: Caller) -> Sequence[str]:
        """Declare those dead whose lease was over at the time last heard by the caller; free their lanes and shares.

        All processes get a hint, since each takes its part of the lanes.

        A lease that seems to begin in the engine's future is over too: its clock went back meanwhile.
        """
        ...

    async def take(self, caller: Caller, platform: str, most: int) -> Sequence[TakenLane]:
        """Take at most so many free lanes, in `bot.ownership.lanes.taking_order`, each with a greater fence."""
        ...

    async def route(self, caller: Caller, event: RoutedEvent, *, may_take: bool, may_keep: bool) -> Routed:
        """Pass an event to its lane's owner, through the inbox.

        With `may_take`, a free lane is taken. Without `may_keep`, the event is for the lane's next owner: the caller
        gives its own lanes up. A new lane becomes known by this. An event id already in the inbox is not stored again.
        Only after the response may the event be acknowledged to its platform.
        """
        ...

    async def release(self, process: str, lanes: Mapping[Grant, WriteReport | None]) -> None:
        """Free these lanes if they are owned with these fences. The reports say that no write follows.

        Without a report nothing was written, and the stored one stands.
        """
        ...

    async def events(self, process: str, most: int, without: Collection[Lane] = ()) -> Sequence[InboxEvent]:
        """The oldest events in the inbox for the lanes of a live process, but for those `without`."""
        ...

    async def handled(self, numbers: Sequence[int]) -> None:
        """Remove these events: each is in the journal of turns, or asks nothing."""
        ...

    async def leave(self, process: str) -> None:
        """The process ends: it owns nothing any more. Its shares are free a window later."""
        ...

    async def listen(self, on_hint: Callable[[str], None]) -> None:
        """Pass on hints until cancelled: the name of a process with an event in its inbox, or "" if lanes are free.

        Another "" tells that it listens now. Hints may be lost, or never come: then it may return. Never raises.
        """
        ...

    async def add_lanes(self, platform: str, names: Collection[str], *, replace: bool) -> None:
        """Make lanes known. With `replace`, the platform's others are removed."""
        ...

    async def remove_lanes(self, platform: str, names: Collection[str]) -> None:
        """These lanes exist no longer: their owners lose them, and their events leave the inbox."""
        ...

    async def reserve(self, name: str, seconds: float) -> float:
        """Reserve the next slot of a series, `seconds` apart for all processes. Returns the wait until it."""
        ...
