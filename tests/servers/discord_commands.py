"""The application commands of the Discord double: bulk registration, with Discord's rules for definitions.

https://docs.discord.com/developers/interactions/application-commands. Invocations are `tests.servers.discord`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.servers.discord_interactions import INVALID_FORM, Refused

Json = dict[str, Any]

# Permissions of a bot (https://docs.discord.com/developers/topics/permissions); sending also in threads.
VIEW, SEND, HISTORY = 1 << 10, 1 << 11 | 1 << 38, 1 << 16

MISSING_ACCESS: Final = (403, 50001, "Missing Access")

_NAME = re.compile(r"[-_'\w]{1,32}")


class Commands:
    """The registered commands of the application."""

    def __init__(self, new_id: Callable[[], str], application: str) -> None:
        self._new_id = new_id
        self._application = application
        self.registered: list[Json] = []
        self.registrations = 0  # bulk requests accepted
        self.creations = 0  # commands that did not exist before: Discord takes 200 a day
        self.has_scope = True  # applications.commands

    def id_of(self, name: str) -> str:
        """The id of a command; Discord's clients may show an old one."""
        return next((str(one["id"]) for one in self.registered if one["name"] == name), "1")

    def register(self, commands: object) -> list[Json]:
        """Replace all commands."""
        if not self.has_scope:
            raise Refused(MISSING_ACCESS)
        if wrong := objections(commands):
            raise Refused(INVALID_FORM, wrong)
        assert isinstance(commands, list)
        self.registrations += 1
        known = {(one["type"], one["name"]): one["id"] for one in self.registered}
        self.creations += sum((one.get("type", 1), one["name"]) not in known for one in commands)
        self.registered = [self._listed(one, known) for one in commands]
        return self.registered

    def _listed(self, command: Json, known: Mapping[tuple[int, str], str]) -> Json:
        """A command as Discord lists it: with more fields, and without empty ones."""
        kind = command.get("type", 1)
        id_ = known.get((kind, command["name"])) or self._new_id()
        options = [{name: value for name, value in one.items() if value} for one in command.get("options", [])]
        extra = {"id": id_, "application_id": self._application, "version": id_, "nsfw": False, "type": kind}
        shown = {"description": "", "default_member_permissions": None, **command, **extra}
        shown.pop("options", None)
        return {**shown, **({"options": options} if options else {})}


def objections(commands: object) -> dict[str, str]:
    """What is wrong with a bulk registration, by field."""
    if not isinstance(commands, list):
        return {"_": "Expected a list."}
    wrong: dict[str, str] = {}
    names = [(one.get("type", 1), one.get("name")) for one in commands]
    if len(set(names)) < len(names):
        wrong["name"] = "Application command names must be unique"
    kinds = [kind for kind, _ in names]
    if kinds.count(1) > 100 or kinds.count(2) > 15 or kinds.count(3) > 15:
        wrong["_"] = "Maximum number of application commands reached."
    for number, one in enumerate(commands):
        wrong |= {f"{number}.{name}": what for name, what in _objections(one).items()}
    return wrong


def _objections(command: Mapping[str, Any]) -> dict[str, str]:
    wrong: dict[str, str] = {}
    name, kind = str(command.get("name", "")), command.get("type", 1)
    if not 1 <= len(name) <= 32 or (kind == 1 and (not _NAME.fullmatch(name) or name != name.lower())):
        wrong["name"] = "String value did not match validation regex."
    description, options = command.get("description", ""), command.get("options", [])
    if (kind == 1 and not 1 <= len(description) <= 100) or (kind != 1 and (description or options)):
        wrong["description"] = "Must be between 1 and 100 in length; empty for a menu."
    if not set(command.get("contexts", [0])) <= {0, 1, 2} or not set(command.get("integration_types", [0])) <= {0, 1}:
        wrong["contexts"] = "Value must be one of (0, 1, 2)."
    required = [bool(one.get("required")) for one in options]
    if len(options) > 25 or required != sorted(required, reverse=True):
        wrong["options"] = "Required options must be placed before non-required options"
    for option in options:
        if what := _wrong_option(option):
            wrong[f"options.{option.get('name')}"] = what
    return wrong


def _wrong_option(option: Mapping[str, Any]) -> str:
    choices = option.get("choices", [])
    if not _NAME.fullmatch(option["name"]) or not 1 <= len(option.get("description", "")) <= 100:
        return "Invalid name or description."
    if len(choices) > 25 or (choices and option.get("autocomplete")):
        return "Must be 25 or fewer in length."
    if any(not 1 <= len(each["name"]) <= 100 or not 1 <= len(each["value"]) <= 100 for each in choices):
        return "Must be between 1 and 100 in length."
    return ""
