"""The frames on the page's socket: JSON requests parsed, JSON events written.

Pure functions on plain values. Sockets and the handling of requests do not belong here.

Requests (page to server):
    {"ask": text, "channel": name, "name": author, "reply_to": id or "", "ref": any short text}
    {"stop": message id, "name": reader, "ref": any short text}
    {"retry": message id, "name": reader, "ref": any short text}
    {"vote": "up" or "down", "message": message id, "name": reader, "ref": any short text}
    {"submit": id of a form or a button, "values": {field: text}, "channel", "name", "reply_to", "ref"}

Events (server to page), each with a "type":
    hello     the whole state: the model's label, the bot's name, limits, channels with messages and working indicators
    message   one write: the whole message as shown now, and the rest of the channel's windows
    gone      a message was deleted or evicted
    working   a working indicator of a question, on or off
    limited   a write was over the limit and was answered with 429
    asked     a request of this page was accepted (its ref, and the question's id)
    private   the response to a command, a form or a button of this page: words, buttons, a form or a file
    refused   a request of this page was rejected, with the reason in plain words
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from adapters.playground.rendering import to_html
from adapters.playground.state import ChannelState, PlaygroundMessage
from adapters.shared.json_fields import Json, string_field
from bot.interactions.values import Action, Field, Form, Response, Vote
from bot.ports import Controls, Verb

# The longest question, in characters. Discord turns anything over 2,000 into a file; a small model's context holds
# 16,000 beside its answer. The page enforces it too.
QUESTION_CHARACTERS = 16_000

# The longest frame, in bytes: a question of 100,000 characters gets a polite rejection, however its characters are
# escaped. A longer frame closes the socket (1009).
FRAME_BYTES = 1_300_000

# The longest name, in characters; the page's field has the same limit.
NAME_CHARACTERS = 40

# The longest request reference or message id, in characters.
_REFERENCE_CHARACTERS = 64

# The author of a request without a name.
_DEFAULT_NAME = "you"


# Names of the controls in a message's event.
_CONTROL_NAMES = MappingProxyType({Controls.STOP: "stop", Controls.RETRY: "retry", Controls.FEEDBACK: "feedback"})


class RequestRejected(ValueError):
    """The request is rejected. The message is for the reader; `ref` identifies the request."""

    def __init__(self, message: str, ref: str = "") -> None:
        super().__init__(message)
        self.ref = ref


@dataclass(frozen=True, slots=True)
class AskRequest:
    """A question. `reply_to` is the id of the answer it replies to; empty starts a conversation."""

    text: str
    channel: str
    name: str
    reply_to: str
    ref: str


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A reader stops the answer of `message`."""

    message: str
    name: str
    ref: str


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """A reader wants another answer in place of `message`."""

    message: str
    name: str
    ref: str


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """A reader votes on the answer of `message`."""

    message: str
    vote: Vote
    name: str
    ref: str


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A reader submits a form or presses a button of a private response."""

    id: str
    values: Mapping[str, str]
    channel: str
    name: str
    reply_to: str
    ref: str


Request = AskRequest | StopRequest | RetryRequest | VoteRequest | SubmitRequest


def parse_request(frame: str) -> Request:
    """Parse a page's frame. Raises `RequestRejected` with a line for the reader."""
    try:
        request = json.loads(frame)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise RequestRejected("The page sent something that cannot be read.")
    ref = _text(request, "ref")[:_REFERENCE_CHARACTERS]
    name = _one_line(_text(request, "name"))[:NAME_CHARACTERS].strip() or _DEFAULT_NAME
    if "stop" in request:
        return StopRequest(message=_text(request, "stop")[:_REFERENCE_CHARACTERS], name=name, ref=ref)
    if "retry" in request:
        return RetryRequest(message=_text(request, "retry")[:_REFERENCE_CHARACTERS], name=name, ref=ref)
    if "vote" in request:
        vote = Vote.UP if _text(request, "vote") == Vote.UP else Vote.DOWN
        return VoteRequest(_text(request, "message")[:_REFERENCE_CHARACTERS], vote, name, ref)
    channel, reply_to = _text(request, "channel"), _text(request, "reply_to")[:_REFERENCE_CHARACTERS]
    if "submit" in request:
        return SubmitRequest(_text(request, "submit"), _values(request), channel, name, reply_to, ref)
    text = _text(request, "ask").strip()
    if not text:
        raise RequestRejected("There is nothing to answer yet: type a question first.", ref)
    if len(text) > QUESTION_CHARACTERS:
        raise RequestRejected(
            f"That is {len(text):,} characters, and {QUESTION_CHARACTERS:,} are the most that fit. Please shorten it.",
            ref,
        )
    return AskRequest(text, channel, name, reply_to, ref)


