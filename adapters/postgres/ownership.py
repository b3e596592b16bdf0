"""Ownership in PostgreSQL: each call is one function of the database, in one round trip and one transaction.

The functions are in ``migrations``. Only heartbeats with shares wait for each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from adapters.postgres.engine import Engine
from adapters.postgres.listener import listen
from adapters.postgres.priorities import Priority
from bot.errors import ServiceError
from bot.ownership.lanes import Grant, Lane, LaneCounts
from bot.ownership.lease import EngineTime
from bot.ownership.ports import (
    Caller,
    Heartbeat,
    HeartbeatResponse,
    InboxEvent,
    Ownership,
    Route,
    Routed,
    RoutedEvent,
    TakenLane,
)
from bot.ownership.shares import WINDOW_SECONDS
from bot.ownership.write_history import StoredReport, WriteReport

# The payload of its notifications is the owner of the event's lane, or empty if lanes are free.
CHANNEL = "tickertape_inbox"

# Ages are stored with this precision. Digits behind the point of a second.
_DIGITS = 3

_HEARTBEAT = (
    "SELECT tickertape.heartbeat("
    "$1, $2, $3, $4, $5, $6, $7::text::jsonb, $8::text::jsonb, $9::text::jsonb, $10, $11::text::jsonb, "
    "$12, $13::text::jsonb)"
)
# All processes get a hint, if anybody is dead.
_REAP = "SELECT id, pg_notify($4, '') FROM tickertape.reap($1, $2, $3) AS id"
_TAKE = "SELECT tickertape.take($1, $2, $3, $4)"
_ROUTE = "SELECT tickertape.route($1, $2, $3, $4, $5, $6, $7, $8)"
_RELEASE = "SELECT tickertape.release($1, $2::text::jsonb)"
_LEAVE = "SELECT tickertape.leave($1, $2)"
_EVENTS = """
SELECT i.number, i.platform, i.lane, i.event, i.body FROM tickertape.inbox AS i
JOIN tickertape.lanes AS l ON l.platform = i.platform AND l.name = i.lane
JOIN tickertape.members AS m ON m.id = l.owner AND NOT m.dead
WHERE l.owner = $1 AND NOT EXISTS (
    SELECT FROM unnest($3::text[], $4::text[]) AS without (platform, lane)
    WHERE without.platform = i.platform AND without.lane = i.lane
) ORDER BY i.number LIMIT $2
"""
_ADD_LANES = "SELECT tickertape.add_lanes($1, $2, $3)"
_REMOVE_LANES = "SELECT tickertape.remove_lanes($1, $2)"
_RESERVE = """
INSERT INTO tickertape.slots AS s (name, next_at) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (name) DO UPDATE SET next_at = greatest(s.next_at, clock_timestamp()) + make_interval(secs => $2)
RETURNING extract(epoch FROM next_at - clock_timestamp())::float8 - $2 AS wait
"""
_HANDLED = "DELETE FROM tickertape.inbox WHERE number = ANY ($1::bigint[])"


@dataclass(frozen=True, slots=True)
class _KnownLanes:
    """The lanes of a process, and the database's digest of their list."""

    process: str
    digest: str
    lanes: frozenset[Grant]


