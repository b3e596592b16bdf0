"""Listens over Socket Mode: opens connections one after the other, each before its predecessor closes if possible."""

from __future__ import annotations

import asyncio
import logging

from typing_extensions import override

from adapters.slack.check import refused_line
from adapters.slack.event_source import EventSource
from adapters.slack.options import SlackOptions
from adapters.slack.receiver import Receiver
from adapters.slack.reconnect import ReconnectDelay
from adapters.slack.socket_connection import SocketConnection
from adapters.slack.web_api import WebApi
from bot.errors import Forbidden, Permanent, Retryable

log = logging.getLogger(__name__)

# Delay after the refusal of a token that has worked, in seconds: an operator may fix it.
REFUSED_DELAY = 60.0
# A connection with a payload, or of this age in seconds, was good: reconnect at once.
GOOD_SECONDS = 10.0


class SocketListener(EventSource):
    """The connections of one process."""

    def __init__(self, options: SlackOptions) -> None:
        self._options = options
        self._delay = ReconnectDelay()
        self._receiver: Receiver | None = None
        self._connection: SocketConnection | None = None

    @property
    @override
    def is_open(self) -> bool:
        return self._connection is not None and self._connection.is_open

    @override
    async def listen(self, receiver: Receiver, web: WebApi, opened: asyncio.Event) -> Forbidden | None:
        self._receiver = receiver
        async with asyncio.TaskGroup() as group:
            return await self._listen(receiver, web, opened, group)

    async def _listen(
        self, receiver: Receiver, web: WebApi, opened: asyncio.Event, group: asyncio.TaskGroup
    ) -> Forbidden | None:
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            try:
                connection = await self._open(receiver, web)
            except Permanent as failure:
                if self._connection is None:
                    return Forbidden(refused_line("app token", failure))
                log.error("Slack: %s", refused_line("app token", failure))  # noqa: TRY400 (one line says it)
                await asyncio.sleep(REFUSED_DELAY)
                continue
            except Retryable as failure:
                attempt += 1
                log.warning("Slack: no connection for events, trying again (%s)", failure)
                await asyncio.sleep(self._delay.seconds(attempt, failure.retry_after))
                continue
            opened_at = loop.time()
            self._replace(connection, receiver, group)
            opened.set()
            await connection.wait_ended()
            log.info("Slack: the connection for events %s", "must be replaced" if connection.is_open else "has ended")
            if connection.must_close_first:
                connection.request_close()
            if connection.payload_count or loop.time() - opened_at >= GOOD_SECONDS:
                attempt = 0
            else:
                attempt += 1
                await asyncio.sleep(self._delay.seconds(attempt) if attempt > 1 else 0.0)

    @override
    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _open(self, receiver: Receiver, web: WebApi) -> SocketConnection:
        url = await web.socket_url()
        connection = SocketConnection(receiver, web, self._options, self._update_sole_connection)
        await connection.open(url)
        return connection

    def _replace(self, connection: SocketConnection, receiver: Receiver, group: asyncio.TaskGroup) -> None:
        """Serve the new connection and close the old one. Events during a gap between them are lost."""
        old, self._connection = self._connection, connection
        group.create_task(connection.serve())
        if old is not None:
            if old.is_open:
                connection.own_count += 1  # Slack's hello still counts the old one
            else:
                receiver.workspaces.mark_gap()
            old.request_close()

    def _update_sole_connection(self) -> None:
        """With connections of other processes, Slack sends some events there."""
        connection = self._connection
        if connection is not None and self._receiver is not None:
            is_sole = connection.connection_count <= connection.own_count
            self._receiver.workspaces.set_sole_connection(is_sole=is_sole)
