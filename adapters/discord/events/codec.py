"""Posted messages and commands to journal text and back. Pure.

Earlier versions wrote the same JSON keys, and later versions must still read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from adapters.discord.events.commands import ChannelAccess, CommandUsed
from adapters.discord.events.content import FIELDS, pruned_content
from adapters.discord.events.interactions import Interaction, InteractionToken
from adapters.discord.events.message import ChannelInfo, ChannelKind
from adapters.discord.events.parse import Directory, MessagePosted, parse_posted
from adapters.shared.json_fields import Json, object_field
from bot.conversation import Author

Fields = Mapping[str, "Fields | None"]

# Message fields read by `parse_message`, with the nested fields kept of each; None keeps a plain value.
_USER: Fields = dict.fromkeys(("id", "username", "global_name", "bot", "system"))
_MEMBER: Fields = dict.fromkeys(("nick", "roles", "flags"))
_FILE = ("filename", "url", "content_type", "size", "width", "height")
_MESSAGE: Fields = MappingProxyType(
    {
        "id": None,
        "channel_id": None,
        "guild_id": None,
        "author": _USER,
        "member": _MEMBER,
        "content": None,
        "type": None,
        "webhook_id": None,
        "mentions": {**_USER, "member": _MEMBER},
        "mention_roles": None,
        "message_reference": dict.fromkeys(("type", "message_id", "channel_id")),
        "attachments": dict.fromkeys(_FILE),
    }
)


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """A stored question.

    `asks`: an earlier process already knew it addresses the bot, perhaps from data lost since. `channel` is stored
    because Discord does not announce archived threads.
    """

    channel: ChannelInfo
    asks: bool
    message: Mapping[str, Any] = field(repr=False)

    def event(self, directory: Directory, *, guild: str) -> MessagePosted:
        """The event, with the names known now. Raises one of `PARSE_ERRORS` for a malformed message."""
        return parse_posted(self.message, directory, channel=self.channel, guild=guild)


def dump(event: MessagePosted, *, asks: bool) -> str:
    """The journal's text for a question."""
    stored = {"asks": asks, "place": _dump_channel(event.channel), "message": _dump_message(event.source)}
    return json.dumps(stored, separators=(",", ":"))


def load(event: str) -> StoredQuestion:
    """A question written by `dump`. Raises one of `PARSE_ERRORS` for any other text."""
    stored = json.loads(event)
    message = stored["message"]
    if not isinstance(message, dict):
        raise TypeError("no message")
    return StoredQuestion(_load_channel(stored["place"]), bool(stored["asks"]), message)


# ----------------------------------------------------------------------------------------------------------- commands

# The first field of a stored command; a stored question has others.
_MARK = "command"


@dataclass(frozen=True, slots=True)
class StoredCommand:
    """A stored command, with its question."""

    event: CommandUsed
    question: str


def is_command(event: str) -> bool:
    """Whether a journal's text is of a command."""
    return event.startswith(f'{{"{_MARK}":')


def dump_command(event: CommandUsed, question: str) -> str:
    """The journal's text for a command: everything for the answer, which goes on with the token for 15 minutes."""
    to = event.interaction
    stored = {
        _MARK: event.name,
        "type": event.type,
        "token": {"id": to.token.id, "application": to.token.application, "token": to.token.token},
        "by": {**asdict(to.by), "roles": sorted(to.by.roles)},
        "channel": _dump_channel(to.channel),
        "guild": to.guild,
        "access": asdict(event.access),
        "question": question,
        **({"target": _dump_message(event.target)} if event.target else {}),
    }
    return json.dumps(stored, separators=(",", ":"))


def load_command(event: str) -> StoredCommand:
    """A command written by `dump_command`. Raises one of `PARSE_ERRORS` for any other text."""
    stored = json.loads(event)
    token, by = stored["token"], stored["by"]
    person = Author(
        str(by["id"]),
        str(by["name"]),
        frozenset(map(str, by["roles"])),
        guest=bool(by.get("guest")),
        external=bool(by.get("external")),
        manages=bool(by.get("manages")),
    )
    access = ChannelAccess(*(bool(stored["access"][name]) for name in ("sees", "reads", "posts")))
    interaction = Interaction(
        InteractionToken(str(token["id"]), str(token["application"]), str(token["token"])),
        person,
        _load_channel(stored["channel"]),
        guild=str(stored["guild"]),
    )
    target = object_field(stored, "target")
    used = CommandUsed(interaction, int(stored["type"]), str(stored[_MARK]), access, target=target)
    return StoredCommand(used, str(stored["question"]))


# -------------------------------------------------------------------------------------------------------------- fields


def _dump_channel(channel: ChannelInfo) -> dict[str, str]:
    return {"id": channel.id, "kind": channel.kind.name, "parent": channel.parent, "category": channel.category}


def _load_channel(stored: Json) -> ChannelInfo:
    kind = ChannelKind[stored["kind"]]
    return ChannelInfo(str(stored["id"]), kind, str(stored["parent"]), str(stored["category"]))


def _dump_message(source: Json) -> dict[str, Any]:
    """A message as parsed later, with the one it replies to."""
    replied_to = source.get("referenced_message")
    below = {"referenced_message": _stored(replied_to)} if isinstance(replied_to, Mapping) else {}
    return {**_stored(source), **below}


def _stored(data: Mapping[str, Any]) -> dict[str, Any]:
    content = {name: pruned_content(data[name]) for name in FIELDS if data.get(name)}
    return {**_select(data, _MESSAGE), **content}


def _select(value: Any, fields: Fields | None) -> Any:  # noqa: ANN401 (JSON of any shape)
    """`value` with only `fields` in its objects; a list may contain objects, but no lists."""
    if isinstance(value, list):
        return [_select(each, fields) for each in value if not isinstance(each, list)]
    if isinstance(value, dict):
        return {name: _select(value[name], below) for name, below in (fields or {}).items() if name in value}
    return value
