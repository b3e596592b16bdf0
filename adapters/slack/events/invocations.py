"""Questions without a message of their own: a slash command's, or one from a message's menu.

Slack gives a slash command no place among the messages (https://docs.slack.dev/interactivity/implementing-slash-commands),
and a shortcut only its message (https://docs.slack.dev/interactivity/implementing-shortcuts). So the key of such a
question names all that a later process needs to ask it again: the kind, the person, and the message if there is one.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from adapters.shared.json_fields import Json, object_field, string_field
from adapters.slack.events.actions import Origin
from adapters.slack.events.parse import Identity, SlackMessage, parse_message

# Position of a question after all messages of its conversation: a summary covers everything up to now.
NOW = "9999999999.999999"
# Length of an invocation's own mark in its key, in hexadecimal digits: 64 bits never meet twice for one person.
_MARK_LENGTH = 16


class InvocationKind(StrEnum):
    """How a question was asked; the values are Slack's callback ids and stored names."""

    ASK = "ask"  # by the slash command: the question is its text
    ANSWER = "answer"  # by a message's menu: the message is the question
    SUMMARIZE = "summarize"  # by a message's menu: a summary of its thread


@dataclass(frozen=True, slots=True)
class InvocationId:
    """The identity of an invocation, written as the `message` of its `TurnKey`.

    `thread` and `message` are empty for `ASK`; `message` is the question of `ANSWER`.
    """

    kind: InvocationKind
    user: str
    mark: str
    thread: str = ""
    message: str = ""

    def __str__(self) -> str:
        """For example ``answer/U0001/1700000000.000100/1700000001.000200/0123456789abcdef``."""
        return f"{self.kind}/{self.user}/{self.thread}/{self.message}/{self.mark}"

    @property
    def position(self) -> str:
        """The position of the question among the messages of its conversation; empty for a new conversation."""
        return {InvocationKind.ASK: "", InvocationKind.ANSWER: self.message, InvocationKind.SUMMARIZE: NOW}[self.kind]


@dataclass(frozen=True, slots=True)
class Invocation:
    """A question with its content: `text` in Slack's format, or `message`, the JSON of a message."""

    id: InvocationId
    channel: str
    team: str = ""  # the person's own
    text: str = ""
    message: Json | None = None

    def question(self, me: Identity) -> SlackMessage:
        """The message to answer, at its position. Without words of its own, it is empty."""
        if self.id.kind is InvocationKind.ANSWER and self.message is not None:
            found = parse_message(self.message, me)
            if found is not None:
                return replace(found, ours=False)  # our own answer may be asked about too
        text = self.text if self.id.kind is InvocationKind.ASK else ""
        return SlackMessage(self.id.position, self.id.user, text, thread=self.id.thread)


def parse_invocation_id(text: str) -> InvocationId | None:
    """The identity in the `message` of a `TurnKey`; None for the ts of a message."""
    parts = text.split("/")
    if len(parts) != 5 or parts[0] not in set(InvocationKind):
        return None
    kind, user, thread, message, mark = parts
    return InvocationId(InvocationKind(kind), user, mark, thread, message)


def invocation_of(
    origin: Origin, kind: InvocationKind, *, text: str = "", message: Json | None = None
) -> Invocation | None:
    """The question `text` of a slash command, or one from the menu of `message`.

    None without a person or a channel, and for a menu without a message.
    """
    is_ask = kind is InvocationKind.ASK
    if not (origin.user and origin.channel and (is_ask or origin.message)):
        return None
    is_answer = kind is InvocationKind.ANSWER
    id_ = InvocationId(
        kind,
        origin.user,
        _mark(origin),
        thread="" if is_ask else origin.thread or origin.message,
        message=origin.message if is_answer else "",
    )
    return Invocation(id_, origin.channel, origin.team, text, message if is_answer else None)


def dump_fields(invocation: Invocation, message: Json | None) -> dict[str, Any]:
    """An invocation as JSON; `message` is its message, reduced."""
    fields = {
        "id": str(invocation.id),
        "channel": invocation.channel,
        "team": invocation.team,
        "text": invocation.text,
        "message": message,
    }
    return {name: value for name, value in fields.items() if value}


def load_fields(stored: Json) -> Invocation | None:
    """The invocation in such JSON; None for any other."""
    id_ = parse_invocation_id(string_field(stored, "id"))
    if id_ is None or not (channel := string_field(stored, "channel")):
        return None
    message = object_field(stored, "message") or None
    return Invocation(id_, channel, string_field(stored, "team"), string_field(stored, "text"), message)


def _mark(origin: Origin) -> str:
    """A mark of one invocation, the same at each delivery: Slack gives each a trigger of its own.

    Without one (a compatible server), each delivery counts as an invocation.
    """
    trigger = origin.trigger_id or origin.response_url or uuid.uuid4().hex
    return hashlib.sha256(trigger.encode()).hexdigest()[:_MARK_LENGTH]
