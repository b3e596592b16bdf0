"""A message's JSON, from an event or from REST, into a value. Pure.

What belongs here: which fields Discord sends (https://docs.discord.com/developers/resources/message#message-object) and
how its text is made readable. What does not: whether we answer (`asked`). Only `id`, `channel_id` and `author` must be
there; everything else may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapters.attachments import Attachment

# Message types that people write: DEFAULT and REPLY. All others are the system's own.
SPOKEN = frozenset({0, 19})

# The first message of a thread that was made from a message elsewhere; it says nothing itself.
THREAD_STARTER = 21

# A member who was let in by a guest invite to one voice channel (https://docs.discord.com/developers/resources/guild,
# guild member flags).
_IS_GUEST = 1 << 4

# What Discord writes for mentions of users, roles and channels, and for the emoji of a guild.
_MENTION = re.compile(r"<(?P<sign>@!?|@&|#)(?P<id>\d+)>")
_EMOJI = re.compile(r"<a?(?P<name>:\w+:)\d+>")

# The name of a role or channel by sign (``@&`` or ``#``) and id; empty where it is not known.
NameOf = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Seen:
    """One message as it was told to us. Ids are strings; `guild` and `reply_to` are empty where there is none."""

    id: str
    channel: str
    author: str
    guild: str = ""
    name: str = ""  # the author's display name
    text: str = ""  # readable: mentions are names
    words: str = ""  # `text` without mentions of ourselves at its ends: the question
    kind: int = 0
    bot: bool = False  # a bot's or a webhook's
    guest: bool = False
    reply_to: str = ""
    mentions: frozenset[str] = frozenset()  # ids of users and roles
    roles: frozenset[str] = frozenset()  # the author's
    attachments: tuple[Attachment, ...] = ()

    def says(self, text: str) -> Seen:
        """The same message after an edit."""
        return replace(self, text=text, words=text)


def read_message(data: Mapping[str, Any], *, me: str, name_of: NameOf, guild: str = "") -> Seen:
    """A `Seen` out of a message's JSON; `guild` is used where it says none (REST does not).

    Raises KeyError, TypeError, ValueError or AttributeError where it is no message at all: the caller passes over it.
    """
    author, member = data["author"], data.get("member") or {}
    people = data.get("mentions")
    raw = data.get("content") or ""
    names = {str(user["id"]): display_name(user, user.get("member") or {}) for user in people or ()}

    def named(sign: str, target: str) -> str:
        return names.get(target, "") if sign == "@" else name_of(sign, target)

    if people is None:  # only a server that leaves the list out makes us look for ourselves in the text
        names.update({found["id"]: "" for found in _MENTION.finditer(raw) if found["sign"] in ("@", "@!")})
    reference = data.get("message_reference") or {}
    forwarded = reference.get("type") == 1
    return Seen(
        id=str(int(data["id"])),
        channel=str(data["channel_id"]),
        author=str(author["id"]),
        guild=str(data.get("guild_id") or guild),
        name=display_name(author, member),
        text=readable(raw, named),
        words=readable(without_mention(raw, me), named),
        kind=int(data.get("type") or 0),
        bot=bool(author.get("bot") or author.get("system") or data.get("webhook_id")),
        guest=bool((member.get("flags") or 0) & _IS_GUEST),
        reply_to="" if forwarded else str(reference.get("message_id") or ""),
        mentions=frozenset(names) | frozenset(str(role) for role in data.get("mention_roles") or ()),
        roles=frozenset(str(role) for role in member.get("roles") or ()),
        attachments=tuple(read_attachment(item) for item in data.get("attachments") or ()),
    )


def read_attachment(data: Mapping[str, Any]) -> Attachment:
    """An attachment's JSON (https://docs.discord.com/developers/resources/message#attachment-object)."""
    return Attachment(
        name=str(data.get("filename") or "file"),
        url=str(data.get("url") or ""),
        media_type=str(data.get("content_type") or ""),
        size=int(data.get("size") or 0),
        width=int(data.get("width") or 0),
        height=int(data.get("height") or 0),
    )


def display_name(user: Mapping[str, Any], member: Mapping[str, Any]) -> str:
    """The name that others see: the one in this guild, or the chosen one, or the account's."""
    return str(member.get("nick") or user.get("global_name") or user.get("username") or "somebody")


def readable(raw: str, named: NameOf) -> str:
    """`raw` with mentions as ``@name`` or ``#name`` and a guild's emoji as ``:name:``; what is not known stays."""

    def name(found: re.Match[str]) -> str:
        sign = found["sign"]
        known = named("@" if sign in ("@", "@!") else sign, found["id"])
        return f"{sign[0]}{known}" if known else found[0]

    return _EMOJI.sub(r"\g<name>", _MENTION.sub(name, raw)).strip()


def without_mention(raw: str, user: str) -> str:
    """`raw` without the mentions of `user` at its ends, where they only address; inside they are part of a sentence."""
    mention = rf"<@!?{user}>"
    text = re.sub(rf"^(?:\s*{mention})+[\s,:]*", "", raw)
    return re.sub(rf"(?:\s*{mention})+\s*$", "", text).strip()
