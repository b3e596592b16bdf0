"""Bounds on HTTP connections: their number, the time of each, and the choice of a connection to close.

A thin layer between the event loop and aiohttp's protocol. aiohttp bounds neither number nor time: an unfinished
request would keep its file descriptor as long as its sender likes, and a process without descriptors can call neither
the model nor a platform.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from aiohttp import web
from typing_extensions import override

from adapters.http_bodies import BodyRule, find_rule
from adapters.shared.log_throttle import LogThrottle

log = logging.getLogger(__name__)

# Upper bound, whatever the number of descriptors: probes, a proxy's idle connections, and the requests of all open
# pages (`adapters.playground.subscribers`).
MAX_CONNECTIONS = 256

# One connection per this number of descriptors: the platforms, the model and the journal need the others.
DESCRIPTORS_PER_CONNECTION = 4

# Connections accepted in one iteration of the event loop. An iteration costs a fifth of an unfinished request, and
# other work waits for a millisecond or two. Used by `adapters.http_server`.
ACCEPTS_PER_ITERATION = 8

# Descriptors outside our count: accepted but not yet passed to us, or aborted but not yet closed. The loop does either
# in its next iteration.
UNTRACKED = 2 * ACCEPTS_PER_ITERATION

# Lower bound, whatever the number of descriptors: one for a probe, and some to choose the closed one from.
MIN_CONNECTIONS = 4

# Bytes of a request's head. aiohttp accepts half of that in the first line (8,190); browsers send some hundreds.
MAX_HEAD_BYTES = 16_384

# Interval of the timeout check while there are connections. Seconds.
CHECK_SECONDS = 1.0

# Time to read and discard the rest of a rejected request, so that its sender gets the response: closing a socket with
# unread bytes resets the connection, and some senders read nothing before they have sent everything. Seconds.
LINGER_SECONDS = 2.0

# Connections whose rest is discarded at the same time. Each may cost a read of 256 kB in an iteration of the event
# loop (50 us).
MAX_CLOSING = 16

# Responses to requests rejected here, without aiohttp. The connection is closed afterwards (`ClientConnection.finish`).
REQUEST_TIMEOUT, BAD_REQUEST, CONTENT_TOO_LARGE, HEAD_TOO_LARGE = (
    f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    for status in (
        "408 Request Timeout",
        "400 Bad Request",
        "413 Content Too Large",
        "431 Request Header Fields Too Large",
    )
)

# The end of a head, and a header announcing a body. Line ends as accepted by lenient servers.
_HEAD_END = re.compile(rb"\n\r?\n")
# A request line of a method with a body, and the two headers announcing one.
_POST = re.compile(rb"POST ([^ ?]*)(?:\?[^ ]*)? ")
_LENGTH = re.compile(rb"\ncontent-length[ \t]*:[ \t]*([0-9]{1,9})[ \t]*(?=\r?\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding[ \t]*:[ \t]*chunked[ \t]*(?=\r?\n)", re.IGNORECASE)
_BODY_HEADER = re.compile(rb"\n(?:transfer-encoding|content-length)[ \t]*:(?![ \t]*0+[ \t]*\r?\n)", re.IGNORECASE)


class Phase(Enum):
    """The phase of a connection. If there are too many, connections are closed in this order of phases."""

    CLOSING = "closing"  # the last response is sent; the rest of the request is discarded
    REQUEST = "request"  # waiting for a request, reading it, or working on it
    IDLE = "idle"  # responded; another request may follow
    WEBSOCKET = "websocket"  # a page's WebSocket, with a heartbeat of its own


# Seconds per phase; a WebSocket has no limit. A head arrives in a packet or two, and a body has less time
# (`BodyRule.seconds`). Proxies keep an idle connection for a minute, and should close it first.
TIMEOUTS: Mapping[Phase, float] = MappingProxyType(
    {Phase.CLOSING: LINGER_SECONDS, Phase.REQUEST: 10.0, Phase.IDLE: 75.0}
)


if sys.platform == "win32":

    def _descriptors() -> int | None:
        """The descriptor limit of this process; None: only memory bounds them."""
        return None

else:
    import resource

    def _descriptors() -> int | None:
        """The descriptor limit of this process (soft limit); None: only memory bounds them."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft


class ConnectionLimits(NamedTuple):
    """The maximum number of connections, and seconds per phase; a missing phase keeps its usual time."""

    max_connections: int
    timeouts: Mapping[Phase, float] = TIMEOUTS


