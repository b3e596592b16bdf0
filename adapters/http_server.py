"""The bot's only HTTP server: health, readiness, metrics, and contributed routes.

The probes answer under any Host header, since they use an IP address. So their bodies hold only states and figures in
our own words: no text, no name of a person or channel, no token. The metrics name models, and workspaces by their ids.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler

from adapters.http_bodies import BodyRule
from adapters.http_connections import (
    ACCEPTS_PER_ITERATION,
    LINGER_SECONDS,
    ConnectionLimits,
    ConnectionTable,
    connection_of,
    default_limits,
)
from bot.errors import Permanent

# Time for open connections to finish at shutdown. Contributors close long-lived routes (the playground's WebSocket)
# before; this bounds the rest. Seconds.
SHUTDOWN_SECONDS = 1.0

# Connections waiting to be accepted: more than a hostile program opens at once, so that a probe still gets in. The
# system may allow fewer (net.core.somaxconn).
BACKLOG = 4096

# Headers of every response, unless its route sets them. From OWASP's list
# (https://owasp.org/www-project-secure-headers/): no framing, no sniffing, no embedding, no referrer.
SECURITY_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
    }
)

# Replaces aiohttp's Server header with its version numbers.
SERVER_HEADER = "tickertape"


Route = web.AbstractRouteDef

_LOG = logging.getLogger(f"{__name__}.requests")
_LOG.addFilter(lambda record: not _is_peers_fault(record))


def _is_peers_fault(record: logging.LogRecord) -> bool:
    """Whether aiohttp logs a malformed request, or a lost connection: anybody could fill the log with their traces."""
    error = record.exc_info[1] if record.exc_info else None
    return isinstance(error, HttpProcessingError | ConnectionError)


class ComponentStatus(NamedTuple):
    """The state of a part of the bot, in one word, and whether the bot can answer questions in this state."""

    label: str
    healthy: bool = True


class ListenFailed(Permanent):
    """The server cannot listen at the address. The message is one line for the operator."""


class PortInUse(ListenFailed):
    """Another program listens at the port."""


class HttpServer:
    """The bot's HTTP server.

    `ready` maps each platform to whether its events arrive; `components` maps a name to the status of another part.
    `render_metrics` returns the metrics and their content type. A route answers within seconds or becomes a WebSocket.
    `bodies` are those accepted by routes. `limits` replaces the default connection limits. `record_response` is told
    the route (empty for an unknown path or method), the status and the seconds of each response, except for WebSockets.
    Nothing is logged here: probes come every few seconds, and aiohttp logs the failures of routes.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        ready: Callable[[], Mapping[str, bool]],
        render_metrics: Callable[[], tuple[bytes, str]],
        components: Callable[[], Mapping[str, ComponentStatus]] = dict,
        routes: Iterable[Route] = (),
        bodies: Iterable[BodyRule] = (),
        limits: ConnectionLimits | None = None,
        record_response: Callable[[str, int, float], None] = lambda _route, _status, _seconds: None,
    ) -> None:
        self._host = host
        self._port = port
        self._ready = ready
        self._render_metrics = render_metrics
        self._components = components
        self._limits = limits
        self._record_response = record_response
        self._bodies = tuple(bodies)
        self._routes = [
            web.get("/healthz", self._health),
            web.get("/readyz", self._readiness),
            web.get("/metrics", self._metrics),
            *routes,
        ]
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._connections: ConnectionTable | None = None

    async def start(self) -> str:
        """Listen and return the URL for a browser on this machine, without a trailing slash.

        Port 0 takes a free port. Raises `PortInUse` or `ListenFailed`.
        """
        application = web.Application(middlewares=[_respond_early, self._time_responses, self._limit_websockets])
        application.add_routes(self._routes)
        application.on_response_prepare.append(_add_headers)
        application.on_response_prepare.append(_track_phase)
        runner = web.AppRunner(
            application,
            access_log=None,
            logger=_LOG,
            shutdown_timeout=SHUTDOWN_SECONDS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,  # bodies are bounded as sent
        )
        await runner.setup()
        assert runner.server is not None
        connections = ConnectionTable(runner.server, self._limits or default_limits(), self._bodies)
        try:
            server = await _listen(connections, self._host, self._port)
        except OSError as error:
            await runner.cleanup()
            raise listen_error(error, self._host, self._port) from error
        self._runner, self._server, self._connections = runner, server, connections
        return browser_url(server.sockets[0].getsockname())

    async def close(self) -> None:
        """Stop listening and close all connections. No effect before `start`."""
        runner, self._runner = self._runner, None
        if self._server is not None:
            self._server.close()
        if self._connections is not None:
            self._connections.close()
        if runner is not None:
            await runner.cleanup()

    @web.middleware
    async def _time_responses(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Measure each response; an exception becomes aiohttp's 500, and a cancelled handler has no response."""
        loop = asyncio.get_running_loop()
        began, status = loop.time(), int(HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        except asyncio.CancelledError:
            status = 0
            raise
        finally:
            if status not in {0, HTTPStatus.SWITCHING_PROTOCOLS}:
                self._record_response(_route_of(request), status, loop.time() - began)
        return response

    @web.middleware
    async def _limit_websockets(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a WebSocket if the limit is reached."""
        upgrades = request.headers.get("Upgrade", "").lower() == "websocket"
        if upgrades and self._connections is not None and self._connections.websockets_full:
            raise web.HTTPServiceUnavailable(text="Too many pages are open here. Close one.")
        return await handler(request)

    async def _health(self, _: web.Request) -> web.Response:
        """Liveness: the event loop runs. Platforms do not count: a restart would not end their outage."""
        return web.json_response({"alive": True})

    async def _readiness(self, _: web.Request) -> web.Response:
        """200 if all platforms and components are ready, else 503; the body lists their states."""
        platforms, components = dict(self._ready()), dict(self._components())
        ready = all(platforms.values()) and all(status.healthy for status in components.values())
        body = {"ready": ready, "platforms": platforms} | {name: status.label for name, status in components.items()}
        return web.json_response(body, status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        text, content_type = self._render_metrics()
        return web.Response(body=text, headers={"Content-Type": content_type})


def _route_of(request: web.Request) -> str:
    """The path of the request's route as registered; empty for an unknown path or method."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = SERVER_HEADER  # aiohttp has already set its own


async def _track_phase(request: web.Request, response: web.StreamResponse) -> None:
    if (connection := connection_of(request)) is not None:
        connection.response_started(websocket=response.status == HTTPStatus.SWITCHING_PROTOCOLS)


@web.middleware
async def _respond_early(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send the response to a request with an unread body, and close our half of the connection.

    aiohttp would first wait for the rest of the body.
    """
    try:
        response = await handler(request)
    except web.HTTPException as error:
        await _end_unread(request, error)
        raise
    await _end_unread(request, response)
    return response


async def _end_unread(request: web.Request, response: web.StreamResponse) -> None:
    if request.content.is_eof():
        return
    response.force_close()
    with suppress(ConnectionError):  # its sender has gone
        await response.prepare(request)
        await response.write_eof()
    if (connection := connection_of(request)) is not None:
        connection.finish()


async def _listen(connections: ConnectionTable, host: str, port: int) -> asyncio.Server:
    """Listen at an address.

    asyncio uses `backlog` for accepts per loop iteration and for waiting connections; the latter is set again below.
    """
    server = await asyncio.get_running_loop().create_server(connections, host, port, backlog=ACCEPTS_PER_ITERATION)
    for listening in server.sockets:
        with listening.dup() as same:
            same.listen(BACKLOG)
    return server


def listen_error(error: OSError, host: str, port: int) -> ListenFailed:
    """The failure for an address that cannot be bound."""
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"Port {port} is in use by another program: stop it, or set PORT to another port (0 takes a free one)."
        )
    if error.errno == errno.EACCES:
        return ListenFailed(f"Listening at port {port} needs privileges: set PORT to 1024 or above.")
    return ListenFailed(f"Cannot listen at {host}, port {port}: {error.strerror or type(error).__name__}.")


def browser_url(address: object) -> str:
    """The URL of a bound socket for a browser on this machine; `address` comes from `getsockname`."""
    assert isinstance(address, tuple)
    host, port = str(address[0]), int(address[1])
    parsed = ipaddress.ip_address(host.partition("%")[0])  # a link-local address may name its interface
    if parsed.is_unspecified:  # a browser cannot open "every address of this machine"
        parsed = ipaddress.ip_address("127.0.0.1" if parsed.version == 4 else "::1")
    return f"http://{parsed}:{port}" if parsed.version == 4 else f"http://[{parsed}]:{port}"
