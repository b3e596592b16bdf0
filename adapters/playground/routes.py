"""The page's assets and its socket, as routes of the HTTP server.

The meaning of a request does not belong here (`adapters.playground.platform`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from types import MappingProxyType

from aiohttp import WSCloseCode, WSMsgType, web

from adapters.playground.protocol import FRAME_BYTES
from adapters.playground.subscribers import Subscriber, Subscribers, TooManySubscribers
from adapters.shared.origin_check import rejection_reason

# The page loads its own script and style and talks to its own server: nothing inline, no foreign resources.
# https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Seconds between pings. A page without a pong for half as long is closed (a suspended laptop).
HEARTBEAT_SECONDS = 20.0

# The page's files by path, with their content types. All are package data; no other path is served.
ASSETS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "/": ("index.html", "text/html"),
        "/playground/app.js": ("app.js", "text/javascript"),
        "/playground/private.js": ("private.js", "text/javascript"),
        "/playground/tape.js": ("tape.js", "text/javascript"),
        "/playground/theme.js": ("theme.js", "text/javascript"),
        "/playground/style.css": ("style.css", "text/css"),
        "/playground/icon.svg": ("icon.svg", "image/svg+xml"),
    }
)


class PlaygroundRoutes:
    """Serves the page, and keeps a socket to each open one.

    `hello` returns the first event of a socket; `handle` processes one request and returns the event for its page.
    """

    def __init__(
        self,
        subscribers: Subscribers,
        hello: Callable[[], str],
        handle: Callable[[str], Awaitable[str]],
        allowed_hosts: frozenset[str],
    ) -> None:
        self._subscribers = subscribers
        self._hello = hello
        self._handle = handle
        self._allowed_hosts = allowed_hosts
        folder = resources.files("adapters.playground") / "assets"
        self._assets = {path: (folder / name).read_text("utf-8") for path, (name, _) in ASSETS.items()}

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the HTTP server."""
        return [*(web.get(path, self._asset) for path in ASSETS), web.get("/playground/socket", self._socket)]

    async def _asset(self, request: web.Request) -> web.Response:
        self._check_origin(request)
        return web.Response(
            text=self._assets[request.path],
            content_type=ASSETS[request.path][1],
            # After an upgrade, the new page must not load the old script.
            headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"},
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """One page's socket, until either side closes it."""
        self._check_origin(request)
        try:
            subscriber = self._subscribers.subscribe()
        except TooManySubscribers:
            raise web.HTTPServiceUnavailable(text="Too many pages are open here. Close one.") from None
        try:
            socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=FRAME_BYTES, timeout=1.0)
            await socket.prepare(request)
            # No await between the snapshot and its queueing: later events are exactly those missing from it.
            subscriber.send(self._hello())
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(_send(socket, subscriber))
                await self._receive(socket, subscriber)
                sending.cancel()
        finally:
            self._subscribers.unsubscribe(subscriber)
        return socket

    async def _receive(self, socket: web.WebSocketResponse, subscriber: Subscriber) -> None:
        async for frame in socket:
            if frame.type is WSMsgType.TEXT:
                subscriber.send(await self._handle(frame.data))

    def _check_origin(self, request: web.Request) -> None:
        """Raise 403 for a request from a foreign page or to a foreign host."""
        reason = rejection_reason(
            hosts=request.headers.getall("Host", []),
            origins=request.headers.getall("Origin", []),
            target=request.raw_path,
            allowed=self._allowed_hosts,
        )
        if reason is not None:
            raise web.HTTPForbidden(text=reason)


async def _send(socket: web.WebSocketResponse, subscriber: Subscriber) -> None:
    """Send a page its events, until they end or the page is gone."""
    try:
        while (event := await subscriber.next_event()) is not None:
            await socket.send_str(event)
        code = WSCloseCode.TRY_AGAIN_LATER if subscriber.lagging else WSCloseCode.GOING_AWAY
        await socket.close(code=code)
    except ConnectionError:
        return  # the page was closed; the receiving side ends too
