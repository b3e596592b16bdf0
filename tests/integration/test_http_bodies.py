"""Bodies of requests over real sockets: their size, their time, their memory, and their forms."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from yarl import URL

from adapters.http_bodies import BodyReader, BodyRule
from adapters.http_connections import ConnectionLimits
from adapters.http_server import HttpServer

pytestmark = pytest.mark.sockets

RULE = BodyRule("/in", frozenset({"text/plain"}), max_bytes=1_000, seconds=5.0, chunked=True)
IMPATIENT = BodyRule("/in", RULE.content_types, RULE.max_bytes, seconds=0.4)
HEAD = b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def serving(rule: BodyRule = RULE, max_total_bytes: float = 10_000) -> AsyncIterator[URL]:
    """A server with a route that returns its body's length."""
    reader = BodyReader(rule, max_total_bytes)

    async def take(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await reader.read(request))))

    server = HttpServer(
        host="127.0.0.1",
        port=0,
        ready=dict,
        render_metrics=lambda: (b"", "text/plain"),
        routes=[web.post("/in", take)],
        bodies=[rule],
        limits=ConnectionLimits(64),
    )
    try:
        yield URL(await server.start())
    finally:
        await server.close()


async def exchange(url: URL, *parts: bytes, pause: float = 0.0) -> bytes:
    """All bytes of the responses to a connection's bytes, sent in parts."""
    assert url.host is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(reader.read())
        for part in parts:
            if not reading.done():
                writer.write(part)
                await asyncio.wait([reading], timeout=pause)
    writer.close()
    return reading.result()


def statuses(received: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d+)", received)]


def with_length(body: bytes, more: bytes = b"Connection: close\r\n") -> bytes:
    return HEAD + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


TAKEN = {
    "with a length": (with_length(b"x" * 7), b"7"),
    "the longest": (with_length(b"x" * 1_000), b"1000"),
    "empty": (with_length(b""), b"0"),
    "chunked": (
        HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"5",
    ),
    "HTTP/1.0": (b"POST /in HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nab", b"2"),
    "with a query": (with_length(b"ab").replace(b"/in ", b"/in?a=b "), b"2"),
    "with a charset": (with_length(b"ab").replace(b"plain", b"plain; charset=utf-8"), b"2"),
}
REFUSED = {
    "longer than allowed": (with_length(b"x" * 1_001), 413),
    "ten megabytes": (with_length(b"x" * 10_000_000), 413),
    "chunks longer than allowed": (CHUNKED + b"3e8\r\n" + b"x" * 1_000 + b"\r\n1\r\nx\r\n", 413),
    "another type": (with_length(b"ab").replace(b"plain", b"html"), 415),
    "no type": (with_length(b"ab").replace(b"Content-Type: text/plain\r\n", b""), 415),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", 413),
    "a length and chunks": (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    "another encoding": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 413),
    "no chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n", 400),
    "GET with a body": (with_length(b"ab").replace(b"POST", b"GET"), 413),
    "another path": (with_length(b"ab").replace(b"/in ", b"/healthz "), 413),
}


@pytest.mark.parametrize("case", TAKEN)
async def test_an_acceptable_body_is_read(case: str) -> None:
    """In one piece or a few bytes at a time, in the first request of a connection or a later one."""
    request, length = TAKEN[case]
    async with serving() as url:
        for received in (
            await exchange(url, request),
            await exchange(url, *(request[start : start + 200] for start in range(0, len(request), 200))),
            await exchange(url, PROBE + request),
        ):
            assert statuses(received)[-1] == 200
            assert received.endswith(b"\r\n\r\n" + length)


@pytest.mark.parametrize("case", REFUSED)
async def test_another_body_is_refused_in_plain_words(case: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its sender gets the status, also after sending everything, and the log has no exception."""
    caplog.set_level(logging.DEBUG)
    request, status = REFUSED[case]
    async with serving() as url:
        assert statuses(await exchange(url, request)) == [status]
        assert 400 <= statuses(await exchange(url, PROBE + request))[-1] < 500
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_slow_body_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    """A byte now and then gets 408 in time; the next request on another connection is served meanwhile."""
    head = HEAD + b"Content-Length: 500\r\n\r\n"
    async with serving(IMPATIENT) as url, asyncio.TaskGroup() as group:
        slow = group.create_task(exchange(url, head, *[b"x"] * 100, pause=0.05))
        assert statuses(await exchange(url, with_length(b"ab"))) == [200]
        assert statuses(await slow) == [408]
    assert [record for record in caplog.records if record.exc_info] == []


async def test_an_expectation_is_met_or_refused_at_the_head() -> None:
    """A client that asks first is told to go on, or gets the error without sending anything."""
    async with serving() as url:
        assert url.host is not None
        for length, expected in ((3, [100, 200]), (100_000, [413])):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(HEAD + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
            first = await reader.readuntil(b"\r\n\r\n")
            if expected[0] == 100:
                writer.write(b"abc")
            assert statuses(first + await reader.read()) == expected
            writer.close()


async def test_unfinished_bodies_take_little_memory() -> None:
    """Of more unfinished bodies than the memory's bound, the largest is given up; small ones are served."""
    async with serving(max_total_bytes=2_500) as url:
        assert url.host is not None
        sizes = (10, 950, 900, 900)
        streams = [await asyncio.open_connection(url.host, url.port) for _ in sizes]
        for (_, writer), size in zip(streams, sizes, strict=True):
            writer.write(HEAD + b"Connection: close\r\nContent-Length: 1000\r\n\r\n" + b"x" * size)
        assert statuses(await streams[1][0].read()) == [503]
        assert statuses(await exchange(url, with_length(b"x" * 500))) == [200]
        for _, writer in streams:
            writer.close()


async def test_a_sender_that_goes_away_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that ends within its body costs no log line, and gives back its memory."""
    caplog.set_level(logging.DEBUG)
    async with serving(max_total_bytes=1_200) as url:
        assert url.host is not None
        for _ in range(5):
            _, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 900)
            await writer.drain()
            writer.transport.abort()
        assert statuses(await exchange(url, with_length(b"x" * 1_000))) == [200]
    assert [record for record in caplog.records if record.exc_info] == []
