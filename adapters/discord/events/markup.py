"""Discord's marks in a text (mentions, times, commands, emoji) as people see them. Pure.

https://docs.discord.com/developers/reference#message-formatting. What belongs here: reading what people wrote. What
does not: rendering what a model wrote (`renderer`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, tzinfo
from types import MappingProxyType

from adapters.shared.context_labels import moment

# The name of a user, role or channel by sign (``@``, ``@&`` or ``#``) and id; empty where it is not known.
NameOf = Callable[[str, str], str]

_MARK = re.compile(
    r"(?P<code>```.*?```|``.+?``|`[^`\n]+`)"  # shown as it stands
    r"|<(?P<sign>@!?|@&|#)(?P<id>\d+)>"
    r"|<t:(?P<time>-?\d{1,17})(?::(?P<style>[a-zA-Z]))?>"
    r"|</(?P<command>[^<>:\n]{1,100}):\d+>"
    r"|<a?(?P<emoji>:\w+:)\d+>"
    r"|<id:(?P<place>[a-z\-]+)(?::\d+)?>"
    r"|<(?P<link>(?:https?://|mailto:|tel:|sms:)[^\s<>]+)>",
    re.DOTALL,
)

# What Discord shows for what it does not know (or what somebody may not see), by sign.
_UNKNOWN = MappingProxyType({"@": "@unknown-user", "@&": "@unknown-role", "#": "#unknown"})

# What Discord shows for a guild's own pages.
_PLACES = MappingProxyType(
    {
        "customize": "Channels & Roles",
        "browse": "Browse Channels",
        "guide": "Server Guide",
        "home": "Server Guide",
        "linked-roles": "Linked Roles",
    }
)

# How a time is shown, by style. A relative one ("in two hours") would be wrong for whoever reads it later.
_FULL = "%d %B %Y %H:%M %Z"
_STYLES = MappingProxyType(
    {
        "t": "%H:%M %Z",
        "T": "%H:%M:%S %Z",
        "d": "%d %B %Y",
        "D": "%d %B %Y",
        "F": "%A, %d %B %Y %H:%M %Z",
        "S": "%d %B %Y %H:%M:%S %Z",
    }
)


def readable(raw: str, named: NameOf, zone: tzinfo = UTC) -> str:
    """`raw` as people see it; times are told in `zone`. Code stays as it is."""

    def seen(mark: re.Match[str]) -> str:
        if mark["sign"]:
            sign = mark["sign"].removesuffix("!")
            known = named(sign, mark["id"])
            return f"{sign[0]}{known}" if known else _UNKNOWN[sign]
        if mark["time"]:
            return moment(int(mark["time"]), zone, _STYLES.get(mark["style"], _FULL)) or "Invalid Date"
        if mark["command"]:
            return f"/{mark['command']}"
        if mark["place"]:
            return _PLACES.get(mark["place"], mark[0])
        return mark["code"] or mark["emoji"] or mark["link"].removeprefix("mailto:").removeprefix("tel:")

    return _MARK.sub(seen, raw).strip()


def mentioned_in(raw: str) -> set[str]:
    """The ids of the users that `raw` mentions."""
    return {mark["id"] for mark in _MARK.finditer(raw) if mark["sign"] in ("@", "@!")}


def without_mention(raw: str, user: str, roles: frozenset[str] = frozenset()) -> str:
    """`raw` without the mentions of `user`, or of a role of their own, at its ends, where they only address.

    Inside they are part of a sentence.
    """
    ours = [rf"<@!?{re.escape(user)}>", *(f"<@&{re.escape(role)}>" for role in sorted(roles))]
    mention = f"(?:{'|'.join(ours)})"
    text = re.sub(rf"^(?:\s*{mention})+[\s,:]*", "", raw)
    return re.sub(rf"(?:\s*{mention})+\s*$", "", text).strip()
