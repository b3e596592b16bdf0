"""The playground's memory: channels with their newest messages, and the conversation before a question.

No I/O and no HTML belong here. All of it is bounded and lost when the process ends.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from adapters.playground.limits import WINDOW_SECONDS, WRITES, FixedWindowCounter
from adapters.playground.rendering import without_small_print
from adapters.playground.subscribers import MAX_SUBSCRIBERS, Subscribers
from bot.conversation import History, Message, Role, Text
from bot.ports import Controls, Verb
from bot.rate_limits import FixedWindow

# Messages per channel: many screens of history. With at most 16,000 characters each, the greeting of three channels
# stays within some megabytes.
MAX_CHANNEL_MESSAGES = 100

# Writes in the timeline of one message: three minutes at a channel's pace.
MAX_TIMELINE_WRITES = 200


@dataclass(frozen=True, slots=True)
class TimedWrite:
    """One write of a message: seconds since the message's first write, and the writes left in the window then."""

    after: float
    remaining: int


@dataclass(slots=True)
class PlaygroundMessage:
    """A message as the page shows it now."""

    id: str
    channel: str
    author: str
    by_bot: bool
    question: str  # the id of the turn's question; its own id for a question
    reply_to: str  # the id of the parent message; empty at the start of a conversation
    conversation: str  # the name of the chain of replies
    posted_at: float  # the event loop's time
    text: str = ""
    html: str = ""
    controls: Controls = Controls.NONE
    writes: int = 0
    timeline: list[TimedWrite] = field(default_factory=list)

    def restart(self, now: float) -> None:
        """Another answer begins in this message, with a timeline of its own."""
        self.posted_at, self.writes = now, 0
        self.timeline.clear()

    def apply_write(self, now: float, *, text: str, html: str, controls: Controls, remaining: int) -> None:
        """Replace the content, and add the write to the timeline."""
        self.text, self.html, self.controls = text, html, controls
        self.writes += 1
        self.timeline.append(TimedWrite(after=now - self.posted_at, remaining=remaining))
        del self.timeline[:-MAX_TIMELINE_WRITES]


class ChannelState:
    """A channel: its newest messages, the server's counters, and the client's rate limits."""

    def __init__(self, name: str, topic: str) -> None:
        self.name = name
        self.topic = topic
        self.messages: dict[str, PlaygroundMessage] = {}
        self.message_by_key: dict[str, str] = {}  # makes posts idempotent
        self.working: dict[str, int] = {}  # working indicators by question
        self.counters: dict[Verb, FixedWindowCounter] = {verb: FixedWindowCounter() for verb in Verb}
        # Only edits are paced: a growing answer consists of them. Posts and deletes are few and urgent.
        self.budgets: dict[Verb, FixedWindow] = {
            verb: FixedWindow(WRITES, WINDOW_SECONDS, paced=verb is Verb.EDIT) for verb in Verb
        }

    def add(self, message: PlaygroundMessage, key: str = "") -> list[PlaygroundMessage]:
        """Add a message; returns the oldest ones, evicted to stay within the limit."""
        self.messages[message.id] = message
        if key:
            self.message_by_key[key] = message.id
        evicted = list(self.messages.values())[: max(len(self.messages) - MAX_CHANNEL_MESSAGES, 0)]
        for old in evicted:
            self.remove(old.id)
        return evicted

    def remove(self, message_id: str) -> PlaygroundMessage | None:
        """Remove a message and its idempotency key."""
        message = self.messages.pop(message_id, None)
        for key in [key for key, posted in self.message_by_key.items() if posted == message_id]:
            del self.message_by_key[key]
        return message


class PlaygroundState:
    """The state shared by all answers: open pages, the bot's name, and message ids.

    Ids are unique across restarts, because a journal may remember those of an earlier process.
    """

    def __init__(self, bot_name: str, max_pages: int = MAX_SUBSCRIBERS) -> None:
        self.bot_name = bot_name
        self.run_id = secrets.token_hex(4)
        self.subscribers = Subscribers(max_pages)
        self.closed = False
        self._numbers = itertools.count(1)

    def new_id(self) -> str:
        """A new message id."""
        return f"{self.run_id}-{next(self._numbers)}"


def history(messages: Mapping[str, PlaygroundMessage], question: PlaygroundMessage, limit: int) -> History:
    """The chain of replies before `question`: its newest messages, at most `limit`, oldest first.

    An answer of several messages is joined into one, without the bot's own notices at its end.
    """
    newest_first: list[Message] = []
    current = question
    while current.reply_to:
        if current.reply_to not in messages or len(newest_first) >= limit:
            return History(tuple(reversed(newest_first)), truncated=True)
        current = messages[current.reply_to]
        if current.by_bot:
            newest_first.append(_answer(messages, current))
            current = _first_of_turn(messages, current)
        else:
            newest_first.append(Message(Role.USER, (Text(current.text),), current.author, current.id))
    return History(tuple(reversed(newest_first)))


def _answer(messages: Mapping[str, PlaygroundMessage], part: PlaygroundMessage) -> Message:
    """The whole answer around one of its messages."""
    texts = [without_small_print(message.text) for message in _turn(messages, part)]
    return Message(Role.ASSISTANT, (Text("\n".join(text for text in texts if text)),), "", part.id)


def _turn(messages: Mapping[str, PlaygroundMessage], part: PlaygroundMessage) -> Iterator[PlaygroundMessage]:
    return (message for message in messages.values() if message.by_bot and message.question == part.question)


def _first_of_turn(messages: Mapping[str, PlaygroundMessage], part: PlaygroundMessage) -> PlaygroundMessage:
    """The first message of the answer: the only one with a reply reference."""
    return next(_turn(messages, part), part)