def _values(request: Json) -> Mapping[str, str]:
    """The inputs of a form."""
    values = request.get("values")
    return MappingProxyType({name: _text(values, name) for name in values} if isinstance(values, dict) else {})


def _text(request: Json, name: str) -> str:
    """A text field as valid Unicode: JSON can contain half a surrogate pair, and no platform or model accepts one."""
    value = string_field(request, name)
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


# ------------------------------------------------------------------------------------------------------------- events


def hello_event(channels: list[ChannelState], now: float, *, run_id: str, model_label: str, bot_name: str) -> str:
    """The whole state; `run_id` is new with each start of the server."""
    return _event(
        "hello",
        run=run_id,
        model=model_label,
        bot=bot_name,
        questionCharacters=QUESTION_CHARACTERS,
        rooms=[
            {
                "name": channel.name,
                "topic": channel.topic,
                "budget": _windows(channel, now),
                "working": sorted(channel.working),
                "messages": [_message(message, now) for message in channel.messages.values()],
            }
            for channel in channels
        ],
    )


def message_event(channel: ChannelState, message: PlaygroundMessage, verb: Verb | None, now: float) -> str:
    """One write; `verb` is None for a reader's question."""
    kind = verb.value if verb else "ask"
    return _event("message", message=_message(message, now), verb=kind, budget=_windows(channel, now))


def deleted_event(channel: ChannelState, message: PlaygroundMessage, now: float) -> str:
    """A message no longer exists."""
    return _event("gone", channel=channel.name, id=message.id, budget=_windows(channel, now))


def working_event(channel: ChannelState, question: str, *, on: bool) -> str:
    """The working indicator of a question."""
    return _event("working", channel=channel.name, question=question, on=on)


def rate_limited_event(channel: ChannelState, verb: Verb, now: float) -> str:
    """A write was answered with 429."""
    return _event("limited", channel=channel.name, verb=verb.value, budget=_windows(channel, now))


def accepted_event(ref: str, message_id: str) -> str:
    """A request was accepted."""
    return _event("asked", ref=ref, id=message_id)


def private_event(ref: str, response: Response) -> str:
    """A response for one page. Its file is in base64."""
    if isinstance(response, Form):
        form = {
            "id": response.id,
            "title": response.title,
            "intro": response.intro,
            "submit": response.submit,
            "fields": [_field(each) for each in response.fields],
        }
        return _event("private", ref=ref, html="", actions=[], form=form, file=None)
    file = response.file
    attached = {"name": file.name, "data": base64.b64encode(file.data).decode()} if file is not None else None
    actions = [_action(each) for each in response.actions]
    return _event("private", ref=ref, html=to_html(response.text), actions=actions, form=None, file=attached)


def _field(each: Field) -> Mapping[str, object]:
    return {
        "name": each.name,
        "label": each.label,
        "value": each.value,
        "choices": [[choice.value, choice.label] for choice in each.choices],
        "required": each.required,
        "multiline": each.multiline,
        "limit": each.max_length,
    }


def _action(each: Action) -> Mapping[str, object]:
    return {"id": each.id, "label": each.label, "confirm": each.confirm, "danger": each.danger}


def rejected_event(rejection: RequestRejected) -> str:
    """A request was rejected."""
    return _event("refused", ref=rejection.ref, why=str(rejection))


def _message(message: PlaygroundMessage, now: float) -> Mapping[str, object]:
    """A message as shown now. Ages in seconds; a tape entry is [seconds after the first write, writes left then]."""
    return {
        "id": message.id,
        "channel": message.channel,
        "author": message.author,
        "bot": message.by_bot,
        "question": message.question,
        "replyTo": message.reply_to,
        "text": message.text,
        "html": message.html,
        "controls": [name for control, name in _CONTROL_NAMES.items() if control in message.controls],
        "age": round(now - message.posted_at, 3),
        "writes": message.writes,
        "tape": [[round(write.after, 3), write.remaining] for write in message.timeline],
    }


def _windows(channel: ChannelState, now: float) -> Mapping[str, object]:
    """The channel's windows by verb: writes left, seconds until the reset, and the number of rejected writes."""
    return {
        verb.value: {
            "limit": report.limit,
            "left": report.remaining,
            "resets": round(report.reset_after, 3),
            "refused": counter.rejected,
        }
        for verb, counter in channel.counters.items()
        for report in (counter.report(now),)
    }


def _event(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
