"""A message's JSON, from an event or from REST, into a value. Pure.

What belongs here: which fields Discord sends (https://docs.discord.com/developers/resources/message#message-object).
What does not: how text is made readable (`marks`), what stands beside it (`beside`), and whether we answer (`asked`).
Only `id`, `channel_id` and `author` must be there; everything else may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any

from adapters.discord.events.content import FIELDS, FORWARD, beside, snapshots
from adapters.discord.events.markup import NameOf, mentioned_in, readable, without_mention
from adapters.shared.attachments import Attachment
from adapters.shared.context_labels import objects

# Message types that people write: DEFAULT and REPLY. All others are the system's own, or a program's.
PERSON_TYPES = frozenset({0, 19})

# Those that say something to who reads along: also answers of bots to a command or a menu, and the result of a poll.
READABLE_TYPES = PERSON_TYPES | {20, 23, 46}

# The first message of a thread that was made from a message elsewhere; it says nothing itself.
THREAD_STARTER = 21

# A member who was let in by a guest invite to one voice channel (https://docs.discord.com/developers/resources/guild,
# guild member flags).
_IS_GUEST = 1 << 4


@dataclass(frozen=True, slots=True)
class DiscordMessage:
    """One message as it was told to us. Ids are strings; `guild` and `reply_to` are empty where there is none."""

    id: str
    channel: str
    author: str
    guild: str = ""
    name: str = ""  # the author's display name
    text: str = ""  # readable: mentions are names
    words: str = ""  # `text` without mentions of ourselves at its ends: the question
    beside: str = ""  # what else it shows, labelled (`adapters.discord.events.content`)
    kind: int = 0
    bot: bool = False  # a bot's or a webhook's
    guest: bool = False
    reply_to: str = ""
    mentions: frozenset[str] = frozenset()  # ids of users and roles
    roles: frozenset[str] = frozenset()  # the author's
    attachments: tuple[Attachment, ...] = ()

    @property
    def shown(self) -> str:
        """All that it shows but for its files."""
        return "\n".join(filter(None, (self.text, self.beside)))

    def with_text(self, text: str) -> DiscordMessage:
        """The same message with another text."""
        return replace(self, text=text, words=text)

    def edited(self, data: Mapping[str, Any], now: DiscordMessage) -> DiscordMessage:
        """The same message after an edit: of what `data` tells, `now` is what it says now."""
        said = self.with_text(now.text) if "content" in data else self
        said = replace(said, attachments=now.attachments) if "attachments" in data else said
        return replace(said, beside=now.beside) if any(name in data for name in FIELDS) else said


def parse_message(
    data: Mapping[str, Any],
    *,
    bot_id: str,
    name_of: NameOf,
    guild: str = "",
    roles: frozenset[str] = frozenset(),
    zone: tzinfo = UTC,
) -> DiscordMessage:
    """A `DiscordMessage` out of a message's JSON; `guild` is used where it says none (REST does not).

    `bot_id` and `roles` are ourselves and the roles that Discord made for us; times are in `zone`. Raises KeyError,
    TypeError, ValueError or AttributeError where it is no message at all: the caller passes over it.
    """
    author, member = data["author"], data.get("member") or {}
    raw, reference = data.get("content") or "", data.get("message_reference") or {}
    plain = _reader(data, name_of, zone)
    files = [*(data.get("attachments") or ()), *(f for each in snapshots(data) for f in objects(each, "attachments"))]
    return DiscordMessage(
        id=str(int(data["id"])),
        channel=str(data["channel_id"]),
        author=str(author["id"]),
        guild=str(data.get("guild_id") or guild),
        name=display_name(author, member),
        text=plain(raw),
        words=plain(without_mention(raw, bot_id, roles)),
        # Ours are read as they were written: their buttons are no words.
        beside=beside(data, plain, source=_source(reference, name_of)) if str(author["id"]) != bot_id else "",
        kind=int(data.get("type") or 0),
        bot=bool(author.get("bot") or author.get("system") or data.get("webhook_id")),
        guest=bool((member.get("flags") or 0) & _IS_GUEST),
        reply_to="" if reference.get("type") == FORWARD else str(reference.get("message_id") or ""),
        mentions=_mentioned(data, raw) | frozenset(str(role) for role in data.get("mention_roles") or ()),
        roles=frozenset(str(role) for role in member.get("roles") or ()),
        attachments=tuple(read_attachment(item) for item in files),
    )


def _reader(data: Mapping[str, Any], name_of: NameOf, zone: tzinfo) -> Callable[[str], str]:
    """What makes the texts in a message readable: it names the people that they mention itself."""
    names = {name: known for each in snapshots(data) for name, known in _names(objects(each, "mentions")).items()}
    names |= _names(data.get("mentions") or ())

    def named(sign: str, target: str) -> str:
        return names.get(target, "") if sign == "@" else name_of(sign, target)

    return lambda text: readable(text, named, zone)


def _mentioned(data: Mapping[str, Any], raw: str) -> frozenset[str]:
    """Whom a message mentions; only a server that leaves the list out makes us look for ourselves in the text."""
    people = data.get("mentions")
    return frozenset(mentioned_in(raw) if people is None else _names(people))


def _source(reference: Mapping[str, Any], name_of: NameOf) -> str:
    """The channel that a forward comes from, where its name is known."""
    channel = reference.get("channel_id") if reference.get("type") == FORWARD else None
    name = name_of("#", str(channel)) if channel else ""
    return f"#{name}" if name else ""


def _names(people: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The display names of users that a message mentions, by id."""
    return {str(user["id"]): display_name(user, user.get("member") or {}) for user in people}


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
