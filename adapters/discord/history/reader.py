"""What was said before a question: what is missing is read over REST into the memory, then all is taken from there.

What belongs here: how many reads that takes (each spends its budget, and none asks for what is known), and how messages
become the model's: our answers whole again, our small print left out. What does not: the memory itself.

Nothing here fails an answer: where a read fails or takes too long, the history is what is known, and says why it may
not be all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.discord.errors import map_errors
from adapters.discord.events.mentions import ChannelInfo, ChannelKind
from adapters.discord.events.parse import READABLE_TYPES, THREAD_STARTER, DiscordMessage
from adapters.discord.history.cache import MESSAGES_PER_CHANNEL, MessageCache
from adapters.discord.history.reply_labels import replies
from adapters.discord.messages.renderer import without_small_print
from adapters.discord.rate_limits import spending
from adapters.discord.state import BotState
from adapters.shared.attachments import TOO_OLD
from bot.conversation import History, Message, OmittedAttachment, Role, Text
from bot.errors import Failure, NotFound, OutcomeUnknown, cause_of

log = logging.getLogger(__name__)

# The longest list of messages that one read may ask for
# (https://docs.discord.com/developers/resources/message#get-channel-messages).
PAGE = 100

# Messages of one answer, or one message: what becomes one message of the conversation.
Group = list[DiscordMessage]


async def history(state: BotState, question: DiscordMessage, channel_info: ChannelInfo, limit: int) -> History:
    """See `bot.ports.Channel.history`. Never raises a failure."""
    limit = min(limit, MESSAGES_PER_CHANNEL - 1)
    unread = ""
    try:
        async with asyncio.timeout(state.options.read_seconds):
            if channel_info.kind is ChannelKind.CHANNEL:
                await _read_chain(state, question, limit)
            else:
                await _read_channel_history(state, question, limit)
                await _read_starter(state, question, channel_info)
    except (Failure, TimeoutError) as failure:
        unread = f"{type(failure).__name__}: {cause_of(failure)}"
        log.warning("answering with what is known of the conversation, which could not be read: %s", unread)
    bot_id = state.identity("").id
    if channel_info.kind is ChannelKind.CHANNEL:
        groups, more = reply_chain(state.cache, question, bot_id=bot_id, limit=limit)
    else:
        starter = state.cache.get(channel_info.parent, channel_info.id) if channel_info.parent else None
        groups, more = channel_history(state.cache, question, bot_id=bot_id, limit=limit, starter=starter)
    labels = replies(groups, state.cache, bot_id=bot_id) if channel_info.kind is not ChannelKind.CHANNEL else {}
    messages = [message_of(group, bot_id=bot_id, label=labels.get(group[0].id, "")) for group in groups]
    files = await _files(state, question, groups)
    whole = [replace(message, parts=message.parts + files.get(message.id, ())) for message in messages]
    return History(tuple(message for message in whole if message.parts), truncated=more or bool(unread), unread=unread)


async def participates(state: BotState, question: DiscordMessage, channel_info: ChannelInfo) -> bool | None:
    """Whether we were mentioned in a thread or wrote in it, by reading its newest messages once; None: unreadable."""
    identity = state.identity(question.guild)
    try:
        if state.owns_thread(channel_info.id):
            return True
        async with asyncio.timeout(state.options.read_seconds):
            await _read_channel_history(state, question, PAGE)
            await _read_starter(state, question, channel_info)
    except (Failure, TimeoutError) as failure:
        log.warning("cannot tell whether thread %s is ours: %r", channel_info.id, failure)
        return None
    starter = state.cache.get(channel_info.parent, channel_info.id)
    said = [one for one in state.cache.held(channel_info.id) if int(one.id) < int(question.id)]
    said += [starter] if starter is not None else []
    return any(one.author == identity.id or identity.mentioned(one) for one in said)


async def replied_to(state: BotState, seen: DiscordMessage) -> DiscordMessage | None:
    """The message that `seen` replies to, read if need be; None where it is gone or cannot be read."""
    try:
        async with asyncio.timeout(state.options.read_seconds):
            return await one_message(state, seen.channel, seen.reply_to, seen.guild)
    except (Failure, TimeoutError) as failure:
        log.warning("cannot tell what message %s replies to: %r", seen.id, failure)
        return None


# ------------------------------------------------------------------------------------------------------------ pure


def channel_history(
    cache: MessageCache, question: DiscordMessage, *, bot_id: str, limit: int, starter: DiscordMessage | None = None
) -> tuple[list[Group], bool]:
    """What is known of a thread or DM before `question`, oldest first, and whether there is more.

    Our answers to questions before `question` belong to it even where they were written after it.
    """
    held = cache.held(question.channel)
    earlier = {one.id for one in held if int(one.id) < int(question.id)}
    said = [
        one
        for one in held
        if one.id in earlier or (one.author == bot_id and one.reply_to in earlier and one.reply_to != question.id)
    ]
    from_start = cache.complete_from(question.channel) == 0
    if starter is not None and from_start and starter.id not in earlier:
        said.insert(0, starter)
    groups = joined([one for one in said if one.kind in READABLE_TYPES], bot_id=bot_id)
    return groups[-limit:] if limit else [], not from_start or len(groups) > limit


def reply_chain(cache: MessageCache, question: DiscordMessage, *, bot_id: str, limit: int) -> tuple[list[Group], bool]:
    """What is known of the chain of replies that ends with `question`, oldest first, and whether the limit cut it."""
    groups: list[Group] = []
    held = cache.held(question.channel)
    at = question
    passed = {question.id}
    while at.reply_to and at.reply_to not in passed:
        older = cache.get(question.channel, at.reply_to)
        if older is None:
            break
        if len(groups) == limit:
            return groups[::-1], True
        passed.add(older.id)
        ours = older.author == bot_id and older.reply_to
        parts = [one for one in held if one.author == bot_id and one.reply_to == older.reply_to] if ours else [older]
        groups.append(parts)
        at = older
    return groups[::-1], False


def joined(said: Sequence[DiscordMessage], *, bot_id: str) -> list[Group]:
    """One group for each message, but one for all of ours that answer the same question, at the place of the first."""
    groups: list[Group] = []
    answers: dict[str, Group] = {}
    for one in said:
        if one.author == bot_id and one.reply_to in answers:
            answers[one.reply_to].append(one)
            continue
        groups.append([one])
        if one.author == bot_id and one.reply_to:
            answers[one.reply_to] = groups[-1]
    return groups


def message_of(group: Group, *, bot_id: str, label: str = "") -> Message:
    """The model's message: ours without small print and without a name. Without parts where it says nothing."""
    first = group[0]
    if first.author != bot_id:
        shown = "\n".join(filter(None, (label, first.shown)))
        return Message(Role.USER, (Text(shown),) if first.shown else (), first.name, first.id)
    text = "\n".join(filter(None, (without_small_print(one.text) for one in group)))
    return Message(Role.ASSISTANT, (Text(text),) if text else (), id=first.id)


