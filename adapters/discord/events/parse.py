"""Gateway and REST JSON into frozen event objects. Pure: no JSON leaves this package.

Fields: https://docs.discord.com/developers/resources/message#message-object and
https://docs.discord.com/developers/events/gateway-events. Every function raises one of `PARSE_ERRORS` for JSON of
another shape; callers skip the event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import Any, Protocol

from adapters.discord.events.commands import CommandUsed, CompletionRequested, parse_command_event
from adapters.discord.events.content import FIELDS, FORWARD, extra_text, snapshots
from adapters.discord.events.interactions import InteractionEvent, parse_interaction_event
from adapters.discord.events.message import (
    GUEST,
    THREAD_STARTER,
    BotIdentity,
    ChannelInfo,
    DiscordMessage,
    display_name,
)
from adapters.shared.attachments import Attachment
from adapters.shared.context_labels import format_time
from adapters.shared.json_fields import object_at, objects_at, string_at

PARSE_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError)

# The name of a user, role or channel, by sign (``@``, ``@&`` or ``#``) and id; empty if unknown.
NameOf = Callable[[str, str], str]

# The first millisecond of 2015, in Unix milliseconds: ids count from it.
_DISCORD_EPOCH = 1_420_070_400_000


# ------------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class MessagePosted:
    """A new message. `source` is its JSON, for `events.codec` only."""

    message: DiscordMessage
    channel: ChannelInfo
    bot: BotIdentity  # in the message's guild
    source: Mapping[str, Any] = field(repr=False)
    replied_to: DiscordMessage | None = None  # the event contains it for most replies


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """An edit by others, or a link preview added by Discord. Fields missing from the event are None.

    `revised` is the message if its words were edited, now or earlier; with an empty author if the event names none.
    """

    channel: str
    id: str
    bot_id: str
    text: str | None = None
    extra_text: str | None = None
    attachments: tuple[Attachment, ...] | None = None
    revised: MessageRevised | None = None


@dataclass(frozen=True, slots=True)
class MessageRevised:
    """A message whose words were edited at `at`, in Unix seconds, `age` seconds after its post."""

    posted: MessagePosted
    at: float
    age: float


@dataclass(frozen=True, slots=True)
class MessageDeleted:
    """One deleted message; a bulk deletion gives one event per message. `guild` is empty in a DM or if unknown."""

    channel: str
    id: str
    guild: str = ""


Event = MessagePosted | MessageChanged | MessageDeleted | InteractionEvent | CommandUsed | CompletionRequested

EVENT_NAMES = ("MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE", "MESSAGE_DELETE_BULK", "INTERACTION_CREATE")


class Directory(Protocol):
    """Names and identities from guild data; each look-up returns an empty string if unknown."""

    @property
    def zone(self) -> tzinfo:
        """Time zone for timestamps in texts."""
        ...

    def identity(self, guild: str) -> BotIdentity:
        """The bot in a guild."""
        ...

    def guild_of(self, channel: str) -> str:
        """A channel's guild."""
        ...

    def channel_info(self, channel: str, guild: str) -> ChannelInfo:
        """A channel's kind and parents."""
        ...

    def name_of(self, guild: str, sign: str, target: str) -> str:
        """The name of a role (sign ``@&``) or channel (``#``)."""
        ...


def parse_event(name: str, data: Mapping[str, Any], directory: Directory) -> Sequence[Event]:
    """The events in one gateway dispatch, `name` being one of `EVENT_NAMES`."""
    match name:
        case "MESSAGE_CREATE":
            return (parse_posted(data, directory),)
        case "MESSAGE_UPDATE":
            return () if _is_own(data, directory) else (_parse_changed(data, directory),)
        case "MESSAGE_DELETE" | "MESSAGE_DELETE_BULK":
            channel = str(data["channel_id"])
            guild = str(data.get("guild_id") or directory.guild_of(channel))
            ids = data["ids"] if name == "MESSAGE_DELETE_BULK" else (data["id"],)
            return [MessageDeleted(channel, str(message), guild) for message in ids]
        case _:
            return parse_command_event(data, directory) or parse_interaction_event(data, directory)


def parse_posted(
    data: Mapping[str, Any], directory: Directory, *, channel: ChannelInfo | None = None, guild: str = ""
) -> MessagePosted:
    """A new message; `channel` and `guild` replace missing guild data."""
    message = parse_known(data, directory, guild=guild)
    replied_to = data.get("referenced_message")
    return MessagePosted(
        message,
        channel or directory.channel_info(message.channel, message.guild),
        directory.identity(message.guild),
        data,
        parse_known(replied_to, directory, guild=message.guild) if isinstance(replied_to, Mapping) else None,
    )


def _is_own(data: Mapping[str, Any], directory: Directory) -> bool:
    """Whether we wrote a message. Each of our edits returns as an event, and its text is cached already."""
    return string_at(data, "author", "id") == directory.identity("").id != ""


