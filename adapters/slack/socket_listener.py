"""Listens over Socket Mode: opens connections one after the other, each before its predecessor closes if possible."""

from __future__ import annotations

import asyncio
import logging

from slack_bolt.app.async_app import AsyncApp
from typing_extensions import override

from adapters.slack.check import refused_line
from adapters.slack.event_source import EventSource
from adapters.slack.options import SlackOptions
from adapters.slack.reconnect import ReconnectDelay
from adapters.slack.socket_connection import SocketConnection
from adapters.slack.state import WorkspaceState
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
        self._workspace: WorkspaceState | None = None
        self._connection: SocketConnection | None = None

    @property
    @override
    def is_open(self) -> bool:
        return self._connection is not None and self._connection.is_open

    @override
    async def listen(self, app: AsyncApp, workspace: WorkspaceState, opened: asyncio.Event) -> Forbidden | None:
        self._workspace = workspace
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            try:
                connection = await self._open(app, workspace)
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
            self._replace(connection, workspace)
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
    def stop_accepting(self) -> None:
        """Questions stay unacknowledged (`EventHandler.handle`); Slack repeats those alone on another connection."""

    @override
    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _open(self, app: AsyncApp, workspace: WorkspaceState) -> SocketConnection:
        url = await workspace.web.socket_url()
        connection = SocketConnection(app, workspace.web, self._options, self._update_sole_connection)
        await connection.open(url)
        return connection

    def _replace(self, connection: SocketConnection, workspace: WorkspaceState) -> None:
        """Serve the new connection and close the old one. Events during a gap between them are lost."""
        old, self._connection = self._connection, connection
        workspace.spawn(connection.serve())
        if old is not None:
            if old.is_open:
                connection.own_count += 1  # Slack's hello still counts the old one
            else:
                workspace.cache.mark_gap()
            old.request_close()

    def _update_sole_connection(self) -> None:
        """With connections of other processes, Slack sends some events there, and the cache is incomplete."""
        connection = self._connection
        if connection is not None and self._workspace is not None:
            self._workspace.cache.sole_connection = connection.connection_count <= connection.own_count
