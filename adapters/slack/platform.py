"""Slack as a platform: connects, and makes turns of what people ask.

The way of an event: socket -> `link` -> slack-bolt -> `SlackPlatform.hear` (pure rules, then the event is acknowledged)
-> in the background, who asked and what is attached -> `Inbox.accept`. What is known of a conversation is kept on the
way (`memory`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.response import BoltResponse

from adapters.attachments import Attachments
from adapters.slack.asked import Asked, Why, asked_of
from adapters.slack.bounded import Bounded
from adapters.slack.channel import SlackChannel
from adapters.slack.check import identify, refused_line
from adapters.slack.client import Web
from adapters.slack.intake import author_of, question_of, takes_part
from adapters.slack.lanes import Lanes
from adapters.slack.link import Link
from adapters.slack.memory import Conversation
from adapters.slack.options import SlackOptions
from adapters.slack.said import Identity, is_ours, mapping, said_of, string
from adapters.slack.workspace import Workspace, workspace_of
from bot.conversation import Turn, TurnKey
from bot.errors import Failure, Forbidden, Permanent, Retryable
from bot.ports import Inbox

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
# Messages whose second copy is recognised. Slack sends both within seconds, and repeats an event within minutes.
RECENT = 10_000
# A mention's second copy is waited for so long, in seconds, where there is one at all: Slack sends both at once.
COPY_SECONDS = 0.3
# Questions that are being looked up when the program is told to stop were acknowledged, so Slack will not bring them
# again: they are waited for so long, in seconds. Most lookups take one round trip; what stops us may be impatient.
HAND_OVER_SECONDS = 3.0
# Questions that are being looked up at the same time, in all; beyond it they wait in line, unacknowledged.
LOOKUPS = 1_000


class SlackPlatform:
    """See `bot.ports.Platform`."""

    name = "slack"

    def __init__(self, options: SlackOptions, attachments: Attachments) -> None:
        self._options = options
        self._attachments = attachments
        self._web: Web | None = None
        self._workspace: Workspace | None = None
        self._inbox: Inbox | None = None
        self._link: Link | None = None
        self._quiet = False
        # By channel and ts: set once the message came a second time.
        self._recent: Bounded[tuple[str, str], asyncio.Event] = Bounded(RECENT)
        self._lanes = Lanes()
        self._pending = 0
        self._handed_over = asyncio.Event()  # set while nothing is pending
        self._handed_over.set()

    @property
    def ready(self) -> bool:
        """See `bot.ports.Platform`."""
        return self._link is not None and self._link.is_open and not self._quiet

    async def run(self, inbox: Inbox) -> None:
        """See `bot.ports.Platform`."""
        self._inbox = inbox
        self._web = self._web or Web(self._options)
        me = await self._identify(self._web)
        self._workspace = self._workspace or workspace_of(self._web, me, self._attachments, self._options)
        log.info("Slack: this is user %s in workspace %s", me.user, me.team)
        refused = await self._serve(self._workspace)
        if refused is not None:
            raise refused

    async def quiet(self) -> None:
        """See `bot.ports.Platform`. Questions that come now are not acknowledged: Slack delivers them again.

        Those that were acknowledged before become turns still, if that takes no longer than `HAND_OVER_SECONDS`.
        """
        self._quiet = True
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self._handed_over.wait()
        except TimeoutError:
            log.warning("Slack: stopping, while messages are still being looked up: %d", self._pending)

    async def close(self) -> None:
        """See `bot.ports.Platform`."""
        self._quiet = True
        if self._link is not None:
            await self._link.shut()
        if self._web is not None:
            await self._web.close()

    # ---------------------------------------------------------------------------------------------------- connecting

    async def _identify(self, web: Web) -> Identity:
        attempt = 0
        while True:
            try:
                return await identify(web)
            except Retryable as failure:
                attempt += 1
                log.warning("Slack does not answer yet (%s)", failure)
                await asyncio.sleep(_delay(attempt, failure.retry_after))

    async def _serve(self, workspace: Workspace) -> Forbidden | None:
        """Listen until cancelled, or until it turns out that this will never work."""
        async with asyncio.TaskGroup() as group:
            workspace.group = group
            try:
                return await self._listen(workspace, group)
            finally:
                workspace.group = None

    async def _listen(self, workspace: Workspace, group: asyncio.TaskGroup) -> Forbidden | None:
        app = self._app(workspace)
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
            self._replace(link, workspace, group)
            await link.over()
            log.info("Slack: the connection for events %s", "is to be replaced" if link.is_open else "has ended")
            if link.is_crowded:
                link.close()
            if link.events or loop.time() - opened_at >= GOOD_SECONDS:
                attempt = 0
            else:
                attempt += 1
                await asyncio.sleep(_delay(attempt, None) if attempt > 1 else 0.0)

    async def _open(self, app: AsyncApp, workspace: Workspace) -> Link:
        url = await workspace.web.socket_url()
        link = Link(app, workspace.web, self._options)
        await link.open(url)
        return link

    def _replace(self, link: Link, workspace: Workspace, group: asyncio.TaskGroup) -> None:
        """Serve the new connection, and let the old one go; what came while there was none is not known."""
        old, self._link = self._link, link
        group.create_task(link.serve())
        if old is not None:
            if old.is_open:
                link.ours += 1  # the greeting counts it still
            else:
                workspace.memory.gap()
            old.close()

    def _app(self, workspace: Workspace) -> AsyncApp:
        async def hear(body: dict[str, Any]) -> BoltResponse:
            return BoltResponse(status=200 if self.hear(body, workspace) else 503)

        # Before authorisation, which would ask auth.test again, and before any listener, which runs unawaited and after
        # the event is acknowledged.
        return AsyncApp(client=workspace.web.sdk, logger=BOLT_LOG, name="tickertape", before_authorize=hear)

    # ------------------------------------------------------------------------------------------------------- hearing

    def hear(self, body: Mapping[str, Any], workspace: Workspace) -> bool:
        """Take an event in; false if it is to be delivered again, to whoever listens then."""
        event = mapping(body, "event")
        asked = asked_of(event, workspace.me)
        news = asked is not None and self._is_news(asked, workspace)
        if news and (self._quiet or self._pending >= LOOKUPS):
            return False
        self._note_connections(workspace)
        overhear(event, workspace, asked)
        if asked is not None and (first := self._recent.get((asked.channel, asked.said.ts))) is not None:
            first.set()
        if asked is None or not news or workspace.group is None:
            return True
        self._recent.put((asked.channel, asked.said.ts), asyncio.Event())
        self._pending += 1
        self._handed_over.clear()
        workspace.group.create_task(self._take(asked, workspace))
        return True

    def _is_news(self, asked: Asked, workspace: Workspace) -> bool:
        if (asked.channel, asked.said.ts) in self._recent:
            return False
        return asked.why is not Why.FOLLOW_UP or workspace.threads.joined(asked.conversation) is not False

    def _note_connections(self, workspace: Workspace) -> None:
        workspace.memory.alone = self._link is None or self._link.connections <= self._link.ours

    async def _take(self, asked: Asked, workspace: Workspace) -> None:
        """Find out who asks, and hand the turn over; in order within a conversation."""
        try:
            async with self._lanes.of(asked.conversation):
                await self._offer(asked, workspace)
        except Failure as failure:
            log.error(  # noqa: TRY400 (one line says it)
                "Slack: a message in %s is not answered, since it could not be learnt who wrote it: %s "
                "(a guest must not slip through; the app needs the scope users:read)",
                asked.channel,
                failure,
            )
        except Exception:
            # The boundary of one event: whatever is odd about it, the next ones are heard.
            log.exception("Slack: a message in %s could not be taken in", asked.channel)
        finally:
            self._pending -= 1
            if not self._pending:
                self._handed_over.set()

    async def _offer(self, asked: Asked, workspace: Workspace) -> None:
        if asked.why is Why.FOLLOW_UP and not await takes_part(asked, workspace):
            self._recent.pop((asked.channel, asked.said.ts))
            return
        person = await workspace.people.find(asked.said.user)
        if person.bot:
            return
        asked = await self._with_files(asked, workspace)
        question = await question_of(asked, person, workspace)
        if self._inbox is None:
            return
        me = workspace.me
        key = TurnKey(platform=self.name, workspace=me.team, channel=asked.channel, message=asked.said.ts)
        turn = Turn(
            key=key,
            conversation="/".join((self.name, me.team, *filter(None, asked.conversation))),
            author=author_of(asked, person, me),
            question=question,
            places=tuple(filter(None, (asked.thread, asked.channel))),
            direct=asked.why is Why.DIRECT,
        )
        self._inbox.accept(turn, SlackChannel(workspace, asked.conversation, key, asked.said.files))

    async def _with_files(self, asked: Asked, workspace: Workspace) -> Asked:
        """The same, with what is attached, which may only be said by the message's second copy."""
        copy = self._recent.get((asked.channel, asked.said.ts))
        if asked.said.files or copy is None or not asked.is_mention_event:
            return asked
        if workspace.memory.is_flowing(asked.channel):
            with suppress(TimeoutError):
                async with asyncio.timeout(COPY_SECONDS):
                    await copy.wait()
        files = workspace.memory.files(asked.conversation, asked.said.ts)
        return replace(asked, said=replace(asked.said, files=files))