def default_limits() -> ConnectionLimits:
    """The limits for this process."""
    return limits_for(_descriptors())


def limits_for(descriptors: int | None) -> ConnectionLimits:
    """The limits for a process with this descriptor limit; None: unlimited."""
    share = MAX_CONNECTIONS if descriptors is None else descriptors // DESCRIPTORS_PER_CONNECTION - UNTRACKED
    return ConnectionLimits(max(min(MAX_CONNECTIONS, share), MIN_CONNECTIONS))


class ConnectionTable:
    """All open connections by phase, oldest first; also the protocol factory for `loop.create_server`.

    `make` creates aiohttp's protocol once a connection has sent a complete head; connections without one stay cheap.
    `bodies` are the accepted ones. Half of the connections may be WebSockets and a quarter idle. The last quarter is
    for new requests, such as probes: closing ones go first.
    """

    def __init__(
        self, make: Callable[[], asyncio.Protocol], limits: ConnectionLimits, bodies: Sequence[BodyRule] = ()
    ) -> None:
        self._make = make
        self.bodies = tuple(bodies)
        self._max_connections = limits.max_connections
        self._timeouts = {**TIMEOUTS, **limits.timeouts}
        quarter = max(self._max_connections // 4, 1)
        self._most = {Phase.CLOSING: min(MAX_CLOSING, quarter), Phase.IDLE: quarter}
        self._since: Mapping[Phase, dict[ClientConnection, float]] = {phase: {} for phase in Phase}
        self._check_timer: asyncio.TimerHandle | None = None
        self.is_closed = False
        self._evictions = LogThrottle()

    def __call__(self) -> ClientConnection:
        """The protocol of a new connection."""
        return ClientConnection(self, self._make)

    def __len__(self) -> int:
        """The number of open connections."""
        return sum(map(len, self._since.values()))

    @property
    def websockets_full(self) -> bool:
        """Whether the limit of WebSockets is reached."""
        return len(self._since[Phase.WEBSOCKET]) >= self._max_connections // 2

    @property
    def is_checking(self) -> bool:
        """Whether a timeout check is scheduled."""
        return self._check_timer is not None

    def add(self, connection: ClientConnection) -> None:
        """Add a new connection. If there are too many, close the oldest one in the first phase with any."""
        if len(self) >= self._max_connections:
            self._evict(next(phase for phase in Phase if self._since[phase]))
        self.set_phase(connection, Phase.REQUEST)
        if self._check_timer is None:
            self._check_timer = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check_timeouts)

    def set_phase(self, connection: ClientConnection, phase: Phase) -> None:
        """Move a connection to a phase."""
        self.remove(connection)
        most = self._most.get(phase)
        if most is not None and len(self._since[phase]) >= most:
            self._evict(phase)
        connection.phase = phase
        self._since[phase][connection] = asyncio.get_running_loop().time()

    def remove(self, connection: ClientConnection) -> None:
        """Remove a closed connection."""
        if connection.phase is not None:
            del self._since[connection.phase][connection]
            connection.phase = None

    def close(self) -> None:
        """Abort connections unknown to aiohttp, those still being accepted too, and stop checking timeouts."""
        self.is_closed = True
        if self._check_timer is not None:
            self._check_timer.cancel()
            self._check_timer = None
        for connection in [
            each for phase in (Phase.CLOSING, Phase.REQUEST) for each in self._since[phase] if each.awaits_head
        ]:
            connection.abort()

    def _evict(self, phase: Phase) -> None:
        """Abort the oldest connection in a phase."""
        next(iter(self._since[phase])).abort()
        if phase is not Phase.CLOSING and (closed := self._evictions.count()):
            log.warning(
                "too many connections, closing the oldest", extra={"most": self._max_connections, "closed": closed}
            )

    def _check_timeouts(self) -> None:
        """Close connections over their phase's time; schedule the next check if any is left."""
        loop = asyncio.get_running_loop()
        for phase, seconds in self._timeouts.items():
            expired = [each for each, since in self._since[phase].items() if loop.time() - since >= seconds]
            for connection in expired:
                connection.time_out()
        self._check_timer = loop.call_later(CHECK_SECONDS, self._check_timeouts) if len(self) else None


