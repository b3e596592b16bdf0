"""Slack's JSON parsed once, into frozen events and messages. Pure; a field of the wrong type reads as empty.

https://docs.slack.dev/reference/events/message
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.shared.attachments import Attachment
from adapters.shared.json_fields import Json, list_field, object_field, string_field
from adapters.slack.events.content import extra_text, parse_files
from adapters.slack.events.own_answer import own_answer

# Event type of our messages' metadata; the payload holds the key of the post.
METADATA_TYPE = "tickertape_turn"

# Subtypes of messages by people or apps; all others are Slack's own reports (a join, a new topic) or envelopes of a
# change. https://docs.slack.dev/reference/events/message#subtypes
MESSAGE_SUBTYPES = frozenset({"", "file_share", "thread_broadcast", "me_message", "bot_message"})

# Objects in the events of direct messages from the agent view (`comes_from_agent_view`).
AGENT_VIEW_FIELDS = ("app_context", "assistant_thread")

# Reactions meaning "stop", by Slack's names: only signs without another meaning beside a growing answer. A raised hand
# greets as often as it stops, so it is missing. The second line has names of other servers, and Slack's synonyms.
STOP_REACTIONS = frozenset(
    """octagonal_sign no_entry no_entry_sign x negative_squared_cross_mark black_square_for_stop
    stop_sign stop_button stop cross_mark""".split()  # noqa: SIM905 (a list of words)
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The bot's ids in the workspace, from auth.test. `enterprise` is empty outside an Enterprise organisation."""

    team: str
    user: str
    bot: str = ""
    enterprise: str = ""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of ours in a message."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """One message, from an event or a page of history.

    `ts` is its id and time, `thread` its thread's id (empty outside one). `text` has Slack's own format, or markdown in
    our own messages. `name` is set for bots and strangers only; `key` is the key of one of our posts. `team` is the
    author's own, as far as Slack names it.
    """

    ts: str
    user: str
    text: str
    thread: str = ""
    name: str = ""
    ours: bool = False
    bot: bool = False
    key: str = ""
    extra_text: str = ""  # content beside the text, in the same format (`adapters.slack.events.content`); not of ours
    files: tuple[Attachment, ...] = ()  # not ours
    uploads: tuple[UploadedFile, ...] = ()  # ours
    team: str = ""

    @property
    def shown(self) -> str:
        """The whole visible content except files, in Slack's format."""
        return "\n".join(filter(None, (self.text, self.extra_text)))


# ------------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class MessagePosted:
    """A new message, ours included.

    A mention arrives twice, as an ``app_mention`` event and as a plain message; the plain one may carry more.
    """

    channel: str
    message: SlackMessage
    channel_type: str  # "im", "mpim", "channel" or "group"
    teams: frozenset[str] = frozenset()  # the author's organisations, as far as the event names them
    parent: str = ""  # author of the thread's first message, if the event names one
    is_mention_event: bool = False
    in_agent_view: bool = False


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """A message was edited, or gained a preview.

    `is_reworded`: its text differs from the version before; None if Slack does not send that version, whose files may
    also differ. `edited` is the ts of the edit, empty for other changes. `channel_type`, `teams` and `parent` are those
    of `MessagePosted`.
    """

    channel: str
    message: SlackMessage
    is_reworded: bool | None = None
    has_other_files: bool = False
    edited: str = ""
    channel_type: str = ""
    teams: frozenset[str] = frozenset()
    parent: str = ""


@dataclass(frozen=True, slots=True)
class MessageDeleted:
    """A message was deleted; `thread` is its thread's id, empty outside one."""

    channel: str
    ts: str
    thread: str = ""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """User `by` asks to stop an answer.

    `messages` are candidates: questions or messages of answers. `thread` names a whole thread, otherwise None.
    """

    channel: str
    by: str
    messages: tuple[str, ...] = ()
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelNotice:
    """A message event without words (a join, a new topic): proof of a subscription to the channel's messages."""

    channel: str


Event = MessagePosted | MessageChanged | MessageDeleted | StopRequested | ChannelNotice


