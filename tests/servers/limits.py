"""What the doubles of the platforms share: true limits, faults on command, and a transcript of what came in.

What belongs here: counting as a platform counts, the plan of what goes wrong, and the record of requests. What does
not: any platform's words (paths, headers, bodies), which stay in the double that speaks them.

A double built with these uses real sockets and real time; time is the event loop's, in seconds.

How a double uses it (aiohttp)::

    transcript, faults = Transcript(), FaultPlan()

    @web.middleware
    async def front(request, handler):
        transcript.add(request.method, request.path, body=await json_of(request))
        return await faulted(faults, request, handler)

and a test says ``faults.add("PATCH", r"/messages/", Kind.RESET_AFTER, nth=2)``.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NoReturn

from aiohttp import web

# ------------------------------------------------------------------------------------------------------------- limits


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a limit says to one request: `remaining` after it, and in how many seconds there will be room again."""

    allowed: bool
    limit: int
    remaining: int
    reset_after: float


class FixedWindowCounter:
    """So many requests in a window that the first request after the last window's close opens (Discord's buckets).

    A request that is refused is not counted.
    """

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._closes_at = float("-inf")
        self._used = 0

    def admit(self, now: float) -> Verdict:
        """Count one request, or refuse it."""
        if now >= self._closes_at:
            self._closes_at = now + self.period
            self._used = 0
        allowed = self._used < self.limit
        self._used += allowed
        return Verdict(allowed, self.limit, self.limit - self._used, self._closes_at - now)


class RollingWindowCounter:
    """So many requests in any stretch of `period` seconds (Slack's tiers, kept as a log). Refused ones do not count."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._log: deque[float] = deque()

    def admit(self, now: float) -> Verdict:
        """Count one request, or refuse it."""
        while self._log and self._log[0] + self.period <= now:
            self._log.popleft()
        allowed = len(self._log) < self.limit
        if allowed:
            self._log.append(now)
        reset_after = self._log[0] + self.period - now if self._log else 0.0
        return Verdict(allowed, self.limit, self.limit - len(self._log), reset_after)


class LeakCounter:
    """One request each `interval` seconds, and up to `burst` at once after a rest. Refused ones do not count."""

    def __init__(self, interval: float, burst: int) -> None:
        self.interval = interval
        self.burst = burst
        self._empty_at = float("-inf")

    def admit(self, now: float) -> Verdict:
        """Count one request, or refuse it."""
        most = (self.burst - 1) * self.interval + 1e-6  # sums of intervals are rounded
        level = max(self._empty_at - now, 0.0)
        allowed = level <= most
        if allowed:
            level += self.interval
            self._empty_at = now + level
        remaining = math.floor((most + self.interval - level) / self.interval)
        return Verdict(allowed, self.burst, remaining, max(level - most, 0.0))


# --------------------------------------------------------------------------------------------------------- transcript


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: when it came in (seconds since the transcript began), what it was, and what it was answered."""

    at: float
    method: str
    path: str
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)


class Transcript:
    """All requests that came in, in order, so that a test reads as what came in at which second."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._began_at: float | None = None
        self._changed = asyncio.Event()

    def add(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Entry:
        """Write one request down; the first one's time is 0."""
        now = asyncio.get_running_loop().time()
        if self._began_at is None:
            self._began_at = now
        entry = Entry(now - self._began_at, method, path, body, dict(query or {}))
        self.entries.append(entry)
        self._changed.set()
        return entry

    def of(self, method: str = "", path: str = "") -> list[Entry]:
        """The requests whose method is `method` (any, if empty) and whose path has a match of the pattern `path`."""
        return [e for e in self.entries if method in ("", e.method) and re.search(path, e.path)]

    async def wait_for(self, method: str = "", path: str = "", count: int = 1) -> list[Entry]:
        """Wait until at least `count` such requests have come in."""
        while len(found := self.of(method, path)) < count:
            self._changed.clear()
            await self._changed.wait()
        return found


# ------------------------------------------------------------------------------------------------------------- faults