class PostgresOwnership(Ownership):
    """Leases, lanes and inbox in the database."""

    def __init__(
        self, engine: Engine, limits: Mapping[str, int] | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """`limits` are the shared limits by name, `settings` the digests of this process's settings by table."""
        self._engine = engine
        self._known: _KnownLanes | None = None  # as listed last, so that thousands are not sent each second
        self._totals = json.dumps(dict(limits or {}))
        self._settings = json.dumps(dict(settings or {}))
        self._has_settings = False  # whether the database has them

    @override
    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatResponse | None:
        known = self._known if self._known is not None and self._known.process == heartbeat.process else None
        shares = {limit: [report.in_use, report.demand] for limit, report in heartbeat.shares.items()}
        row = await self._engine.fetch_row(
            _HEARTBEAT,
            heartbeat.process,
            heartbeat.number,
            heartbeat.lease_seconds,
            list(heartbeat.platforms),
            heartbeat.may_take,
            heartbeat.epoch,
            json.dumps(shares),
            self._totals,
            _written(heartbeat.writes),
            known.digest if known is not None else None,
            None if known is not None and self._has_settings else self._settings,
            heartbeat.is_stopping,
            json.dumps(dict(heartbeat.owned)),
            priority=Priority.LEASE,
        )
        found = _json(row)
        if found["state"] == "stale":
            raise ServiceError("a newer heartbeat was applied")
        if found["state"] == "dead":
            return None
        self._has_settings = found["has_settings"]
        if found["lanes"] is not None or known is None:
            lanes = frozenset(Grant(Lane(platform, name), fence) for platform, name, fence in found["lanes"])
            self._known = known = _KnownLanes(heartbeat.process, found["digest"], lanes)
        return _response(found, known.lanes)

    @override
    async def reap(self, caller: Caller) -> Sequence[str]:
        rows = await self._engine.fetch(
            _REAP, caller.process, caller.heard.epoch, caller.heard.seconds, CHANNEL, priority=Priority.FIRST
        )
        return [str(row["id"]) for row in rows]

    @override
    async def take(self, caller: Caller, platform: str, most: int) -> Sequence[TakenLane]:
        row = await self._engine.fetch_row(
            _TAKE, caller.process, caller.heard.epoch, platform, most, priority=Priority.FIRST
        )
        return [_taken(each) for each in _json(row)]

    @override
    async def route(self, caller: Caller, event: RoutedEvent, *, may_take: bool, may_keep: bool) -> Routed:
        row = await self._engine.fetch_row(
            _ROUTE,
            caller.process,
            caller.heard.epoch,
            event.lane.platform,
            event.lane.name,
            event.id,
            event.body,
            may_take,
            may_keep,
            priority=Priority.FIRST,
        )
        found = _json(row)
        return Routed(Route.QUEUED) if found is None else Routed(Route.MINE, _taken(found))

    @override
    async def release(self, process: str, lanes: Mapping[Grant, WriteReport | None]) -> None:
        await self._engine.fetch(_RELEASE, process, _written(lanes), priority=Priority.FIRST)

    @override
    async def events(self, process: str, most: int, without: Collection[Lane] = ()) -> Sequence[InboxEvent]:
        lanes = [lane.platform for lane in without], [lane.name for lane in without]
        rows = await self._engine.fetch(_EVENTS, process, most, *lanes, priority=Priority.FIRST)
        return [
            InboxEvent(row["number"], RoutedEvent(Lane(row["platform"], row["lane"]), row["event"], row["body"]))
            for row in rows
        ]

    @override
    async def handled(self, numbers: Sequence[int]) -> None:
        await self._engine.fetch(_HANDLED, list(numbers))

    @override
    async def leave(self, process: str) -> None:
        await self._engine.fetch(_LEAVE, process, WINDOW_SECONDS)

    @override
    async def listen(self, on_hint: Callable[[str], None]) -> None:
        await listen(self._engine, CHANNEL, on_hint)

    @override
    async def add_lanes(self, platform: str, names: Collection[str], *, replace: bool) -> None:
        await self._engine.fetch(_ADD_LANES, platform, list(names), replace)

    @override
    async def remove_lanes(self, platform: str, names: Collection[str]) -> None:
        await self._engine.fetch(_REMOVE_LANES, platform, list(names))

    @override
    async def reserve(self, name: str, seconds: float) -> float:
        (row,) = await self._engine.fetch(_RESERVE, name, seconds)
        return max(float(row["wait"]), 0.0)


def _json(row: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 (as the functions build it)
    """The value of a function."""
    value = None if row is None else next(iter(row.values()))
    return None if value is None else json.loads(value)


def _response(found: Mapping[str, Any], lanes: frozenset[Grant]) -> HeartbeatResponse:
    lapses_in = found["lapses_in"]
    return HeartbeatResponse(
        EngineTime(found["epoch"], found["seconds"]),
        lanes,
        {platform: LaneCounts(*counts, *found["peers"][platform]) for platform, counts in found["counts"].items()},
        found["shares"],
        found["events"],
        math.inf if lapses_in is None else lapses_in,
        frozenset(found["different_settings"]),
        found["settled"],
    )


def _taken(found: Sequence[Any]) -> TakenLane:
    platform, name, fence, report, age = found
    stored = None
    if report is not None:
        written = WriteReport(report["calls"], report["allowance"], report.get("session", ""))
        stored = StoredReport(written, max(age or 0.0, 0.0))
    return TakenLane(Grant(Lane(platform, name), fence), stored)


def _written(lanes: Mapping[Grant, WriteReport] | Mapping[Grant, WriteReport | None]) -> str:
    """Lanes with their fences and reports."""
    return json.dumps([[*grant.lane, grant.fence, _report(report)] for grant, report in lanes.items()])


def _report(report: WriteReport | None) -> Mapping[str, object] | None:
    if report is None:
        return None
    calls = {limit: [round(age, _DIGITS) for age in ages] for limit, ages in report.calls.items()}
    return {"calls": calls, "allowance": report.allowance, "session": report.session}
