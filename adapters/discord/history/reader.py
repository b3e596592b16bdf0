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

from adapters.discord.errors import translated
from adapters.discord.events.mentions import Kind, Place
from adapters.discord.events.parse import THREAD_STARTER, TOLD, Seen
from adapters.discord.history.cache import MESSAGES_PER_CHANNEL, Memory
from adapters.discord.history.reply_labels import replies
from adapters.discord.messages.renderer import without_small_print
from adapters.discord.rate_limits import spending
from adapters.discord.state import Presence
from adapters.shared.attachments import TOO_OLD
from bot.conversation import History, LeftOut, Message, Role, Text
from bot.errors import Failure, NotFound, OutcomeUnknown, cause_of

log = logging.getLogger(__name__)

# The longest list of messages that one read may ask for
# (https://docs.discord.com/developers/resources/message#get-channel-messages).
PAGE = 100

# Messages of one answer, or one message: what becomes one message of the conversation.
Group = list[Seen]


async def history(presence: Presence, question: Seen, place: Place, limit: int) -> History:
    """See `bot.ports.Channel.history`. Never raises a failure."""
    limit = min(limit, MESSAGES_PER_CHANNEL - 1)
    unread = ""
    try:
        async with asyncio.timeout(presence.options.read_seconds):
            if place.kind is Kind.CHANNEL:
                await _read_chain(presence, question, limit)
            else:
                await _read_lane(presence, question, limit)
                await _read_starter(presence, question, place)
    except (Failure, TimeoutError) as failure:
        unread = f"{type(failure).__name__}: {cause_of(failure)}"
        log.warning("answering with what is known of the conversation, which could not be read: %s", unread)
    me = presence.me("").id
    if place.kind is Kind.CHANNEL:
        groups, more = chain(presence.memory, question, me=me, limit=limit)
    else:
        starter = presence.memory.get(place.parent, place.id) if place.parent else None
        groups, more = lane(presence.memory, question, me=me, limit=limit, starter=starter)
    labels = replies(groups, presence.memory, me=me) if place.kind is not Kind.CHANNEL else {}
    messages = [message_of(group, me=me, label=labels.get(group[0].id, "")) for group in groups]
    files = await _files(presence, question, groups)
    whole = [replace(message, parts=message.parts + files.get(message.id, ())) for message in messages]
    return History(tuple(message for message in whole if message.parts), truncated=more or bool(unread), unread=unread)


async def takes_part(presence: Presence, question: Seen, place: Place) -> bool | None:
    """Whether we were mentioned in a thread or wrote in it, by reading its newest messages once; None: unreadable."""
    me = presence.me(question.guild)
    try:
        if presence.owns(place.id):
            return True
        async with asyncio.timeout(presence.options.read_seconds):
            await _read_lane(presence, question, PAGE)
            await _read_starter(presence, question, place)
    except (Failure, TimeoutError) as failure:
        log.warning("cannot tell whether thread %s is ours: %r", place.id, failure)
        return None
    starter = presence.memory.get(place.parent, place.id)
    said = [one for one in presence.memory.held(place.id) if int(one.id) < int(question.id)]
    said += [starter] if starter is not None else []
    return any(one.author == me.id or me.mentioned(one) for one in said)


async def replied_to(presence: Presence, seen: Seen) -> Seen | None:
    """The message that `seen` replies to, read if need be; None where it is gone or cannot be read."""
    try:
        async with asyncio.timeout(presence.options.read_seconds):
            return await one_message(presence, seen.channel, seen.reply_to, seen.guild)
    except (Failure, TimeoutError) as failure:
        log.warning("cannot tell what message %s replies to: %r", seen.id, failure)
        return None


# ------------------------------------------------------------------------------------------------------------ pure


def lane(
    memory: Memory, question: Seen, *, me: str, limit: int, starter: Seen | None = None
) -> tuple[list[Group], bool]:
    """What is known of a thread or DM before `question`, oldest first, and whether there is more.

    Our answers to questions before `question` belong to it even where they were written after it.
    """
    held = memory.held(question.channel)
    earlier = {one.id for one in held if int(one.id) < int(question.id)}
    said = [
        one
        for one in held
        if one.id in earlier or (one.author == me and one.reply_to in earlier and one.reply_to != question.id)
    ]
    from_start = memory.known_from(question.channel) == 0
    if starter is not None and from_start and starter.id not in earlier:
        said.insert(0, starter)
    groups = joined([one for one in said if one.kind in TOLD], me=me)
    return groups[-limit:] if limit else [], not from_start or len(groups) > limit


def chain(memory: Memory, question: Seen, *, me: str, limit: int) -> tuple[list[Group], bool]:
    """What is known of the chain of replies that ends with `question`, oldest first, and whether the limit cut it."""
    groups: list[Group] = []
    held = memory.held(question.channel)
    at = question
    passed = {question.id}
    while at.reply_to and at.reply_to not in passed:
        older = memory.get(question.channel, at.reply_to)
        if older is None:
            break
        if len(groups) == limit:
            return groups[::-1], True
        passed.add(older.id)
        ours = older.author == me and older.reply_to
        parts = [one for one in held if one.author == me and one.reply_to == older.reply_to] if ours else [older]
        groups.append(parts)
        at = older
    return groups[::-1], False