def _parse_changed(data: Mapping[str, Any], directory: Directory) -> MessageChanged:
    channel = str(data["channel_id"])
    guild = str(data.get("guild_id") or directory.guild_of(channel))
    names = _names_in(directory, guild)
    plain, source = _reader(data, names, directory.zone), _source(data.get("message_reference") or {}, names)
    return MessageChanged(
        channel,
        str(data["id"]),
        directory.identity("").id,
        text=plain(data["content"] or "") if "content" in data else None,
        extra_text=extra_text(data, plain, source=source) if any(name in data for name in FIELDS) else None,
        attachments=_attachments(data) if "attachments" in data else None,
        revised=_parse_revised(data, directory),
    )


def _parse_revised(data: Mapping[str, Any], directory: Directory) -> MessageRevised | None:
    """The edited message. None for an empty one: without the Message Content intent, its words are missing."""
    edited = string_at(data, "edited_timestamp")
    if not edited or not string_at(data, "content"):
        return None
    at = datetime.fromisoformat(edited).timestamp()
    created = string_at(data, "timestamp")
    posted_at = datetime.fromisoformat(created).timestamp() if created else snowflake_time(str(data["id"]))
    posted = parse_posted({"author": {"id": ""}, **data}, directory)
    return MessageRevised(posted, at, max(at - posted_at, 0.0))


def snowflake_time(id_: str) -> float:
    """When an id was made, in Unix seconds (https://docs.discord.com/developers/reference#snowflakes)."""
    return ((int(id_) >> 22) + _DISCORD_EPOCH) / 1000


# ----------------------------------------------------------------------------------------------------------- messages


def parse_page(rows: Iterable[Mapping[str, Any]], directory: Directory, *, guild: str) -> list[DiscordMessage]:
    """A page of REST messages. A thread's starter entry is replaced by the message it refers to."""
    return [parse_known(_unwrap_starter(row), directory, guild=guild) for row in rows]


def parse_known(data: Mapping[str, Any], directory: Directory, *, guild: str = "") -> DiscordMessage:
    """A message with its mentions resolved. `guild` is the fallback for REST, where messages carry no guild id."""
    guild = str(data.get("guild_id") or guild or directory.guild_of(str(data["channel_id"])))
    bot, names = directory.identity(guild), _names_in(directory, guild)
    return parse_message(data, bot_id=bot.id, name_of=names, guild=guild, roles=bot.roles, zone=directory.zone)


def parse_message(
    data: Mapping[str, Any],
    *,
    bot_id: str,
    name_of: NameOf,
    guild: str = "",
    roles: frozenset[str] = frozenset(),
    zone: tzinfo = UTC,
) -> DiscordMessage:
    """A message; only `id`, `channel_id` and `author` are required. `roles` are the bot's managed roles."""
    author, member = data["author"], data.get("member") or {}
    raw, reference = data.get("content") or "", data.get("message_reference") or {}
    plain, extra = _reader(data, name_of, zone), ""
    if str(author["id"]) != bot_id and any(data.get(name) for name in FIELDS):  # our own buttons are no text
        extra = extra_text(data, plain, source=_source(reference, name_of))
    return DiscordMessage(
        id=str(int(data["id"])),
        channel=str(data["channel_id"]),
        author=str(author["id"]),
        guild=str(data.get("guild_id") or guild),
        name=_name_of(data, author, member, bot_id),
        text=plain(raw),
        question_text=plain(without_mention(raw, bot_id, roles)),
        extra_text=extra,
        kind=int(data.get("type") or 0),
        bot=bool(author.get("bot") or author.get("system") or data.get("webhook_id")),
        guest=bool((member.get("flags") or 0) & GUEST),
        reply_to="" if reference.get("type") == FORWARD else str(reference.get("message_id") or ""),
        mentions=_mentioned(data, raw) | frozenset(str(role) for role in data.get("mention_roles") or ()),
        roles=frozenset(str(role) for role in member.get("roles") or ()),
        attachments=_attachments(data),
    )


def _name_of(data: Mapping[str, Any], author: Mapping[str, Any], member: Mapping[str, Any], bot_id: str) -> str:
    """The author's name; for our own answer to a command, that of whoever invoked it."""
    user = command_user(data) if str(author["id"]) == bot_id else {}
    return display_name(user, {}) if user else display_name(author, member)


