"""The connections of the site: how many there may be, how long each may take, and which one has to go.

What belongs here: a thin layer between the event loop and aiohttp's own protocol, with bounds in number and in time.
What does not: HTTP (aiohttp's), and what is served (`adapters.http_server`).

aiohttp bounds neither. A request that is never finished would keep its file descriptor for as long as its sender
likes, and when a process has no descriptor left, it can call neither the model nor a platform.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

from aiohttp import web

log = logging.getLogger(__name__)

# The most connections, however many descriptors there are: probes, a proxy's idle ones, and the requests of all pages
# that may be open (`adapters.playground.subscribers.PAGES`). Read by `bounds_for`.
MOST = 256

# Of the process's descriptors, one in so many may be ours: the platforms, the model and the journal need the others.
SHARE_OF_DESCRIPTORS = 4

# How many connections the event loop accepts in one of its rounds: a round costs a fifth of what an unfinished request
# does, and other work waits for a millisecond or two. Read by `adapters.http_server`.
ACCEPTED_AT_ONCE = 8

# Connections that the event loop has accepted and not given to us yet, or that are cut and not closed yet: it does
# either in its next round.
UNCOUNTED = 2 * ACCEPTED_AT_ONCE

# However few descriptors there are, so many are ours: one for a probe, and some to choose a victim among.
FEWEST = 4

# Bytes of a request's head: aiohttp takes half as many in its first line (8,190), and browsers send some hundreds.
HEAD_BYTES = 16_384

# How often the times are looked at, in seconds, as long as there are connections. Read by `Connections`.
LOOK_SECONDS = 1.0

# How long nothing more is logged about connections that were too many, in seconds. Read by `Connections`.
SILENT_SECONDS = 60.0

# What is said to a request that aiohttp is never shown, before its connection is closed.
TOO_SLOW, NO_HTTP, NO_BODY, TOO_LONG = (
    f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    for status in (
        "408 Request Timeout",
        "400 Bad Request",
        "413 Content Too Large",
        "431 Request Header Fields Too Large",
    )
)

# Where a head ends, and a header in it that announces a body. Lines end as lenient servers take them.
_END = re.compile(rb"\n\r?\n")
_BODY = re.compile(rb"\n(?:transfer-encoding|content-length)[ \t]*:(?![ \t]*0+[ \t]*\r?\n)", re.IGNORECASE)


class Phase(Enum):
    """What a connection is about. In this order they go, where there are too many."""

    ASKING = "asking"  # a request is to come, or not yet read to its end, or not yet answered
    IDLE = "idle"  # its last request is answered, and another may come
    LIVE = "live"  # it has become a socket of a page's, which has a heartbeat of its own


# How long a connection may be in a phase, in seconds; one that may stay is not named. A head comes in a packet or two,
# and no route wants a body. Proxies keep an idle connection for a minute, and should be the ones to close it.
PATIENCE: Mapping[Phase, float] = {Phase.ASKING: 10.0, Phase.IDLE: 75.0}


if sys.platform == "win32":

    def _descriptors() -> int | None:
        """How many descriptors this process may have; None where nothing but memory bounds them."""
        return None

else:
    import resource

    def _descriptors() -> int | None:
        """How many descriptors this process may have (its soft limit); None where nothing but memory bounds them."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft


class Bounds(NamedTuple):
    """How many connections may be open, and how long each may be in a phase, in seconds."""

    most: int
    patience: Mapping[Phase, float] = PATIENCE


def usual_bounds() -> Bounds:
    """The bounds of this process."""
    return bounds_for(_descriptors())


def bounds_for(descriptors: int | None) -> Bounds:
    """The bounds of a process that may have so many descriptors; None: any number."""
    share = MOST if descriptors is None else descriptors // SHARE_OF_DESCRIPTORS - UNCOUNTED
    return Bounds(max(min(MOST, share), FEWEST))