def joined(said: Sequence[Seen], *, me: str) -> list[Group]:
    """One group for each message, but one for all of ours that answer the same question, at the place of the first."""
    groups: list[Group] = []
    answers: dict[str, Group] = {}
    for one in said:
        if one.author == me and one.reply_to in answers:
            answers[one.reply_to].append(one)
            continue
        groups.append([one])
        if one.author == me and one.reply_to:
            answers[one.reply_to] = groups[-1]
    return groups


def message_of(group: Group, *, me: str, label: str = "") -> Message:
    """The model's message: ours without small print and without a name. Without parts where it says nothing."""
    first = group[0]
    if first.author != me:
        shown = "\n".join(filter(None, (label, first.shown)))
        return Message(Role.USER, (Text(shown),) if first.shown else (), first.name, first.id)
    text = "\n".join(filter(None, (without_small_print(one.text) for one in group)))
    return Message(Role.ASSISTANT, (Text(text),) if text else (), id=first.id)


# ------------------------------------------------------------------------------------------------------------- reads


async def _read_lane(presence: Presence, question: Seen, limit: int) -> None:
    """Read until the newest `limit` messages before `question` are held, or all that there are."""
    memory, channel = presence.memory, question.channel
    for _ in range(limit // PAGE + 1):
        known_from = memory.known_from(channel)
        before = int(question.id) if known_from is None else min(known_from, int(question.id))
        have = sum(1 for one in memory.held(channel) if before <= int(one.id) < int(question.id))
        if known_from == 0 or have >= limit:
            return
        wanted = min(PAGE, limit - have)
        page = await _page(presence, channel, before=before, limit=wanted, guild=question.guild)
        memory.read(page)
        oldest = min((int(one.id) for one in page), default=0)
        memory.knows_from(channel, oldest if len(page) >= wanted else 0)


async def _read_chain(presence: Presence, question: Seen, limit: int) -> None:
    """Read what is missing of the chain: one list, since most of a chain is recent, then one by one."""
    memory, at, listed = presence.memory, question, False
    for _ in range(limit):
        if not at.reply_to:
            return
        older = memory.get(question.channel, at.reply_to)
        if older is None and not listed:
            listed = True
            try:
                page = await _page(
                    presence, question.channel, before=int(question.id), limit=PAGE, guild=question.guild
                )
            except (NotFound, OutcomeUnknown):  # a server without lists; single messages may be there
                page = []
            memory.read(page)
        older = await one_message(presence, question.channel, at.reply_to, question.guild)
        if older is None:
            return
        at = older


async def _read_starter(presence: Presence, question: Seen, place: Place) -> None:
    """Read the message that a thread was made from: it has the thread's id, and stands in the thread's channel."""
    memory = presence.memory
    if place.kind is not Kind.THREAD or not place.parent or memory.known_from(place.id) != 0:
        return
    if memory.get(place.id, place.id) is not None or memory.has_no_starter(place.id):
        return
    if await one_message(presence, place.parent, place.id, question.guild) is None:
        memory.set_no_starter(place.id)


async def _page(presence: Presence, channel: str, *, before: int, limit: int, guild: str) -> list[Seen]:
    """The newest `limit` messages before one, in any order."""
    budgets = presence.budgets
    async with spending(budgets.channel(channel).list, budgets.everything):
        with translated("reading a list of messages"):
            rows = await presence.client.http.logs_from(int(channel), limit, before=before)
            seen = [presence.see(row, guild=guild) for row in map(_unwrapped, rows)]
    return [one for one in seen if int(one.id) < before]


async def one_message(presence: Presence, channel: str, message: str, guild: str) -> Seen | None:
    """One message, held or read; None where it is gone."""
    held = presence.memory.get(channel, message)
    if held is not None:
        return held
    budgets = presence.budgets
    try:
        async with spending(budgets.channel(channel).get, budgets.everything):
            with translated("reading a message"):
                row: Mapping[str, Any] = await presence.client.http.get_message(int(channel), int(message))
                seen = presence.see(row, guild=guild)
    except NotFound:
        return None
    presence.memory.read([seen])
    return seen


def _unwrapped(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A thread's first entry stands for the message that it was made from, and carries it."""
    original = row.get("referenced_message")
    if row.get("type") == THREAD_STARTER and isinstance(original, dict):
        return {**original, "id": row["id"], "channel_id": row["channel_id"]}
    return row


async def _files(presence: Presence, question: Seen, groups: Sequence[Group]) -> dict[str, tuple[Any, ...]]:
    """What is attached to the newest messages, by message id, as many files as one message may have.

    The model is told of those that cannot be had; the reader was, when it was asked with them.
    """
    room = max(presence.attachments.limits.count - len(question.attachments), 0)
    wanted = [
        (group[0].id, attachment)
        for group in reversed(groups)
        if group[0].author != presence.me("").id  # what we attached is text of our answer
        for attachment in group[0].attachments
    ]
    parts = await presence.attachments.read([attachment for _, attachment in wanted[:room]]) if wanted else ()
    older = [LeftOut(attachment.name, TOO_OLD) for _, attachment in wanted[room:]]
    files: dict[str, tuple[Any, ...]] = {}
    for (message, _), part in zip(wanted, (*parts, *older), strict=True):
        files[message] = (*files.get(message, ()), part)
    return files
