"""From a message that asks something to a turn: who asks, what they say, and whether the thread is one of ours.

What belongs here: looking up what an event does not say. What does not: the rules of what is a question (`asked`), and
hearing (`platform`).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from adapters.slack.events.mentions import AddressedMessage
from adapters.slack.events.parse import Identity, order
from adapters.slack.history.reader import PAGE, PAGES, HistoryPages, message_of
from adapters.slack.history.users import PATIENCE, SlackUser, is_external
from adapters.slack.messages.mrkdwn import mentions, without_mention
from adapters.slack.state import WorkspaceState
from bot.conversation import Author, Message
from bot.errors import Failure, Retryable

log = logging.getLogger(__name__)

# A thread that could not be read is read again after this, in seconds, and only then within the budget of reads.
RETRY_SECONDS = 10.0


def part_known(asked: AddressedMessage, workspace: WorkspaceState) -> bool | None:
    """Whether a thread is one that we were mentioned in or have answered in, as events tell; None where none does."""
    known = workspace.participation.joined(asked.conversation, asked.said.ts)
    if known is None and asked.parent and asked.parent == workspace.me.user:
        workspace.participation.join(asked.conversation)
        return True
    return known


async def takes_part(asked: AddressedMessage, workspace: WorkspaceState) -> bool:
    """The same, and Slack is asked where no event told."""
    known = part_known(asked, workspace)
    return known if known is not None else await _look_for_us(asked, workspace)


async def _look_for_us(asked: AddressedMessage, workspace: WorkspaceState) -> bool:
    conversation = asked.conversation
    gaps = workspace.memory.gaps
    workspace.memory.open(conversation, from_start=False)  # what is said while it is being read is part of it
    try:
        pages = await _read(asked, workspace)
    except Retryable:
        _leave(asked, workspace)
        raise
    except Failure as failure:
        log.warning(
            "Slack: message %s in %s is not answered, since its thread could not be read, to see if it is ours (%s)",
            asked.said.ts,
            asked.channel,
            failure,
        )
        if _leave(asked, workspace):
            workspace.participation.decline(conversation)
        return False
    earlier = [said for said in (*pages.earlier, *pages.said) if order(said.ts) < order(asked.said.ts)]
    if any(said.ours or workspace.me.user in mentions(said.text) for said in earlier):
        workspace.participation.join(conversation)
        if pages.reached:
            workspace.memory.learn(conversation, pages.said, more=pages.more, gaps=gaps)
        return True
    if _leave(asked, workspace):
        workspace.participation.decline(conversation)
    return False


def _leave(asked: AddressedMessage, workspace: WorkspaceState) -> bool:
    """Forget a thread that is not known to be ours; false where a mention has made it ours in the meantime."""
    if workspace.participation.joined(asked.conversation):
        return False
    workspace.memory.drop(asked.conversation)
    return True


async def _read(asked: AddressedMessage, workspace: WorkspaceState) -> HistoryPages:
    """A question's thread, however long Slack orders us to wait: it may be ours, and then is to be answered."""
    until = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            return await workspace.reader.read(asked.conversation, newest=PAGE, until=asked.said.ts, first_pages=PAGES)
        except Retryable as failure:
            if asyncio.get_running_loop().time() + RETRY_SECONDS >= until:
                raise
            log.info("Slack: thread %s is read again later (%s)", asked.thread, failure)
            await asyncio.sleep(RETRY_SECONDS)


async def question_of(asked: AddressedMessage, person: SlackUser, workspace: WorkspaceState) -> Message:
    """The question's words as the model is told them: without our own mention, with names for ids."""
    asked_us = replace(asked.said, text=without_mention(asked.said.text, workspace.me.user))
    names = await workspace.names.of([asked_us.shown], mentions(asked_us.shown) - {workspace.me.user})
    return message_of(asked_us, {**names, asked.said.user: person.name}, (), workspace.zone)


def author_of(asked: AddressedMessage, person: SlackUser, me: Identity) -> Author:
    """Who asks, as far as an access list wants to know it."""
    return Author(
        id=asked.said.user,
        name=person.name,
        guest=person.guest,
        external=is_external(person, asked.teams, me),
    )
