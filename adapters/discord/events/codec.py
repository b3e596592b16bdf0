"""Posted messages to journal text and back. Pure.

Earlier versions wrote the same JSON keys, and later versions must still read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from adapters.discord.events.content import FIELDS, pruned_content
from adapters.discord.events.message import ChannelInfo, ChannelKind
from adapters.discord.events.parse import Directory, MessagePosted, parse_posted

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
    message, channel = _stored(event.source), event.channel
    replied_to = event.source.get("referenced_message")
    if isinstance(replied_to, Mapping):
        message["referenced_message"] = _stored(replied_to)
    place = {"id": channel.id, "kind": channel.kind.name, "parent": channel.parent, "category": channel.category}
    return json.dumps({"asks": asks, "place": place, "message": message}, separators=(",", ":"))


def load(event: str) -> StoredQuestion:
    """A question written by `dump`. Raises one of `PARSE_ERRORS` for any other text."""
    stored = json.loads(event)
    place, message = stored["place"], stored["message"]
    if not isinstance(message, dict):
        raise TypeError("no message")
    kind = ChannelKind[place["kind"]]
    channel = ChannelInfo(str(place["id"]), kind, str(place["parent"]), str(place["category"]))
    return StoredQuestion(channel, bool(stored["asks"]), message)


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
