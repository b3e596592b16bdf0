"""The Slack platform: finds its workspaces, listens, and resumes turns of earlier processes.

A payload passes the socket (`socket_connection`) or the route (`http_endpoint`), the receiver (`receiver`), Bolt
(`bolt_app`) and `EventHandler.handle`; then it is acknowledged. A payload of another process's workspace goes to the
inbox of its owner.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import aiohttp
from aiohttp import web
from typing_extensions import override

from adapters.shared.attachments import Attachments
from adapters.slack.bolt_app import make_app
from adapters.slack.event_source import EventSource
from adapters.slack.events.mentions import PLATFORM
from adapters.slack.http_endpoint import HttpEndpoint
from adapters.slack.options import SlackOptions
from adapters.slack.receiver import Directory, Receiver, SoleDirectory, TeamDirectory
from adapters.slack.reconnect import ReconnectDelay
from adapters.slack.socket_listener import SocketListener
from adapters.slack.tokens import BotTokens, SoleToken
from adapters.slack.web_api import WebApi, open_session
from adapters.slack.workspaces import Services, Workspaces, lane_of
from bot.conversation import TurnKey
from bot.errors import Forbidden, Retryable, ServiceError
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ownership.access import Lanes
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from bot.ports import Inbox, OpenedQuestion, Platform, UnfinishedTurn

log = logging.getLogger(__name__)

UTC_CLOCK = partial(datetime.now, UTC)

T = TypeVar("T")


class SlackPlatform(Platform):
    """One app in one workspace, or in all of `tokens`; this process serves those whose lanes it owns."""

    name = PLATFORM

    def __init__(
        self,
        options: SlackOptions,
        attachments: Attachments,
        lanes: Lanes,
        wall_clock: Callable[[], datetime] = UTC_CLOCK,
        tokens: BotTokens | None = None,
    ) -> None:
        """Without `tokens`, the token of the options is the only one."""
        self._options = options
        self._attachments = attachments
        self._lanes = lanes
        self._tokens = tokens
        self._is_sole = tokens is None
        self._delay = ReconnectDelay()
        self._endpoint = HttpEndpoint(options, wall_clock) if options.over_http else None
        self._source: EventSource = self._endpoint or SocketListener(options)
        self._session: aiohttp.ClientSession | None = None
        self._workspaces: Workspaces | None = None
        self._receiver: Receiver | None = None
        self._won: dict[Lane, None] = {}  # before the platform runs
        self._look = asyncio.Event()  # there may be unfinished turns
        self._is_stopping = False

    @property
    @override
    def ready(self) -> bool:
        is_open = self._source.is_open and not self._is_stopping
        return is_open and self._workspaces is not None and self._workspaces.is_ready

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes for Slack's requests, with the bodies of `EVENTS`; none over the socket."""
        return self._endpoint.routes() if self._endpoint is not None else ()

    @override
    async def run(self, inbox: Inbox, interactions: Interactions = NO_INTERACTIONS) -> None:
        session = self._session = self._session or open_session(self._options)
        app_web = WebApi(self._options, session=session)
        workspaces = self._connect(app_web)
        teams = await self._patiently(workspaces.tokens.teams)
        await self._patiently(partial(self._lanes.announce, self.name, teams))
        async with asyncio.TaskGroup() as group:
            workspaces.begin(Services(session, inbox, interactions), group)
            try:
                refused = await self._serve(workspaces, inbox, app_web, group)
            finally:
                workspaces.end()
        if refused is not None:
            raise refused

    @override
    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        workspace = self._workspaces.open_now(lane_of(key)) if self._workspaces is not None else None
        if workspace is None or workspace.handlers is None:
            raise ServiceError("Slack is not connected yet")
        return await workspace.handlers.open_question(key, messages)

    @override
    async def stop_accepting(self) -> None:
        """New messages of our workspaces stay unacknowledged (503 over HTTP), so Slack delivers them again.

        Acknowledged ones still become turns, within `SlackTimings.hand_over`. Once a lane is given up, the messages of
        its workspace go to the inbox of its next owner.
        """
        self._is_stopping = True
        if self._receiver is not None:
            self._receiver.is_stopping = True
        async with asyncio.TaskGroup() as group:
            for handlers in self._workspaces or ():
                group.create_task(handlers.stop_accepting())

    @override
    async def close(self) -> None:
        self._is_stopping = True
        await self._source.close()
        if self._session is not None:
            await self._session.close()

    # --------------------------------------------------------------------------------------------------------- lanes

    @override
    def lane_of(self, key: TurnKey) -> Lane:
        return lane_of(key)

    @override
    def lane_won(self, lane: Lane, session: str = "") -> None:
        if self._workspaces is None:
            self._won[lane] = None
            return
        self._workspaces.won(lane)
        self._look.set()

    @override
    def lane_lost(self, lane: Lane) -> None:
        self._won.pop(lane, None)
        if self._workspaces is not None:
            self._workspaces.lost(lane)

    @override
    async def handle_routed(self, event: RoutedEvent) -> None:
        if self._receiver is None:
            raise ServiceError("Slack is not connected yet")
        await self._receiver.handle_routed(event)

    def token_changed(self, team: str, token: str) -> None:
        """Use another token for a workspace from the next call on."""
        if self._workspaces is not None:
            self._workspaces.token_changed(team, token)

    async def installed(self, team: str, token: str) -> None:
        """The app was installed in a workspace, perhaps again. Raises `Retryable`."""
        self.token_changed(team, token)
        await self._lanes.announce(self.name, [team])

    # ---------------------------------------------------------------------------------------------------- connecting

    def _connect(self, app_web: WebApi) -> Workspaces:
        """Build what needs a running loop."""
        options, directory = self._options, self._make_directory(app_web)
        assert self._tokens is not None
        workspaces = Workspaces(options, self._attachments, self._lanes, self._tokens, is_sole=self._is_sole)
        app = make_app(app_web)
        self._receiver = Receiver(app, workspaces, self._lanes, directory, over_http=options.over_http)
        for lane in self._won:
            workspaces.won(lane)
        self._won.clear()
        self._workspaces = workspaces
        return workspaces

    def _make_directory(self, app_web: WebApi) -> Directory:
        if self._tokens is not None:
            return TeamDirectory(self._tokens)
        self._tokens = sole = SoleToken(app_web)
        return SoleDirectory(sole, is_strict=self._options.over_http)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call at the start, once it works."""
        attempt = 0
        while True:
            try:
                return await call()
            except Retryable as failure:
                attempt += 1
                log.warning("Slack cannot be served yet (%s)", failure)
                await asyncio.sleep(self._delay.seconds(attempt, failure.retry_after))

    async def _serve(
        self, workspaces: Workspaces, inbox: Inbox, app_web: WebApi, group: asyncio.TaskGroup
    ) -> Forbidden | None:
        """Listen until cancelled, or until Slack refuses us for good."""
        assert self._receiver is not None
        await workspaces.settled()
        opened = asyncio.Event()
        resuming = group.create_task(self._resume_unfinished(inbox, opened))
        try:
            return await self._source.listen(self._receiver, app_web, opened)
        finally:
            resuming.cancel()

    async def _resume_unfinished(self, inbox: Inbox, opened: asyncio.Event) -> None:
        """Resume unfinished turns of other processes, from the first opening on."""
        await opened.wait()
        while not self._is_stopping:
            self._look.clear()
            for record in await inbox.unfinished_turns(self.name):
                await self._resume(inbox, record)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.timings.recovery_poll):
                    await self._look.wait()

    async def _resume(self, inbox: Inbox, record: UnfinishedTurn) -> None:
        """Continue a turn. One of a workspace without the app is given up; one of a lane just lost is its owner's."""
        assert self._workspaces is not None
        if self._workspaces.resume(record):
            return
        try:
            await self._workspaces.tokens.token(record.key.workspace)
        except Forbidden:
            log.warning("Slack: the app is not in the workspace of turn %s; giving it up", record.key.reference)
            inbox.dismiss(record.key)
        except Retryable as failure:
            log.warning("Slack: turn %s is left to the owner of its workspace (%s)", record.key.reference, failure)
