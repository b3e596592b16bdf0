"""The workspaces of this process: each is opened when it is needed, and closed when its lane is lost.

An idle workspace costs nothing until its first event or unfinished turn. Opening one takes its token, one auth.test and
its recent calls. A refused token ends one workspace, and is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import aiohttp

from adapters.shared.attachments import Attachments
from adapters.shared.cache import LRUCache
from adapters.slack.check import identify
from adapters.slack.events.mentions import PLATFORM
from adapters.slack.handlers import Handlers
from adapters.slack.options import SlackOptions
from adapters.slack.reconnect import ReconnectDelay
from adapters.slack.state import WorkspaceState, open_workspace
from adapters.slack.tokens import BotTokens
from adapters.slack.web_api import WebApi
from bot.conversation import TurnKey
from bot.errors import Forbidden, Retryable, ServiceError
from bot.interactions.ports import Interactions
from bot.ownership.access import Lanes
from bot.ownership.lanes import Lane
from bot.ports import Inbox, UnfinishedTurn

log = logging.getLogger(__name__)

# Workspaces opened at once: a process that takes hundreds of lanes would call auth.test for all of them.
OPENED_AT_ONCE = 20

# Events remembered to recognise a repeated one: Slack's most in six minutes, the time of its retries, at 30,000 an hour
# (https://docs.slack.dev/apis/events-api/#rate-limiting).
REMEMBERED_EVENTS = 3_000


def lane_of(key: TurnKey) -> Lane:
    """The lane of a turn: its workspace."""
    return Lane(PLATFORM, key.workspace)


@dataclass(frozen=True, slots=True)
class Services:
    """What all workspaces share while the platform runs."""

    session: aiohttp.ClientSession
    inbox: Inbox
    interactions: Interactions


class Workspace:
    """One workspace between the gain and the loss of its lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.handlers: Handlers | None = None  # once it is open
        self.is_refused = False  # the token was refused, at the last try
        self.changed = asyncio.Event()  # it was opened or refused
        self.try_now = asyncio.Event()  # there may be another token
        self.task: asyncio.Task[None] | None = None  # from the first need on
        self.known_events: LRUCache[str, bool] = LRUCache(REMEMBERED_EVENTS)  # accepted ones or those in work, by id
        self._records: list[UnfinishedTurn] = []  # until it is open

    def resume(self, record: UnfinishedTurn) -> None:
        """Continue a turn of an earlier owner, once the workspace is open."""
        if self.handlers is None:
            self._records.append(record)
        else:
            self.handlers.resume(record)

    def opened(self, handlers: Handlers) -> None:
        """From now on it takes payloads."""
        self.handlers, self.is_refused = handlers, False
        records, self._records = self._records, []
        for record in records:
            handlers.resume(record)
        self.changed.set()

    def refused(self) -> None:
        """Nothing can be done there for now."""
        self.is_refused = True
        self.changed.set()

    def end(self) -> None:
        """The lane is lost: nothing more is taken in or written, and the state is given up."""
        handlers, self.handlers = self.handlers, None
        if handlers is not None:
            handlers.workspace.web.end()
            handlers.workspace.group = None
        if self.task is not None:
            self.task.cancel()
        self.changed.set()