def overhear(event: Mapping[str, Any], workspace: Workspace, asked: Asked | None) -> None:
    """Remember what an event tells of the conversations that we take part in."""
    channel, memory, me = string(event, "channel"), workspace.memory, workspace.me
    if string(event, "type") == "message" and channel:
        memory.flows(channel)
    if asked is not None and asked.why is not Why.FOLLOW_UP:
        if asked.thread:
            workspace.threads.join(asked.conversation)
        memory.open(asked.conversation, from_start=asked.starts_thread)
    subtype = string(event, "subtype")
    if subtype == "message_deleted":
        conversation = _conversation(channel, mapping(event, "previous_message"))
        memory.forget(conversation, string(event, "deleted_ts"))
        return
    message = mapping(event, "message") if subtype == "message_changed" else event
    said = said_of(message, me) if channel else None
    if said is None:
        return
    conversation = _conversation(channel, message)
    if not (is_ours(message, me) and memory.holds(conversation, said.ts)):  # our own record is never older
        memory.hear(conversation, said)


def _conversation(channel: str, message: Mapping[str, Any]) -> Conversation:
    thread = string(message, "thread_ts")
    if not thread and not channel.startswith("D"):
        thread = string(message, "ts")
    return (channel, thread)


def _delay(attempt: int, ordered: float | None) -> float:
    """Seconds before attempt number `attempt`, or what Slack orders if that is more."""
    longest = min(FIRST_DELAY * 2.0 ** min(attempt - 1, 16), LAST_DELAY)
    return max(random.uniform(longest / 2, longest), ordered or 0.0)  # noqa: S311 (no secret hangs on it)
