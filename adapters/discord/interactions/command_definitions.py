"""Application commands as Discord's JSON, made from the core's registry. Pure.

https://docs.discord.com/developers/interactions/application-commands#application-command-object. Definitions are
global, because commands of a server do not exist in DMs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bot.interactions.commands import DESCRIPTION_LENGTH, Argument, Command, Kind
from bot.interactions.values import Choice

Json = Mapping[str, Any]
ChoicesOf = Callable[[str], Sequence[Choice]]  # an argument's options by the name of its list

# Command types, the type of a text argument; source above.
CHAT_INPUT, MESSAGE = 1, 3
_STRING = 3

# Everywhere: in servers and for users who installed the bot; in servers, in its DMs, and in DMs of others.
_INSTALLS, _CONTEXTS = (0, 1), (0, 1, 2)

# Greatest numbers and lengths, in characters; same source. A longer question is sent as a message.
MAX_CHOICES, _CHOICE_LENGTH = 25, 100
_TEXT_LENGTH = 6_000

# A command's name in chat, and the length of a menu's title; same source.
_NAME = re.compile(r"[-_'\w]{1,32}")
_TITLE_LENGTH = 32

# Titles in the menu of a message where Discord's differ from the registry's.
_TITLES = MappingProxyType({"summarize": "Summarize from here"})

# Fields of a definition with the value of a missing one.
_DEFAULTS: Json = MappingProxyType(
    {"options": [], "description": "", "required": False, "autocomplete": False, "choices": []}
)


def definitions(commands: Sequence[Command], choices_of: ChoicesOf) -> list[dict[str, Any]]:
    """The body of the bulk registration. A command with a name impossible on Discord is left out."""
    made = [_menu(command) if command.kind is Kind.ON_MESSAGE else _chat(command, choices_of) for command in commands]
    return [one for one in made if one["type"] == MESSAGE or _NAME.fullmatch(one["name"])]


def digest_of(made: Sequence[Json]) -> str:
    """A hash of definitions, the same in every process."""
    text = json.dumps(list(made), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def are_registered(made: Sequence[Json], registered: object) -> bool:
    """Whether Discord's list of commands has these definitions and no others."""
    if not isinstance(registered, list) or len(registered) != len(made):
        return False
    by_name = {(one.get("type", CHAT_INPUT), one.get("name")): one for one in registered if isinstance(one, dict)}
    return all(_covers(by_name.get((one["type"], one["name"])), one) for one in made)


def find_invoked(commands: Sequence[Command], type_: int, name: str) -> Command | None:
    """The command behind an invocation's type and name; None for an unknown one: Discord may show an old list."""
    if type_ == MESSAGE:
        return next((one for one in commands if one.kind is Kind.ON_MESSAGE and menu_title(one) == name), None)
    return next((one for one in commands if one.kind is not Kind.ON_MESSAGE and one.name == name), None)


def menu_title(command: Command) -> str:
    """The title in the menu of a message."""
    return _TITLES.get(command.name, command.label or command.name.capitalize())[:_TITLE_LENGTH]


def completions(options: Sequence[Choice], typed: str) -> list[dict[str, str]]:
    """The options with the typed text, those with it at their beginning first."""
    typed = typed.strip().casefold()
    found = [one for one in options if typed in one.label.casefold() or typed in one.value.casefold()]
    found.sort(key=lambda one: not one.label.casefold().startswith(typed))
    return [_choice(one) for one in found if _fits(one)][:MAX_CHOICES]


def _chat(command: Command, choices_of: ChoicesOf) -> dict[str, Any]:
    arguments = sorted(command.arguments, key=lambda argument: not argument.required)  # Discord wants these first
    return {
        **_common(CHAT_INPUT, command.name.lower()),
        "description": command.description[:DESCRIPTION_LENGTH],
        "options": [_argument(argument, choices_of) for argument in arguments],
    }


def _menu(command: Command) -> dict[str, Any]:
    return _common(MESSAGE, menu_title(command))


def _common(type_: int, name: str) -> dict[str, Any]:
    return {"type": type_, "name": name, "integration_types": list(_INSTALLS), "contexts": list(_CONTEXTS)}


def _argument(argument: Argument, choices_of: ChoicesOf) -> dict[str, Any]:
    """A text argument: with its options if Discord takes that many, else with completions."""
    made: dict[str, Any] = {
        "type": _STRING,
        "name": argument.name,
        "description": argument.description[:DESCRIPTION_LENGTH],
        "required": argument.required,
    }
    options = choices_of(argument.choices) if argument.choices else ()
    if len(options) > MAX_CHOICES or (options and argument.is_open):
        return made | {"autocomplete": True}
    if options and all(map(_fits, options)):
        by_name = {shown["name"]: shown for shown in map(_choice, options)}
        if len(by_name) == len(options):
            return made | {"choices": list(by_name.values())}
        return made | {"autocomplete": True}  # two have the same name, or the same beginning of it
    return made | {"max_length": _TEXT_LENGTH}


def _choice(choice: Choice) -> dict[str, str]:
    return {"name": (choice.label or choice.value)[:_CHOICE_LENGTH], "value": choice.value}


def _fits(choice: Choice) -> bool:
    return 0 < len(choice.value) <= _CHOICE_LENGTH


def _covers(registered: object, made: object) -> bool:
    """Whether a registered value has everything of ours; Discord adds fields, and leaves out those with defaults."""
    if isinstance(made, Mapping):
        if not isinstance(registered, Mapping):
            return False
        return all(
            _covers(registered.get(name) if registered.get(name) is not None else _DEFAULTS.get(name), value)
            for name, value in made.items()
        )
    if isinstance(made, list) and made and isinstance(made[0], Mapping):
        if not isinstance(registered, list) or len(registered) != len(made):
            return False
        return all(_covers(theirs, ours) for theirs, ours in zip(registered, made, strict=True))
    if isinstance(made, list) and isinstance(registered, list):
        return sorted(registered) == sorted(made)
    return registered == made