class Connections:
    """All open connections, oldest first in each phase. Called, it makes the protocol of the next one.

    `make` makes aiohttp's protocol, which a connection gets with its first whole head: those that never send one stay
    cheap. Half of all may be live and a quarter idle, so that a quarter at least is always there for new requests,
    such as a probe's.
    """

    def __init__(self, make: Callable[[], asyncio.Protocol], bounds: Bounds) -> None:
        self._make = make
        self._most, self._patience = bounds
        self._since: Mapping[Phase, dict[Connection, float]] = {phase: {} for phase in Phase}
        self._look: asyncio.TimerHandle | None = None
        self._evicted = 0  # since it was last logged
        self._silent_until = float("-inf")

    def __call__(self) -> Connection:
        """Make the protocol of a connection that was just accepted."""
        return Connection(self, self._make)

    def __len__(self) -> int:
        """How many are open."""
        return sum(map(len, self._since.values()))

    @property
    def full(self) -> bool:
        """Whether there are as many live ones as may be."""
        return len(self._since[Phase.LIVE]) >= self._most // 2

    def enter(self, connection: Connection) -> None:
        """Take in a new connection; where there are too many, the oldest one of the first phase goes for it."""
        if len(self) >= self._most:
            self._evict(next(phase for phase in Phase if self._since[phase]))
        self.move(connection, Phase.ASKING)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._cut_the_slow)

    def move(self, connection: Connection, phase: Phase) -> None:
        """A connection is in this phase from now on."""
        self.leave(connection)
        if phase is Phase.IDLE and len(self._since[phase]) >= max(self._most // 4, 1):
            self._evict(phase)
        connection.phase = phase
        self._since[phase][connection] = asyncio.get_running_loop().time()

    def leave(self, connection: Connection) -> None:
        """A connection is closed."""
        if connection.phase is not None:
            del self._since[connection.phase][connection]
            connection.phase = None

    def close(self) -> None:
        """Cut those that aiohttp knows nothing of, and look at no more times."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for connection in [each for each in self._since[Phase.ASKING] if each.unread]:
            connection.cut()

    def _evict(self, phase: Phase) -> None:
        """Cut the oldest in a phase."""
        next(iter(self._since[phase])).cut()
        self._evicted += 1

    def _cut_the_slow(self) -> None:
        """Cut those that are too long in their phase, and look again later if any is left."""
        loop = asyncio.get_running_loop()
        if self._evicted and loop.time() >= self._silent_until:
            log.warning(
                "too many connections, the oldest are closed", extra={"most": self._most, "closed": self._evicted}
            )
            self._evicted, self._silent_until = 0, loop.time() + SILENT_SECONDS
        for phase, seconds in self._patience.items():
            late = [each for each, since in self._since[phase].items() if loop.time() - since >= seconds]
            for connection in late:
                connection.give_up()
        self._look = loop.call_later(LOOK_SECONDS, self._cut_the_slow) if len(self) else None


class Connection(asyncio.Protocol):
    """One connection: keeps what comes until a head is whole, then gives all to aiohttp's protocol."""

    def __init__(self, connections: Connections, make: Callable[[], asyncio.Protocol]) -> None:
        self.phase: Phase | None = None  # None before it is made and after it is closed; `Connections` sets it
        self._connections = connections
        self._make = make
        self._head = bytearray()
        self._protocol: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def unread(self) -> bool:
        """Whether no whole head has come yet."""
        return self._protocol is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.enter(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. The time of a request runs from its first byte, and no later byte prolongs it."""
        if self._protocol is not None:
            if self.phase is Phase.IDLE:
                self._connections.move(self, Phase.ASKING)
            self._protocol.data_received(data)
            return
        looked_at = max(len(self._head) - 2, 0)  # an end of three bytes may lie in two packets
        self._head += data
        end = _END.search(self._head, looked_at)
        if (answer := _refusal(self._head, end)) is not None:
            self._refuse(answer)
        elif end and self._transport is not None:
            head, self._head = bytes(self._head), bytearray()
            self._protocol = self._make()
            self._protocol.connection_made(self._transport)
            self._protocol.data_received(head)

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return self._protocol.eof_received() if self._protocol is not None else None

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._connections.leave(self)
        self._transport = None
        if self._protocol is not None:
            self._protocol.connection_lost(exc)

    def answering(self, *, live: bool) -> None:
        """Its request is being answered, or `live`: it becomes a socket."""
        if self.phase is not None:
            self._connections.move(self, Phase.LIVE if live else Phase.IDLE)

    def give_up(self) -> None:
        """Its time is over: say so where that can be read, and cut it."""
        if self.unread and self._head:  # browsers open some connections that they may never use
            self._refuse(TOO_SLOW)
        else:
            self.cut()

    def _refuse(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)
        self.cut()

    def cut(self) -> None:
        """Close it at once, whatever waits to be sent: a reader that does not read keeps no descriptor."""
        self._connections.leave(self)
        if self._transport is not None:
            self._transport.abort()


def connection_of(request: web.BaseRequest) -> Connection | None:
    """The connection that a request came by; None where it is closed already."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Connection) else None


def _refusal(head: bytearray, end: re.Match[bytes] | None) -> bytes | None:
    """The answer to a request that aiohttp need not see; None where the rest of it, or aiohttp, will tell.

    No route wants a body. To read one that never ends costs four times what it costs to refuse it.
    """
    if not head[:1].isalpha():  # TLS, say; whoever tries https hears at once that this is not it
        return NO_HTTP
    if end is not None and _BODY.search(head, 0, end.end()):
        return NO_BODY
    return TOO_LONG if (end.end() if end else len(head)) > HEAD_BYTES else None
