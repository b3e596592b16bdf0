"""What goes over the page's socket: requests read, events written; JSON both ways.

What belongs here: the shape of every frame, as pure functions on plain values. What does not: sockets, and what is
done about a request.

Requests (page to server):
    {"ask": text, "channel": name, "name": who, "reply_to": id or "", "ref": anything short}
    {"stop": message id, "name": who, "ref": anything short}

Events (server to page), each with a "type":
    hello     everything there is: the model's label, the bot's name, limits, rooms with their messages and who works
    message   one write: all of one message as it is shown now, and what the room's windows have left
    gone      a message was deleted or forgotten
    working   whether an answer to a question is being made
    limited   a write came over the limit, and was answered with 429
    asked     a request of this page was taken (its ref, and the question's id)
    refused   a request of this page was not, and why, in plain words
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from adapters.playground.state import Entry, Room
from bot.ports import Controls, Verb

# The longest question, in characters. Discord makes a file of whatever is over 2,000; 16,000 is what a small model's
# context holds beside its answer. Read by `read`, and told to the page.
QUESTION_CHARACTERS = 16_000

# The longest frame that is read at all, in bytes: a 100,000-character question gets a polite answer, however its
# characters are escaped; beyond, the socket is closed (1009). Read by `adapters.playground.routes`.
FRAME_BYTES = 1_300_000

# Names are cut here; the page's field allows as many. Read by `read`.
NAME_CHARACTERS = 40

# What a page may have given back to it, so that an answer finds its request. Read by `read`.
_REFERENCE_CHARACTERS = 64

# Who asks, where no name was typed.
_NOBODY = "you"


class Refused(ValueError):
    """A request that is not followed; the message is for the reader, `ref` is the request's."""

    def __init__(self, message: str, ref: str = "") -> None:
        super().__init__(message)
        self.ref = ref


@dataclass(frozen=True, slots=True)
class Ask:
    """A question. `reply_to` is the answer that it goes on from, empty where it begins a conversation."""

    text: str
    channel: str
    name: str
    reply_to: str
    ref: str


@dataclass(frozen=True, slots=True)
class Stop:
    """A reader wants the answer that `message` belongs to to end."""

    message: str
    name: str
    ref: str


def read(frame: str) -> Ask | Stop:
    """What a page asks for. Raises `Refused` with a line for the reader."""
    try:
        request = json.loads(frame)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise Refused("The page sent something that cannot be read.")
    ref = _word(request, "ref")[:_REFERENCE_CHARACTERS]
    name = _one_line(_word(request, "name"))[:NAME_CHARACTERS].strip() or _NOBODY
    if "stop" in request:
        return Stop(message=_word(request, "stop")[:_REFERENCE_CHARACTERS], name=name, ref=ref)
    text = _word(request, "ask").strip()
    if not text:
        raise Refused("There is nothing to answer yet: type a question first.", ref)
    if len(text) > QUESTION_CHARACTERS:
        raise Refused(
            f"That is {len(text):,} characters, and {QUESTION_CHARACTERS:,} are the most that fit. Please shorten it.",
            ref,
        )
    return Ask(text, _word(request, "channel"), name, _word(request, "reply_to")[:_REFERENCE_CHARACTERS], ref)


def _word(request: dict[str, Any], name: str) -> str:
    """A field that must be text, made valid Unicode: JSON can say half a surrogate pair, which nothing can send on."""
    value = request.get(name)
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


# ------------------------------------------------------------------------------------------------------------- events


def hello(rooms: list[Room], now: float, *, run: str, model: str, bot: str) -> str:
    """All that there is; `run` differs from one start of the server to the next."""
    return _event(
        "hello",
        run=run,
        model=model,
        bot=bot,
        questionCharacters=QUESTION_CHARACTERS,
        rooms=[
            {
                "name": room.name,
                "topic": room.topic,
                "budget": budget(room, now),
                "working": sorted(room.working),
                "messages": [message(entry, now) for entry in room.entries.values()],
            }
            for room in rooms
        ],
    )


def wrote(room: Room, entry: Entry, verb: Verb | None, now: float) -> str:
    """One write, just made; without a verb it is a reader's."""
    return _event("message", message=message(entry, now), verb=verb.value if verb else "ask", budget=budget(room, now))


def gone(room: Room, entry: Entry, now: float) -> str:
    """A message is there no more."""
    return _event("gone", channel=room.name, id=entry.id, budget=budget(room, now))


def working(room: Room, question: str, *, on: bool) -> str:
    """Somebody began or ended to work on a question."""
    return _event("working", channel=room.name, question=question, on=on)


def limited(room: Room, verb: Verb, now: float) -> str:
    """A write was refused with 429."""
    return _event("limited", channel=room.name, verb=verb.value, budget=budget(room, now))


def asked(ref: str, question: str) -> str:
    """A question was taken."""
    return _event("asked", ref=ref, id=question)


def refused(refusal: Refused) -> str:
    """A request was not followed."""
    return _event("refused", ref=refusal.ref, why=str(refusal))


def message(entry: Entry, now: float) -> dict[str, object]:
    """A message as it is shown; ages and gaps are seconds, and a tape's tick is [after the first, left then]."""
    return {
        "id": entry.id,
        "channel": entry.room,
        "author": entry.author,
        "bot": entry.bot,
        "question": entry.question,
        "replyTo": entry.reply_to,
        "text": entry.text,
        "html": entry.html,
        "controls": ["stop"] if Controls.STOP in entry.controls else [],
        "age": round(now - entry.posted_at, 3),
        "writes": entry.writes,
        "tape": [[round(tick.after, 3), tick.left] for tick in entry.tape],
    }


def budget(room: Room, now: float) -> dict[str, object]:
    """What a room's windows have left, by verb, and how many writes they refused."""
    return {
        verb.value: {
            "limit": report.limit,
            "left": report.remaining,
            "resets": round(report.reset_after, 3),
            "refused": counter.refused,
        }
        for verb, counter in room.counters.items()
        for report in (counter.report(now),)
    }


def _event(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
