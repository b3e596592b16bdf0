"""Answers of the Web API parsed at once, into frozen values. Pure; a field of the wrong type reads as empty.

Methods: https://docs.slack.dev/reference/methods
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from adapters.shared.attachments import UNAVAILABLE, Attachment
from adapters.shared.json_fields import Json, as_object, list_field, object_field, string_field
from adapters.slack.events.content import file_text, parse_file
from adapters.slack.events.parse import Identity, SlackMessage, parse_message


def parse_identity(data: Json) -> Identity:
    """The answer of auth.test."""
    return Identity(
        team=string_field(data, "team_id"),
        user=string_field(data, "user_id"),
        bot=string_field(data, "bot_id"),
        enterprise=string_field(data, "enterprise_id"),
    )


@dataclass(frozen=True, slots=True)
class MessagePage:
    """One page of conversations.history or conversations.replies; `cursor` is empty on the last page."""

    messages: tuple[SlackMessage, ...]
    has_more: bool
    cursor: str
    is_valid: bool  # whether the answer had a list of messages at all


def parse_message_page(data: Json, me: Identity) -> MessagePage:
    """A page of a conversation, without its entries without words."""
    entries = [each for each in list_field(data, "messages") if isinstance(each, dict)]
    return MessagePage(
        messages=tuple(message for each in entries if (message := parse_message(each, me)) is not None),
        has_more=data.get("has_more") is True,
        cursor=string_field(object_field(data, "response_metadata"), "next_cursor"),
        is_valid=isinstance(data.get("messages"), list),
    )


@dataclass(frozen=True, slots=True)
class SlackUser:
    """A user object (https://docs.slack.dev/reference/objects/user-object), as far as we use it.

    `teams` are the ids of the user's teams and enterprise; empty if unknown. `admin` means an admin or an owner of the
    workspace. The journal stores these fields by name.
    """

    id: str
    name: str
    guest: bool = False
    bot: bool = False
    stranger: bool = False
    teams: frozenset[str] = frozenset()
    admin: bool = False


def parse_user(data: Json, id_: str) -> SlackUser:
    """The answer of users.info. A missing field counts in the user's favour."""
    user = object_field(data, "user")
    profile, enterprise = object_field(user, "profile"), object_field(user, "enterprise_user")
    teams = [string_field(user, "team_id"), string_field(enterprise, "enterprise_id"), *list_field(enterprise, "teams")]
    return SlackUser(
        id=id_,
        name=(
            string_field(profile, "display_name")
            or string_field(user, "real_name")
            or string_field(profile, "real_name")
            or string_field(user, "name")
            or id_
        ),
        guest=user.get("is_restricted") is True or user.get("is_ultra_restricted") is True,
        bot=user.get("is_bot") is True,
        stranger=user.get("is_stranger") is True,
        teams=frozenset(team for team in teams if isinstance(team, str) and team),
        admin=any(user.get(field) is True for field in ("is_admin", "is_owner", "is_primary_owner")),
    )


@dataclass(frozen=True, slots=True)
class ResolvedFile:
    """A looked-up attachment: the files in its place, and its text beside their contents, in Slack's format."""

    files: tuple[Attachment, ...]
    extra_text: str = ""


def parse_file_info(data: Json) -> ResolvedFile:
    """The answer of files.info. A file still without an address is unavailable."""
    file = object_field(data, "file")
    found = [replace(f, lookup="", why=f.why or UNAVAILABLE) if f.lookup else f for f in parse_file(file)]
    return ResolvedFile(tuple(found), file_text(file))


def parse_share(data: Json, channel: str, thread: str) -> str | None:
    """The ts of the message with a file in a conversation, from files.info or files.completeUploadExternal."""
    files = [as_object(data.get("file")), *map(as_object, list_field(data, "files"))]
    return next((ts for file in files if (ts := share_of(file, channel, thread))), None)


def share_of(file: Json, channel: str, thread: str) -> str | None:
    """The same from a file object: `shares`, by kind of channel and channel.

    https://docs.slack.dev/reference/objects/file-object
    """
    for kind in ("public", "private"):
        for share in map(as_object, list_field(object_field(object_field(file, "shares"), kind), channel)):
            if (ts := string_field(share, "ts")) and string_field(share, "thread_ts") in ("", thread):
                return ts
    return None


def parse_channel_name(data: Json) -> str:
    """The name in an answer of conversations.info; empty if it has none."""
    return string_field(object_field(data, "channel"), "name").strip()


def parse_user_groups(data: Json) -> dict[str, str]:
    """Handles of user groups by id (https://docs.slack.dev/reference/methods/usergroups.list)."""
    groups = [as_object(each) for each in list_field(data, "usergroups")]
    handles = {
        string_field(each, "id").strip(): string_field(each, "handle").strip() or string_field(each, "name").strip()
        for each in groups
    }
    handles.pop("", None)
    return handles
