"""The bot's one port: health, readiness, metrics, and routes of others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from adapters.http_server import (
    SECURITY_HEADERS,
    SERVER_HEADER,
    ComponentStatus,
    HttpServer,
    ListenFailed,
    PortInUse,
    browser_url,
    listen_error,
)


def site(
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    ready: Mapping[str, bool] | None = None,
    components: Mapping[str, ComponentStatus] | None = None,
    routes: list[web.RouteDef] | None = None,
) -> HttpServer:
    return HttpServer(
        host=host,
        port=port,
        ready=lambda: ready or {},
        render_metrics=lambda: (b"a_total 1.0\n", "text/plain; version=1.0.0; charset=utf-8"),
        components=lambda: components or {},
        routes=routes or [],
    )


@asynccontextmanager
async def serving(it: HttpServer) -> AsyncIterator[aiohttp.ClientSession]:
    url = await it.start()
    try:
        async with aiohttp.ClientSession(url) as session:
            yield session
    finally:
        await it.close()


@pytest.mark.sockets
async def test_it_says_that_it_lives_whatever_the_platforms_do() -> None:
    """Health is the process's own: an outage elsewhere does not get it restarted."""
    async with serving(site(ready={"slack": False})) as session, session.get("/healthz") as answer:
        assert answer.status == 200
        assert await answer.json() == {"alive": True}


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("platforms", "status"),
    [({"slack": True, "discord": True}, 200), ({"slack": True, "discord": False}, 503), ({}, 200)],
)
async def test_it_is_ready_when_every_platform_is(platforms: dict[str, bool], status: int) -> None:
    """Readiness names each platform, and is 503 as soon as one brings no events."""
    async with serving(site(ready=platforms)) as session, session.get("/readyz") as answer:
        assert answer.status == status
        assert await answer.json() == {"ready": status == 200, "platforms": platforms}


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("components", "status"),
    [
        ({"journal": ComponentStatus("ok"), "model": ComponentStatus("alive")}, 200),
        ({"journal": ComponentStatus("degraded"), "model": ComponentStatus("alive")}, 200),
        ({"journal": ComponentStatus("ok"), "model": ComponentStatus("dead", healthy=False)}, 503),
    ],
)
async def test_it_says_how_its_parts_are(components: dict[str, ComponentStatus], status: int) -> None:
    """A word for each; without a journal questions are answered all the same, without a model they are not."""
    async with serving(site(components=components)) as session, session.get("/readyz") as answer:
        assert answer.status == status
        labels = {name: component.label for name, component in components.items()}
        assert await answer.json() == {"ready": status == 200, "platforms": {}} | labels


@pytest.mark.sockets
async def test_metrics_go_out_as_they_are() -> None:
    """The text and its content type are the recorder's."""
    async with serving(site()) as session, session.get("/metrics") as answer:
        assert await answer.read() == b"a_total 1.0\n"
        assert answer.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"


@pytest.mark.sockets
async def test_each_response_is_measured_by_its_route() -> None:
    """A route counts as registered, errors by their status, unknown paths and methods together, WebSockets never."""
    responses: list[tuple[str, int, float]] = []

    async def refuse(_: web.Request) -> web.Response:
        raise web.HTTPForbidden

    async def fail(_: web.Request) -> web.Response:
        raise KeyError

    async def talk(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.close()
        return response

    routes = [web.get("/of/{name}", refuse), web.get("/fail", fail), web.get("/talk", talk)]
    it = HttpServer(
        host="127.0.0.1",
        port=0,
        ready=dict,
        render_metrics=lambda: (b"", "text/plain"),
        routes=routes,
        record_response=lambda route, status, seconds: responses.append((route, status, seconds)),
    )
    async with serving(it) as session:
        async with session.ws_connect("/talk") as talk_:
            await talk_.receive()
        for path in ("/healthz", "/of/a", "/of/b", "/fail", "/nowhere/1"):
            await (await session.get(path)).read()
        await (await session.post("/healthz")).read()
    assert [(route, status) for route, status, _ in responses] == [
        ("/healthz", 200),
        ("/of/{name}", 403),
        ("/of/{name}", 403),
        ("/fail", 500),
        ("", 404),
        ("", 405),
    ]
    assert all(0 <= seconds < 10 for *_, seconds in responses)


@pytest.mark.sockets
async def test_every_answer_carries_the_safe_headers() -> None:
    """Also one that is not found; a route may say otherwise for itself."""

    async def own(_: web.Request) -> web.Response:
        return web.Response(text="x", headers={"Cache-Control": "no-cache"})

    async with serving(site(routes=[web.get("/own", own)])) as session:
        for path in ("/healthz", "/nowhere"):
            async with session.get(path) as answer:
                assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
                assert answer.headers["Server"] == SERVER_HEADER
        async with session.get("/own") as answer:
            assert answer.headers["Cache-Control"] == "no-cache"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.sockets
async def test_a_busy_port_is_one_plain_line() -> None:
    """The operator reads which port, and what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        it = site(port=port)
        with pytest.raises(PortInUse) as caught:
            await it.start()
        await it.close()
    line = str(caught.value)
    assert str(port) in line
    assert "PORT" in line
    assert "\n" not in line


@pytest.mark.sockets
async def test_an_address_of_another_machine_is_one_plain_line() -> None:
    """What else may be wrong with the address is a line too, and no traceback."""
    it = site(host="192.0.2.1", port=0)
    with pytest.raises(ListenFailed, match=r"Cannot listen at 192\.0\.2\.1"):
        await it.start()


def test_a_port_that_needs_privileges() -> None:
    """A port below 1024 is told apart from a busy one."""
    assert "1024" in str(listen_error(PermissionError(13, "Permission denied"), "127.0.0.1", 80))


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (("127.0.0.1", 8080), "http://127.0.0.1:8080"),
        (("0.0.0.0", 8080), "http://127.0.0.1:8080"),
        (("::", 81, 0, 0), "http://[::1]:81"),
        (("::1", 81, 0, 0), "http://[::1]:81"),
        (("fe80::1%eth0", 81, 0, 2), "http://[fe80::1]:81"),
    ],
)
def test_where_a_browser_finds_it(address: tuple[object, ...], url: str) -> None:
    """Listening at every address is told as one that can be opened."""
    assert browser_url(address) == url


@pytest.mark.sockets
async def test_closing_does_not_wait_for_those_who_never_go() -> None:
    """A request that hangs is cut, and closing twice, or without a start, is nothing."""
    cancelled = asyncio.Event()
    asked = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    it = site(routes=[web.get("/hang", hang)])
    url = await it.start()
    async with aiohttp.ClientSession(url) as session, asyncio.TaskGroup() as group:

        async def get() -> None:
            with pytest.raises(aiohttp.ClientError):
                await session.get("/hang")

        group.create_task(get())
        await asked.wait()
        await it.close()
    await it.close()
    assert cancelled.is_set()
    await site().close()
