"""One message as Slack tells of it, in an event or in a page of history, as a plain value. Pure.

What belongs here: which fields are read, and what is missing from them tolerated. What does not: whether a message is
for us (`asked`), and what a model is told of it (`history`).

https://docs.slack.dev/reference/events/message
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.shared.attachments import Attachment
from adapters.slack.events.content import beside
from adapters.slack.history.files import files_of
from adapters.slack.messages.blocks import own_answer

# The event type of our messages' metadata; its payload holds the key that a message was posted with.
METADATA_TYPE = "tickertape_turn"

# Messages of these subtypes are words of somebody; all others are Slack's own accounts of what happened (a join, a new
# topic), or envelopes around a change. https://docs.slack.dev/reference/events/message#subtypes
SPOKEN = frozenset({"", "file_share", "thread_broadcast", "me_message", "bot_message"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are in the workspace: what auth.test says. `enterprise` is empty outside an Enterprise organisation."""

    team: str
    user: str
    bot: str = ""
    enterprise: str = ""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of ours that a message shows."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """What somebody said.

    `ts` is the message's id and time, `thread` its thread's id (empty outside one). `text` is Slack's own format where
    somebody else speaks, and markdown where we do. `name` is only known of bots and strangers; `key` is what a message
    of ours was posted with.
    """

    ts: str
    user: str
    text: str
    thread: str = ""
    name: str = ""
    ours: bool = False
    bot: bool = False
    key: str = ""
    beside: str = ""  # what somebody else's shows beside its text, in the same format (`adapters.slack.events.content`)
    files: tuple[Attachment, ...] = ()  # somebody else's
    uploads: tuple[UploadedFile, ...] = ()  # ours

    @property
    def shown(self) -> str:
        """All that it shows but for its files, in Slack's format."""
        return "\n".join(filter(None, (self.text, self.beside)))


def parse_message(message: Mapping[str, Any], me: Identity) -> SlackMessage | None:
    """The words in a message, or None where it holds none (somebody joined, an envelope, a deleted root)."""
    ts, user, bot = string(message, "ts"), string(message, "user"), string(message, "bot_id")
    if not ts or message.get("hidden") is True or string(message, "subtype") not in SPOKEN:
        return None
    ours = is_ours(message, me)
    return SlackMessage(
        ts=ts,
        user=user or bot,
        text=own_answer(message) if ours else string(message, "text"),
        thread=string(message, "thread_ts"),
        name="" if ours else _name(message),
        ours=ours,
        bot=bool(bot) or string(message, "subtype") == "bot_message" or "bot_profile" in message,
        key=key_of(message),
        beside="" if ours else beside(message),
        files=() if ours else files_of(message),
        uploads=uploads_of(message) if ours else (),
    )


def is_ours(message: Mapping[str, Any], me: Identity) -> bool:
    """Whether we said it ourselves."""
    return (me.user != "" and message.get("user") == me.user) or (me.bot != "" and message.get("bot_id") == me.bot)


def key_of(message: Mapping[str, Any]) -> str:
    """The key that a message of ours was posted with, from its metadata."""
    metadata = mapping(message, "metadata")
    if metadata.get("event_type") != METADATA_TYPE:
        return ""
    return string(mapping(metadata, "event_payload"), "key")


def uploads_of(message: Mapping[str, Any]) -> tuple[UploadedFile, ...]:
    """The files that a message of ours shows."""
    return tuple(
        UploadedFile(string(file, "id"), string(file, "name") or string(file, "title")) for file in _files(message)
    )


def _files(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    files = message.get("files")
    return [file for file in files if isinstance(file, dict)] if isinstance(files, list) else []


def _name(message: Mapping[str, Any]) -> str:
    profile, bot = mapping(message, "user_profile"), mapping(message, "bot_profile")
    return (
        string(profile, "display_name")
        or string(profile, "real_name")
        or string(message, "username")
        or string(bot, "name")
    )


def order(ts: str) -> tuple[int, int]:
    """Something to compare times of messages by; a malformed one comes before all others."""
    seconds, _, rest = ts.partition(".")
    if not (seconds.isdecimal() and (rest.isdecimal() or not rest)):
        return (0, 0)
    return (int(seconds), int(rest.ljust(6, "0")))


def micros(ts: str) -> int:
    """A message's time in microseconds, in which `ts` counts; a malformed one is 0."""
    seconds, rest = order(ts)
    return seconds * 1_000_000 + rest


def stamp(time: int) -> str:
    """The `ts` of a time in microseconds."""
    return f"{time // 1_000_000}.{time % 1_000_000:06d}"


# ------------------------------------------------------------------------------------------------- reading the wire


def string(data: Mapping[str, Any], name: str) -> str:
    """A field that is a string; empty where it is missing or something else."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A field that is an object; empty where it is missing or something else."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}
