"""Interactions as frozen events: pressed buttons, chosen options, submitted forms. Pure.

https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-object. Every function raises one
of `parse.PARSE_ERRORS` for JSON of another shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from adapters.discord.events.message import GUEST, ChannelInfo, ChannelKind, display_name
from adapters.shared.json_fields import as_list, as_object, object_field, objects_at, string_field
from bot.conversation import Author
from bot.interactions.values import Place

# Interaction types; same source.
_COMPONENT, _MODAL = 3, 5

# Channel types (https://docs.discord.com/developers/resources/channel#channel-object-channel-types).
_DIRECT, _GROUP = 1, 3
_THREADS = frozenset({10, 11, 12})

# Permission bits of an admin (https://docs.discord.com/developers/topics/permissions): Administrator, Manage Channels.
_ADMINISTRATOR, _MANAGE_CHANNELS = 1 << 3, 1 << 4


class ChannelDirectory(Protocol):
    """Channels from guild data."""

    def guild_of(self, channel: str) -> str:
        """A channel's guild; empty if unknown."""
        ...

    def channel_info(self, channel: str, guild: str) -> ChannelInfo:
        """A channel's kind and parents."""
        ...


@dataclass(frozen=True, slots=True)
class InteractionToken:
    """Permission to respond: once within 3 s, then by editing and adding messages for 15 minutes."""

    id: str
    application: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Interaction:
    """Who acts where. `message` is the message with the pressed component or below a form; empty for a command."""

    token: InteractionToken
    by: Author
    channel: ChannelInfo
    guild: str = ""
    message: str = ""

    @property
    def place(self) -> Place:
        """The place for the core. Discord numbers interactions in the order of messages."""
        channel = self.channel
        return Place(
            "discord",
            self.guild,
            channel.id,
            conversation="" if channel.kind is ChannelKind.CHANNEL else f"discord:{channel.id}",
            channel_ids=tuple(place for place in (channel.id, channel.parent, channel.category) if place),
            direct=channel.kind is ChannelKind.DM,
            parent=channel.parent,
            position=self.token.id,
            person_format="<@{id}>",
            channel_format="<#{id}>",
        )


@dataclass(frozen=True, slots=True)
class ComponentPressed:
    """A pressed button, or the chosen `values` of a selection. `label` is the button's."""

    interaction: Interaction
    custom_id: str
    values: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class ModalSubmitted:
    """A submitted form; `values` by the inputs' ids."""

    interaction: Interaction
    custom_id: str
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


InteractionEvent = ComponentPressed | ModalSubmitted


def parse_interaction_event(data: Mapping[str, Any], directory: ChannelDirectory) -> Sequence[InteractionEvent]:
    """The event in an INTERACTION_CREATE; empty for an unknown type."""
    details = object_field(data, "data")
    custom_id = string_field(details, "custom_id")
    match data.get("type"):
        case kind if kind == _COMPONENT and custom_id:
            values = tuple(str(value) for value in as_list(details.get("values")))
            label = _label_of(object_field(data, "message"), custom_id)
            return (ComponentPressed(parse_interaction(data, directory), custom_id, values, label),)
        case kind if kind == _MODAL and custom_id:
            values_by_id = MappingProxyType(dict(_inputs(details)))
            return (ModalSubmitted(parse_interaction(data, directory), custom_id, values_by_id),)
    return ()


def parse_interaction(data: Mapping[str, Any], directory: ChannelDirectory) -> Interaction:
    """Who acts where, in an interaction of any type."""
    message, partial = object_field(data, "message"), object_field(data, "channel")
    channel = str(int(data.get("channel_id") or partial.get("id") or message["channel_id"]))
    guild = string_field(data, "guild_id") or directory.guild_of(channel)
    return Interaction(
        InteractionToken(str(int(data["id"])), str(int(data.get("application_id") or 0)), str(data["token"])),
        parse_person(data),
        channel_info_of(directory.channel_info(channel, guild), partial),
        guild=guild,
        message=string_field(message, "id"),
    )


def parse_person(data: Mapping[str, Any]) -> Author:
    """Who acts: in `member` in a guild, else in `user`."""
    member = object_field(data, "member")
    user = object_field(member, "user") or object_field(data, "user")
    permissions = int(member.get("permissions") or 0)
    return Author(
        str(int(user["id"])),
        display_name(user, member),
        frozenset(str(role) for role in as_list(member.get("roles"))),
        guest=bool(_flags(member) & GUEST),
        manages=bool(permissions & (_ADMINISTRATOR | _MANAGE_CHANNELS)),
    )


def channel_info_of(known: ChannelInfo, partial: Mapping[str, Any]) -> ChannelInfo:
    """The channel; its JSON names the type and parent of an archived thread, missing in guild data."""
    kind = partial.get("type")
    if kind in (_DIRECT, _GROUP):
        return ChannelInfo(known.id, ChannelKind.DM)
    if kind in _THREADS and known.kind is not ChannelKind.THREAD:
        return ChannelInfo(known.id, ChannelKind.THREAD, string_field(partial, "parent_id"))
    return known


def _flags(data: Mapping[str, Any]) -> int:
    return int(data.get("flags") or 0)


def _label_of(message: Mapping[str, Any], custom_id: str) -> str:
    """The label of a message's button."""
    for row in objects_at(message, "components"):
        for button in objects_at(row, "components"):
            if button.get("custom_id") == custom_id:
                return string_field(button, "label")
    return ""


def _inputs(details: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The inputs of a form by id: in a label each (`component`), or in rows (`components`)."""
    for outer in objects_at(details, "components"):
        for each in (as_object(outer.get("component")), *objects_at(outer, "components")):
            if name := string_field(each, "custom_id"):
                values = as_list(each.get("values"))
                yield name, str(values[0]) if values else string_field(each, "value")
