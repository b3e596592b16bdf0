"""The bounds on connections: which one goes where there are too many, and how long each may take."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from adapters.http_connections import (
    BAD_REQUEST,
    CHECK_SECONDS,
    CONTENT_TOO_LARGE,
    HEAD_TOO_LARGE,
    LINGER_SECONDS,
    MAX_CLOSING,
    MAX_CONNECTIONS,
    MAX_HEAD_BYTES,
    MIN_CONNECTIONS,
    REQUEST_TIMEOUT,
    ClientConnection,
    ConnectionLimits,
    ConnectionTable,
    Phase,
    limits_for,
)
from adapters.http_server import HttpServer
from tests.support.clock import VirtualLoop

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


class MemoryTransport(asyncio.Transport):
    """A transport in memory: what was sent, whether that was all, and whether it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.ended = False
        self.aborted = False
        self.protocol: RecordingProtocol | None = None  # the protocol that took over, if any

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def write_eof(self) -> None:
        self.ended = True

    def resume_reading(self) -> None:
        """Reading never pauses here."""

    def abort(self) -> None:
        self.aborted = True


class RecordingProtocol(asyncio.Protocol):
    """What stands for aiohttp's protocol: keeps what it is given."""

    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, MemoryTransport)
        transport.protocol = self

    def data_received(self, data: bytes) -> None:
        self.received += data


class Client:
    """A connection with both its ends in memory."""

    def __init__(self, connections: ConnectionTable) -> None:
        self.transport = MemoryTransport()
        self.connection = connections()
        self.connection.connection_made(self.transport)

    def send(self, data: bytes) -> Client:
        self.connection.data_received(data)
        return self

    def responded(self, *, websocket: bool = False) -> Client:
        self.connection.response_started(websocket=websocket)
        return self


def connections(max_connections: int = 8) -> ConnectionTable:
    return ConnectionTable(RecordingProtocol, ConnectionLimits(max_connections))


def aborted(clients: list[Client]) -> list[int]:
    """Which of table were aborted, by their places."""
    return [number for number, client in enumerate(clients) if client.transport.aborted]


# --------------------------------------------------------------------------------------------------- too many of table


@pytest.mark.parametrize(
    ("descriptors", "max_connections"),
    [
        (128, 16),
        (1024, 240),
        (4096, MAX_CONNECTIONS),
        (1_000_000, MAX_CONNECTIONS),
        (None, MAX_CONNECTIONS),
        (3, MIN_CONNECTIONS),
    ],
)
def test_a_quarter_of_the_descriptors_at_most(descriptors: int | None, max_connections: int) -> None:
    """And never more than a bot's port needs, nor so few that a probe finds no place."""
    assert limits_for(descriptors).max_connections == max_connections
    assert (
        descriptors is None
        or max_connections in {MIN_CONNECTIONS, MAX_CONNECTIONS}
        or max_connections <= descriptors // 4
    )


async def test_the_oldest_unfinished_request_goes() -> None:
    """Silent or half written, whatever came last of it; a finished one stays, and so does a page's socket."""
    table = connections(8)
    clients = [Client(table).send(REQUEST).responded(websocket=True), Client(table).send(REQUEST).responded()]
    clients += [Client(table), *(Client(table).send(HALF) for _ in range(5))]
    assert aborted(clients) == []
    clients[2].send(b"G")  # it is the oldest all the same
    clients += [Client(table)]
    assert aborted(clients) == [2]
    clients += [Client(table) for _ in range(20)]
    assert len(table) == 8
    assert aborted(clients[:2]) == []
    assert aborted(clients[-6:]) == []


async def test_a_connection_accepted_at_the_end_is_aborted() -> None:
    """The event loop may pass it to us after the close; its sender would wait until the process has ended."""
    table = connections()
    table.close()
    client = Client(table)
    assert client.transport.aborted
    client.connection.connection_lost(None)
    assert len(table) == 0
    assert not table.is_checking


async def test_then_the_oldest_idle_one_goes() -> None:
    """Where no request is unfinished."""
    table = connections(8)
    clients = [Client(table).send(REQUEST).responded(websocket=True) for _ in range(6)]
    clients += [Client(table).send(REQUEST).responded() for _ in range(2)]
    clients += [Client(table)]
    assert aborted(clients) == [6]


