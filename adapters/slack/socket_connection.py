"""One Socket Mode connection, used until it ends; `platform` opens the next.

The SDK's client reconnects by itself, but forever with the same address, at a fixed pace and with a stack trace each
time. Here its three ways of noticing an ended connection only set an event (`connect_to_new_endpoint`), so that one
place decides about the next connection. Receiving, pings and listeners are the SDK's.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.async_internals import send_async_response
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from adapters.slack.errors import translated
from adapters.slack.options import SlackOptions
from adapters.slack.payloads import Delivery
from adapters.slack.receiver import Receiver
from adapters.slack.web_api import WebApi
from bot.callbacks import no_op
from bot.errors import ServiceError

log = logging.getLogger(__name__)

# The SDK logs addresses with a secret in them; only unforeseen errors pass.
SOCKET_LOG = logging.getLogger("adapters.slack.socket")
SOCKET_LOG.setLevel(logging.CRITICAL)

# Seconds until an aborted connection is noticed, independent of pings.
CHECK_SECONDS = 0.5


class _Client(SocketModeClient):
    """The SDK's client, signalling its end instead of reconnecting."""

    def __init__(self, web: WebApi, options: SlackOptions) -> None:
        super().__init__(
            app_token=options.app_token,
            logger=SOCKET_LOG,
            web_client=web.sdk,
            ping_interval=options.ping_seconds,
        )
        self.ended = asyncio.Event()
        self.too_many = False  # Slack counts too many connections: close this one before opening another

    async def connect_to_new_endpoint(self, force: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 (the SDK's)
        """The connection has ended, or must be replaced."""
        self.ended.set()

    async def process_message(self) -> None:
        """Process messages in order of arrival; acknowledgements wait in tasks of their own."""
        raw = await self.message_queue.get()
        with suppress(json.JSONDecodeError):
            message = json.loads(raw)
            if isinstance(message, dict):
                self.too_many = message.get("reason") == "too_many_websockets"
                await self.run_message_listeners(message, raw)


class SocketConnection:
    """A connection from the handshake to its end. The receiver gets every payload before it is acknowledged."""

    def __init__(
        self, receiver: Receiver, web: WebApi, options: SlackOptions, on_count: Callable[[], object] = no_op
    ) -> None:
        """`on_count` is called when the app's number of connections is known."""
        self._receiver = receiver
        self._options = options
        self._on_count = on_count
        self._client = _Client(web, options)
        self._client.socket_mode_request_listeners.append(self.handle)
        self._client.message_listeners.append(self._on_message)
        self._closing = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None  # while serving
        self._responses: set[asyncio.Task[None]] = set()  # pending acknowledgements
        self.payload_count = 0
        self.connection_count = 1  # of the app, including this one, as of Slack's hello
        self.own_count = 1  # this process's share of them

    async def open(self, url: str) -> None:
        """Connect to `url`. Raises a `Retryable`, or another failure of `errors.translated`, and closes itself then."""
        try:
            await self._connect(url)
        except BaseException:
            await self.close()
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
        """Handle payloads until `request_close`, also while a replacement is being opened."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await self._serve(group)
                finally:
                    self._group = None
        finally:
            await self.close()

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
        if self._responses:  # acknowledge received payloads on this connection, if that does not take too long
            await asyncio.wait(self._responses, timeout=self._options.timings.socket_close)
        if self._responses:
            log.debug("Slack: payloads left unacknowledged by a closed connection: %d", len(self._responses))
        for response in self._responses:
            response.cancel()

    async def wait_ended(self) -> None:
        """Wait until the connection has ended, or must be replaced."""
        while self.is_open and not self._client.ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._client.ended.wait()

    @property
    def must_close_first(self) -> bool:
        """Whether to close it before opening another."""
        return self._client.too_many

    @property
    def is_open(self) -> bool:
        """Whether payloads can arrive."""
        session = self._client.current_session
        return not self._client.closed and session is not None and not session.closed

    def request_close(self) -> None:
        """Let `serve` end."""
        self._closing.set()

    async def close(self) -> None:
        """Close the connection with a closing handshake, if possible; idempotent."""
        client = self._client
        client.closed = True
        client.ended.set()
        client.message_processor.cancel()
        try:
            await asyncio.wait([client.message_processor])
            if client.current_session is not None:
                with suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
                    async with asyncio.timeout(self._options.timings.socket_close):
                        await client.current_session.close()
        finally:
            await client.aiohttp_client_session.close()

    async def handle(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        """Respond to a payload in a task of its own, since the journal may be slow.

        Tasks start in order of creation, and nothing on the way to `EventHandler.handle` waits, so events are handled
        in order of arrival.
        """
        if self._group is None or self._closing.is_set():
            return  # unacknowledged, so Slack delivers it again
        self.payload_count += 1
        response = self._group.create_task(self._respond(client, req))
        self._responses.add(response)
        response.add_done_callback(self._responses.discard)

    async def _respond(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        """Send the receiver's response to a payload."""
        response = await self._receiver.receive(Delivery(req.payload))
        try:
            await send_async_response(client, req, response, 0.0)
        except (aiohttp.ClientError, OSError):
            log.debug("Slack: a payload could not be acknowledged; Slack delivers it again")
        except Exception:
            # The boundary of one payload: an odd one must not affect the next.
            log.exception("Slack: a payload could not be acknowledged")

    async def _on_message(
        self,
        client: AsyncBaseSocketModeClient,  # noqa: ARG002 (the SDK's signature)
        message: dict[str, Any],
        raw: str | None,  # noqa: ARG002 (the SDK's signature)
    ) -> None:
        if message.get("type") == "hello":
            count = message.get("num_connections")
            self.connection_count = count if isinstance(count, int) else 1
            self._on_count()