def parse_event(event: Json, me: Identity) -> Event | None:
    """The event of an Events API payload; None for kinds we do not use."""
    match string_field(event, "type"):
        case "message" | "app_mention":
            return _parse_message_event(event, me)
        case "reaction_added":
            return _parse_reaction(event, me)
        case "agent_session_stopped":
            return _parse_session_stop(event, me)
    return None


def changes_nothing(event: Event | None) -> bool:
    """Whether an event asks for nothing, in any state: a kind we do not use, or an edit of our own message.

    Our own record of a message is never older than Slack's event.
    """
    return event is None or (isinstance(event, MessageChanged) and event.message.ours)


def _parse_message_event(event: Json, me: Identity) -> Event | None:
    channel, is_mention = string_field(event, "channel"), string_field(event, "type") == "app_mention"
    if not channel:
        return None
    if not is_mention:
        match string_field(event, "subtype"):
            case "message_deleted":
                return _parse_deletion(event, channel)
            case "message_changed":
                return _parse_change(event, channel, me)
    message = parse_message(event, me)
    if message is None:
        return None if is_mention else ChannelNotice(channel)
    return MessagePosted(
        channel=channel,
        message=message,
        channel_type=_channel_type(event, channel),
        teams=_teams(event),
        parent=string_field(event, "parent_user_id"),
        is_mention_event=is_mention,
        in_agent_view=comes_from_agent_view(event),
    )


def _parse_deletion(event: Json, channel: str) -> Event:
    """https://docs.slack.dev/reference/events/message/message_deleted."""
    previous = object_field(event, "previous_message")
    ts = string_field(event, "deleted_ts") or string_field(previous, "ts")
    return MessageDeleted(channel, ts, string_field(previous, "thread_ts")) if ts else ChannelNotice(channel)


def _parse_change(event: Json, channel: str, me: Identity) -> Event:
    """An edit; or a tombstone, Slack's form of deleting the first message of a thread with replies.

    https://github.com/slack-edge/slack-edge/pull/10
    """
    changed = object_field(event, "message")
    if string_field(changed, "subtype") == "tombstone" and (ts := string_field(changed, "ts")):
        return MessageDeleted(channel, ts, ts)
    message = parse_message(changed, me)
    if message is None:
        return ChannelNotice(channel)
    previous = object_field(event, "previous_message")
    return MessageChanged(
        channel=channel,
        message=message,
        is_reworded=string_field(previous, "text") != string_field(changed, "text") if previous else None,
        has_other_files=bool(previous) and _file_ids(previous) != _file_ids(changed),
        edited=string_field(object_field(changed, "edited"), "ts"),
        channel_type=_channel_type(event, channel),
        teams=_teams(changed),
        parent=string_field(changed, "parent_user_id"),
    )


def comes_from_agent_view(event: Json) -> bool:
    """Whether a direct message was written in the agent view, or in its predecessor, the assistant's panel.

    There Slack adds the things open beside the conversation, perhaps none. Each message outside a thread is the first
    of its own: https://docs.slack.dev/ai/migrating-to-agent-messaging.
    """
    return any(isinstance(event.get(name), dict) for name in AGENT_VIEW_FIELDS)


def _channel_type(event: Json, channel: str) -> str:
    """app_mention events carry no channel_type; ids of direct messages begin with a D."""
    return string_field(event, "channel_type") or ("im" if channel.startswith("D") else "channel")


def _teams(message: Json) -> frozenset[str]:
    """`user_team` and `source_team` come with messages of Slack Connect channels."""
    return frozenset(filter(None, (string_field(message, name) for name in ("team", "user_team", "source_team"))))


def _team(message: Json) -> str:
    """In Slack Connect channels, `team` may be the receiving workspace's; the other two are the author's."""
    return next(filter(None, (string_field(message, name) for name in ("user_team", "source_team", "team"))), "")


def _file_ids(message: Json) -> list[str]:
    return [string_field(file, "id") for file in list_field(message, "files") if isinstance(file, dict)]


def _parse_reaction(event: Json, me: Identity) -> StopRequested | None:
    """https://docs.slack.dev/reference/events/reaction_added; a name may end in a skin tone."""
    by, item = string_field(event, "user"), object_field(event, "item")
    channel, ts = string_field(item, "channel"), string_field(item, "ts")
    name = string_field(event, "reaction").partition("::")[0]
    is_message = string_field(item, "type") in ("message", "")
    if by in ("", me.user) or name not in STOP_REACTIONS or not (is_message and channel and ts):
        return None
    return StopRequested(channel, by, messages=(ts,))