async def test_a_new_request_always_finds_room() -> None:
    """Idle connections take a quarter at most, and sockets are refused above a half."""
    table = connections(8)
    idle = [Client(table).send(REQUEST).responded() for _ in range(9)]
    assert aborted(idle) == list(range(7))
    live = [Client(table).send(REQUEST).responded(websocket=True) for _ in range(3)]
    full_before = table.websockets_full
    live += [Client(table).send(REQUEST).responded(websocket=True)]
    assert (full_before, table.websockets_full) == (False, True)
    new = [Client(table).send(HALF) for _ in range(9)]
    assert aborted(new) == list(range(7))
    assert aborted(idle[7:] + live) == []


async def test_refused_requests_go_first() -> None:
    """A request that is told its error and still sends keeps no other connection out, and never more than a few do."""
    table = connections(200)
    page, waiting = Client(table).send(REQUEST).responded(websocket=True), Client(table).send(HALF)
    refused = [Client(table).send(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n") for _ in range(MAX_CLOSING + 3)]
    for client in refused:
        client.send(b"more").responded()
    assert aborted(refused) == [0, 1, 2]
    full = [Client(table).send(HALF) for _ in range(200 - MAX_CLOSING - 1)]
    assert aborted(refused) == [0, 1, 2, 3]
    assert aborted([page, waiting, *full]) == []


async def test_what_is_closed_by_itself_makes_room() -> None:
    """Nobody is aborted for one that has gone."""
    table = connections(8)
    clients = [Client(table) for _ in range(8)]
    clients[3].connection.connection_lost(None)
    clients += [Client(table)]
    assert aborted(clients) == []
    clients[3].send(b"late").responded()
    assert len(table) == 8


async def test_too_many_is_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The operator is told, with the figures, and the log does not grow with the attack."""
    table = connections(4)
    with caplog.at_level(logging.WARNING):
        for _ in range(90):
            for _ in range(50):
                Client(table)
            await asyncio.sleep(1)
    assert 1 <= len(caplog.records) <= 2
    assert caplog.records[0].getMessage().startswith("too many connections")


# -------------------------------------------------------------------------------------------------------- too slow


async def test_no_later_byte_prolongs_a_head() -> None:
    """One byte a second: after ten seconds it is told, and closed."""
    table = connections()
    client = Client(table)
    for byte in HALF:
        if not client.transport.ended:
            client.send(bytes([byte]))
            await asyncio.sleep(1)
    assert client.transport.ended
    assert client.transport.sent == REQUEST_TIMEOUT
    await asyncio.sleep(LINGER_SECONDS + CHECK_SECONDS)
    assert client.transport.aborted
    assert len(table) == 0


async def test_silence_is_closed_without_a_word() -> None:
    """Browsers open connections that they may never use, and would show what they are told."""
    client = Client(connections())
    await asyncio.sleep(12)
    assert client.transport.aborted
    assert client.transport.sent == b""


async def test_a_second_head_has_no_more_time_than_the_first() -> None:
    """A connection may rest for a minute, but not in the middle of a request."""
    client = Client(connections()).send(REQUEST).responded()
    await asyncio.sleep(60)
    assert not client.transport.aborted
    for byte in HALF[:12]:
        client.send(bytes([byte]))
        await asyncio.sleep(1)
    assert client.transport.aborted


async def test_an_idle_connection_is_closed_in_the_end() -> None:
    """Its descriptor is given back after the time that proxies keep one; so is that of a reader who does not read."""
    client = Client(connections()).send(REQUEST).responded()
    await asyncio.sleep(77)
    assert client.transport.aborted


async def test_a_socket_of_a_page_lives_on() -> None:
    """However long, and whatever it sends."""
    client = Client(connections()).send(REQUEST).responded(websocket=True)
    for _ in range(100):
        client.send(b"\x81")
        await asyncio.sleep(60)
    assert not client.transport.aborted


async def test_with_nobody_there_nothing_is_looked_at() -> None:
    """An idle process sleeps: no timer is left once the last connection has gone."""
    table = connections()
    Client(table).connection.connection_lost(None)
    await asyncio.sleep(3)
    assert not table.is_checking
    table.close()


# ------------------------------------------------------------------------------------------------- what is let through


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = [0, *sorted({each % len(data) for each in cuts} - {0}), len(data)]
    return (data[start:end] for start, end in itertools.pairwise(places))


def after(data: bytes, cuts: list[int]) -> Client:
    """A client who has sent all that in pieces."""

    async def send() -> Client:
        client = Client(connections())
        for piece in pieces(data, cuts):
            if not client.transport.ended:
                client.send(piece)
        return client

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(send())


def received_by(client: Client) -> bytes | None:
    protocol = client.transport.protocol
    return protocol.received if protocol is not None else None


CUTS = st.lists(st.integers(0, 10_000), max_size=8)
WHOLE = [
    REQUEST,
    REQUEST + HALF,
    REQUEST * 3,
    b"GET / HTTP/1.0\n\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX-Content-Length: 7\r\nUpgrade: websocket\r\n\r\n\x81\x80content-length: 9",
    b"GET / HTTP/1.1\r\nX: " + b"y" * 9_000 + b"\r\n\r\n",
]
REFUSED = [
    (b"\x16\x03\x01\x02\x00", BAD_REQUEST),
    (b"\r\n\r\n", BAD_REQUEST),
    (b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabc", CONTENT_TOO_LARGE),
    (b"GET / HTTP/1.1\r\nHost: x\r\ncontent-length:\t5\r\n\r\nabcde", CONTENT_TOO_LARGE),
    (b"GET / HTTP/1.1\nTransfer-Encoding: chunked\n\n5\nab", CONTENT_TOO_LARGE),
    (b"GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", CONTENT_TOO_LARGE),
    (b"GET / HTTP/1.1\r\nContent-Length: 00001\r\n\r\n", CONTENT_TOO_LARGE),
    (b"GET /" + b"x" * MAX_HEAD_BYTES, HEAD_TOO_LARGE),
]


@pytest.mark.parametrize("request_", WHOLE)
@given(cuts=CUTS)
def test_a_whole_head_is_passed_on_as_it_came(request_: bytes, cuts: list[int]) -> None:
    """In whatever pieces it came, with all that follows."""
    client = after(request_, cuts)
    assert received_by(client) == request_
    assert not client.transport.aborted


@pytest.mark.parametrize("request_", [HALF, b"G", b"GET / HTTP/1.1\r\nContent-Length: 9\r\n"])
@given(cuts=CUTS)
def test_half_a_head_waits(request_: bytes, cuts: list[int]) -> None:
    """Nothing is made for it, and nothing is said."""
    client = after(request_, cuts)
    assert received_by(client) is None
    assert (client.transport.aborted, client.transport.sent) == (False, b"")


@pytest.mark.parametrize(("request_", "answer"), REFUSED)
@given(cuts=CUTS)
def test_what_no_route_could_use_is_refused_at_once(request_: bytes, answer: bytes, cuts: list[int]) -> None:
    """What is no HTTP, a body, a head without an end: one line, and the connection is closed."""
    client = after(request_, cuts)
    assert received_by(client) is None
    assert (client.transport.ended, client.transport.sent) == (True, answer)


@given(
    st.lists(
        st.binary(max_size=30) | st.sampled_from([b"\r\n", b"\n\n", REQUEST, b"Content-Length: 3\r\n"]), max_size=9
    )
)
def test_no_bytes_break_it(parts: list[bytes]) -> None:
    """Whatever comes, it is passed on, waited for, or refused."""
    data = b"GET " + b"".join(parts)
    client = after(data, [7, 50])
    assert received_by(client) in {None, data} or client.transport.ended


# ---------------------------------------------------------------------------------------------------- over real sockets


@asynccontextmanager
async def serving(limits: ConnectionLimits) -> AsyncIterator[URL]:
    async def echo(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            await socket.send_str(frame.data)
        return socket

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    routes = [web.get("/socket", echo), web.get("/hang", hang)]
    it = HttpServer(
        host="127.0.0.1", port=0, ready=dict, render_metrics=lambda: (b"", "text/plain"), routes=routes, limits=limits
    )
    try:
        yield URL(await it.start())
    finally:
        await it.close()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other side closes."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.sockets
async def test_health_is_answered_among_half_open_requests() -> None:
    """Each new one takes the oldest one's place, and a page's socket goes on through all of it."""
    async with (
        serving(ConnectionLimits(16)) as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(url / "socket") as page,
    ):
        assert url.host is not None
        half = [await asyncio.open_connection(url.host, url.port) for _ in range(40)]
        for _, writer in half:
            writer.write(HALF)
        async with session.get(url / "healthz") as answer:
            assert answer.status == 200
        assert await ended(half[0][0]) == b""
        await page.send_str("still here")
        assert await page.receive_str() == "still here"
        for _, writer in half:
            writer.close()


@pytest.mark.sockets
async def test_sockets_leave_room_for_probes() -> None:
    """With as many pages open as may be, the next one is refused in plain words, and health is responded."""
    async with serving(ConnectionLimits(8)) as url, aiohttp.ClientSession() as session:
        pages = [await session.ws_connect(url / "socket") for _ in range(4)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(url / "socket")
        assert caught.value.status == 503
        for _ in range(20):
            async with session.get(url / "healthz", headers={"Connection": "close"}) as answer:
                assert answer.status == 200
        await pages[0].send_str("still here")
        assert await pages[0].receive_str() == "still here"


@pytest.mark.sockets
async def test_a_slow_head_a_body_and_a_hanging_route_are_closed() -> None:
    """In real time as on the virtual clock; the client that comes again with the same connection is served."""
    timeouts = {Phase.REQUEST: 0.5, Phase.IDLE: 30.0}
    async with serving(ConnectionLimits(8, timeouts)) as url, aiohttp.ClientSession() as session:
        assert url.host is not None
        begun = [
            HALF,
            b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        ]
        streams = [await asyncio.open_connection(url.host, url.port) for _ in begun]
        for (_, writer), data in zip(streams, begun, strict=True):
            writer.write(data)
        said = [await ended(reader) for reader, _ in streams]
        assert said == [REQUEST_TIMEOUT, b"", CONTENT_TOO_LARGE]
        for _ in range(2):
            async with session.get(url / "healthz") as answer:
                assert answer.status == 200
        for _, writer in streams:
            writer.close()


@pytest.mark.sockets
async def test_the_body_of_a_later_request_is_not_waited_for() -> None:
    """It is responded at its head, and a rest that trickles in keeps no connection."""
    async with serving(ConnectionLimits(8)) as url:
        assert url.host is not None
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(REQUEST)
        await reader.readuntil(b"}")
        writer.write(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            trickling = group.create_task(trickle(writer))
            assert (await ended(reader)).startswith(b"HTTP/1.1 405")
            trickling.cancel()
        writer.close()


@pytest.mark.sockets
async def test_a_sender_reads_the_error_after_ten_megabytes() -> None:
    """Many clients read nothing before they have sent everything: they get the error, not a reset."""
    async with serving(ConnectionLimits(8)) as url:
        assert url.host is not None
        for opening in (b"", REQUEST):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(opening)
            if opening:
                await reader.readuntil(b"}")
            writer.write(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
            for _ in range(100):
                writer.write(b"x" * 100_000)
                await writer.drain()
            assert re.findall(rb"HTTP/1\.1 (\d+)", await reader.read()) == [b"405" if opening else b"413"]
            writer.close()


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then."""
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.2)


@pytest.mark.sockets
async def test_requests_in_one_connection_are_answered_in_order() -> None:
    """Also those that come in one packet."""
    async with serving(ConnectionLimits(8)) as url:
        assert url.host is not None
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            REQUEST + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + REQUEST[:-4] + b"\r\nConnection: close\r\n\r\n"
        )
        text = await ended(reader)
        assert re.findall(rb"HTTP/1\.1 (\d+)", text) == [b"200", b"404", b"200"]
        writer.close()


def test_a_connection_is_a_protocol_of_the_loops() -> None:
    """It passes on whatever the loop tells it, before and after a head."""
    assert isinstance(connections()(), asyncio.Protocol)
    early = ClientConnection(connections(), RecordingProtocol)
    early.pause_writing()
    early.resume_writing()
    assert early.eof_received() is None
    early.connection_lost(None)
