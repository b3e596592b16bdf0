"""The shared engine in memory: each call is atomic, by a clock of its own. It can fail over and lose commits."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import md5

from bot.ownership.lanes import FreeLane, Grant, Lane, LaneCounts, taking_order
from bot.ownership.lease import EngineTime
from bot.ownership.ports import (
    Caller,
    Heartbeat,
    HeartbeatResponse,
    InboxEvent,
    Route,
    Routed,
    RoutedEvent,
    TakenLane,
)
from bot.ownership.shares import WINDOW_SECONDS, divide, grant
from bot.ownership.write_history import StoredReport, WriteReport


class Stale(Exception):
    """A call that the engine does not apply: a heartbeat after a newer one."""


@dataclass
class ProcessRow:
    """One process."""

    number: int
    seen_at: float
    lease_seconds: float
    platforms: tuple[str, ...]
    may_take: bool
    demands: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    is_dead: bool = False
    held_until: float = 0.0  # after its end
    settings: dict[str, str] = field(default_factory=dict)
    is_stopping: bool = False
    owned: Mapping[str, int] = field(default_factory=dict)
    settled_at: str = ""  # the epoch at which it might take lanes


@dataclass
class LaneRow:
    """One lane."""

    owner: str | None = None
    fence: int = 0
    free_since: float = 0.0
    deaths: tuple[float, ...] = ()
    report: WriteReport | None = None
    reported_at: float = 0.0


@dataclass
class Tables:
    """All that is stored."""

    processes: dict[str, ProcessRow] = field(default_factory=dict)
    lanes: dict[Lane, LaneRow] = field(default_factory=dict)
    inbox: dict[int, RoutedEvent] = field(default_factory=dict)
    arrived: int = 0
    slots: dict[str, float] = field(default_factory=dict)  # the time of each series' next
    journal: set[str] = field(default_factory=set)  # accepted events


class Engine:
    """The functions of the engine. `limits` are the shared ones."""

    def __init__(self, clock: Callable[[], float], limits: Mapping[str, int] | None = None) -> None:
        self.clock = clock
        self.limits = dict(limits or {})
        self.tables = Tables()
        self.epoch = 1
        self.deaths: list[tuple[str, str]] = []  # who declared whom dead; no fail-over loses it, nor the next
        self.grants: list[Grant] = []

    @property
    def now(self) -> EngineTime:
        return EngineTime(str(self.epoch), self.clock())

    def snapshot(self) -> Tables:
        """What a stand-by server has."""
        return copy.deepcopy(self.tables)

    def restart(self, tables: Tables | None = None) -> None:
        """Run anew, as a stand-by server with these tables if given."""
        self.tables = copy.deepcopy(tables) if tables is not None else self.tables
        self.epoch += 1

    def heartbeat(self, beat: Heartbeat, settings: Mapping[str, str] | None = None) -> HeartbeatResponse | None:
        now, known = self.clock(), self.tables.processes.get(beat.process)
        if known is not None and known.is_dead:
            return None
        if known is not None and beat.number <= known.number:
            raise Stale
        row = ProcessRow(beat.number, now, beat.lease_seconds, beat.platforms, beat.may_take)
        row.demands = {limit: report.demand for limit, report in beat.shares.items()}
        row.held = {limit: report.in_use for limit, report in beat.shares.items()}
        row.settings = dict(settings or {})
        row.is_stopping, row.owned = beat.is_stopping, beat.owned
        row.settled_at = beat.epoch if beat.may_take and beat.epoch == str(self.epoch) else ""
        self.tables.processes[beat.process] = row
        for owned, report in beat.writes.items():
            lane = self.tables.lanes.get(owned.lane)
            if lane is not None and (lane.owner, lane.fence) == (beat.process, owned.fence):
                lane.report, lane.reported_at = report, now
        granted = {limit: self._grant(limit, beat) for limit in beat.shares}
        lanes = frozenset(
            Grant(lane, each.fence) for lane, each in self.tables.lanes.items() if each.owner == beat.process
        )
        counts = {platform: self._with_peers(platform, beat.process) for platform in beat.platforms}
        others = [each for process, each in self.tables.processes.items() if process != beat.process]
        is_settled = any(not each.is_dead and each.settled_at == str(self.epoch) for each in others)
        lapses_in = min(
            (
                each.seen_at + each.lease_seconds - now if each.seen_at <= now + each.lease_seconds else -1.0
                for process, each in self.tables.processes.items()
                if process != beat.process and not each.is_dead
            ),
            default=math.inf,
        )
        has_events, different = bool(self.events(beat.process, 1)), self._different_settings(row)
        return HeartbeatResponse(self.now, lanes, counts, granted, has_events, lapses_in, different, is_settled)

    def _different_settings(self, row: ProcessRow) -> frozenset[str]:
        live = [each.settings for each in self.tables.processes.values() if not each.is_dead]
        return frozenset(
            table
            for table, digest in row.settings.items()
            if any(settings.get(table, digest) != digest for settings in live)
        )

    def _grant(self, limit: str, beat: Heartbeat) -> int:
        rows, now = self.tables.processes, self.clock()
        own = rows[beat.process]
        using = {
            process: row.demands[limit]
            for process, row in rows.items()
            if not row.is_dead and limit in row.demands and (row.may_take or row.held.get(limit, 0))
        }
        reported = own.held[limit]
        target = divide(self.limits[limit], using).get(beat.process, 0)
        others = sum(
            row.held.get(limit, 0)
            for process, row in rows.items()
            if process != beat.process and (not row.is_dead or row.held_until > now)
        )
        may_grow = beat.may_take and beat.epoch == str(self.epoch)
        granted = grant(self.limits[limit], reported, target, others) if may_grow else min(target, reported)
        own.held[limit] = max(granted, reported)
        return granted

    def _with_peers(self, platform: str, process: str) -> LaneCounts:
        members = [
            each
            for each, row in self.tables.processes.items()
            if not row.is_dead and platform in row.platforms and not row.is_stopping
        ]
        owned = [row.owned.get(platform) for row in map(self.tables.processes.__getitem__, members) if row.may_take]
        least = min((each for each in owned if each is not None), default=None)
        rank = sum(_order(platform, each) < _order(platform, process) for each in members)
        return replace(self._counts(platform), members=len(members), rank=rank, least=least)

    def _counts(self, platform: str) -> LaneCounts:
        lanes = [row for lane, row in self.tables.lanes.items() if lane.platform == platform]
        free = [row for row in lanes if row.owner is None]
        rows = [row for row in self.tables.processes.values() if not row.is_dead]
        takers = sum(row.may_take and platform in row.platforms for row in rows)
        lease = max((row.lease_seconds for row in rows), default=0.0)
        overdue = any(row.free_since + lease < self.clock() for row in free)
        return LaneCounts(len(lanes), len(free), takers, overdue)

    def _serves(self, caller: Caller) -> bool:
        row = self.tables.processes.get(caller.process)
        return row is not None and not row.is_dead and caller.heard.epoch == str(self.epoch)

    def reap(self, caller: Caller) -> Sequence[str]:
        if not self._serves(caller):
            return []
        seen, now = caller.heard.seconds, self.clock()
        over = [
            process
            for process, row in self.tables.processes.items()
            if not row.is_dead
            and process != caller.process
            and not (row.seen_at + row.lease_seconds >= seen and row.seen_at <= seen + row.lease_seconds)
        ]
        for process in over:
            self.tables.processes[process].is_dead = True
            silent_since = self.tables.processes[process].seen_at
            self.deaths.append((caller.process, process))
            for lane in self.tables.lanes.values():
                if lane.owner == process:
                    lane.owner, lane.free_since, lane.deaths = None, now, (*lane.deaths, now)[-3:]
                    lane.reported_at = silent_since  # a quiet lane's report stood until then
        return over

    def take(self, caller: Caller, platform: str, most: int) -> Sequence[TakenLane]:
        if not self._serves(caller):
            return []
        free = [
            FreeLane(lane, row.free_since, row.deaths)
            for lane, row in self.tables.lanes.items()
            if row.owner is None and lane.platform == platform
        ]
        return [self._take(caller.process, lane) for lane in taking_order(free, self.clock())[:most]]

    def _take(self, process: str, lane: Lane) -> TakenLane:
        row, now = self.tables.lanes[lane], self.clock()
        row.owner, row.fence = process, max(row.fence + 1, int(now * 1000))
        self.grants.append(Grant(lane, row.fence))
        return self._taken(lane)

    def _taken(self, lane: Lane) -> TakenLane:
        row = self.tables.lanes[lane]
        age = max(self.clock() - row.reported_at, 0.0)
        stored = StoredReport(row.report, age) if row.report is not None else None
        return TakenLane(Grant(lane, row.fence), stored)

    def route(self, caller: Caller, event: RoutedEvent, *, may_take: bool, may_keep: bool) -> Routed:
        row = self.tables.lanes.setdefault(event.lane, LaneRow(free_since=self.clock()))
        if self._serves(caller):
            if row.owner == caller.process and may_keep:
                return Routed(Route.MINE, self._taken(event.lane))
            if row.owner is None and may_take:
                return Routed(Route.MINE, self._take(caller.process, event.lane))
        if (event.lane, event.id) not in {(each.lane, each.id) for each in self.tables.inbox.values()}:
            self.tables.arrived += 1
            self.tables.inbox[self.tables.arrived] = event
        return Routed(Route.QUEUED)

    def release(self, process: str, lanes: Mapping[Grant, WriteReport | None]) -> None:
        for owned, report in lanes.items():
            row = self.tables.lanes.get(owned.lane)
            if row is not None and (row.owner, row.fence) == (process, owned.fence):
                row.owner, row.free_since = None, self.clock()
                if report is not None:
                    row.report, row.reported_at = report, self.clock()

    def events(self, process: str, most: int, without: Collection[Lane] = ()) -> Sequence[InboxEvent]:
        row = self.tables.processes.get(process)
        if row is None or row.is_dead:
            return []
        inbox = self.tables.inbox.items()
        mine = [
            (number, event)
            for number, event in inbox
            if self.tables.lanes[event.lane].owner == process and event.lane not in without
        ]
        return [InboxEvent(number, event) for number, event in sorted(mine, key=lambda each: each[0])[:most]]

    def handled(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.tables.inbox.pop(number, None)

    def add_lanes(self, platform: str, names: Collection[str], *, replace: bool) -> None:
        known = [lane.name for lane in self.tables.lanes if lane.platform == platform]
        self.remove_lanes(platform, set(known) - set(names) if replace else ())
        for name in sorted(set(names) - set(known)):
            self.tables.lanes[Lane(platform, name)] = LaneRow(free_since=self.clock())

    def remove_lanes(self, platform: str, names: Collection[str]) -> None:
        gone = {Lane(platform, name) for name in names}
        for lane in gone:
            self.tables.lanes.pop(lane, None)
        for number in [number for number, event in self.tables.inbox.items() if event.lane in gone]:
            del self.tables.inbox[number]

    def reserve(self, name: str, seconds: float) -> float:
        now = self.clock()
        at = max(self.tables.slots.get(name, now), now)
        self.tables.slots[name] = at + seconds
        return at - now

    def accept(self, process: str, lane: Grant, event: str) -> bool | None:
        """Accept an event as the journal does: True if it is new; None if the lane has another owner."""
        row = self.tables.lanes.get(lane.lane)
        if row is None or (row.owner, row.fence) != (process, lane.fence):
            return None
        is_new = event not in self.tables.journal
        self.tables.journal.add(event)
        return is_new

    def leave(self, process: str) -> None:
        row = self.tables.processes.get(process)
        if row is None or row.is_dead:
            return
        row.is_dead, row.held_until = True, self.clock() + WINDOW_SECONDS
        for lane in self.tables.lanes.values():
            if lane.owner == process:
                lane.owner, lane.free_since = None, self.clock()


def _order(platform: str, process: str) -> str:
    return md5(f"{platform}{process}".encode(), usedforsecurity=False).hexdigest()
