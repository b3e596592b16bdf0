"""Slack as a platform: connects, stays connected, and takes up what an earlier process left.

The way of an event: socket -> `link` -> slack-bolt -> `EventHandler.hear` -> acknowledged. What is done about it is in
`handler`; what belongs here is when there is a connection, and that there is one again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.response import BoltResponse

from adapters.shared.attachments import Attachments
from adapters.slack.check import identify, refused_line
from adapters.slack.events.handler import PLATFORM, EventHandler
from adapters.slack.events.parse import Identity
from adapters.slack.options import SlackOptions
from adapters.slack.socket_connection import SocketConnection
from adapters.slack.state import WorkspaceState, open_workspace
from adapters.slack.web_api import WebApi
from bot.errors import Forbidden, Permanent, Retryable
from bot.ports import Inbox, RateLimitLog

log = logging.getLogger(__name__)

BOLT_LOG = logging.getLogger("adapters.slack.bolt")
BOLT_LOG.setLevel(logging.ERROR)  # its warnings are about variables of the environment that are not ours to read

# Delays before connecting again, in seconds: from the first, doubled up to the last, each shortened by chance.
FIRST_DELAY = 0.5
LAST_DELAY = 30.0
# A token that is refused after it had worked is tried again after this, in seconds: an operator may mend it.
REFUSED_DELAY = 60.0
# A connection that brought an event or lived for so many seconds was a good one: the next attempt is made at once.
GOOD_SECONDS = 10.0
# So often, in seconds, it is asked what another process has left: one that is being replaced is still finishing its
# answers when this one starts, and one of several may be killed at any time. Its readers wait as long at the most, and
# what is asked is one row of a journal on this machine.
LEFT_SECONDS = 2.0


class SlackPlatform:
    """See `bot.ports.Platform`."""

    name = PLATFORM

    def __init__(self, options: SlackOptions, attachments: Attachments, spending: RateLimitLog | None = None) -> None:
        """`spending` remembers what is used of Slack's rate limits for the next process."""
        self._options = options
        self._spending = spending
        self._attachments = attachments
        self._web: WebApi | None = None
        self._workspace: WorkspaceState | None = None
        self._hearing: EventHandler | None = None
        self._link: SocketConnection | None = None
        self._quiet = False

    @property
    def ready(self) -> bool:
        """See `bot.ports.Platform`."""
        return self._link is not None and self._link.is_open and not self._quiet

    async def run(self, inbox: Inbox) -> None:
        """See `bot.ports.Platform`."""
        self._web = self._web or WebApi(self._options)
        me = await self._identify(self._web)
        if self._workspace is None:
            self._workspace = await open_workspace(self._web, me, self._attachments, self._options, self._spending)
        self._hearing = self._hearing or EventHandler(self._workspace, inbox)
        log.info("Slack: this is user %s in workspace %s", me.user, me.team)
        refused = await self._serve(self._workspace, self._hearing, inbox)
        if refused is not None:
            raise refused

    async def stop_accepting(self) -> None:
        """See `bot.ports.Platform`. Questions that come now are not acknowledged: Slack delivers them again.

        Those that were acknowledged before become turns still, if that takes no longer than `HAND_OVER_SECONDS`.
        """
        self._quiet = True
        if self._hearing is not None:
            await self._hearing.stop_accepting()

    async def close(self) -> None:
        """See `bot.ports.Platform`."""
        self._quiet = True
        if self._link is not None:
            await self._link.shut()
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
                await asyncio.sleep(_delay(attempt, failure.retry_after))

    async def _serve(self, workspace: WorkspaceState, handler: EventHandler, inbox: Inbox) -> Forbidden | None:
        """Listen until cancelled, or until it turns out that this will never work."""
        connected = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            workspace.group = group
            bringing = group.create_task(self._bring(handler, inbox, connected))
            try:
                return await self._listen(self._app(workspace, handler), workspace, connected)
            finally:
                bringing.cancel()
                workspace.group = None

    async def _bring(self, handler: EventHandler, inbox: Inbox, connected: asyncio.Event) -> None:
        """Take up what other processes leave unfinished, from the first connection on."""
        await connected.wait()
        while not self._quiet:
            for record in await inbox.unfinished_turns(self.name):
                handler.resume(record)
            await asyncio.sleep(LEFT_SECONDS)

    async def _listen(self, app: AsyncApp, workspace: WorkspaceState, connected: asyncio.Event) -> Forbidden | None:
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            try:
                link = await self._open(app, workspace)
            except Permanent as failure:
                if self._link is None:
                    return Forbidden(refused_line("app token", failure))
                log.error("Slack: %s", refused_line("app token", failure))  # noqa: TRY400 (one line says it)
                await asyncio.sleep(REFUSED_DELAY)
                continue
            except Retryable as failure:
                attempt += 1
                log.warning("Slack: no connection for events, trying again (%s)", failure)
                await asyncio.sleep(_delay(attempt, failure.retry_after))
                continue
            opened_at = loop.time()
            self._replace(link, workspace)
            connected.set()
            await link.over()
            log.info("Slack: the connection for events %s", "is to be replaced" if link.is_open else "has ended")
            if link.is_crowded:
                link.close()
            if link.events or loop.time() - opened_at >= GOOD_SECONDS:
                attempt = 0
            else:
                attempt += 1
                await asyncio.sleep(_delay(attempt, None) if attempt > 1 else 0.0)

    async def _open(self, app: AsyncApp, workspace: WorkspaceState) -> SocketConnection:
        url = await workspace.web.socket_url()
        link = SocketConnection(app, workspace.web, self._options)
        await link.open(url)
        return link

    def _replace(self, link: SocketConnection, workspace: WorkspaceState) -> None:
        """Serve the new connection, and let the old one go; what came while there was none is not known."""
        old, self._link = self._link, link
        workspace.spawn(link.serve())
        if old is not None:
            if old.is_open:
                link.ours += 1  # the greeting counts it still
            else:
                workspace.memory.gap()
            old.close()

    def _app(self, workspace: WorkspaceState, handler: EventHandler) -> AsyncApp:
        async def hear(body: dict[str, Any]) -> BoltResponse:
            # Others of the same app get some of the events, so that we do not hear all.
            workspace.memory.alone = self._link is None or self._link.connections <= self._link.ours
            return BoltResponse(status=200 if await handler.hear(body) else 503)

        # Before authorisation, which would ask auth.test again, and before any listener, which runs unawaited and after
        # the event is acknowledged.
        return AsyncApp(client=workspace.web.sdk, logger=BOLT_LOG, name="tickertape", before_authorize=hear)


def _delay(attempt: int, ordered: float | None) -> float:
    """Seconds before attempt number `attempt`, or what Slack orders if that is more."""
    longest = min(FIRST_DELAY * 2.0 ** min(attempt - 1, 16), LAST_DELAY)
    return max(random.uniform(longest / 2, longest), ordered or 0.0)  # noqa: S311 (no secret hangs on it)
