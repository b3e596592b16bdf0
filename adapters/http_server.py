"""The one place where the bot listens: health, readiness, metrics, and the routes that others contribute.

What belongs here: binding the port, the headers that every answer carries, and the three routes of an operator. What
does not: any page or protocol of a platform (those come as routes), any figure (`adapters.prometheus`), and the bounds
on connections (`adapters.http_connections`).

The operator's routes answer whatever Host they are asked under, since probes ask for an IP address. So they tell
states and figures in words of our own, and no text, no name of a person or place, and no token.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from adapters.http_connections import ACCEPTED_AT_ONCE, Bounds, Connections, connection_of, usual_bounds
from bot.errors import Permanent

# How long open connections get to finish when the site closes, in seconds. Whoever contributed a long-lived route (the
# playground's socket) has closed it before; this bounds what is left. Read by `HttpServer.start`.
CLOSE_SECONDS = 1.0

# How long the rest of a request that is answered already is read, in seconds: long enough for its sender to see the
# answer. None of our routes wants a body.
LINGER_SECONDS = 2.0

# Connections that may wait to be accepted: more than a hostile program opens at once, so that a probe's is among them
# and not refused. The system may allow fewer (net.core.somaxconn). Read by `HttpServer.start`.
WAITING = 4096

# What every answer carries unless its route says otherwise. By OWASP's list
# (https://owasp.org/www-project-secure-headers/): nothing may be framed, sniffed, embedded or told where one came from.
SAFE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}

# What the bot calls itself, instead of the versions of what it is made of.
SERVER = "tickertape"


class ComponentStatus(NamedTuple):
    """How a part of the bot is: a word for the operator, and whether questions can be answered with it like this."""

    label: str
    healthy: bool = True


class ListenFailed(Permanent):
    """The address cannot be listened at. The message is one plain line for the operator."""


class PortInUse(ListenFailed):
    """Somebody else listens there already."""


class HttpServer:
    """The bot's HTTP server.

    `ready` maps each platform to whether its events arrive; `components` maps a name to the status of another part.
    `render_metrics` returns the metrics and their content type. A route answers within seconds or becomes a WebSocket.
    `bounds` replaces the default connection limits. Nothing is logged here: probes come every few seconds, and aiohttp
    logs the failures of routes.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        ready: Callable[[], Mapping[str, bool]],
        render_metrics: Callable[[], tuple[bytes, str]],
        components: Callable[[], Mapping[str, ComponentStatus]] = dict,
        routes: Iterable[web.AbstractRouteDef] = (),
        bounds: Bounds | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._ready = ready
        self._render_metrics = render_metrics
        self._components = components
        self._bounds = bounds
        self._routes = [
            web.get("/healthz", self._health),
            web.get("/readyz", self._readiness),
            web.get("/metrics", self._metrics),
            *routes,
        ]
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._connections: Connections | None = None

    async def start(self) -> str:
        """Listen, and return the URL (without a slash at its end) at which a browser on this machine finds the site.

        Port 0 takes a free one. Raises `PortInUse` or `ListenFailed`.
        """
        application = web.Application(middlewares=[self._refuse_where_full])
        application.add_routes(self._routes)
        application.on_response_prepare.append(_add_headers)
        application.on_response_prepare.append(_note_phase)
        runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=CLOSE_SECONDS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,  # nobody reads a body
        )
        await runner.setup()
        assert runner.server is not None
        connections = Connections(runner.server, self._bounds or usual_bounds())
        try:
            server = await _listen(connections, self._host, self._port)
        except OSError as error:
            await runner.cleanup()
            raise _translated(error, self._host, self._port) from error
        self._runner, self._server, self._connections = runner, server, connections
        return _url(server.sockets[0].getsockname())

    async def close(self) -> None:
        """Stop listening and close what is open; nothing happens where nothing was started."""
        runner, self._runner = self._runner, None
        if self._server is not None:
            self._server.close()
        if self._connections is not None:
            self._connections.close()
        if runner is not None:
            await runner.cleanup()

    @web.middleware
    async def _refuse_where_full(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse another socket where as many are open as may be."""
        upgrades = request.headers.get("Upgrade", "").lower() == "websocket"
        if upgrades and self._connections is not None and self._connections.full:
            raise web.HTTPServiceUnavailable(text="Too many pages are open here. Close one.")
        return await handler(request)

    async def _health(self, _: web.Request) -> web.Response:
        """The process runs and its loop turns. Nothing of the platforms: a restart would not end their outage."""
        return web.json_response({"alive": True})

    async def _readiness(self, _: web.Request) -> web.Response:
        """200 where questions arrive from every platform and can be answered, 503 otherwise, and what is how."""
        platforms, components = dict(self._ready()), dict(self._components())
        ready = all(platforms.values()) and all(status.healthy for status in components.values())
        said = {"ready": ready, "platforms": platforms} | {name: status.label for name, status in components.items()}
        return web.json_response(said, status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        text, content_type = self._render_metrics()
        return web.Response(body=text, headers={"Content-Type": content_type})


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in SAFE_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = SERVER  # aiohttp has set its own by now


async def _note_phase(request: web.Request, response: web.StreamResponse) -> None:
    if (connection := connection_of(request)) is not None:
        connection.answering(live=response.status == HTTPStatus.SWITCHING_PROTOCOLS)


async def _listen(connections: Connections, host: str, port: int) -> asyncio.Server:
    """Listen at an address.

    By `backlog` asyncio means both how many it accepts in a round and how many may wait; the second is set once more.
    """
    server = await asyncio.get_running_loop().create_server(connections, host, port, backlog=ACCEPTED_AT_ONCE)
    for listening in server.sockets:
        with listening.dup() as same:
            same.listen(WAITING)
    return server


def _translated(error: OSError, host: str, port: int) -> ListenFailed:
    """The one line for an address that could not be bound."""
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"Port {port} is taken by another program: stop that, or set PORT to another (0 takes a free one)."
        )
    if error.errno == errno.EACCES:
        return ListenFailed(f"Port {port} may not be listened at without privileges: set PORT to 1024 or above.")
    return ListenFailed(f"Cannot listen at {host}, port {port}: {error.strerror or type(error).__name__}.")


def _url(address: object) -> str:
    """Where a browser on this machine finds a bound socket; `address` is what `getsockname` says."""
    assert isinstance(address, tuple)
    host, port = str(address[0]), int(address[1])
    parsed = ipaddress.ip_address(host.partition("%")[0])  # a link-local one may name its interface
    if parsed.is_unspecified:  # "every address of this machine" is no address to open
        parsed = ipaddress.ip_address("127.0.0.1" if parsed.version == 4 else "::1")
    return f"http://{parsed}:{port}" if parsed.version == 4 else f"http://[{parsed}]:{port}"
