"""The Slack platform: identifies itself, listens, and resumes turns of earlier processes.

An event passes the socket (`socket_connection`) or the route (`http_endpoint`), Bolt (`bolt_app`) and
`EventHandler.handle`; then it is acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from aiohttp import web
from typing_extensions import override

from adapters.shared.attachments import Attachments
from adapters.slack.bolt_app import make_app
from adapters.slack.check import identify
from adapters.slack.event_source import EventSource
from adapters.slack.events.mentions import PLATFORM
from adapters.slack.events.parse import Identity
from adapters.slack.handlers import Handlers
from adapters.slack.http_endpoint import HttpEndpoint
from adapters.slack.options import SlackOptions
from adapters.slack.reconnect import ReconnectDelay
from adapters.slack.socket_listener import SocketListener
from adapters.slack.state import WorkspaceState, open_workspace
from adapters.slack.web_api import WebApi
from bot.conversation import TurnKey
from bot.errors import Forbidden, Retryable, ServiceError
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ownership.access import Lanes
from bot.ports import Inbox, OpenedQuestion, Platform, RateLimitLog

log = logging.getLogger(__name__)

UTC_CLOCK = partial(datetime.now, UTC)


class SlackPlatform(Platform):
    """One app in one workspace."""

    name = PLATFORM

    def __init__(
        self,
        options: SlackOptions,
        attachments: Attachments,
        spending: RateLimitLog | None = None,
        wall_clock: Callable[[], datetime] = UTC_CLOCK,
        *,
        lanes: Lanes | None = None,
    ) -> None:
        """`spending` remembers the use of Slack's rate limits for the next process; `lanes` are not used yet."""
        self._lanes = lanes
        self._options = options
        self._spending = spending
        self._attachments = attachments
        self._delay = ReconnectDelay()
        self._endpoint = HttpEndpoint(options, wall_clock) if options.over_http else None
        self._source: EventSource = self._endpoint or SocketListener(options)
        self._web: WebApi | None = None
        self._workspace: WorkspaceState | None = None
        self._handlers: Handlers | None = None
        self._is_stopping = False

    @property
    @override
    def ready(self) -> bool:
        is_open = self._source.is_open and not self._is_stopping
        return is_open and self._handlers is not None and not self._handlers.installation.is_lost

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes for Slack's requests, with the bodies of `EVENTS`; none over the socket."""
        return self._endpoint.routes() if self._endpoint is not None else ()

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
        """New messages stay unacknowledged (503 over HTTP), so Slack delivers them again.

        Acknowledged ones still become turns, within `SlackTimings.hand_over`.
        """
        self._is_stopping = True
        self._source.stop_accepting()
        if self._handlers is not None:
            await self._handlers.stop_accepting()

    @override
    async def close(self) -> None:
        self._is_stopping = True
        await self._source.close()
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
                await asyncio.sleep(self._delay.seconds(attempt, failure.retry_after))

    async def _serve(self, workspace: WorkspaceState, handlers: Handlers, inbox: Inbox) -> Forbidden | None:
        """Listen until cancelled, or until Slack refuses us for good."""
        opened = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            workspace.group = group
            resuming = group.create_task(self._resume_unfinished(handlers, inbox, opened))
            try:
                return await self._source.listen(make_app(workspace, handlers), workspace, opened)
            finally:
                resuming.cancel()
                workspace.group = None

    async def _resume_unfinished(self, handlers: Handlers, inbox: Inbox, opened: asyncio.Event) -> None:
        """Resume unfinished turns of other processes, from the first opening on."""
        await opened.wait()
        while not self._is_stopping:
            for record in await inbox.unfinished_turns(self.name):
                handlers.resume(record)
            await asyncio.sleep(self._options.timings.recovery_poll)
