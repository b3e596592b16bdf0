"""Whether the bot takes part in a thread; asks the journal and Slack if events have not told."""

from __future__ import annotations

import asyncio
import logging

from adapters.slack.events.mentions import PLATFORM, AddressedMessage, mentions
from adapters.slack.events.parse import order
from adapters.slack.history.reader import MAX_PAGES, PAGE_SIZE, HistoryPages
from adapters.slack.state import WorkspaceState
from bot.conversation import TurnKey
from bot.errors import Failure, Retryable
from bot.ports import Inbox

log = logging.getLogger(__name__)


def known_participation(addressed: AddressedMessage, workspace: WorkspaceState) -> bool | None:
    """Whether the thread had a mention or an answer of the bot, as far as events tell; None if unknown."""
    known = workspace.participation.participates(addressed.conversation, addressed.message.ts)
    if known is None and addressed.parent and addressed.parent == workspace.me.user:
        workspace.participation.join(addressed.conversation)
        return True
    return known


async def participates(addressed: AddressedMessage, workspace: WorkspaceState, inbox: Inbox) -> bool:
    """The same, from the journal or Slack if events have not told. Raises a `Retryable` if Slack stays unreachable."""
    known = known_participation(addressed, workspace)
    if known is not None:
        return known
    if await _began_with_question(addressed, workspace, inbox):
        workspace.participation.join(addressed.conversation, addressed.thread)
        workspace.cache.open(addressed.conversation, from_start=False)
        return True
    return await _look_up(addressed, workspace)


async def _began_with_question(addressed: AddressedMessage, workspace: WorkspaceState, inbox: Inbox) -> bool:
    """Whether the thread's first message was answered, by this process or an earlier one: most of ours begin so."""
    channel, thread = addressed.conversation
    return bool(thread) and await inbox.has_answer(TurnKey(PLATFORM, workspace.me.team, channel, thread))


async def _look_up(addressed: AddressedMessage, workspace: WorkspaceState) -> bool:
    conversation = addressed.conversation
    gaps = workspace.cache.gaps
    workspace.cache.open(conversation, from_start=False)  # messages arriving during the read belong to the result
    try:
        pages = await _read(addressed, workspace)
    except Retryable:
        _drop_unless_joined(addressed, workspace)
        raise
    except Failure as failure:
        log.warning(
            "Slack: message %s in %s is not answered: its thread could not be read for earlier mentions (%s)",
            addressed.message.ts,
            addressed.channel,
            failure,
        )
        if _drop_unless_joined(addressed, workspace):
            workspace.participation.decline(conversation)
        return False
    read = (*pages.earlier, *pages.messages)
    earlier = [message for message in read if order(message.ts) < order(addressed.message.ts)]
    if any(message.ours or workspace.me.user in mentions(message.text) for message in earlier):
        workspace.participation.join(conversation)
        if pages.reached_end:
            workspace.cache.merge(conversation, pages.messages, has_earlier=pages.has_earlier, gaps_before=gaps)
        return True
    if _drop_unless_joined(addressed, workspace):
        workspace.participation.decline(conversation)
    return False


def _drop_unless_joined(addressed: AddressedMessage, workspace: WorkspaceState) -> bool:
    """Stop caching the thread; False if a mention has made it ours in the meantime."""
    if workspace.participation.participates(addressed.conversation):
        return False
    workspace.cache.drop(addressed.conversation)
    return True


async def _read(addressed: AddressedMessage, workspace: WorkspaceState) -> HistoryPages:
    """The thread, however long Slack orders us to wait: the message may deserve an answer."""
    loop, timings = asyncio.get_running_loop(), workspace.options.timings
    until = loop.time() + timings.user_lookup
    while True:
        try:
            return await workspace.reader.read(
                addressed.conversation,
                newest=PAGE_SIZE,
                until=addressed.message.ts,
                first_pages=MAX_PAGES,
                is_patient=True,
            )
        except Retryable as failure:
            if loop.time() + timings.thread_retry >= until:
                raise
            log.info("Slack: thread %s is read again later (%s)", addressed.thread, failure)
            await asyncio.sleep(timings.thread_retry)
