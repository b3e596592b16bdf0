"""The Protocols through which the core meets the outside: a model, a place to write, a platform, a journal.

What belongs here: what the core asks of an adapter, and the plain values that cross. What does not: any behaviour.
Every adapter passes the contract suite of its port (``tests/contracts``), and so do the in-memory ones of the tests.

Adapters raise `bot.errors.Failure` and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import Protocol

from bot.conversation import Author, Delta, Ending, History, Part, Prompt, Turn, TurnKey
from bot.markdown import Renderer
from bot.rate_limits import Budget

# -------------------------------------------------------------------------------------------------------------- model


class Model(Protocol):
    """Something that answers a prompt."""

    def answer(self, prompt: Prompt, *, stream: bool) -> AsyncGenerator[Delta, None]:
        """Yield the answer's deltas and, last, its `Finish`.

        With `stream`, deltas are yielded as they arrive; without, one request is made that is answered whole, and its
        text comes as a single `Text`. Ending without a `Finish` means that the stream ended without a reason: the
        caller treats that as a failure. A finish reason before the end of the stream is `Announced` at once; text may
        follow it, and another one. `Activity` says that the server is at work, a few times a minute at the least, where
        nothing else does. Closing the generator closes the connection at once, so that no token is paid
        for that nobody reads. No time-out but those of connecting is kept here, and nothing is retried.

        Raises `RateLimited`, `ServiceError`, `OutcomeUnknown` or `ModelRejected`.
        """
        ...


# ------------------------------------------------------------------------------------------------------------ channel


class Verb(Enum):
    """The kinds of write that a platform counts."""

    POST = "post"
    EDIT = "edit"
    DELETE = "delete"


class Controls(Flag):
    """What a reader can press beside a message; every body says all that it has, since platforms replace them all."""

    NONE = 0
    STOP = auto()


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that goes up with a message. `rest` is what no message shows of the answer, as markdown of its own.

    It holds `content`, or where that is empty, `text`.
    """

    name: str
    text: str = field(repr=False)
    rest: str = field(default="", repr=False)
    content: bytes = field(default=b"", repr=False)

    @property
    def data(self) -> bytes:
        """Its bytes; half a surrogate pair, which a model may send, becomes a question mark."""
        return self.content or self.text.encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Body:
    """What one message shows: rendered for its platform, within its limit.

    `stable` will not change any more, `tail` may; a platform that replaces shows both, one that only appends sends
    what is new of `stable`. `files` go up with a post; no edit changes which a message has, and one that makes a
    message show a body without any takes them away, or says that the message is `NotFound`.
    """

    stable: str
    tail: str = ""
    controls: Controls = Controls.NONE
    files: tuple[Upload, ...] = ()

    @property
    def text(self) -> str:
        """All that is to be seen."""
        return self.stable + self.tail


@dataclass(frozen=True, slots=True)
class ChannelCapabilities:
    """What a channel can do.

    `limit` is the longest text of one message, in the unit that `measure` counts (UTF-16 units, characters, bytes).
    `renderer` renders markdown for it. `files` is the size of the largest file that goes up with a message, in bytes; 0
    is none, and within one answer it only ever becomes 0 (where one turned out not to go up). Where a body was refused
    for its size or shape (`TooLarge`), what follows is cut and rendered by the caps of then, a few times at most.
    """

    limit: int
    measure: Callable[[str], int]
    renderer: Renderer
    replaces: bool = True  # an edit replaces the text; otherwise it can only be appended to
    controls: Controls = Controls.NONE  # those it can show
    files: int = 0
    edits: bool = True  # whether edits may be taken; decided once for an answer


class Channel(Protocol):
    """Where one turn's answer is written: the thread, DM or channel of the question, as a reply to it.

    Made by an adapter for each turn. `connection` names the bot's presence that it writes through (a Discord bot, a
    Slack workspace): what shares it is scheduled together.
    """

    @property
    def connection(self) -> str:
        """See the class."""
        ...

    @property
    def caps(self) -> ChannelCapabilities:
        """See `ChannelCapabilities`."""
        ...

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        """All that one such write spends, the narrowest first (the channel's, then the whole bot's).

        The same `Budget` object is returned to every channel that spends it. The caller asks `ready_at`, spends, and
        reports; the adapter only tells them what it reads in answers (`observe`).
        """
        ...

    async def attachments(self) -> tuple[Part, ...]:
        """What was attached to the question, downloaded now: only a turn that is answered costs that.

        A `Text` says what a reader sees around the question: its thread's title, the message that it replies to. Never
        raises a failure: what cannot be had is a `OmittedAttachment`.
        """
        ...

    async def history(self, limit: int) -> History:
        """What was said in the conversation before the question, at most the `limit` newest messages, oldest first.

        Waits for its own budgets of reading. Our own answers are whole, and joined where one took several messages.
        """
        ...

    async def post(self, body: Body, key: str) -> str:
        """Post a new message and return its id.

        `key` (at most 25 characters) makes it idempotent: with a key that was posted with before, the platform
        returns that message, or `find` does. Where `find` has looked and found nothing, but an earlier process turns
        out to have posted with the key after all, it raises `OutcomeUnknown`: then it is found. The first post of a
        turn is a reply to the question.

        Raises `RateLimited`, `ServiceError` (`ConnectFailed` where no connection was made), `OutcomeUnknown`,
        `NotFound`, `Forbidden`, `InvalidRequest`. Whatever permanent failure a body
        with files meets, the caller goes on without files; where a server lost them without a word, `caps` says that
        it takes none.
        """
        ...

    async def edit(self, message: str, body: Body) -> None:
        """Make one of our messages show `body`. Idempotent. Raises as `post` does."""
        ...

    async def delete(self, message: str) -> None:
        """Delete one of our messages; a missing one is no error. Raises as `post` does, except `NotFound`."""
        ...

    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        """The id of the message that was posted with this key, or None if there is none.

        Asked after a post that was `OutcomeUnknown`, and by a later process that finds a turn unfinished: any time may
        have passed. `known` are the ids of the messages of the same answer before it, in order. A platform on which
        `post` finds a recent one by itself may return None for as long as it does. Raises as `post` does: not having
        been able to look is not having found nothing.
        """
        ...

    async def show_working(self) -> None:
        """Show that an answer is being made (typing, a status) until cancelled. Never raises, never spends a permit."""
        ...