# ------------------------------------------------------------------------------------------------------------- reads


async def _read_channel_history(state: BotState, question: DiscordMessage, limit: int) -> None:
    """Read until the newest `limit` messages before `question` are held, or all that there are."""
    cache, channel = state.cache, question.channel
    for _ in range(limit // PAGE + 1):
        complete_from = cache.complete_from(channel)
        before = int(question.id) if complete_from is None else min(complete_from, int(question.id))
        have = sum(1 for one in cache.held(channel) if before <= int(one.id) < int(question.id))
        if complete_from == 0 or have >= limit:
            return
        wanted = min(PAGE, limit - have)
        page = await _page(state, channel, before=before, limit=wanted, guild=question.guild)
        cache.read(page)
        oldest = min((int(one.id) for one in page), default=0)
        cache.set_complete_from(channel, oldest if len(page) >= wanted else 0)


async def _read_chain(state: BotState, question: DiscordMessage, limit: int) -> None:
    """Read what is missing of the chain: one list, since most of a chain is recent, then one by one."""
    cache, at, listed = state.cache, question, False
    for _ in range(limit):
        if not at.reply_to:
            return
        older = cache.get(question.channel, at.reply_to)
        if older is None and not listed:
            listed = True
            try:
                page = await _page(state, question.channel, before=int(question.id), limit=PAGE, guild=question.guild)
            except (NotFound, OutcomeUnknown):  # a server without lists; single messages may be there
                page = []
            cache.read(page)
        older = await one_message(state, question.channel, at.reply_to, question.guild)
        if older is None:
            return
        at = older


async def _read_starter(state: BotState, question: DiscordMessage, channel_info: ChannelInfo) -> None:
    """Read the message that a thread was made from: it has the thread's id, and stands in the thread's channel."""
    cache = state.cache
    if (
        channel_info.kind is not ChannelKind.THREAD
        or not channel_info.parent
        or cache.complete_from(channel_info.id) != 0
    ):
        return
    if cache.get(channel_info.id, channel_info.id) is not None or cache.has_no_starter(channel_info.id):
        return
    if await one_message(state, channel_info.parent, channel_info.id, question.guild) is None:
        cache.set_no_starter(channel_info.id)


async def _page(state: BotState, channel: str, *, before: int, limit: int, guild: str) -> list[DiscordMessage]:
    """The newest `limit` messages before one, in any order."""
    budgets = state.budgets
    async with spending(budgets.channel(channel).list, budgets.everything):
        with map_errors("reading a list of messages"):
            rows = await state.client.http.logs_from(int(channel), limit, before=before)
            seen = [state.parse(row, guild=guild) for row in map(_unwrapped, rows)]
    return [one for one in seen if int(one.id) < before]


async def one_message(state: BotState, channel: str, message: str, guild: str) -> DiscordMessage | None:
    """One message, held or read; None where it is gone."""
    held = state.cache.get(channel, message)
    if held is not None:
        return held
    budgets = state.budgets
    try:
        async with spending(budgets.channel(channel).get, budgets.everything):
            with map_errors("reading a message"):
                row: Mapping[str, Any] = await state.client.http.get_message(int(channel), int(message))
                seen = state.parse(row, guild=guild)
    except NotFound:
        return None
    state.cache.read([seen])
    return seen


def _unwrapped(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A thread's first entry stands for the message that it was made from, and carries it."""
    original = row.get("referenced_message")
    if row.get("type") == THREAD_STARTER and isinstance(original, dict):
        return {**original, "id": row["id"], "channel_id": row["channel_id"]}
    return row


async def _files(state: BotState, question: DiscordMessage, groups: Sequence[Group]) -> dict[str, tuple[Any, ...]]:
    """What is attached to the newest messages, by message id, as many files as one message may have.

    The model is told of those that cannot be had; the reader was, when it was asked with them.
    """
    room = max(state.attachments.limits.count - len(question.attachments), 0)
    wanted = [
        (group[0].id, attachment)
        for group in reversed(groups)
        if group[0].author != state.identity("").id  # what we attached is text of our answer
        for attachment in group[0].attachments
    ]
    parts = await state.attachments.read([attachment for _, attachment in wanted[:room]]) if wanted else ()
    older = [OmittedAttachment(attachment.name, TOO_OLD) for _, attachment in wanted[room:]]
    files: dict[str, tuple[Any, ...]] = {}
    for (message, _), part in zip(wanted, (*parts, *older), strict=True):
        files[message] = (*files.get(message, ()), part)
    return files
