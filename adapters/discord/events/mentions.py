"""Whether a message asks us, and what its conversation is called. Pure: values in, a verdict out.

What belongs here: the rules of issue 2 on whom Discord's bot answers. What does not: access lists (the core's), and
looking anything up (`platform` does, where the verdict says so).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from adapters.discord.events.parse import PERSON_TYPES, DiscordMessage
from bot.conversation import Author, Message, Role, Text, Turn, TurnKey


class ChannelKind(Enum):
    """What kind of place a channel is."""

    CHANNEL = auto()
    THREAD = auto()
    DM = auto()


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """Where a message was said; `parent` is a thread's channel, `category` its category. Empty where not known."""

    id: str
    kind: ChannelKind
    parent: str = ""
    category: str = ""

    @property
    def narrowest_first(self) -> tuple[str, ...]:
        """The ids that an access list or a channel's table may name."""
        return tuple(channel_info for channel_info in (self.id, self.parent, self.category) if channel_info)


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """Who we are: the bot's user, and the role that Discord made for it, which people mention by mistake."""

    id: str
    roles: frozenset[str] = frozenset()

    def mentioned(self, seen: DiscordMessage) -> bool:
        """Whether `seen` mentions us."""
        return not seen.mentions.isdisjoint({self.id, *self.roles})


class Decision(Enum):
    """What to do with a message."""

    ANSWER = auto()
    IGNORE = auto()
    NEEDS_LOOKUP = auto()  # whether the thread is ours, or the message that is replied to, is to be found out first


def decide(
    seen: DiscordMessage,
    identity: BotIdentity,
    channel_info: ChannelInfo,
    *,
    participates: bool | None,
    replied_to_us: bool | None,
) -> Decision:
    """Whether `seen` asks us.

    `participates` is whether we were mentioned in this thread or wrote in it, `replied_to_us` whether `seen` replies to
    one of our messages; None where that is not known.
    """
    if not is_from_person(seen, identity):
        return Decision.IGNORE
    if channel_info.kind is ChannelKind.DM or identity.mentioned(seen):
        return Decision.ANSWER
    if seen.reply_to and replied_to_us:
        return Decision.ANSWER
    known = participates if channel_info.kind is ChannelKind.THREAD else (replied_to_us if seen.reply_to else False)
    if known is None:
        return Decision.NEEDS_LOOKUP
    return Decision.ANSWER if known else Decision.IGNORE


def is_from_person(seen: DiscordMessage, identity: BotIdentity) -> bool:
    """Whether a person wrote it: no bot, no webhook, not ourselves, nothing that the system says."""
    return seen.kind in PERSON_TYPES and not seen.bot and seen.author != identity.id


def turn_key(seen: DiscordMessage) -> TurnKey:
    """What makes the turn that `seen` asks for one turn."""
    return TurnKey("discord", seen.guild, seen.channel, seen.id)


def build_turn(seen: DiscordMessage, channel_info: ChannelInfo, *, conversation: str) -> Turn:
    """The turn that `seen` asks for."""
    words = tuple(Text(text) for text in (seen.words, seen.beside) if text)
    return Turn(
        key=turn_key(seen),
        conversation=f"discord:{conversation}",
        author=Author(seen.author, seen.name, seen.roles, guest=seen.guest),
        question=Message(Role.USER, words, seen.name, seen.id),
        channel_ids=channel_info.narrowest_first,
        direct=channel_info.kind is ChannelKind.DM,
    )
