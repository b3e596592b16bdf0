"""The button that stops an answer: as Discord is sent it, and as it says that somebody pressed it. Pure.

What belongs here: those two. What does not: who may stop what (the core), acknowledging (`platform`), and when a
message shows the button (`channel`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.ports import Body, Controls

# A press of something in a message (https://docs.discord.com/developers/interactions/receiving-and-responding,
# interaction types), and the answer to it that changes nothing that anybody sees (interaction callback types).
_PRESSED = 3
ACKNOWLEDGED = {"type": 6}

# Component types and the grey style (https://docs.discord.com/developers/components/reference).
_ROW, _BUTTON, _SECONDARY = 1, 2, 2

# What our button's id begins with; the question's id follows. It comes back with a press, from a message of an earlier
# process too, and even where the answer to our post was lost, so that the message's id says nothing to us.
_PREFIX = "stop:"


@dataclass(frozen=True, slots=True)
class Press:
    """Somebody pressed our button. Ids are strings; `guild` and `message` are empty where the event does not say."""

    id: str
    token: str
    channel: str
    user: str
    question: str
    guild: str = ""
    message: str = ""
    roles: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        """Without the token."""
        return f"Press({self.id}, channel={self.channel}, message={self.message}, user={self.user})"


def components(body: Body, question: str) -> list[dict[str, Any]]:
    """What a message shows below its text, all of it: an edit replaces them."""
    if not body.controls & Controls.STOP:
        return []
    button = {"type": _BUTTON, "style": _SECONDARY, "label": "Stop", "custom_id": f"{_PREFIX}{question}"}
    return [{"type": _ROW, "components": [button]}]


def parse_press(data: Mapping[str, Any]) -> Press | None:
    """The press that an interaction's JSON tells of; None where it is of something that is not ours.

    https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-object: who pressed is in
    `member` in a guild, and in `user` in a DM. Raises KeyError, TypeError, ValueError or AttributeError where it is no
    interaction at all.
    """
    if data.get("type") != _PRESSED:
        return None
    pressed = str((data.get("data") or {}).get("custom_id") or "")
    if not pressed.startswith(_PREFIX):
        return None
    message = data.get("message") or {}
    member = data.get("member") or {}
    user = member.get("user") or data.get("user") or {}
    return Press(
        id=str(int(data["id"])),
        token=str(data["token"]),
        channel=str(int(data.get("channel_id") or message["channel_id"])),
        user=str(user.get("id") or ""),
        question=pressed.removeprefix(_PREFIX),
        guild=str(data.get("guild_id") or ""),
        message=str(message.get("id") or ""),
        roles=frozenset(map(str, member.get("roles") or ())),
    )