class Kind(Enum):
    """What goes wrong with a request."""

    STATUS = auto()  # answered with `status`, `headers` and `body`; not applied
    RESET_BEFORE = auto()  # the connection is reset; not applied
    RESET_AFTER = auto()  # applied, then the connection is reset instead of an answer
    STALL_BEFORE = auto()  # not applied; no answer for `seconds`, then a reset
    STALL_AFTER = auto()  # applied; no answer for `seconds`, then a reset
    DELAY = auto()  # no fault at all, only late: applied and answered after `seconds`
    GARBLED = auto()  # applied, and answered 200 with what is not JSON
    STATUS_AFTER = auto()  # applied, then answered with `status`, `headers` and `body`
    HELD = auto()  # as `DELAY`, and applied even if the client has gone meanwhile
    LATE = auto()  # no fault at all: applied at once, answered after `seconds`


@dataclass(slots=True)
class Fault:
    """One line of the plan: requests `nth` to ``nth + times - 1`` that match `method` and `path` go wrong.

    `path` is a pattern searched for in the request's path; an empty `method` means any. `seen` counts the matches.
    """

    method: str
    path: str
    kind: Kind
    nth: int = 1
    times: int = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 30.0
    copies: int = 1  # how often the request is applied, where it is
    seen: int = 0

    def hits(self, method: str, path: str) -> bool:
        """Count a request, and say whether it is one of those that go wrong."""
        if self.method not in ("", method) or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


_APPLIED = frozenset({Kind.DELAY, Kind.GARBLED, Kind.STATUS_AFTER, Kind.LATE, Kind.RESET_AFTER, Kind.STALL_AFTER})


class FaultPlan:
    """What is to go wrong, and what did."""

    def __init__(self) -> None:
        self._plan: list[Fault] = []
        self.fired: list[tuple[Kind, str, str]] = []

    def add(self, method: str, path: str, kind: Kind, **details: Any) -> Fault:
        """Plan a fault; `details` are the fields of `Fault`."""
        fault = Fault(method, path, kind, **details)
        self._plan.append(fault)
        return fault

    def clear(self) -> None:
        """Forget what is still planned."""
        self._plan.clear()

    def hit(self, method: str, path: str) -> Fault | None:
        """The fault that befalls this request, if any. Every planned fault counts every request that it matches."""
        hits = [fault for fault in self._plan if fault.hits(method, path)]
        if not hits:
            return None
        self.fired.append((hits[0].kind, method, path))
        return hits[0]


def reset(request: web.Request) -> NoReturn:
    """Reset the connection of `request`: the client sees ECONNRESET or an early end, never an answer."""
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def faulted(plan: FaultPlan, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle `request` as the plan says: well, or with the fault that is due."""
    fault = plan.hit(request.method, request.path)
    if fault is None:
        return await handler(request)
    if fault.kind in _APPLIED:
        for _ in range(fault.copies - 1):
            await handler(request)
    return await _suffer(fault, request, handler)


async def _after(seconds: float, request: web.Request, handler: Handler) -> web.StreamResponse:
    await asyncio.sleep(seconds)
    return await handler(request)


async def _suffer(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    match fault.kind:
        case Kind.STATUS:
            return _told(fault)
        case Kind.STATUS_AFTER:
            await handler(request)
            return _told(fault)
        case Kind.DELAY:
            await asyncio.sleep(fault.seconds)
            return await handler(request)
        case Kind.HELD:
            await request.read()
            return await asyncio.shield(_after(fault.seconds, request, handler))
        case Kind.LATE:
            response = await handler(request)
            await asyncio.sleep(fault.seconds)
            return response
        case Kind.GARBLED:
            await handler(request)
            return web.Response(status=200, headers={"Content-Type": "text/html"}, body=b"<html>all is well</html>")
        case Kind.RESET_AFTER | Kind.STALL_AFTER:
            await handler(request)
        case _:
            pass
    if fault.kind in (Kind.STALL_BEFORE, Kind.STALL_AFTER):
        await asyncio.sleep(fault.seconds)
    reset(request)


def _told(fault: Fault) -> web.Response:
    headers = {"Content-Type": "application/json", **fault.headers}
    return web.Response(status=fault.status, headers=headers, body=fault.body or b"{}")
