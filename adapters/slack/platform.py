"""The Slack platform: connects, reconnects, and resumes turns of earlier processes.

An event passes the socket (`socket_connection`), Bolt (`bolt_app`) and `EventHandler.handle`; then it is acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from slack_bolt.app.async_app import AsyncApp
from typing_extensions import override

from adapters.shared.attachments import Attachments
from adapters.slack.bolt_app import make_app
from adapters.slack.check import identify, refused_line
from adapters.slack.events.mentions import PLATFORM
from adapters.slack.events.parse import Identity
from adapters.slack.handlers import Handlers
from adapters.slack.options import SlackOptions
from adapters.slack.socket_connection import SocketConnection
from adapters.slack.state import WorkspaceState, open_workspace
from adapters.slack.web_api import WebApi
from bot.backoff import Backoff
from bot.conversation import TurnKey
from bot.errors import Forbidden, Permanent, Retryable, ServiceError
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ports import Inbox, OpenedQuestion, Platform, RateLimitLog

log = logging.getLogger(__name__)

# Delays before connecting again, in seconds.
RECONNECT = Backoff(first=0.5, limit=30.0)
# Delay after the refusal of a token that has worked, in seconds: an operator may fix it.
REFUSED_DELAY = 60.0
# A connection with a payload, or of this age in seconds, was good: reconnect at once.
GOOD_SECONDS = 10.0


class SlackPlatform(Platform):
    """One app in one workspace."""

    name = PLATFORM

    def __init__(self, options: SlackOptions, attachments: Attachments, spending: RateLimitLog | None = None) -> None:
        """`spending` remembers the use of Slack's rate limits for the next process."""
        self._options = options
        self._spending = spending
        self._attachments = attachments
        self._random = random.Random()  # noqa: S311 (jitter, not a secret)
        self._web: WebApi | None = None
        self._workspace: WorkspaceState | None = None
        self._handlers: Handlers | None = None
        self._connection: SocketConnection | None = None
        self._is_stopping = False

    @property
    @override
    def ready(self) -> bool:
        is_connected = self._connection is not None and self._connection.is_open and not self._is_stopping
        return is_connected and self._handlers is not None and not self._handlers.installation.is_lost

    @override
    async def run(self, inbox: Inbox, interactions: Interactions = NO_INTERACTIONS) -> None:
        self._web = self._web or WebApi(self._options)
        me = await self._identify(self._web)
        if self._workspace is None:
            self._workspace = await open_workspace(self._web, me, self._attachments, self._options, self._spending)
        self._workspace.interactions = interactions
        self._handlers = self._handlers or Handlers(self._workspace, inbox)
        log.info("Slack: this is user %s in workspace %s", me.user, me.team)
        refused = await self._serve(self._workspace, self._handlers, inbox)
        if refused is not None:
            raise refused

    @override
    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        if self._handlers is None:
            raise ServiceError("Slack is not connected yet")
        return await self._handlers.open_question(key, messages)

    @override
    async def stop_accepting(self) -> None:
        """New messages stay unacknowledged, so Slack delivers them again.

        Acknowledged ones still become turns, within `SlackTimings.hand_over`.
        """
        self._is_stopping = True
        if self._handlers is not None:
            await self._handlers.stop_accepting()

    @override
    async def close(self) -> None:
        self._is_stopping = True
        if self._connection is not None:
            await self._connection.close()
        if self._web is not None:
            await self._web.close()

    # ---------------------------------------------------------------------------------------------------- connecting

    async def _identify(self, web: WebApi) -> Identity:
        attempt = 0
        while True:
            try:
                return await identify(web)
            except Retryable as failure:
                attempt += 1
                log.warning("Slack does not answer yet (%s)", failure)
                await asyncio.sleep(self._delay(attempt, failure.retry_after))

    async def _serve(self, workspace: WorkspaceState, handlers: Handlers, inbox: Inbox) -> Forbidden | None:
        """Listen until cancelled, or until Slack refuses the app token for good."""
        connected = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            workspace.group = group
            resuming = group.create_task(self._resume_unfinished(handlers, inbox, connected))
            try:
                return await self._listen(make_app(workspace, handlers), workspace, connected)
            finally:
                resuming.cancel()
                workspace.group = None

    async def _resume_unfinished(self, handlers: Handlers, inbox: Inbox, connected: asyncio.Event) -> None:
        """Resume unfinished turns of other processes, from the first connection on."""
        await connected.wait()
        while not self._is_stopping:
            for record in await inbox.unfinished_turns(self.name):
                handlers.resume(record)
            await asyncio.sleep(self._options.timings.recovery_poll)

    async def _listen(self, app: AsyncApp, workspace: WorkspaceState, connected: asyncio.Event) -> Forbidden | None:
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
                await asyncio.sleep(self._delay(attempt, failure.retry_after))
                continue
            opened_at = loop.time()
            self._replace(connection, workspace)
            connected.set()
            await connection.wait_ended()
            log.info("Slack: the connection for events %s", "must be replaced" if connection.is_open else "has ended")
            if connection.must_close_first:
                connection.request_close()
            if connection.payload_count or loop.time() - opened_at >= GOOD_SECONDS:
                attempt = 0
            else:
                attempt += 1
                await asyncio.sleep(self._delay(attempt, None) if attempt > 1 else 0.0)

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

    def _delay(self, attempt: int, ordered: float | None) -> float:
        """Seconds before attempt number `attempt`, or Slack's order if longer."""
        return max(RECONNECT.delay(attempt, self._random), ordered or 0.0)
