"""Ports of the core: a model, a channel, a platform. `bot.journal` has the journal's.

Protocols and plain values. Every adapter, in memory too, passes the contract suite of its port (``tests/contracts``).
Adapters raise `bot.errors.Failure` only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import Protocol, TypeAlias

from bot.conversation import Author, Delta, History, Part, Prompt, Turn, TurnKey
from bot.errors import StreamEnded, StreamRefused
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.interactions.values import Place
from bot.markdown import Renderer
from bot.ownership.holder import LaneHolder
from bot.rate_limits import Budget

# -------------------------------------------------------------------------------------------------------------- model


# When new text can be written at the earliest, as far as known at a time; both are times of the event loop.
NextWriteAt: TypeAlias = Callable[[float], float]


def at_once(now: float) -> float:
    """New text is taken at any time."""
    return now


class Model(Protocol):
    """A language model, or a wrapper around one."""

    def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        """Yield the answer's deltas, then its `Finish`.

        With `stream`, deltas arrive as the model sends them, or several at once before `next_write_at`. Otherwise one
        request returns the whole answer as a single `Text`. A stream that ends without a `Finish` failed. A finish
        reason before the end of the stream is `Announced` at once; text and another reason may follow. `Activity` means
        the server is working; it comes at least a few times a minute if no text does. Closing the generator closes the
        connection at once. Only connecting has a timeout here, and nothing is retried.

        Raises `RateLimited`, `ServiceError`, `OutcomeUnknown` or `ModelRejected`.
        """
        ...


# ------------------------------------------------------------------------------------------------------------ channel


class Verb(Enum):
    """Kinds of writes, as platforms count them."""

    POST = "post"
    EDIT = "edit"
    DELETE = "delete"
    START = "start"  # of a native stream, as the next two
    APPEND = "append"
    STOP = "stop"


class Controls(Flag):
    """Controls of a message. Every body lists all of its controls, since platforms replace them as a whole."""

    NONE = 0
    STOP = auto()
    RETRY = auto()  # answer again in the same messages
    FEEDBACK = auto()  # thumbs up and thumbs down


@dataclass(frozen=True, slots=True)
class Upload:
    """A posted file: `content` or, if empty, `text`. `rest` is the part of the answer in this file alone: markdown."""

    name: str
    text: str = field(repr=False)
    rest: str = field(default="", repr=False)
    content: bytes = field(default=b"", repr=False)

    @property
    def data(self) -> bytes:
        """The file's bytes; half a surrogate pair from a model becomes a question mark."""
        return self.content or self.text.encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Body:
    """One message, rendered for its platform and within its limit.

    `stable` is final, `tail` may still change. A platform that replaces text shows both; an append-only one sends the
    new part of `stable`. `files` go up with a post. No edit changes a message's files, but an edit to a body without
    files removes them, or raises `NotFound`.
    """

    stable: str
    tail: str = ""
    controls: Controls = Controls.NONE
    files: tuple[Upload, ...] = ()

    @property
    def text(self) -> str:
        """The complete visible text."""
        return self.stable + self.tail


@dataclass(frozen=True, slots=True)
class StreamCapabilities:
    """A channel's native streams: messages that grow by appends.

    `limit` is the longest text of one streamed message in the unit counted by `measure`, `seconds` its longest life.
    `always`: answers stream whatever an edited message would cost.
    """

    limit: int
    measure: Callable[[str], int]
    seconds: float
    always: bool = False


@dataclass(frozen=True, slots=True)
class ChannelCapabilities:
    """The abilities of a channel.

    `limit` is the longest text of one message in the unit counted by `measure` (UTF-16 units, characters, bytes).
    `renderer` renders markdown for it. `files` is the size of the largest upload in bytes; 0 is none, and within one
    answer it only ever drops to 0 (after a failed upload). After a `TooLarge`, later text is cut and rendered by the
    new capabilities, a few times at most.
    """

    limit: int
    measure: Callable[[str], int]
    renderer: Renderer
    replaces: bool = True  # an edit replaces the text; otherwise it can only be appended to
    controls: Controls = Controls.NONE  # those it can show
    file_controls: bool = True  # whether a message with files can show them
    files: int = 0
    edits: bool = True  # whether edits may be taken; decided once for an answer
    messages: int = 0  # most messages of one answer, the file with its rest included; 0 is no limit
    stream: StreamCapabilities | None = None  # None: no native stream can be started now


