"""The world of the loopback Slack: users, channels, groups and messages, and what a reader sees of them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """One message as a reader sees it."""

    ts: str
    author: str
    text: str


@dataclass(frozen=True, slots=True)
class Wrote:
    """One write that was applied: when (the loop's seconds), which method, which message, and what it shows then."""

    at: float
    method: str
    channel: str
    ts: str
    text: str


class World:
    """Who and what there is."""

    def __init__(self, team: str = "T1", bot_user: str = "UBOT", bot_id: str = "B0BOT", first_number: int = 1) -> None:
        """`first_number`: the ids of all workspaces of a server are different."""
        self.team = team
        self.users: dict[str, Json] = {}
        self.channels: dict[str, str] = {}  # their types
        self.names: dict[str, str] = {}  # of channels
        self.groups: dict[str, Json] = {}  # of users
        self.messages: dict[str, dict[str, Json]] = defaultdict(dict)
        self._numbers = itertools.count(first_number)
        self._clock = itertools.count(1_700_000_000_000_100, 1_000_100)  # microseconds: each a second and a bit later
        self.bot_user, self.bot_id = bot_user, bot_id

    def user(
        self,
        name: str,
        *,
        guest: bool = False,
        external: bool = False,
        bot: bool = False,
        admin: bool = False,
        team: str = "",
        enterprise: str = "",
    ) -> str:
        """Add somebody and return the id. Strangers belong to another team."""
        uid = f"U{next(self._numbers):04d}"
        self.users[uid] = {
            "id": uid,
            "team_id": team or ("TOTHER" if external else self.team),
            "name": name.lower(),
            "real_name": f"{name} Real",
            "profile": {"display_name": name, "real_name": f"{name} Real"},
            "is_restricted": guest,
            "is_ultra_restricted": False,
            "is_stranger": external,
            "is_bot": bot,
            "is_admin": admin,
        }
        if enterprise:
            self.users[uid]["enterprise_user"] = {"enterprise_id": enterprise, "teams": [team]}
        return uid

    def channel(self, kind: str = "channel", name: str = "") -> str:
        """Add a channel (``channel``, ``group``, ``mpim``) or a direct message (``im``) and return the id."""
        letter = {"channel": "C", "im": "D"}.get(kind, "G")
        cid = f"{letter}{next(self._numbers):04d}"
        self.channels[cid] = kind
        self.names[cid] = name or cid.lower()
        return cid

    def group(self, handle: str) -> str:
        """Add a group of users and return the id."""
        sid = f"S{next(self._numbers):04d}"
        self.groups[sid] = {"id": sid, "team_id": self.team, "is_usergroup": True, "name": handle, "handle": handle}
        return sid

    def now(self) -> str:
        """A new message's id."""
        moment = next(self._clock)
        return f"{moment // 1_000_000}.{moment % 1_000_000:06d}"

    def put(self, channel: str, fields: Json) -> Json:
        """Keep a new message; every one has its ts."""
        message: Json = {"type": "message", "ts": self.now(), "team": self.team, **fields}
        self.messages[channel][message["ts"]] = message
        return message

    def thread(self, channel: str, root: str) -> list[Json]:
        """A thread, its first message first."""
        return [m for m in self.messages[channel].values() if root in (m["ts"], m.get("thread_ts"))]


def seen(message: Json) -> str:
    """What a reader sees of a message: its markdown blocks, or else its text."""
    blocks = [block["text"] for block in message.get("blocks") or [] if block.get("type") == "markdown"]
    return "\n\n".join(blocks) if blocks else str(message.get("text", ""))
