"""Invoked application commands as frozen events. Pure.

https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-object-interaction-structure.
Parsing raises one of `parse.PARSE_ERRORS` for JSON of another shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from adapters.discord.events.interactions import ChannelDirectory, Interaction, parse_interaction
from adapters.discord.events.message import ChannelInfo, ChannelKind, display_name
from adapters.shared.json_fields import Json, object_at, object_field, objects_at, string_field

# Interaction types, and types of options with options of their own (a subcommand, a group of them); source above.
_COMMAND, _COMPLETION = 2, 4
_NESTED = frozenset({1, 2})

# Contexts of an interaction: a server, the bot's DM, any other DM; and the key of a server among the owners.
_IN_GUILD, _IN_BOT_DM, _ELSEWHERE = 0, 1, 2
_GUILD_OWNER = "0"

# Permission bits (https://docs.discord.com/developers/topics/permissions).
_ADMINISTRATOR, _VIEW, _SEND, _HISTORY, _SEND_IN_THREADS = 1 << 3, 1 << 10, 1 << 11, 1 << 16, 1 << 38


@dataclass(frozen=True, slots=True)
class ChannelAccess:
    """The bot's own access to the channel of a command, apart from the interaction.

    `sees`: it may edit its messages there by id. `reads` the history, `posts` new messages. Nothing of it holds where a
    person brought the bot along (a user install).
    """

    sees: bool
    reads: bool
    posts: bool


@dataclass(frozen=True, slots=True)
class CommandUsed:
    """An invoked command. `target` is the JSON of a menu's message; empty for a command in chat."""

    interaction: Interaction
    type: int
    name: str
    access: ChannelAccess
    arguments: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    target: Json = field(default_factory=lambda: MappingProxyType({}), repr=False)
    users: tuple[tuple[str, str], ...] = ()  # ids and names of users mentioned in the arguments


@dataclass(frozen=True, slots=True)
class CompletionRequested:
    """Somebody types the argument of a command, and Discord asks for its options."""

    interaction: Interaction
    name: str
    argument: str
    typed: str


def parse_command_event(data: Json, directory: ChannelDirectory) -> Sequence[CommandUsed | CompletionRequested]:
    """The event in an INTERACTION_CREATE; empty for another type of interaction."""
    details = object_field(data, "data")
    name = string_field(details, "name")
    if data.get("type") not in (_COMMAND, _COMPLETION) or not name:
        return ()
    interaction = parse_interaction(data, directory)
    options = list(_options(details))
    if data.get("type") == _COMPLETION:
        focused = next((one for one in options if one.get("focused")), {})
        return (CompletionRequested(interaction, name, string_field(focused, "name"), str(focused.get("value") or "")),)
    return (
        CommandUsed(
            interaction,
            int(details.get("type") or 1),
            name,
            parse_access(data, interaction.channel, interaction.guild),
            MappingProxyType({string_field(one, "name"): _value(one) for one in options if "value" in one}),
            _target(details, interaction),
            tuple(_users(object_field(details, "resolved"))),
        ),
    )


def parse_access(data: Json, channel: ChannelInfo, guild: str) -> ChannelAccess:
    """The bot's access to the channel of an interaction. A server without the fields grants all, and refuses later."""
    if not guild:
        is_bots = data.get("context", _IN_BOT_DM) == _IN_BOT_DM
        return ChannelAccess(is_bots, is_bots, is_bots)
    owners = data.get("authorizing_integration_owners")
    if (isinstance(owners, Mapping) and _GUILD_OWNER not in owners) or data.get("context") == _ELSEWHERE:
        return ChannelAccess(sees=False, reads=False, posts=False)
    if data.get("app_permissions") is None:
        return ChannelAccess(sees=True, reads=True, posts=True)
    bits = int(data["app_permissions"])
    if bits & _ADMINISTRATOR:
        return ChannelAccess(sees=True, reads=True, posts=True)
    sees = bool(bits & _VIEW)
    send = _SEND_IN_THREADS if channel.kind is ChannelKind.THREAD else _SEND
    return ChannelAccess(sees, sees and bool(bits & _HISTORY), sees and bool(bits & send))


def _options(details: Json) -> Iterator[Json]:
    for option in objects_at(details, "options"):
        if option.get("type") in _NESTED:
            yield from _options(option)
        else:
            yield option


def _value(option: Json) -> str:
    value = option["value"]
    return value if isinstance(value, str) else json.dumps(value)


def _target(details: Json, interaction: Interaction) -> Json:
    """The message of a menu. Discord names its channel, but not its server."""
    target = object_at(details, "resolved", "messages", string_field(details, "target_id"))
    if not target:
        return MappingProxyType({})
    guild = {"guild_id": interaction.guild} if interaction.guild else {}
    return {"channel_id": interaction.channel.id, **target, **guild}


def _users(resolved: Json) -> Iterator[tuple[str, str]]:
    members = object_field(resolved, "members")
    for id_, user in object_field(resolved, "users").items():
        yield str(id_), display_name(user, object_field(members, id_))
