"""Assemble cached messages into the model's conversation: whole answers of ours, without small print. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.discord.events.message import COMMAND_ANSWERS, READABLE_TYPES, DiscordMessage
from adapters.discord.history.cache import MessageCache
from adapters.discord.messages.renderer import without_small_print
from bot.conversation import Message, Role, Text
from bot.interactions.quotes import split_quote

# Discord messages for one message of the model's conversation: all of one answer, or a single one.
Group = list[DiscordMessage]


def channel_history(
    cached: Sequence[DiscordMessage],
    question: DiscordMessage,
    *,
    bot_id: str,
    limit: int,
    from_start: bool,
    starter: DiscordMessage | None = None,
) -> tuple[list[Group], bool]:
    """The history of a thread or DM before `question`, oldest first, and whether there is more.

    `cached` are the channel's messages, `from_start` if none before `question` is missing. The history includes our
    answers to earlier questions, even those posted after `question`.
    """
    earlier = {one.id for one in cached if int(one.id) < int(question.id)}
    history = [
        one
        for one in cached
        if one.id in earlier or (one.author == bot_id and one.reply_to in earlier and one.reply_to != question.id)
    ]
    if starter is not None and from_start and starter.id not in earlier and starter.id != question.id:
        history = [starter, *(_as_reply(one, starter, bot_id) for one in history)]
    groups = group_answers([one for one in history if one.kind in READABLE_TYPES], bot_id=bot_id)
    return groups[-limit:] if limit else [], not from_start or len(groups) > limit


def _as_reply(message: DiscordMessage, starter: DiscordMessage, bot_id: str) -> DiscordMessage:
    """In a thread started for a question, our messages that reply to nothing answer that question."""
    is_answer = message.author == bot_id and not message.reply_to and message.kind not in COMMAND_ANSWERS
    return replace(message, reply_to=starter.id) if is_answer else message


def reply_chain(cache: MessageCache, question: DiscordMessage, *, bot_id: str, limit: int) -> tuple[list[Group], bool]:
    """The cached reply chain before `question`, oldest first, and whether `limit` cut it."""
    groups: list[Group] = []
    cached = cache.messages(question.channel)
    current = question
    visited = {question.id}
    while current.reply_to and current.reply_to not in visited:
        older = cache.get(question.channel, current.reply_to)
        if older is None:
            break
        if len(groups) == limit:
            return groups[::-1], True
        parts = _answer_of(older, cached) if older.author == bot_id else [older]
        visited.update(one.id for one in parts)
        groups.append(parts)
        current = parts[0]
    return groups[::-1], False


def _answer_of(part: DiscordMessage, cached: Sequence[DiscordMessage]) -> Group:
    """All messages of our answer with this one: replies to the same message, or to the answer's first one.

    The first message of an answer to a command replies to none.
    """
    anchor = part.reply_to or part.id
    ours = [one for one in cached if one.author == part.author and anchor in (one.reply_to, one.id)]
    return ours or [part]


def group_answers(messages: Sequence[DiscordMessage], *, bot_id: str) -> list[Group]:
    """One group per message, but one for all messages of the same answer, at the position of its first."""
    groups: list[Group] = []
    answers: dict[str, Group] = {}
    for message in messages:
        if message.author == bot_id and message.reply_to in answers:
            answers[message.reply_to].append(message)
            continue
        groups.append([message])
        if message.author == bot_id:
            answers[message.reply_to or message.id] = groups[-1]
    return groups


def messages_of(group: Group, *, bot_id: str, label: str = "") -> list[Message]:
    """The model's messages for a group; without parts if it has no text. Ours have no name and no small print.

    Our answer to a command begins with its question: two messages, with the same id.
    """
    first = group[0]
    if first.author != bot_id:
        text = "\n".join(filter(None, (label, first.full_text)))
        return [Message(Role.USER, (Text(text),) if first.full_text else (), first.name, first.id)]
    text = "\n".join(filter(None, (without_small_print(one.text) for one in group)))
    quoted = split_quote(text) if first.kind in COMMAND_ANSWERS else None
    if quoted is None:
        return [Message(Role.ASSISTANT, (Text(text),) if text else (), id=first.id)]
    question = Message(Role.USER, (Text(quoted.question),), first.name, first.id)
    answer = Message(Role.ASSISTANT, (Text(quoted.answer),) if quoted.answer else (), id=first.id)
    return [question, answer]
