"""Discord messages, channels and the bot's identity as frozen values. Ids are Discord's snowflakes as strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from adapters.shared.attachments import Attachment

# Message types written by people: DEFAULT and REPLY. The system or a program writes all others.
PERSON_TYPES = frozenset({0, 19})

# Message types of a bot's answer to a command, and to a menu.
COMMAND_ANSWER = 20
COMMAND_ANSWERS = frozenset({COMMAND_ANSWER, 23})

# Message types with content for a reader: also a bot's answer to a command or menu, and a poll's result.
READABLE_TYPES = PERSON_TYPES | COMMAND_ANSWERS | {46}

# A member invited as a guest to one voice channel (https://docs.discord.com/developers/resources/guild, member flags).
GUEST = 1 << 4

# The first message of a thread started from a message elsewhere. It has no text of its own.
THREAD_STARTER = 21


class ChannelKind(Enum):
    """Kind of channel. The names are stored in the journal."""

    CHANNEL = auto()
    THREAD = auto()
    DM = auto()


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A message's channel. `parent` is a thread's channel, `category` its category; empty if unknown."""

    id: str
    kind: ChannelKind
    parent: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """The bot's user id and its managed roles in one guild. People often mention the role by mistake."""

    id: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DiscordMessage:
    """One parsed message. `guild` is empty in a DM, `reply_to` if the message replies to none."""

    id: str
    channel: str
    author: str
    guild: str = ""
    name: str = ""  # the author's display name; of our own answer to a command, that of whoever invoked it
    text: str = ""  # mentions are replaced by names
    question_text: str = ""  # `text` without mentions of the bot at either end
    extra_text: str = ""  # labelled embeds, polls, forwards ... (`adapters.discord.events.content`)
    kind: int = 0
    bot: bool = False  # written by a bot or a webhook
    guest: bool = False
    reply_to: str = ""
    mentions: frozenset[str] = frozenset()  # ids of users and roles
    roles: frozenset[str] = frozenset()  # the author's roles
    attachments: tuple[Attachment, ...] = ()

    @property
    def full_text(self) -> str:
        """Everything visible except files."""
        return "\n".join(filter(None, (self.text, self.extra_text)))

    def with_text(self, text: str) -> DiscordMessage:
        """A copy with another text."""
        return replace(self, text=text, question_text=text)


def display_name(user: Mapping[str, Any], member: Mapping[str, Any]) -> str:
    """The guild nickname, else the display name, else the account name."""
    return str(member.get("nick") or user.get("global_name") or user.get("username") or "somebody")
