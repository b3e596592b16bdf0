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
    FEWEST,
    HEAD_BYTES,
    MOST,
    NO_BODY,
    NO_HTTP,
    TOO_LONG,
    TOO_SLOW,
    Bounds,
    Connection,
    Connections,
    Phase,
    bounds_for,
)
from adapters.http_server import HttpServer
from tests.support.clock import VirtualLoop

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


class Wire(asyncio.Transport):
    """A transport in memory: what was sent, and whether it was cut."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.cut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def abort(self) -> None:
        self.cut = True


class Inner(asyncio.Protocol):
    """What stands for aiohttp's protocol: keeps what it is given."""

    def __init__(self) -> None:
        self.given = b""

    def data_received(self, data: bytes) -> None:
        self.given += data


class Caller:
    """A connection with both its ends in memory."""

    def __init__(self, connections: Connections) -> None:
        self.wire = Wire()
        self.connection = connections()
        self.connection.connection_made(self.wire)

    def send(self, data: bytes) -> Caller:
        self.connection.data_received(data)
        return self

    def answered(self, *, live: bool = False) -> Caller:
        self.connection.answering(live=live)
        return self


def connections(most: int = 8) -> Connections:
    return Connections(Inner, Bounds(most))


def cut(callers: list[Caller]) -> list[int]:
    """Which of them were cut, by their places."""
    return [number for number, caller in enumerate(callers) if caller.wire.cut]


# --------------------------------------------------------------------------------------------------- too many of them


@pytest.mark.parametrize(
    ("descriptors", "most"), [(128, 16), (1024, 240), (4096, MOST), (1_000_000, MOST), (None, MOST), (3, FEWEST)]
)
def test_a_quarter_of_the_descriptors_at_most(descriptors: int | None, most: int) -> None:
    """And never more than a bot's port needs, nor so few that a probe finds no place."""
    assert bounds_for(descriptors).most == most
    assert descriptors is None or most in {FEWEST, MOST} or most <= descriptors // 4


async def test_the_oldest_unfinished_request_goes() -> None:
    """Silent or half written, whatever came last of it; a finished one stays, and so does a page's socket."""
    them = connections(8)
    callers = [Caller(them).send(REQUEST).answered(live=True), Caller(them).send(REQUEST).answered()]
    callers += [Caller(them), *(Caller(them).send(HALF) for _ in range(5))]
    assert cut(callers) == []
    callers[2].send(b"G")  # it is the oldest all the same
    callers += [Caller(them)]
    assert cut(callers) == [2]
    callers += [Caller(them) for _ in range(20)]
    assert len(them) == 8
    assert cut(callers[:2]) == []
    assert cut(callers[-6:]) == []


async def test_then_the_oldest_idle_one_goes() -> None:
    """Where no request is unfinished."""
    them = connections(8)
    callers = [Caller(them).send(REQUEST).answered(live=True) for _ in range(6)]
    callers += [Caller(them).send(REQUEST).answered() for _ in range(2)]
    callers += [Caller(them)]
    assert cut(callers) == [6]


async def test_a_new_request_always_finds_room() -> None:
    """Idle connections take a quarter at most, and sockets are refused above a half."""
    them = connections(8)
    idle = [Caller(them).send(REQUEST).answered() for _ in range(9)]
    assert cut(idle) == list(range(7))
    live = [Caller(them).send(REQUEST).answered(live=True) for _ in range(3)]
    full_before = them.full
    live += [Caller(them).send(REQUEST).answered(live=True)]
    assert (full_before, them.full) == (False, True)
    new = [Caller(them).send(HALF) for _ in range(9)]
    assert cut(new) == list(range(7))
    assert cut(idle[7:] + live) == []


async def test_what_is_closed_by_itself_makes_room() -> None:
    """Nobody is cut for one that has gone."""
    them = connections(8)
    callers = [Caller(them) for _ in range(8)]
    callers[3].connection.connection_lost(None)
    callers += [Caller(them)]
    assert cut(callers) == []
    callers[3].send(b"late").answered()
    assert len(them) == 8


