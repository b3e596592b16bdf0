"""The engine in memory, with the cost of its calls in PostgreSQL and the times of releases."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from bot.ownership.lanes import Grant, Lane, LaneCounts
from bot.ownership.ports import Caller, Heartbeat, HeartbeatResponse
from bot.ownership.write_history import WriteReport
from tests.support.engine import Engine, Tables

# Bytes of a heartbeat's fixed parts, with those of PostgreSQL's protocol: measured once.
REQUEST_BYTES, RESPONSE_BYTES = 260, 420


@dataclass(slots=True)
class Cost:
    """The sum of all heartbeats: bytes on the wire, rows looked at and written."""

    heartbeats: int = 0
    sent: int = 0
    received: int = 0
    read: int = 0
    written: int = 0
    reports: int = 0


@dataclass(frozen=True, slots=True)
class Freed:
    """When a lane lost its owner, and why."""

    why: str
    at: float


@dataclass
class Free:
    """Lanes without an owner."""

    lanes: dict[Lane, Freed] = field(default_factory=dict)

    def add(self, lane: Lane, why: str, at: float) -> None:
        """The first reason counts."""
        self.lanes.setdefault(lane, Freed(why, at))


class CostedEngine(Engine):
    """Counts what PostgreSQL would do (`adapters.postgres.ownership`)."""

    def __init__(self, clock: Callable[[], float], limits: Mapping[str, int]) -> None:
        super().__init__(clock, limits)
        self.cost = Cost()
        self.free = Free()
        self._known: dict[str, frozenset[Grant]] = {}  # the lanes that each process was told of
        self._sums: dict[str, int] = {}  # lanes by platform, while all of them have owners

    @override
    def heartbeat(self, beat: Heartbeat, settings: Mapping[str, str] | None = None) -> HeartbeatResponse | None:
        response = super().heartbeat(beat, settings)
        cost, lanes = self.cost, len(self.tables.lanes)
        cost.heartbeats += 1
        cost.sent += REQUEST_BYTES + sum(_size(grant, report) for grant, report in beat.writes.items())
        cost.received += RESPONSE_BYTES
        cost.written += 1 + bool(beat.shares) + len(beat.writes)
        cost.reports += len(beat.writes)
        if response is not None:
            cost.read += lanes + 2 * len(response.lanes) + 3 * len(self.tables.processes)
            if self._known.get(beat.process) != response.lanes:
                self._known[beat.process] = response.lanes
                cost.received += sum(len(json.dumps([*grant.lane, grant.fence])) + 2 for grant in response.lanes)
        return response

    @override
    def _counts(self, platform: str) -> LaneCounts:
        """As in the base, without a look at each lane while none is free."""
        if (lanes := self._sums.get(platform)) is None:
            counts = super()._counts(platform)
            if not counts.free:
                self._sums[platform] = counts.lanes
            return counts
        rows = [row for row in self.tables.processes.values() if not row.is_dead]
        return LaneCounts(lanes, 0, sum(row.may_take and platform in row.platforms for row in rows))

    @override
    def restart(self, tables: Tables | None = None) -> None:
        super().restart(tables)
        self._sums.clear()

    @override
    def leave(self, process: str) -> None:
        super().leave(process)
        self._sums.clear()

    @override
    def release(self, process: str, lanes: Mapping[Grant, WriteReport | None]) -> None:
        super().release(process, lanes)
        self._sums.clear()
        for grant in lanes:
            if self.tables.lanes[grant.lane].owner is None:
                self.free.add(grant.lane, "release", self.clock())

    @override
    def reap(self, caller: Caller) -> Sequence[str]:
        dead = super().reap(caller)
        self._sums.clear()
        for process in dead:
            for grant in self._known.pop(process, frozenset()):
                if self.tables.lanes[grant.lane].owner is None:
                    self.free.add(grant.lane, "death", self.clock())
        return dead


def _size(grant: Grant, report: WriteReport) -> int:
    calls = {limit: [round(age, 3) for age in ages] for limit, ages in report.calls.items()}
    return len(json.dumps([*grant.lane, grant.fence, {"calls": calls, "allowance": report.allowance}])) + 2
