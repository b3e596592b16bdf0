"""What the playground remembers: its rooms and their newest messages, and what of a chain a model is told.

What belongs here: plain state and pure questions to it. What does not: sockets, HTML pages, and who writes when.
Everything is bounded, and all of it is gone when the process ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from adapters.playground.limits import WINDOW_SECONDS, WRITES, Counter
from adapters.playground.rendering import without_small_print
from bot.conversation import History, Message, Role, Text
from bot.ports import Controls, Verb
from bot.rate_limits import FixedWindow

# Messages that a room keeps: two screens of history many times over, and with at most 16,000 characters each a greeting
# of three rooms stays within some megabytes. Read by `Room.add`.
ROOM_MESSAGES = 100

# Writes of one message whose times are kept for its tape: three minutes at a channel's pace. Read by `Entry.written`.
TAPE_WRITES = 200


@dataclass(frozen=True, slots=True)
class Tick:
    """One write of a message: how long after the message's first (seconds), and what the window had left then."""

    after: float
    left: int


@dataclass(slots=True)
class Entry:
    """A message of a room, as it is shown now."""

    id: str
    room: str
    author: str
    bot: bool
    question: str  # the id of the question that its turn began with; its own, where it is the question
    reply_to: str  # the id of the message that it answers to; empty where it begins a chain
    conversation: str  # the name of the chain
    posted_at: float  # the loop's time
    text: str = ""
    html: str = ""
    controls: Controls = Controls.NONE
    writes: int = 0
    tape: list[Tick] = field(default_factory=list)

    def written(self, now: float, *, text: str, html: str, controls: Controls, left: int) -> None:
        """A write was made: what is shown is replaced."""
        self.text, self.html, self.controls = text, html, controls
        self.writes += 1
        self.tape.append(Tick(after=now - self.posted_at, left=left))
        del self.tape[:-TAPE_WRITES]


class Room:
    """A channel: its newest messages, what it counts, and the budgets by which the bot keeps to that."""

    def __init__(self, name: str, topic: str) -> None:
        self.name = name
        self.topic = topic
        self.entries: dict[str, Entry] = {}
        self.keys: dict[str, str] = {}  # a post's key -> its message, which is what makes posts idempotent
        self.working: dict[str, int] = {}  # question -> how many are at work on it
        self.counters: dict[Verb, Counter] = {verb: Counter() for verb in Verb}
        # Edits are spaced, since they are what a growing answer spends; posts and deletes are few and wanted at once.
        self.budgets: dict[Verb, FixedWindow] = {
            verb: FixedWindow(WRITES, WINDOW_SECONDS, paced=verb is Verb.EDIT) for verb in Verb
        }

    def add(self, entry: Entry, key: str = "") -> list[Entry]:
        """Take in a message, and return those that had to go for it (the oldest)."""
        self.entries[entry.id] = entry
        if key:
            self.keys[key] = entry.id
        surplus = list(self.entries.values())[: max(len(self.entries) - ROOM_MESSAGES, 0)]
        for old in surplus:
            self.remove(old.id)
        return surplus

    def remove(self, message: str) -> Entry | None:
        """Forget a message and the key that it was posted with."""
        entry = self.entries.pop(message, None)
        for key in [key for key, posted in self.keys.items() if posted == message]:
            del self.keys[key]
        return entry


def history(entries: Mapping[str, Entry], question: Entry, limit: int) -> History:
    """The chain of replies before `question`, at most its `limit` newest messages, oldest first.

    An answer that took several messages is one, joined; the lines of our own at its end are left out.
    """
    newest_first: list[Message] = []
    current = question
    while current.reply_to:
        if current.reply_to not in entries or len(newest_first) >= limit:
            return History(tuple(reversed(newest_first)), truncated=True)
        current = entries[current.reply_to]
        if current.bot:
            newest_first.append(_answer(entries, current))
            current = _first_of_turn(entries, current)
        else:
            newest_first.append(Message(Role.USER, (Text(current.text),), current.author, current.id))
    return History(tuple(reversed(newest_first)))


def _answer(entries: Mapping[str, Entry], part: Entry) -> Message:
    """The whole answer that a message of the bot belongs to."""
    texts = [without_small_print(entry.text) for entry in _turn(entries, part)]
    return Message(Role.ASSISTANT, (Text("\n".join(text for text in texts if text)),), "", part.id)


def _turn(entries: Mapping[str, Entry], part: Entry) -> Iterator[Entry]:
    return (entry for entry in entries.values() if entry.bot and entry.question == part.question)


def _first_of_turn(entries: Mapping[str, Entry], part: Entry) -> Entry:
    """Only the first message of an answer is a reply to its question."""
    return next(_turn(entries, part), part)