def command_user(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The person whose command a message answers; empty for any other message."""
    return object_at(data, "interaction_metadata", "user") or object_at(data, "interaction", "user")


def _unwrap_starter(row: Mapping[str, Any]) -> Mapping[str, Any]:
    original = row.get("referenced_message")
    if row.get("type") == THREAD_STARTER and isinstance(original, dict):
        return {**original, "id": row["id"], "channel_id": row["channel_id"]}
    return row


def _names_in(directory: Directory, guild: str) -> NameOf:
    return lambda sign, target: directory.name_of(guild, sign, target)


def _reader(data: Mapping[str, Any], name_of: NameOf, zone: tzinfo) -> Callable[[str], str]:
    """`readable` with the names of the users listed in `data`."""
    forwarded = snapshots(data) if data.get("message_snapshots") else ()
    names = _user_names(user for each in forwarded for user in objects_at(each, "mentions"))
    names |= _user_names(data.get("mentions") or ())  # last: only these have nicknames

    def named(sign: str, target: str) -> str:
        return names.get(target, "") if sign == "@" else name_of(sign, target)

    return lambda text: readable(text, named, zone)


def _mentioned(data: Mapping[str, Any], raw: str) -> frozenset[str]:
    """Ids of mentioned users. Some servers leave out the list; then the text is searched."""
    users = data.get("mentions")
    if users is None:
        return frozenset(mark["id"] for mark in _MARK.finditer(raw) if mark["sign"] in ("@", "@!"))
    return frozenset(_user_names(users))


def _source(reference: Mapping[str, Any], name_of: NameOf) -> str:
    """The channel of a forwarded message, if its name is known."""
    channel = reference.get("channel_id") if reference.get("type") == FORWARD else None
    name = name_of("#", str(channel)) if channel else ""
    return f"#{name}" if name else ""


def _user_names(users: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {str(user["id"]): display_name(user, user.get("member") or {}) for user in users}


def _attachments(data: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """The files of a message and of its forwards."""
    files = [*(data.get("attachments") or ())]
    if data.get("message_snapshots"):
        files += [file for each in snapshots(data) for file in objects_at(each, "attachments")]
    return tuple(_attachment(file) for file in files)


def _attachment(data: Mapping[str, Any]) -> Attachment:
    """https://docs.discord.com/developers/resources/message#attachment-object."""
    return Attachment(
        name=str(data.get("filename") or "file"),
        url=str(data.get("url") or ""),
        media_type=str(data.get("content_type") or ""),
        size=int(data.get("size") or 0),
        width=int(data.get("width") or 0),
        height=int(data.get("height") or 0),
    )


# --------------------------------------------------------------------------------------------------------------- text

# https://docs.discord.com/developers/reference#message-formatting
_MARK = re.compile(
    r"(?P<code>```.*?```|``.+?``|`[^`\n]+`)"  # code is shown unchanged
    r"|<(?P<sign>@!?|@&|#)(?P<id>\d+)>"
    r"|<t:(?P<time>-?\d{1,17})(?::(?P<style>[a-zA-Z]))?>"
    r"|</(?P<command>[^<>:\n]{1,100}):\d+>"
    r"|<a?(?P<emoji>:\w+:)\d+>"
    r"|<id:(?P<page>[a-z\-]+)(?::\d+)?>"
    r"|<(?P<link>(?:https?://|mailto:|tel:|sms:)[^\s<>]+)>",
    re.DOTALL,
)

# Discord's placeholders for unknown or invisible targets, by sign.
_UNKNOWN = MappingProxyType({"@": "@unknown-user", "@&": "@unknown-role", "#": "#unknown"})

# Discord's names for a guild's own pages.
_PAGES = MappingProxyType(
    {
        "customize": "Channels & Roles",
        "browse": "Browse Channels",
        "guide": "Server Guide",
        "home": "Server Guide",
        "linked-roles": "Linked Roles",
    }
)

# Time formats by style. A relative time ("in two hours") would be wrong for a later reader.
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
    """`raw` as Discord displays it: mentions, times, commands and emoji as text. Code is unchanged."""

    def text_of(mark: re.Match[str]) -> str:
        if mark["sign"]:
            sign = mark["sign"].removesuffix("!")
            known = named(sign, mark["id"])
            return f"{sign[0]}{known}" if known else _UNKNOWN[sign]
        if mark["time"]:
            return format_time(int(mark["time"]), zone, _STYLES.get(mark["style"], _FULL)) or "Invalid Date"
        if mark["command"]:
            return f"/{mark['command']}"
        if mark["page"]:
            return _PAGES.get(mark["page"], mark[0])
        return mark["code"] or mark["emoji"] or mark["link"].removeprefix("mailto:").removeprefix("tel:")

    return _MARK.sub(text_of, raw).strip()


def without_mention(raw: str, user: str, roles: frozenset[str] = frozenset()) -> str:
    """`raw` without mentions of `user` or `roles` at either end. Inside a sentence they stay."""
    targets = [rf"<@!?{re.escape(user)}>", *(f"<@&{re.escape(role)}>" for role in sorted(roles))]
    mention = f"(?:{'|'.join(targets)})"
    text = re.sub(rf"^(?:\s*{mention})+[\s,:]*", "", raw)
    return re.sub(rf"(?:\s*{mention})+\s*$", "", text).strip()