class Workspaces:
    """All workspaces whose lanes are ours. Methods return at once, unless they are coroutines."""

    def __init__(
        self, options: SlackOptions, attachments: Attachments, lanes: Lanes, tokens: BotTokens, *, is_sole: bool
    ) -> None:
        """`is_sole`: there is one token, for one workspace."""
        self._options = options
        self._attachments = attachments
        self._lanes = lanes
        self.tokens = tokens
        self._is_sole = is_sole
        self._delay = ReconnectDelay()
        self._opening = asyncio.Semaphore(OPENED_AT_ONCE)
        self._services: Services | None = None
        self._group: asyncio.TaskGroup | None = None
        self._found: dict[Lane, Workspace] = {}
        self._is_sole_connection = True

    def __iter__(self) -> Iterator[Handlers]:
        """The handlers of all open workspaces."""
        return iter([each.handlers for each in self._found.values() if each.handlers is not None])

    @property
    def is_ready(self) -> bool:
        """Whether the only workspace works, if it is ours; with many, one without a token concerns itself alone."""
        if not self._is_sole:
            return True
        open_ones = [each.handlers for each in self._found.values()]
        return all(handlers is not None and not handlers.installation.is_lost for handlers in open_ones)

    # ----------------------------------------------------------------------------------------------------------- lanes

    def begin(self, services: Services, group: asyncio.TaskGroup) -> None:
        """The platform runs: `group` owns all tasks."""
        self._services, self._group = services, group
        for workspace in self._found.values():
            self._need_sole(workspace)

    async def settled(self) -> None:
        """Wait until the only workspace is open, if it is ours: then no event has to wait for it."""
        for workspace in list(self._found.values()) if self._is_sole else ():
            await workspace.changed.wait()

    def end(self) -> None:
        """The platform no longer runs. Channels keep working."""
        self._group = None
        for workspace in self._found.values():
            if workspace.task is not None:
                workspace.task.cancel()

    def won(self, lane: Lane) -> None:
        """The lane is ours."""
        if (earlier := self._found.pop(lane, None)) is not None:
            earlier.end()
        self._found[lane] = Workspace(lane)
        self._need_sole(self._found[lane])

    def lost(self, lane: Lane) -> None:
        """The lane is not ours any more."""
        if (workspace := self._found.pop(lane, None)) is not None:
            workspace.end()

    def token_changed(self, team: str, token: str) -> None:
        """A workspace has another token."""
        workspace = self._found.get(Lane(PLATFORM, team))
        if workspace is None:
            return
        if workspace.handlers is not None:
            workspace.handlers.workspace.web.set_token(token)
        workspace.try_now.set()

    # ------------------------------------------------------------------------------------------------------ work there

    def open_now(self, lane: Lane) -> Workspace | None:
        """The workspace, if it is open."""
        workspace = self._found.get(lane)
        return workspace if workspace is not None and workspace.handlers is not None else None

    async def opened(self, lane: Lane, seconds: float) -> Workspace | None:
        """The workspace, opened now; None if its token is refused. Raises `Retryable` if that takes longer."""
        workspace = self._found.get(lane)
        if workspace is None:
            raise ServiceError(f"{lane} has another owner by now")
        self._need(workspace)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await workspace.changed.wait()
        if workspace.handlers is None and not workspace.is_refused:
            raise ServiceError(f"{lane} is not open yet")
        return None if workspace.handlers is None else workspace

    def resume(self, record: UnfinishedTurn) -> bool:
        """Continue a turn of an earlier owner, perhaps later; False if its lane is not ours."""
        workspace = self._found.get(lane_of(record.key))
        if workspace is None:
            return False
        self._need(workspace)
        workspace.resume(record)
        return True

    # ---------------------------------------------------------------------------------------------- missed events

    def mark_gap(self) -> None:
        """Events of any workspace may have been missed."""
        for handlers in self:
            handlers.workspace.cache.mark_gap()

    def set_sole_connection(self, *, is_sole: bool) -> None:
        """Whether all connections for events are this process's, so that it gets all events.

        With an engine shared by all processes, events that others receive come through it.
        """
        self._is_sole_connection = is_sole
        for handlers in self:
            self._tell_connection(handlers.workspace)

    def _tell_connection(self, workspace: WorkspaceState) -> None:
        is_shared = self._lanes.limit(Lane(PLATFORM, workspace.me.team)) is not None
        workspace.cache.sole_connection = self._is_sole_connection or is_shared

    # --------------------------------------------------------------------------------------------------------- opening

    def _need_sole(self, workspace: Workspace) -> None:
        """Open the only workspace before it is needed."""
        if self._is_sole:
            self._need(workspace)

    def _need(self, workspace: Workspace) -> None:
        """Open a workspace, unless that has begun."""
        if workspace.task is None and self._group is not None and self._services is not None:
            workspace.task = self._group.create_task(self._keep(workspace, self._services))

    async def _keep(self, workspace: Workspace, services: Services) -> None:
        """Have a workspace open until cancelled."""
        handlers = await self._open_patiently(workspace, services)
        async with asyncio.TaskGroup() as group:
            handlers.workspace.group = group
            try:
                workspace.opened(handlers)
                await asyncio.Event().wait()
            finally:
                handlers.workspace.group = None

    async def _open_patiently(self, workspace: Workspace, services: Services) -> Handlers:
        """Try until it is open. A refusal is reported once."""
        team, attempt = workspace.lane.name, 0
        while True:
            workspace.try_now.clear()
            try:
                async with self._opening:
                    return await self._open(workspace.lane, services)
            except Forbidden as failure:
                if not workspace.is_refused:
                    log.error("Slack: nothing is answered in workspace %s: %s", team, failure)  # noqa: TRY400 (one line says it)
                workspace.refused()
                delay = self._options.timings.token_retry
            except Retryable as failure:
                attempt += 1
                log.warning("Slack: workspace %s cannot be opened yet (%s)", team, failure)
                delay = self._delay.seconds(attempt, failure.retry_after)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await workspace.try_now.wait()

    async def _open(self, lane: Lane, services: Services) -> Handlers:
        """Raises `Forbidden` if the workspace has no valid token, or a `Retryable`."""
        try:
            token = await self.tokens.token(lane.name)
        except Forbidden:  # not installed: the lane is one of the past
            self._removed(lane)
            raise
        last = self._lanes.limit(lane)
        web = WebApi(self._options, token, services.session, last, team=lane.name)
        me = self.tokens.identity(lane.name) or await identify(web)
        # An org-wide installation's token tells the organisation; the workspace is that of the lane.
        me = replace(me, team=lane.name)
        state = await open_workspace(web, me, self._attachments, self._options, self._lanes.call_log(lane), last=last)
        state.interactions = services.interactions
        self._tell_connection(state)
        log.info("Slack: this is user %s in workspace %s", me.user, me.team)
        return Handlers(state, services.inbox, lambda: self._removed(lane))

    # ------------------------------------------------------------------------------------- changes of installations

    def access_changed(self, organisation: str) -> None:
        """Slack reports that an organisation's installation got or lost workspaces."""
        what = f"the workspaces of organisation {organisation}"
        self._begin(self._patiently(what, lambda: self.tokens.access_changed(organisation)))

    def _removed(self, lane: Lane) -> None:
        """Slack reports the end of an installation."""
        self._begin(self._patiently(f"the end of workspace {lane.name}", lambda: self._forget(lane)))

    async def _forget(self, lane: Lane) -> None:
        if await self.tokens.removed(lane.name):
            await self._lanes.withdraw(lane)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        if self._group is not None:
            self._group.create_task(work)
        else:
            work.close()

    async def _patiently(self, what: str, store: Callable[[], Awaitable[None]]) -> None:
        """Store a change once that is possible."""
        attempt = 0
        while True:
            try:
                await store()
            except Retryable as failure:
                attempt += 1
                log.warning("Slack: %s cannot be stored yet (%s)", what, failure)
                await asyncio.sleep(self._delay.seconds(attempt, failure.retry_after))
            else:
                return