def _parse_session_stop(event: Json, me: Identity) -> StopRequested | None:
    """https://docs.slack.dev/reference/events/agent_session_stopped; in a direct message, the thread is the question.

    Slack lists streaming messages it has stopped itself; edited answers are never among them.
    """
    by, channel = string_field(event, "user"), string_field(event, "channel")
    if by in ("", me.user) or not channel:
        return None
    thread = string_field(event, "thread_ts")
    streaming = [ts for ts in list_field(event, "streaming_message_ts") if isinstance(ts, str)]
    return StopRequested(channel, by, messages=tuple(filter(None, (thread, *streaming))), thread=thread)


# ----------------------------------------------------------------------------------------------------------- messages


def parse_message(message: Json, me: Identity) -> SlackMessage | None:
    """A message object as a value; None if it has no words (a join, an envelope, a deleted root)."""
    ts, user, bot = string_field(message, "ts"), string_field(message, "user"), string_field(message, "bot_id")
    if not ts or message.get("hidden") is True or string_field(message, "subtype") not in MESSAGE_SUBTYPES:
        return None
    ours = (me.user != "" and user == me.user) or (me.bot != "" and bot == me.bot)
    plain = ours or is_plain(message)
    return SlackMessage(
        ts=ts,
        user=user or bot,
        text=own_answer(message) if ours else string_field(message, "text"),
        thread=string_field(message, "thread_ts"),
        name="" if ours else _author_name(message),
        ours=ours,
        bot=_is_by_app(message),
        key=_post_key(message),
        extra_text="" if plain else extra_text(message),
        files=() if plain else parse_files(message),
        uploads=_uploads(message) if ours else (),
        team="" if ours else _team(message),
    )


def is_plain(message: Json) -> bool:
    """Whether the text says it all: no files, no attachments, and only blocks repeating the text.

    Most messages are plain, so their content needs no further reading.
    """
    if message.get("files") or message.get("attachments"):
        return False
    blocks = [block for block in list_field(message, "blocks") if isinstance(block, dict)]
    if not blocks:
        return True
    has_text = bool(string_field(message, "text").strip())
    return has_text and not _is_by_app(message) and all(block.get("type") == "rich_text" for block in blocks)


def _is_by_app(message: Json) -> bool:
    return bool(string_field(message, "bot_id")) or "bot_profile" in message or message.get("subtype") == "bot_message"


def _post_key(message: Json) -> str:
    metadata = object_field(message, "metadata")
    if metadata.get("event_type") != METADATA_TYPE:
        return ""
    return string_field(object_field(metadata, "event_payload"), "key")


def _uploads(message: Json) -> tuple[UploadedFile, ...]:
    files = [file for file in list_field(message, "files") if isinstance(file, dict)]
    return tuple(
        UploadedFile(string_field(file, "id"), string_field(file, "name") or string_field(file, "title"))
        for file in files
    )


def _author_name(message: Json) -> str:
    profile, bot = object_field(message, "user_profile"), object_field(message, "bot_profile")
    return (
        string_field(profile, "display_name")
        or string_field(profile, "real_name")
        or string_field(message, "username")
        or string_field(bot, "name")
    )


# --------------------------------------------------------------------------------------------------------- timestamps


def order(ts: str) -> tuple[int, int]:
    """A sort key for `ts` values, in seconds and microseconds; a malformed one sorts first."""
    seconds, _, rest = ts.partition(".")
    if not (seconds.isdecimal() and (rest.isdecimal() or not rest)):
        return (0, 0)
    return (int(seconds), int(rest.ljust(6, "0")))


def micros(ts: str) -> int:
    """A `ts` in microseconds, its unit; 0 if malformed."""
    seconds, rest = order(ts)
    return seconds * 1_000_000 + rest


def stamp(time: int) -> str:
    """The `ts` of a time in microseconds."""
    return f"{time // 1_000_000}.{time % 1_000_000:06d}"
