"""One connection of Socket Mode: opened once, never mended; `platform` opens another.

The SDK's client reconnects by itself, but for ever with the same address, at a fixed pace and with a stack trace each
time; here all three ways by which it notices that a connection is over only say so (`connect_to_new_endpoint`), and
there is one place that decides about the next. What it does well is used: receiving, pings, and who is told of what.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.async_base_handler import AsyncBaseSocketModeHandler
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from adapters.slack.errors import translated
from adapters.slack.events.parse import string
from adapters.slack.options import SlackOptions
from adapters.slack.web_api import WebApi
from bot.errors import ServiceError

log = logging.getLogger(__name__)

# The SDK's own account of a connection, with addresses that hold a secret: only what nobody foresaw is let through.
SOCKET_LOG = logging.getLogger("adapters.slack.socket")
SOCKET_LOG.setLevel(logging.CRITICAL)

# A connection that was aborted is noticed within this, in seconds, whatever the pings say.
LOOK_SECONDS = 0.5
# Saying goodbye may take this long, in seconds; a dead server does not answer it.
GOODBYE_SECONDS = 1.0


class _Client(SocketModeClient):
    """The SDK's client, which says that it is over instead of reconnecting."""

    def __init__(self, web: WebApi, options: SlackOptions) -> None:
        super().__init__(
            app_token=options.app_token,
            logger=SOCKET_LOG,
            web_client=web.sdk,
            ping_interval=options.ping_seconds,
        )
        self.over = asyncio.Event()
        self.crowded = False  # Slack counts too many connections: this one must go before another is opened

    async def connect_to_new_endpoint(self, force: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 (the SDK's)
        """The connection is to be replaced, or has ended."""
        self.over.set()

    async def process_message(self) -> None:
        """One message after the other, in the order of arrival; what an event's acknowledgement waits for is apart."""
        raw = await self.message_queue.get()
        with suppress(json.JSONDecodeError):
            message = json.loads(raw)
            if isinstance(message, dict):
                self.crowded = message.get("reason") == "too_many_websockets"
                await self.run_message_listeners(message, raw)


class SocketConnection(AsyncBaseSocketModeHandler):
    """A connection, from the handshake until it is over. `app` is told of every event before it is acknowledged."""

    def __init__(self, app: AsyncApp, web: WebApi, options: SlackOptions) -> None:
        self.app = self._app = app
        self._options = options
        self._client = _Client(web, options)
        self._client.socket_mode_request_listeners.append(self.handle)
        self._client.message_listeners.append(self._note)
        self._closing = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None  # while it serves
        self._answers: set[asyncio.Task[None]] = set()  # to events that came, until they are sent
        self.events = 0  # that it has brought
        self.connections = 1  # of the same app, with this one, as the greeting counts them
        self.ours = 1  # how many of these are ours

    async def open(self, url: str) -> None:
        """Connect to `url`; one that fails is shut. Raises a `Retryable`, or what else `translated` makes of it."""
        try:
            await self._connect(url)
        except BaseException:
            await self.shut()
            raise

    async def _connect(self, url: str) -> None:
        with translated("the socket", once=False):
            try:
                async with asyncio.timeout(self._options.connect_seconds):
                    self._client.current_session = await self._client.aiohttp_client_session.ws_connect(
                        url,
                        autoping=False,
                        heartbeat=self._options.ping_seconds,
                        proxy=self._client.proxy,
                        max_msg_size=0,
                    )
            except (aiohttp.WSServerHandshakeError, TimeoutError) as error:
                raise ServiceError(f"the socket could not be opened ({type(error).__name__})") from None

    async def serve(self) -> None:
        """Bring events until `close`; a connection that is to be replaced goes on meanwhile."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await self._serve(group)
                finally:
                    self._group = None
        finally:
            await self.shut()

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        client = self._client
        helpers = [
            group.create_task(client.receive_messages()),
            group.create_task(client.monitor_current_session()),
        ]
        await self._closing.wait()
        client.closed = True
        for helper in helpers:
            helper.cancel()
        if self._answers:  # what was heard here is acknowledged here, unless that takes too long
            await asyncio.wait(self._answers, timeout=GOODBYE_SECONDS)
        for answer in self._answers:
            answer.cancel()

    async def over(self) -> None:
        """Wait until the connection has ended, or is to be replaced."""
        while self.is_open and not self._client.over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._client.over.wait()

    @property
    def is_crowded(self) -> bool:
        """Whether it must be closed before another is opened."""
        return self._client.crowded

    @property
    def is_open(self) -> bool:
        """Whether events can arrive."""
        session = self._client.current_session
        return not self._client.closed and session is not None and not session.closed

    def close(self) -> None:
        """Let `serve` end."""
        self._closing.set()

    async def shut(self) -> None:
        """Close the connection, with a goodbye where somebody listens; does no harm when done twice."""
        client = self._client
        client.closed = True
        client.over.set()
        client.message_processor.cancel()
        try:
            await asyncio.wait([client.message_processor])
            if client.current_session is not None:
                with suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
                    async with asyncio.timeout(GOODBYE_SECONDS):
                        await client.current_session.close()
        finally:
            await client.aiohttp_client_session.close()

    async def handle(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        """An event came: it is answered in a task of its own, since a journal may have to be waited for.

        Tasks begin in the order in which they are made, and nothing is waited for on the way to `EventHandler.hear`, which
        decides at once: so events are heard in the order in which they came.
        """
        if self._group is None or self._closing.is_set():
            return  # it is not acknowledged, so it comes again
        self.events += 1
        answer = self._group.create_task(self._answer(client, req))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    async def _answer(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        """Bolt decides about an event, and what it decides is sent back."""
        try:
            response = await run_async_bolt_app(self._app, req)
            await send_async_response(client, req, response, 0.0)
        except (aiohttp.ClientError, OSError):
            log.debug("Slack: an event could not be acknowledged, so it comes again")
        except Exception:
            # The boundary of one event: whatever is odd about it, the next ones are heard.
            log.exception("Slack: an event could not be heard")

    async def _note(self, client: AsyncBaseSocketModeClient, message: dict[str, Any], raw: str | None) -> None:  # noqa: ARG002 (the SDK's signature)
        if string(message, "type") == "hello":
            count = message.get("num_connections")
            self.connections = count if isinstance(count, int) else 1
