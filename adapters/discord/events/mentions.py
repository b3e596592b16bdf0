"""Decide if a message addresses the bot, and build its turn. Pure; access lists belong to the core."""

from __future__ import annotations

from enum import Enum, auto

from adapters.discord.events.message import PERSON_TYPES, BotIdentity, ChannelInfo, ChannelKind, DiscordMessage
from bot.conversation import Author, Message, Role, Text, Turn, TurnKey


class Decision(Enum):
    """What to do with a message."""

    ANSWER = auto()
    IGNORE = auto()
    NEEDS_LOOKUP = auto()  # read the thread or the replied-to message first


def decide(
    message: DiscordMessage,
    bot: BotIdentity,
    channel: ChannelInfo,
    *,
    participates: bool | None,
    replied_to_us: bool | None,
    forums: frozenset[str] = frozenset(),
) -> Decision:
    """Whether `message` addresses the bot.

    `participates`: the bot was mentioned or has posted in this thread. `replied_to_us`: the message replies to one of
    ours. Both are None if unknown. `forums` are those where each new post asks.
    """
    if not is_from_person(message, bot):
        return Decision.IGNORE
    is_post = message.id == channel.id and channel.parent in forums  # a post's first message has its thread's id
    if channel.kind is ChannelKind.DM or mentions_bot(message, bot) or is_post:
        return Decision.ANSWER
    if message.reply_to and replied_to_us:
        return Decision.ANSWER
    addressed = participates if channel.kind is ChannelKind.THREAD else (replied_to_us if message.reply_to else False)
    if addressed is None:
        return Decision.NEEDS_LOOKUP
    return Decision.ANSWER if addressed else Decision.IGNORE


def is_from_person(message: DiscordMessage, bot: BotIdentity) -> bool:
    """Whether a person wrote it: no bot, webhook or system message, and not ourselves."""
    return message.kind in PERSON_TYPES and not message.bot and message.author != bot.id


def mentions_bot(message: DiscordMessage, bot: BotIdentity) -> bool:
    """Whether a message mentions the bot or one of its managed roles."""
    return not message.mentions.isdisjoint({bot.id, *bot.roles})


def turn_key(message: DiscordMessage) -> TurnKey:
    """The key of the turn for `message`."""
    return TurnKey("discord", message.guild, message.channel, message.id)


def build_turn(message: DiscordMessage, channel: ChannelInfo, *, conversation: str) -> Turn:
    """The turn for `message`. `channel_ids` are the channel, its parent and category, narrowest first."""
    parts = tuple(Text(text) for text in (message.question_text, message.extra_text) if text)
    return Turn(
        key=turn_key(message),
        conversation=f"discord:{conversation}",
        author=Author(message.author, message.name, message.roles, guest=message.guest),
        question=Message(Role.USER, parts, message.name, message.id),
        channel_ids=tuple(place for place in (channel.id, channel.parent, channel.category) if place),
        direct=channel.kind is ChannelKind.DM,
        parent=channel.parent,
    )
