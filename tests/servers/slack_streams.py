"""Native streams of the loopback Slack: chat.startStream, chat.appendStream and chat.stopStream.

What belongs here: the three methods with their rules, the states of a stream, and commands for tests. What does not:
counting calls and reading threads (`tests.servers.slack`).

Sources: https://docs.slack.dev/reference/methods/chat.startStream and its neighbours; the cap of one message
https://github.com/CopilotKit/CopilotKit/issues/6063; the life of a stream
https://github.com/slackapi/python-slack-sdk/issues/1859.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Protocol

from tests.servers.slack_blocks import Refused
from tests.servers.slack_world import World

Json = dict[str, Any]

START, APPEND, STOP = "chat.startStream", "chat.appendStream", "chat.stopStream"
METHODS: Final = frozenset({START, APPEND, STOP})
# Calls in any minute and workspace: Slack's tiers 2, 4 and 2.
STREAM_TIERS: Final[Mapping[str, int]] = {START: 20, APPEND: 100, STOP: 20}

LIFE_SECONDS: Final = 300.0  # from the start, even of a stream in use
MARKDOWN_CHARACTERS: Final = 12_000  # of one call
# UTF-8 bytes of one message; reports say 10,600 to 11,300.
MESSAGE_BYTES: Final = 10_600
STOP_BLOCKS: Final = 50
STATUSES: Final = frozenset({"active", "processing", "suspended", "closed"})


class State(Enum):
    """What a stream has come to."""

    OPEN = auto()
    STOPPED = auto()  # by the app
    STOPPED_BY_USER = auto()
    ENDED = auto()  # by Slack: too old, or on command; a broken sign of progress stays until an edit


@dataclass(slots=True)
class Stream:
    """One streamed message."""

    channel: str
    ts: str
    thread: str
    recipient: str
    began_at: float
    text: str = ""
    state: State = State.OPEN
    weight: int = 0
    mode: str = ""  # the argument of its text
    is_full: bool = False
    is_edited: bool = False
    blocks: list[Json] = field(default_factory=list)  # of its stop
    calls: list[str] = field(default_factory=list)  # methods that were applied


class Host(Protocol):
    """The server around the streams."""

    world: World
    echoes: bool

    def event(self, event: Json, **outer: Any) -> None:
        """Send an event."""

    def writable(self, arguments: Json) -> str:
        """The channel of a call, or a refusal."""

    def wrote(self, method: str, channel: str, message: Json) -> None:
        """Record a write."""

    def check_blocks(self, blocks: list[Json]) -> None:
        """Refuse blocks of a message."""

    def tell_change(self, channel: str, message: Json, before: Json) -> None:
        """Send the event of a changed message."""


class Streams:
    """All streams of a workspace. Time is the event loop's, and passes on command too."""

    def __init__(self, host: Host) -> None:
        self.life_seconds = LIFE_SECONDS
        self.message_bytes = MESSAGE_BYTES
        # Kinds of channels in which a start names its reader. The documentation asks for it outside direct messages,
        # Slack also inside.
        self.recipients_in = {"channel", "group", "mpim", "im"}
        self.limited_as = ""  # error of a call over a limit, with status 200: rate_limited, ratelimited
        self.drops_leading_whitespace = False  # of each chunk
        self.repeats_text = False  # an edit with blocks stands below the streamed text
        self.ends_after: int | None = None  # appends of a stream, after which Slack ends it
        self._streams: dict[tuple[str, str], Stream] = {}  # by channel and ts
        self.most_open = 0
        self._host = host
        self._refusals: list[tuple[str, str, frozenset[str]]] = []  # error, where or to whom, methods

    # -------------------------------------------------------------------------------------------------------- commands

    def refuse(self, error: str, where: str = "", *methods: str) -> None:
        """Refuse streams from now on, by default their starts; `where`: a channel, a kind of channels, or a person."""
        self._refusals.append((error, where, frozenset(methods) or frozenset({START})))

    def allow(self) -> None:
        """Refuse none."""
        self._refusals.clear()

    def pass_time(self, seconds: float) -> None:
        """Let all streams grow older."""
        for stream in self.all:
            stream.began_at -= seconds

    def end(self, channel: str, ts: str) -> None:
        """Slack ends an open stream."""
        stream = self._of(channel, ts)
        assert stream is not None
        stream.state = State.ENDED
        self._finish(stream)

    def stopped_by(self, channel: str, thread: str) -> list[str]:
        """Somebody presses Slack's stop button of a thread; returns the streams that it ends."""
        found = [each for each in self.open if (each.channel, each.thread) == (channel, thread)]
        for stream in found:
            stream.state = State.STOPPED_BY_USER
            self._finish(stream)
        return [each.ts for each in found]

    @property
    def all(self) -> list[Stream]:
        """Every stream, in the order of their starts."""
        return list(self._streams.values())

    @property
    def open(self) -> list[Stream]:
        """Streams that take text, whose message is still there."""
        return [each for each in self.all if self._state(each) is State.OPEN and self._message(each) is not None]

    @property
    def spinners(self) -> list[Stream]:
        """Messages with a sign of progress: streams, and those that Slack ended and nobody has edited since."""
        signs = (State.OPEN, State.ENDED)
        shown = [each for each in self.all if self._state(each) in signs and not each.is_edited]
        return [each for each in shown if self._message(each) is not None]

    def shown(self, channel: str, message: Json) -> str | None:
        """What a reader sees of a streamed message; None for others, and for edited ones."""
        stream = self._of(channel, str(message["ts"]))
        if stream is None or (stream.is_edited and not self.repeats_text):
            return None
        below = _markdown(message["blocks"] if stream.is_edited else stream.blocks)
        if stream.is_edited and not message["blocks"]:
            return None
        return "\n\n".join(filter(None, (stream.text, below)))

    # ------------------------------------------------------------------------------------------------- edits, deletions

    def check_edit(self, channel: str, ts: str) -> None:
        """Refuse an edit of a message that is streaming."""
        stream = self._of(channel, ts)
        if stream is not None and self._state(stream) is State.OPEN:
            raise Refused("streaming_state_conflict")

    def check_deletion(self, channel: str, ts: str) -> None:
        """Refuse to delete a message that is streaming."""
        stream = self._of(channel, ts)
        if stream is not None and self._state(stream) is State.OPEN:
            raise Refused("cant_delete_message")

    def edited(self, channel: str, message: Json) -> None:
        """A message has been edited; with `repeats_text`, blocks do not replace the streamed ones."""
        stream = self._of(channel, str(message["ts"]))
        if stream is None:
            return
        stream.is_edited = True
        if self.repeats_text and message["blocks"]:
            message["blocks"] = [_rich_text(stream), *message["blocks"]]

    # --------------------------------------------------------------------------------------------------------- methods

    @property
    def methods(self) -> Mapping[str, Callable[[Json], Awaitable[Json]]]:
        """The handlers, by the names of their methods."""
        return {START: self._start, APPEND: self._append, STOP: self._stop}

    async def _start(self, arguments: Json) -> Json:
        channel = self._allowed(START, arguments)
        thread = str(arguments.get("thread_ts") or "")
        root = self._host.world.messages[channel].get(thread)
        if root is None or root.get("thread_ts", thread) != thread:
            raise Refused("invalid_thread_ts")
        recipient = self._recipient(channel, arguments)
        now = asyncio.get_running_loop().time()
        stream = Stream(channel, "", thread, recipient, now)
        pieces = self._weighed(stream, arguments, START)
        world = self._host.world
        ours = {"user": world.bot_user, "bot_id": world.bot_id, "app_id": "A1", "thread_ts": thread, "text": ""}
        message = world.put(channel, {**ours, "streaming_state": "in_progress"})
        stream.ts = str(message["ts"])
        self._streams[channel, stream.ts] = stream
        if self._host.echoes:
            self._host.event({**message, "channel": channel, "channel_type": world.channels[channel]})
        self._take(stream, pieces, START)
        self.most_open = max(self.most_open, len(self.open))
        return {"channel": channel, "ts": stream.ts}

    async def _append(self, arguments: Json) -> Json:
        stream = self._streaming(self._allowed(APPEND, arguments), arguments, APPEND)
        pieces = self._weighed(stream, arguments, APPEND)
        if not any(pieces):
            raise Refused("no_text")
        self._take(stream, pieces, APPEND)
        if self.ends_after is not None and stream.calls.count(APPEND) >= self.ends_after:
            self.end(stream.channel, stream.ts)
        return {"channel": stream.channel, "ts": stream.ts}

    async def _stop(self, arguments: Json) -> Json:
        stream = self._streaming(self._allowed(STOP, arguments), arguments, STOP)
        if str(arguments.get("session_status") or "active") not in STATUSES:
            raise Refused("invalid_arguments")
        blocks = arguments.get("blocks") or []
        if len(blocks) > STOP_BLOCKS:
            raise Refused("msg_blocks_too_many")
        self._host.check_blocks(blocks)
        pieces = self._weighed(stream, arguments, STOP)
        stream.blocks, stream.state = blocks, State.STOPPED
        message = self._message(stream)
        assert message is not None
        if arguments.get("metadata"):
            message["metadata"] = arguments["metadata"]
        self._finish(stream, pieces)
        return {"channel": stream.channel, "ts": stream.ts, "message": message}

    # ----------------------------------------------------------------------------------------------------------- rules

    def _allowed(self, method: str, arguments: Json) -> str:
        kind = self._host.world.channels.get(str(arguments.get("channel", "")), "")
        for error, where, methods in self._refusals:
            if method in methods and where in ("", kind, arguments.get("channel"), arguments.get("recipient_user_id")):
                raise Refused(error)
        return self._host.writable(arguments)

    def _recipient(self, channel: str, arguments: Json) -> str:
        user, team = (str(arguments.get(f"recipient_{name}_id") or "") for name in ("user", "team"))
        world = self._host.world
        if world.channels[channel] in self.recipients_in:
            if not user:
                raise Refused("missing_recipient_user_id")
            if not team:
                raise Refused("missing_recipient_team_id")
        if user and user not in world.users:
            raise Refused("user_not_found")
        if team and team not in (world.team, world.users.get(user, {}).get("team_id")):
            raise Refused("team_not_found")
        return user

    def _streaming(self, channel: str, arguments: Json, method: str) -> Stream:
        ts = str(arguments.get("ts", ""))
        message, stream = self._host.world.messages[channel].get(ts), self._of(channel, ts)
        if message is None:
            raise Refused("message_not_found")
        if message.get("user") != self._host.world.bot_user:
            raise Refused("message_not_owned_by_app")
        state = self._state(stream) if stream is not None else State.STOPPED
        if state is State.STOPPED_BY_USER and method == APPEND:
            raise Refused("stopped_by_user")
        if stream is None or state is not State.OPEN:
            raise Refused("message_not_in_streaming_state")
        return stream

    def _weighed(self, stream: Stream, arguments: Json, method: str) -> list[str]:
        """The texts of a call, once they are known to fit."""
        text, chunks = str(arguments.get("markdown_text") or ""), _chunks(arguments)
        if text and chunks:
            raise Refused("cannot_provide_both_markdown_text_and_chunks")
        mode = "chunks" if chunks else "markdown_text" if text else ""
        if mode and stream.mode and mode != stream.mode:
            raise Refused("streaming_mode_mismatch")
        pieces = [text] if text else [str(chunk["text"]) for chunk in chunks if chunk["type"] == "markdown_text"]
        added = sum(len(piece.encode()) for piece in pieces) + sum(map(_task_bytes, chunks))
        too_long = stream.weight + added > self.message_bytes or any(len(p) > MARKDOWN_CHARACTERS for p in pieces)
        if added and (stream.is_full or too_long):
            stream.is_full = stream.is_full or method != START
            raise Refused("msg_too_long")
        stream.weight, stream.mode = stream.weight + added, mode or stream.mode
        return pieces or ["" for _ in chunks]

    # ---------------------------------------------------------------------------------------------------------- states

    def _of(self, channel: str, ts: str) -> Stream | None:
        return self._streams.get((channel, ts))

    def _message(self, stream: Stream) -> Json | None:
        return self._host.world.messages[stream.channel].get(stream.ts)

    def _state(self, stream: Stream) -> State:
        if stream.state is State.OPEN and asyncio.get_running_loop().time() >= stream.began_at + self.life_seconds:
            stream.state = State.ENDED
            self._finish(stream)
        return stream.state

    def _take(self, stream: Stream, pieces: list[str], method: str) -> None:
        stream.text += "".join(piece.lstrip() if self.drops_leading_whitespace else piece for piece in pieces)
        stream.calls.append(method)
        message = self._message(stream)
        assert message is not None
        message["text"] = _mrkdwn(stream.text)
        self._host.wrote(method, stream.channel, message)

    def _finish(self, stream: Stream, pieces: list[str] | None = None) -> None:
        message = self._message(stream)
        if message is None:
            return
        before = dict(message)
        message |= {"streaming_state": "completed"}
        if pieces is not None:
            self._take(stream, pieces, STOP)
        message["blocks"] = [*([_rich_text(stream)] if stream.text else []), *stream.blocks]
        if self._host.echoes:
            self._host.tell_change(stream.channel, message, before)


