"""Settings in chat, the welcome, and the operator's list of personas, ``[[personas]]``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Protocol

from pydantic import AfterValidator, BeforeValidator

from config.declarations import SettingsGroup, setting
from config.errors import NameOf
from config.listed_tables import RESERVED, problems
from config.model_settings import Label
from config.types import Choice, must_be, names_in

# A system prompt of two pages, in characters.
LONGEST_PROMPT = 8_000

# A welcome fits into one message of either platform, in characters.
LONGEST_WELCOME = 1_500

_NAME = re.compile(r"[\w-]{1,50}", re.ASCII)


class ChatSetting(Choice):
    """A setting in chat."""

    MODEL = "model"
    PERSONA = "persona"
    REASONING = "reasoning"


class Describers(Choice):
    """People with the right to describe a persona in their own words."""

    NOBODY = "nobody"
    ADMINS = "admins"
    EVERYONE = "everyone"


ChatSettings = Annotated[frozenset[ChatSetting], BeforeValidator(names_in)]


def _welcome(value: str) -> str:
    if len(value) > LONGEST_WELCOME:
        raise must_be(f"a text of at most {LONGEST_WELCOME:,} characters")
    return value.strip()


class ControlSettings(SettingsGroup):
    """Settings open to change in chat, and the welcome."""

    users: ChatSettings = setting(
        "",
        "Settings open to all people for their own answers: model, persona, reasoning.",
        default=frozenset(ChatSetting),
        note="An empty list closes them all. The settings of a channel come first.",
        toml_only=True,
    )
    channels: ChatSettings = setting(
        "",
        "Settings open to admins for everyone in a channel: model, persona, reasoning.",
        default=frozenset(ChatSetting),
        note="They come before the [channels] table.",
        toml_only=True,
    )
    personas_free_text: Describers = setting(
        "",
        "Who may describe a persona in their own words: nobody, admins or everyone.",
        default=Describers.ADMINS,
        note="The words are added to the system prompt, so a reader could bend its rules.",
        toml_only=True,
    )
    welcome: bool = setting(
        "",
        "Whether the bot greets people at their first contact.",
        default=True,
        note="Once for each person, also after a restart.",
        toml_only=True,
    )
    welcome_text: Annotated[str, AfterValidator(_welcome)] = setting(
        "",
        "Greeting at the first contact, as markdown. Empty: the sentence `welcome` of [words].",
        default="",
        toml_only=True,
    )


def _persona_name(value: str) -> str:
    if not _NAME.fullmatch(value) or value.casefold() in RESERVED:
        raise must_be(
            "one word of at most 50 letters, digits, - and _, and none of default, list or none: people choose the "
            "persona by it"
        )
    return value


def _prompt(value: str) -> str:
    text = value.strip()
    if not 0 < len(text) <= LONGEST_PROMPT:
        raise must_be(f"a text of 1 to {LONGEST_PROMPT:,} characters")
    return text


class PersonaSettings(SettingsGroup):
    """One persona for people to choose: ``[[personas]]``."""

    name: Annotated[str, AfterValidator(_persona_name)] = setting("", "Name for choosing it in chat.", default=...)
    label: Label = setting("", "Name shown to people. Default: the name.", default="")
    prompt: Annotated[str, AfterValidator(_prompt)] = setting(
        "", "Instructions for the model, added to the system prompt.", default=...
    )

    @property
    def shown(self) -> str:
        """The label, or the name without one."""
        return self.label or self.name


class PersonasView(Protocol):
    """The part of `config.settings.Settings` read by the rules."""

    personas: tuple[PersonaSettings, ...]


PersonaRule = Callable[[PersonasView, NameOf], Iterator[str]]


def chosen_in_chat(settings: PersonasView, name: NameOf) -> Iterator[str]:
    """People choose a persona by its name or label."""
    yield from problems("personas", settings.personas, name)


PERSONA_RULES: Sequence[PersonaRule] = (chosen_in_chat,)