class Channel(Protocol):
    """The destination of one turn's answer: the question's thread, DM or channel.

    An adapter makes one per turn. `connection` names the bot's account on the platform (a Discord bot, a Slack
    workspace); channels with the same connection share a pacer.
    """

    @property
    def connection(self) -> str:
        """The name of the bot's account; see the class."""
        ...

    @property
    def caps(self) -> ChannelCapabilities:
        """Its current capabilities; see `ChannelCapabilities`."""
        ...

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        """All budgets spent by one such write, the narrowest first: the channel's, then the whole bot's.

        Every channel gets the same `Budget` objects. The caller asks `ready_at`, spends, and reports the response; the
        adapter only feeds them the response headers (`observe`).
        """
        ...

    async def attachments(self) -> tuple[Part, ...]:
        """The question's attachments, downloaded now: unanswered turns cost no download.

        A `Text` describes the question's surroundings: its thread's title, the message it replies to. Never fails: a
        missing attachment is an `OmittedAttachment`.
        """
        ...

    async def history(self, limit: int) -> History:
        """The newest `limit` messages before the question, oldest first.

        Waits for its own read limits. Our own answers are complete, joined if they span several messages.
        """
        ...

    async def post(self, body: Body, key: str) -> str:
        """Post a new message and return its id.

        `key` (at most 25 characters) makes the post idempotent: for a known key, the platform returns the earlier
        message, or `find` does. If `find` found none but an earlier process turns out to have posted it, `post` raises
        `OutcomeUnknown`; `find` then succeeds. The first post of a turn is a reply to the question.

        Raises `RateLimited`, `ServiceError` (`ConnectFailed` without a connection), `OutcomeUnknown`, `NotFound`,
        `Forbidden`, `InvalidRequest`. After a permanent failure of a body with files, the caller continues without
        files. If a server drops files silently, `caps` stops allowing them.
        """
        ...

    async def edit(self, message: str, body: Body) -> None:
        """Make one of our messages show `body`. Idempotent. Raises as `post` does, and `StreamOpen`."""
        ...

    async def delete(self, message: str) -> None:
        """Delete one of our messages; a missing one is no error. Raises as `post` does, except `NotFound`."""
        ...

    async def start(self, body: Body, key: str) -> str:  # noqa: ARG002 (refused here)
        """Post a message that shows `body.stable` and stays open for appends; return its id.

        Not idempotent: after an `OutcomeUnknown`, `find` looks for it. Raises as `post` does, and `StreamRefused`.
        """
        raise StreamRefused("this channel has no native streams")

    async def append(self, message: str, text: str) -> None:  # noqa: ARG002 (refused here)
        """Add `text` to an open message. Not idempotent. Raises as `post` does, and `StreamEnded`."""
        raise StreamEnded("this channel has no native streams")

    async def stop(self, message: str, text: str, body: Body) -> None:  # noqa: ARG002 (refused here)
        """Add `text`, close the message, and show `body.controls`. Not idempotent. Raises as `append` does.

        `body` is the whole message as it should be. It may have been opened by an earlier process.
        """
        raise StreamEnded("this channel has no native streams")

    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        """The id of the message posted with this key, or None.

        Used after an `OutcomeUnknown`, and by a later process. `known` lists the ids of the answer's earlier
        messages, in order. A platform whose `post` recognises recent keys may return None. Raises as `post` does.
        """
        ...

    async def show_working(self) -> None:
        """Show activity (typing, a status) until cancelled. Never raises, never spends a permit."""
        ...

    async def withdraw(self) -> None:
        """The turn ends without any write: take back a sign of work that only a write would replace. Never raises."""
        return

    async def turn_ended(self) -> None:
        """The turn has ended, in whichever way: stop showing that it goes on. Takes seconds at most, never raises."""
        ...


# ----------------------------------------------------------------------------------------------------------- platform


@dataclass(frozen=True, slots=True)
class UnfinishedTurn:
    """A turn left unfinished by an earlier process, as journalled.

    `event` is the text given to `Inbox.receive`; `messages` are the known ids of the answer's messages, in order; `age`
    is the time since the event, in seconds.
    """

    key: TurnKey
    event: str
    messages: tuple[str, ...] = ()
    age: float = 0.0


