"""The page's assets and its socket, as routes for the site.

What belongs here: HTTP. What does not: what a request means (`adapters.playground.platform`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from importlib import resources

from aiohttp import WSCloseCode, WSMsgType, web

from adapters.playground.origin_check import refusal
from adapters.playground.protocol import FRAME_BYTES
from adapters.playground.subscribers import Audience, Full, Listener

# The page loads its own script and style and talks to its own server: nothing inline, nothing from elsewhere.
# https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# A page that does not answer a ping for half as long is gone (a closed laptop). Seconds.
HEARTBEAT_SECONDS = 20.0

# The files of the page, by path, with their types. All are part of the package; nothing else can be asked for.
ASSETS: Mapping[str, tuple[str, str]] = {
    "/": ("index.html", "text/html"),
    "/playground/app.js": ("app.js", "text/javascript"),
    "/playground/tape.js": ("tape.js", "text/javascript"),
    "/playground/theme.js": ("theme.js", "text/javascript"),
    "/playground/style.css": ("style.css", "text/css"),
    "/playground/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Pages:
    """Serves the page, and keeps a socket to each.

    `hello` gives the event that a page is greeted with, `handle` follows one request and gives the event that answers
    it.
    """

    def __init__(
        self,
        audience: Audience,
        hello: Callable[[], str],
        handle: Callable[[str], str],
        allowed_hosts: frozenset[str],
    ) -> None:
        self._audience = audience
        self._hello = hello
        self._handle = handle
        self._allowed_hosts = allowed_hosts
        folder = resources.files("adapters.playground") / "assets"
        self._assets = {path: (folder / name).read_text("utf-8") for path, (name, _) in ASSETS.items()}

    def routes(self) -> list[web.RouteDef]:
        """What the site is to serve."""
        return [*(web.get(path, self._asset) for path in ASSETS), web.get("/playground/socket", self._socket)]

    async def _asset(self, request: web.Request) -> web.Response:
        self._guard(request)
        return web.Response(
            text=self._assets[request.path],
            content_type=ASSETS[request.path][1],
            # The next version's page must not meet this one's script.
            headers={"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"},
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """One page's socket, until either side closes it."""
        self._guard(request)
        try:
            listener = self._audience.join()
        except Full:
            raise web.HTTPServiceUnavailable(text="Too many pages are open here. Close one.") from None
        try:
            socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=FRAME_BYTES, timeout=1.0)
            await socket.prepare(request)
            # No await between the two: what is told from here on is what the greeting does not say.
            listener.tell(self._hello())
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(_send(socket, listener))
                await self._receive(socket, listener)
                sending.cancel()
        finally:
            self._audience.leave(listener)
        return socket

    async def _receive(self, socket: web.WebSocketResponse, listener: Listener) -> None:
        async for frame in socket:
            if frame.type is WSMsgType.TEXT:
                listener.tell(self._handle(frame.data))

    def _guard(self, request: web.Request) -> None:
        """Raise the answer to a request that is not followed."""
        why = refusal(
            hosts=request.headers.getall("Host", []),
            origins=request.headers.getall("Origin", []),
            target=request.raw_path,
            allowed=self._allowed_hosts,
        )
        if why is not None:
            raise web.HTTPForbidden(text=why)


async def _send(socket: web.WebSocketResponse, listener: Listener) -> None:
    """Send a page its events until there are no more, or it is gone."""
    try:
        while (event := await listener.next()) is not None:
            await socket.send_str(event)
        code = WSCloseCode.TRY_AGAIN_LATER if listener.lagging else WSCloseCode.GOING_AWAY
        await socket.close(code=code)
    except ConnectionError:
        return  # the page was closed meanwhile; the receiving side ends by that too