class ClientConnection(asyncio.Protocol):
    """One connection: buffers bytes until a head is complete, then passes everything to aiohttp's protocol."""

    def __init__(self, connections: ConnectionTable, make: Callable[[], asyncio.Protocol]) -> None:
        self.phase: Phase | None = None  # set by `ConnectionTable`; None before the connection and after closing
        self._connections = connections
        self._make = make
        self._head = bytearray()
        self._protocol: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def awaits_head(self) -> bool:
        """Whether the first head is still incomplete."""
        return self._protocol is None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._connections.is_closed:
            transport.abort()
            return
        self._transport = transport
        self._connections.add(self)

    @override
    def data_received(self, data: bytes) -> None:
        """The time of a request starts at its first byte; later bytes do not extend it."""
        if self.phase is Phase.CLOSING:
            return
        if self._protocol is not None:
            if self.phase is Phase.IDLE:
                self._connections.set_phase(self, Phase.REQUEST)
            self._protocol.data_received(data)
            return
        start = max(len(self._head) - 2, 0)  # an end of three bytes may span two packets
        self._head += data
        end = _HEAD_END.search(self._head, start)
        if (response := _error_response(self._head, end, self._connections.bodies)) is not None:
            self._reject(response)
        elif end and self._transport is not None:
            head, self._head = bytes(self._head), bytearray()
            self._protocol = self._make()
            self._protocol.connection_made(self._transport)
            self._protocol.data_received(head)

    @override
    def eof_received(self) -> bool | None:
        return self._protocol.eof_received() if self._protocol is not None else None

    @override
    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    @override
    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        self._transport = None
        if self._protocol is not None:
            self._protocol.connection_lost(exc)

    def response_started(self, *, websocket: bool) -> None:
        """A response has started; with `websocket`, the connection becomes a WebSocket."""
        if self.phase not in {None, Phase.CLOSING}:
            self._connections.set_phase(self, Phase.WEBSOCKET if websocket else Phase.IDLE)

    def finish(self) -> None:
        """Close the connection once its peer does, and after `LINGER_SECONDS` at most; discard what still arrives.

        The peer sees the end of the response at once: only our half is closed.
        """
        if self._transport is None or self.phase in {None, Phase.CLOSING}:
            return
        self._connections.set_phase(self, Phase.CLOSING)
        self._head.clear()
        self._transport.resume_reading()  # aiohttp pauses it at a body nobody reads
        try:
            self._transport.write_eof()
        except OSError:  # the peer has gone, and the loop does not know yet
            self.abort()

    def time_out(self) -> None:
        """Close the connection, with a 408 response if it has sent part of a head."""
        if self.awaits_head and self._head:  # browsers open spare connections and stay silent; these get no response
            self._reject(REQUEST_TIMEOUT)
        else:
            self.abort()

    def _reject(self, response: bytes) -> None:
        if self._transport is not None:
            self._transport.write(response)
        self.finish()

    def abort(self) -> None:
        """Close the connection at once and drop unsent bytes: a stalled reader must not keep a descriptor."""
        self._connections.remove(self)
        if self._transport is not None:
            self._transport.abort()


def connection_of(request: web.BaseRequest) -> ClientConnection | None:
    """The connection of a request; None if it is already closed."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, ClientConnection) else None


def _error_response(head: bytearray, end: re.Match[bytes] | None, bodies: Sequence[BodyRule]) -> bytes | None:
    """The response to a request rejected here; None if it may be valid so far.

    Few routes accept a body. Reading an endless body costs four times as much as rejecting it.
    """
    if not head[:1].isalpha():  # for example TLS: a client with https gets an immediate error
        return BAD_REQUEST
    if end is not None and _BODY_HEADER.search(head, 0, end.end()) and not _accepts_body(head, end.end(), bodies):
        return CONTENT_TOO_LARGE
    return HEAD_TOO_LARGE if (end.end() if end else len(head)) > MAX_HEAD_BYTES else None


def _accepts_body(head: bytearray, end: int, bodies: Sequence[BodyRule]) -> bool:
    """Whether the request brings an acceptable body: announced by one header, and of an allowed length."""
    post = _POST.match(head)
    rule = find_rule(bodies, post[1].decode("latin-1")) if post is not None else None
    if rule is None or len(_BODY_HEADER.findall(head, 0, end)) != 1:
        return False
    lengths = _LENGTH.findall(head, 0, end)
    if not lengths:
        return rule.chunked and len(_CHUNKED.findall(head, 0, end)) == 1
    return len(lengths) == 1 and int(lengths[0]) <= rule.max_bytes