class Inbox(Protocol):
    """Receives events from platforms; `bot.turns.manager` implements it.

    For each possible question: `receive` before acknowledging the event, then `accept` or `dismiss`. Once connected, a
    platform recovers each of its `unfinished_turns` in the same way, without `receive`.
    """

    async def receive(self, key: TurnKey, event: str) -> bool:
        """Journal an event before it is acknowledged, so a crash cannot lose it.

        `event` is the platform's own text; it must suffice to restore the turn later (`unfinished_turns`). Returns
        False for a duplicate, received by this process or an earlier one: ignore it. Raises `Failure` if it was not
        taken: do not acknowledge it, or try again.
        """
        ...

    def keeps_events(self) -> bool:
        """Whether received events survive this process, if the journal is meant for that; False: it is broken now."""
        ...

    async def has_answer(self, question: TurnKey) -> bool:
        """Whether a message is known as a question with an answer, running or ended, by any process. Never raises."""
        ...

    def update_event(self, key: TurnKey, event: str) -> None:
        """Replace the journalled event with a more complete one. Returns at once."""
        ...

    def refusal(self, turn: Turn) -> str:
        """The sentence for a turn that `accept` would refuse now (no access, too busy); empty if it would accept it."""
        ...

    def accept(self, turn: Turn, channel: Channel) -> None:
        """Accept a turn. Returns at once; drops a duplicate, and a turn without permission."""
        ...

    def dismiss(self, key: TurnKey) -> None:
        """The received event asks nothing."""
        ...

    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:
        """A platform's turns left by earlier processes, oldest first; each is returned once."""
        ...

    def stop(self, at: TurnKey, *, by: Author | str) -> bool:
        """Stop an answer at a reader's request; False if there is none, or the reader lacks permission.

        `at.message` is the id of the question or of one of the answer's messages, in the same channel. `by` is an id if
        nothing more is known about the reader; access is decided on the known facts.
        """
        ...

    def stop_conversation(self, conversation: str, *, by: Author | str) -> bool:
        """Stop whatever is being answered in a conversation."""
        ...

    def stop_place(self, place: Place, *, by: Author) -> int:
        """Stop the answers a reader may stop in a place's conversation, and their own in its channel; their number."""
        ...

    async def stop_person(self, platform: str, person: str) -> int:
        """Stop all answers to one person. Returns their number once they are recorded as ended, or after seconds."""
        ...

    def message_deleted(self, at: TurnKey) -> None:
        """A message no longer exists: stop the answer to it, or freeze the answer it belonged to."""
        ...


class RateLimitLog(Protocol):
    """Remembers the calls under a rate limit, so the next process knows the remaining allowance."""

    def record_call(self, limit: str) -> None:
        """Record a call sent just now. Returns at once; a failed record is dropped."""
        ...

    async def recent_calls(self, limit: str, seconds: float) -> Sequence[float]:
        """How many seconds ago each call of the last `seconds` was sent, by any process."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedQuestion:
    """A question read again. `event` is the text for `Inbox.receive`."""

    turn: Turn
    channel: Channel
    event: str = field(repr=False)


class Platform(LaneHolder, Protocol):
    """One outside place where people ask."""

    @property
    def name(self) -> str:
        """One word in lower case, as in `TurnKey.platform` and in metrics."""
        ...

    @property
    def ready(self) -> bool:
        """Whether events are arriving just now, for ``/readyz``."""
        ...

    async def run(self, inbox: Inbox, interactions: Interactions = NO_INTERACTIONS) -> None:
        """Connect and bring turns until cancelled; reconnects by itself.

        Questions go to `inbox`; buttons, edits, commands and forms go to `interactions`. Raises `Forbidden` with a line
        for the operator when it never can (a wrong token, a missing intent).
        """
        ...

    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        """Read a question again, for another answer in `messages`, the ids of the present one.

        `key` carries the new generation, and so do the turn and the channel. Raises `NotFound` if the question no
        longer exists, other failures if it cannot be read.
        """
        ...

    async def stop_accepting(self) -> None:
        """Deliver no more turns. Channels keep working, so running answers can finish."""
        ...

    async def close(self) -> None:
        """Close the clients. No channel of this platform works after this."""
        ...