async def test_too_many_is_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The operator is told, with the figures, and the log does not grow with the attack."""
    them = connections(4)
    with caplog.at_level(logging.WARNING):
        for _ in range(90):
            for _ in range(50):
                Caller(them)
            await asyncio.sleep(1)
    assert 1 <= len(caplog.records) <= 2
    assert caplog.records[0].getMessage().startswith("too many connections")


# -------------------------------------------------------------------------------------------------------- too slow


async def test_no_later_byte_prolongs_a_head() -> None:
    """One byte a second: after ten seconds it is told, and closed."""
    them = connections()
    caller = Caller(them)
    for byte in HALF:
        if not caller.wire.cut:
            caller.send(bytes([byte]))
            await asyncio.sleep(1)
    assert caller.wire.cut
    assert caller.wire.sent == TOO_SLOW
    assert len(them) == 0


async def test_silence_is_closed_without_a_word() -> None:
    """Browsers open connections that they may never use, and would show what they are told."""
    caller = Caller(connections())
    await asyncio.sleep(12)
    assert caller.wire.cut
    assert caller.wire.sent == b""


async def test_a_second_head_has_no_more_time_than_the_first() -> None:
    """A connection may rest for a minute, but not in the middle of a request."""
    caller = Caller(connections()).send(REQUEST).answered()
    await asyncio.sleep(60)
    assert not caller.wire.cut
    for byte in HALF[:12]:
        caller.send(bytes([byte]))
        await asyncio.sleep(1)
    assert caller.wire.cut


async def test_an_idle_connection_is_closed_in_the_end() -> None:
    """Its descriptor is given back after the time that proxies keep one; so is that of a reader who does not read."""
    caller = Caller(connections()).send(REQUEST).answered()
    await asyncio.sleep(77)
    assert caller.wire.cut


async def test_a_socket_of_a_page_lives_on() -> None:
    """However long, and whatever it sends."""
    caller = Caller(connections()).send(REQUEST).answered(live=True)
    for _ in range(100):
        caller.send(b"\x81")
        await asyncio.sleep(60)
    assert not caller.wire.cut


async def test_with_nobody_there_nothing_is_looked_at() -> None:
    """An idle process sleeps: no timer is left once the last connection has gone."""
    them = connections()
    Caller(them).connection.connection_lost(None)
    await asyncio.sleep(3)
    assert them._look is None
    them.close()


# ------------------------------------------------------------------------------------------------- what is let through


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = [0, *sorted({each % len(data) for each in cuts} - {0}), len(data)]
    return (data[start:end] for start, end in itertools.pairwise(places))


def after(data: bytes, cuts: list[int]) -> Caller:
    """A caller who has sent all that in pieces."""

    async def send() -> Caller:
        caller = Caller(connections())
        for piece in pieces(data, cuts):
            if not caller.wire.cut:
                caller.send(piece)
        return caller

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(send())


def given_of(caller: Caller) -> bytes | None:
    inner = caller.connection._protocol
    return inner.given if isinstance(inner, Inner) else None


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
    (b"\x16\x03\x01\x02\x00", NO_HTTP),
    (b"\r\n\r\n", NO_HTTP),
    (b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabc", NO_BODY),
    (b"GET / HTTP/1.1\r\nHost: x\r\ncontent-length:\t5\r\n\r\nabcde", NO_BODY),
    (b"GET / HTTP/1.1\nTransfer-Encoding: chunked\n\n5\nab", NO_BODY),
    (b"GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", NO_BODY),
    (b"GET / HTTP/1.1\r\nContent-Length: 00001\r\n\r\n", NO_BODY),
    (b"GET /" + b"x" * HEAD_BYTES, TOO_LONG),
]


@pytest.mark.parametrize("request_", WHOLE)
@given(cuts=CUTS)
def test_a_whole_head_is_passed_on_as_it_came(request_: bytes, cuts: list[int]) -> None:
    """In whatever pieces it came, with all that follows."""
    caller = after(request_, cuts)
    assert given_of(caller) == request_
    assert not caller.wire.cut


@pytest.mark.parametrize("request_", [HALF, b"G", b"GET / HTTP/1.1\r\nContent-Length: 9\r\n"])
@given(cuts=CUTS)
def test_half_a_head_waits(request_: bytes, cuts: list[int]) -> None:
    """Nothing is made for it, and nothing is said."""
    caller = after(request_, cuts)
    assert given_of(caller) is None
    assert (caller.wire.cut, caller.wire.sent) == (False, b"")


@pytest.mark.parametrize(("request_", "answer"), REFUSED)
@given(cuts=CUTS)
def test_what_no_route_could_use_is_refused_at_once(request_: bytes, answer: bytes, cuts: list[int]) -> None:
    """What is no HTTP, a body, a head without an end: one line, and the connection is closed."""
    caller = after(request_, cuts)
    assert given_of(caller) is None
    assert (caller.wire.cut, caller.wire.sent) == (True, answer)


@given(
    st.lists(
        st.binary(max_size=30) | st.sampled_from([b"\r\n", b"\n\n", REQUEST, b"Content-Length: 3\r\n"]), max_size=9
    )
)
def test_no_bytes_break_it(parts: list[bytes]) -> None:
    """Whatever comes, it is passed on, waited for, or refused."""
    data = b"GET " + b"".join(parts)
    caller = after(data, [7, 50])
    assert given_of(caller) in {None, data} or caller.wire.cut


# ---------------------------------------------------------------------------------------------------- over real sockets


@asynccontextmanager
async def serving(bounds: Bounds) -> AsyncIterator[URL]:
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
        host="127.0.0.1", port=0, ready=dict, render_metrics=lambda: (b"", "text/plain"), routes=routes, bounds=bounds
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
        serving(Bounds(16)) as url,
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
    """With as many pages open as may be, the next one is refused in plain words, and health is answered."""
    async with serving(Bounds(8)) as url, aiohttp.ClientSession() as session:
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
    patience = {Phase.ASKING: 0.5, Phase.IDLE: 30.0}
    async with serving(Bounds(8, patience)) as url, aiohttp.ClientSession() as session:
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
        assert said == [TOO_SLOW, b"", NO_BODY]
        for _ in range(2):
            async with session.get(url / "healthz") as answer:
                assert answer.status == 200
        for _, writer in streams:
            writer.close()


@pytest.mark.sockets
async def test_the_body_of_a_later_request_is_not_waited_for() -> None:
    """It is answered at its head, and a rest that trickles in keeps no connection."""
    async with serving(Bounds(8)) as url:
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


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then."""
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.2)


@pytest.mark.sockets
async def test_requests_in_one_connection_are_answered_in_order() -> None:
    """Also those that come in one packet."""
    async with serving(Bounds(8)) as url:
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
    early = Connection(connections(), Inner)
    early.pause_writing()
    early.resume_writing()
    assert early.eof_received() is None
    early.connection_lost(None)
