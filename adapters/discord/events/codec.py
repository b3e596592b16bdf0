"""What is written down of a question, so that it can be brought again by a process that was not told of it. Pure.

What belongs here: the text that goes to `Inbox.receive`, and its way back. What does not: when it is brought again
(`platform`), and where it is kept (the journal).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.discord.events.content import FIELDS, needed
from adapters.discord.events.mentions import ChannelInfo, ChannelKind
from adapters.shared.context_labels import pruned

# The fields of a message that `seen.parse_message` reads, but for those of `beside`, of which only a part is kept.
_FIELDS = (
    "id",
    "channel_id",
    "guild_id",
    "author",
    "member",
    "content",
    "type",
    "webhook_id",
    "mentions",
    "mention_roles",
    "message_reference",
    "attachments",
)

# Those that are read of the objects in these fields.
_BELOW = frozenset(
    """
    bot channel_id content_type filename flags global_name height id member message_id nick roles size system type url
    username width
    """.split()  # noqa: SIM905 (a list of words)
)

# What `load` raises over a text that another version wrote, or nobody did.
LOAD_ERRORS = (KeyError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """A question as it was received.

    `asks` is whether it was sure then that it asks us: a later process would have to find out again what this one knew.
    `channel_info` says where it was said, which Discord does not tell of a thread that was archived meanwhile.
    """

    message: Mapping[str, Any]
    channel_info: ChannelInfo
    asks: bool


def dump(data: Mapping[str, Any], channel_info: ChannelInfo, *, asks: bool) -> str:
    """The text to keep of a message's event."""
    message = _needed(data)
    referenced = data.get("referenced_message")
    if isinstance(referenced, Mapping):
        message["referenced_message"] = _needed(referenced)
    where = {
        "id": channel_info.id,
        "kind": channel_info.kind.name,
        "parent": channel_info.parent,
        "category": channel_info.category,
    }
    return json.dumps({"asks": asks, "place": where, "message": message}, separators=(",", ":"))


def load(event: str) -> StoredQuestion:
    """What `dump` wrote. Raises one of `LOAD_ERRORS` for anything else."""
    kept = json.loads(event)
    where, message = kept["place"], kept["message"]
    if not isinstance(message, dict):
        raise TypeError("no message")
    channel_info = ChannelInfo(
        str(where["id"]), ChannelKind[where["kind"]], str(where["parent"]), str(where["category"])
    )
    return StoredQuestion(message, channel_info, bool(kept["asks"]))


def _needed(data: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: needed(data[name]) for name in FIELDS if data.get(name)}
    return {name: pruned(data[name], _BELOW) for name in _FIELDS if name in data} | shown