def _chunks(arguments: Json) -> list[Json]:
    given = arguments.get("chunks") or []
    chunks: list[Json] = json.loads(given) if isinstance(given, str) else given
    needed = {"markdown_text": "text", "task_update": "id", "plan_update": "title", "blocks": "blocks"}
    if any(chunk.get("type") not in needed or needed[chunk["type"]] not in chunk for chunk in chunks):
        raise Refused("invalid_chunks")
    return chunks


def _task_bytes(chunk: Json) -> int:
    """The weight of a task: its details and output count twice."""
    if chunk["type"] != "task_update":
        return 0
    sizes = {name: len(str(chunk.get(name) or "").encode()) for name in ("title", "details", "output")}
    return sizes["title"] + 2 * (sizes["details"] + sizes["output"])


def _mrkdwn(text: str) -> str:
    """Streamed text as Slack gives it back: its markdown in Slack's own markup, without spaces around it."""
    told = re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r"<\2|\1>", text)
    told = re.sub(r"\*\*([^\n]+?)\*\*", r"*\1*", told)
    told = re.sub(r"(?m)^#+ ", "", told)
    return re.sub(r"(?m)^[-*] ", "• ", told).strip()


def _rich_text(stream: Stream) -> Json:
    """Streamed text as the block that Slack makes of it, simplified: one section, without styles."""
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": _mrkdwn(stream.text)}]}
    return {"type": "rich_text", "block_id": f"s{stream.ts[-6:]}", "elements": [section]}


def _markdown(blocks: list[Json]) -> str:
    return "\n\n".join(_texts(blocks))


def _texts(blocks: list[Json]) -> Iterator[str]:
    return (str(block["text"]) for block in blocks if block.get("type") == "markdown")