# ----------------------------------------------------------------------------------------------------------- platform


@dataclass(frozen=True, slots=True)
class UnfinishedTurn:
    """A turn that an earlier process left unfinished, as its journal has it.

    `event` is what the platform gave to `Inbox.receive`; `messages` are the ids of the answer's messages, in order, as
    far as they were known; `age` is how many seconds ago it was received.
    """

    key: TurnKey
    event: str
    messages: tuple[str, ...] = ()
    age: float = 0.0


class Inbox(Protocol):
    """Where platforms bring what they received: `bot.turns.manager` is one.

    For each message that may ask something: `receive`, before it is acknowledged, then `accept` or `dismiss`. Once
    connected, a platform does the same, without `receive`, for each of what `unfinished_turns` says.
    """

    async def receive(self, key: TurnKey, event: str) -> bool:
        """Write down that a message came, so that it is not lost when this process is.

        `event` is all that the platform needs to bring it again (`unfinished_turns`), as text of its own. Returns False
        for what was received before, in this process or an earlier one: a second delivery, of which nothing more is to
        be done.
        """
        ...

    def update_event(self, key: TurnKey, event: str) -> None:
        """What was written down of a message is this from now on: more is known of it. Returns at once."""
        ...

    def accept(self, turn: Turn, channel: Channel) -> None:
        """Take a turn in. Returns at once; one that was taken before, or may not be answered, is dropped."""
        ...

    def dismiss(self, key: TurnKey) -> None:
        """What was received asks nothing after all."""
        ...

    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:
        """The turns of a platform that an earlier process left unfinished, the oldest first; each is given once."""
        ...

    def stop(self, at: TurnKey, *, by: Author | str) -> bool:
        """A reader asks to stop an answer; true if there was one that they may stop.

        `at.message` is the id of the question, or of a message of the answer, in the same channel. `by` is an id where
        no more is known of who asks: access is decided by what is known.
        """
        ...

    def stop_conversation(self, conversation: str, *, by: Author | str) -> bool:
        """The same for whatever is being answered in a conversation."""
        ...

    def message_deleted(self, at: TurnKey) -> None:
        """A message is there no more: the answer to it is stopped, or the one that it was part of is given up."""
        ...


class RateLimitLog(Protocol):
    """Remembers what a rate limit has counted, so that the next process knows how much of it is left."""

    def record_call(self, limit: str) -> None:
        """One call was sent just now. Returns at once; a call that cannot be remembered is dropped."""
        ...

    async def recent_calls(self, limit: str, seconds: float) -> Sequence[float]:
        """How many seconds ago each call of the last `seconds` was sent, by any process."""
        ...


class Platform(Protocol):
    """One outside place where people ask."""

    @property
    def name(self) -> str:
        """One word in lower case, as in `TurnKey.platform` and in metrics."""
        ...

    @property
    def ready(self) -> bool:
        """Whether events are arriving just now, for ``/readyz``."""
        ...

    async def run(self, inbox: Inbox) -> None:
        """Connect and bring turns until cancelled; reconnects by itself.

        Raises `Forbidden` with a line for the operator when it never can (a wrong token, a missing intent).
        """
        ...

    async def stop_accepting(self) -> None:
        """Bring no more turns, while channels go on working, so that live answers can be finished."""
        ...

    async def close(self) -> None:
        """Close the clients. No channel of this platform works after this."""
        ...


# ------------------------------------------------------------------------------------------------------------ journal


class Journal(Protocol):
    """Remembers received turns, the messages of their answers, and their endings. Only `bot.turns` writes it.

    A journal that cannot write raises; `bot.turns.manager` goes on without it, and says so.
    """

    @property
    def durable(self) -> bool:
        """Whether another process will find what is written here: only then is an interrupted answer gone on with."""
        ...

    async def accept(self, key: TurnKey, event: str = "") -> bool:
        """Write down a turn before anything is done about it; False if it was written down before.

        Once this has returned it survives the process. `event` is kept until the turn has ended.
        """
        ...

    async def update_event(self, key: TurnKey, event: str) -> None:
        """Keep this as the turn's event from now on, if it has not ended."""
        ...

    async def drop(self, key: TurnKey) -> None:
        """Forget a turn: it asked nothing."""
        ...

    async def posted(self, key: TurnKey, message: str) -> None:
        """Write down a message that now exists and belongs to the turn."""
        ...

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        """Write down that nothing more will be written for the turn. With `INTERRUPTED` it stays unfinished."""
        ...

    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:
        """The platform's turns that have not ended and are nobody's: those of processes that run no more.

        The oldest first. From then on they are this process's; each is returned once.
        """
        ...
