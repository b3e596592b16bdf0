"""Whether a message asks us, and what its conversation is called. Pure: values in, a verdict out.

What belongs here: the rules of issue 2 on whom Discord's bot answers. What does not: access lists (the core's), and
looking anything up (`platform` does, where the verdict says so).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from adapters.discord.events.parse import SPOKEN, Seen
from bot.conversation import Author, Message, Role, Text, Turn, TurnKey


class Kind(Enum):
    """What kind of place a channel is."""

    CHANNEL = auto()
    THREAD = auto()
    DM = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message was said; `parent` is a thread's channel, `category` its category. Empty where not known."""

    id: str
    kind: Kind
    parent: str = ""
    category: str = ""

    @property
    def narrowest_first(self) -> tuple[str, ...]:
        """The ids that an access list or a channel's table may name."""
        return tuple(place for place in (self.id, self.parent, self.category) if place)


@dataclass(frozen=True, slots=True)
class Me:
    """Who we are: the bot's user, and the role that Discord made for it, which people mention by mistake."""

    id: str
    roles: frozenset[str] = frozenset()

    def mentioned(self, seen: Seen) -> bool:
        """Whether `seen` mentions us."""
        return not seen.mentions.isdisjoint({self.id, *self.roles})


class Verdict(Enum):
    """What to do with a message."""

    ANSWER = auto()
    IGNORE = auto()
    LOOK = auto()  # whether the thread is ours, or the message that is replied to, is to be found out first


def verdict(seen: Seen, me: Me, place: Place, *, takes_part: bool | None, replied_to_us: bool | None) -> Verdict:
    """Whether `seen` asks us.

    `takes_part` is whether we were mentioned in this thread or wrote in it, `replied_to_us` whether `seen` replies to
    one of our messages; None where that is not known.
    """
    if not is_person(seen, me):
        return Verdict.IGNORE
    if place.kind is Kind.DM or me.mentioned(seen):
        return Verdict.ANSWER
    if seen.reply_to and replied_to_us:
        return Verdict.ANSWER
    known = takes_part if place.kind is Kind.THREAD else (replied_to_us if seen.reply_to else False)
    if known is None:
        return Verdict.LOOK
    return Verdict.ANSWER if known else Verdict.IGNORE


def is_person(seen: Seen, me: Me) -> bool:
    """Whether a person wrote it: no bot, no webhook, not ourselves, nothing that the system says."""
    return seen.kind in SPOKEN and not seen.bot and seen.author != me.id


def key_of(seen: Seen) -> TurnKey:
    """What makes the turn that `seen` asks for one turn."""
    return TurnKey("discord", seen.guild, seen.channel, seen.id)


def turn_of(seen: Seen, place: Place, *, conversation: str) -> Turn:
    """The turn that `seen` asks for."""
    words = tuple(Text(text) for text in (seen.words, seen.beside) if text)
    return Turn(
        key=key_of(seen),
        conversation=f"discord:{conversation}",
        author=Author(seen.author, seen.name, seen.roles, guest=seen.guest),
        question=Message(Role.USER, words, seen.name, seen.id),
        places=place.narrowest_first,
        direct=place.kind is Kind.DM,
    )
