"""Settings made in chat: their names, the operator's limits, and the effective values. Pure.

Precedence: the operator's limits, the channel's setting, the person's setting, the configured default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from types import MappingProxyType

from bot.models import ModelCatalog
from bot.records import Preferences

# Longest persona in a person's own words, in characters: a page of instructions, and within one text field of a form
# (Slack allows 3,000 and Discord 4,000).
PERSONA_LENGTH = 2_000

# A stored persona in somebody's own words begins with one of these; no persona's name contains a colon. An admin's
# words are marked, since a later message does not tell whether its author is an admin.
_OWN_WORDS = "text:"
_ADMIN_WORDS = "admin:"


class PreferenceName(StrEnum):
    """One setting, by its name in the store and in forms."""

    MODEL = "model"
    PERSONA = "persona"
    REASONING = "reasoning"


class ReasoningChoice(StrEnum):
    """Values of `PreferenceName.REASONING`."""

    SHOWN = "shown"
    HIDDEN = "hidden"


class FreeText(Enum):
    """Who may describe a persona in their own words."""

    NOBODY = auto()
    ADMINS = auto()
    EVERYONE = auto()


@dataclass(frozen=True, slots=True)
class Persona:
    """A way to speak: `prompt` is added to the system prompt."""

    name: str
    label: str
    prompt: str = field(repr=False)


def own_words(text: str, *, by_admin: bool) -> str:
    """The stored value of a persona in somebody's own words: valid Unicode, as stores and model servers require."""
    valid = text.encode("utf-8", "replace").decode().replace("\0", "")
    return (_ADMIN_WORDS if by_admin else _OWN_WORDS) + valid


def words_of(value: str) -> str | None:
    """A person's own words in a stored persona; None for a persona's name."""
    prefix = next((each for each in (_OWN_WORDS, _ADMIN_WORDS) if value.startswith(each)), "")
    return value.removeprefix(prefix) if prefix else None


@dataclass(frozen=True, slots=True)
class Controls:
    """The operator's limits: the settings open to everyone for themselves, and to admins for a channel."""

    users: frozenset[PreferenceName] = frozenset(PreferenceName)
    channels: frozenset[PreferenceName] = frozenset(PreferenceName)
    free_text: FreeText = FreeText.ADMINS
    personas: tuple[Persona, ...] = ()

    def persona(self, name: str) -> Persona | None:
        """The persona of this exact name."""
        return next((each for each in self.personas if each.name == name), None)

    def may_describe(self, *, is_admin: bool) -> bool:
        """Whether somebody may describe a persona in their own words."""
        return self.free_text is FreeText.EVERYONE or (is_admin and self.free_text is FreeText.ADMINS)

    def persona_prompt(self, value: str) -> str:
        """The prompt of a stored persona; empty for none."""
        if (words := words_of(value)) is not None:
            return words
        found = self.persona(value)
        return "" if found is None else found.prompt


class Source(Enum):
    """Where an effective value comes from."""

    CHANNEL = auto()  # set in chat for everyone in the channel
    USER = auto()  # set in chat by the person
    CHANNEL_TABLE = auto()  # the operator's table of the channel
    DEFAULT = auto()  # the operator's default


@dataclass(frozen=True, slots=True)
class Effective:
    """An effective value and its source. An empty persona means none."""

    value: str
    source: Source = Source.DEFAULT


EffectivePreferences = Mapping[PreferenceName, Effective]


@dataclass(frozen=True, slots=True)
class StoredPreferences:
    """What was set in chat: for the channels around a place, the narrowest first, and by one person."""

    channels: Sequence[Preferences] = ()
    user: Preferences = field(default_factory=lambda: MappingProxyType({}))


def is_valid(name: PreferenceName, value: str, catalog: ModelCatalog, controls: Controls) -> bool:
    """Whether a stored value may still be used: the operator may have removed a model or a persona since."""
    if not value:
        return False
    match name:
        case PreferenceName.MODEL:
            return catalog.find(value) is not None
        case PreferenceName.REASONING:
            return value in frozenset(ReasoningChoice)
        case PreferenceName.PERSONA:
            if (words := words_of(value)) is not None:
                is_open = controls.may_describe(is_admin=value.startswith(_ADMIN_WORDS))
                return is_open and bool(words.strip()) and len(words) <= PERSONA_LENGTH
            return controls.persona(value) is not None


def resolve(
    stored: StoredPreferences, controls: Controls, catalog: ModelCatalog, defaults: EffectivePreferences
) -> EffectivePreferences:
    """The effective settings of one person at one place."""
    candidates = [
        *((Source.CHANNEL, controls.channels, each) for each in stored.channels),
        (Source.USER, controls.users, stored.user),
    ]

    def effective(name: PreferenceName) -> Effective:
        for source, open_settings, values in candidates:
            value = values.get(name, "")
            if name in open_settings and is_valid(name, value, catalog, controls):
                return Effective(value, source)
        return defaults[name]

    return MappingProxyType({name: effective(name) for name in PreferenceName})
