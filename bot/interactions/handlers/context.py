"""The parts shared by all handlers: ports, options, and the person invoking a command."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.conversation import Author
from bot.interactions.values import Place
from bot.markdown import escape_markdown, single_line
from bot.ports import Inbox
from bot.records import PersonalData, PreferenceStore, Subject, SubjectKind, UsageReader, channel_subjects, user_subject
from bot.stored_choices import PreferenceRules
from bot.strings import Strings

# An id of Slack or Discord.
_PLAIN_ID = re.compile(r"[A-Z0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class HandlerPorts:
    """The outside of the handlers."""

    preferences: PreferenceStore
    usage: UsageReader
    personal: PersonalData
    inbox: Inbox


@dataclass(frozen=True, slots=True)
class HandlerOptions:
    """The operator's choices. `welcome` is off if no one is greeted; `welcome_text` replaces our sentence."""

    rules: PreferenceRules
    strings: Strings
    welcome: bool = True
    welcome_text: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """A person, and where they act."""

    author: Author
    place: Place
    is_admin: bool

    @property
    def user(self) -> Subject:
        """The person in the store."""
        return user_subject(self.place, self.author)

    @property
    def channel(self) -> Subject | None:
        """The channel in the store; None in direct messages and on a person's own page."""
        return next(iter(channel_subjects(self.place)), None)

    def spelled(self, command: str) -> str:
        """A command as the person types it here, as code."""
        return f"`{self.place.command_prefix}{command}`"

    def named(self, kind: SubjectKind, id_: str) -> str:
        """A person or a channel as markdown: the platform shows the name of a plain id."""
        formats = {SubjectKind.USER: self.place.person_format, SubjectKind.CHANNEL: self.place.channel_format}
        return formats[kind].format(id=id_ if _PLAIN_ID.fullmatch(id_) else literal(id_))


def literal(text: str) -> str:
    """Foreign text as one short line of markdown: it shows as it is, and mentions nobody."""
    return escape_markdown(single_line(text))


def bullets(lines: list[str]) -> str:
    """Lines as a list in markdown."""
    return "\n".join(f"- {line}" for line in lines)
