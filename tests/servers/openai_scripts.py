"""What the model's double is told to answer, and how that looks on the wire: scripts and events. Pure.

What belongs here: the scripts, the manners of servers that are no OpenAI, and the two wire formats as their references
document them. What does not: sockets, and the record of what was asked (`tests.servers.openai`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

LOREM = "The quick brown fox jumps over the lazy dog and keeps running until the whole page is full of its tracks."


class Fault(Enum):
    """How a stream goes wrong, at the place that `Answer.at` says."""

    ABORT = auto()  # the TCP connection is reset (what was just sent may be lost with it)
    FIN = auto()  # the TCP connection is closed in the middle of the body
    END = auto()  # the body ends as it should, without a finish reason and without [DONE]
    DONE = auto()  # the same with [DONE] (Chat Completions only; Responses has no such line)
    HALF_EVENT = auto()  # half an event, then the body ends as it should
    ERROR_EVENT = auto()  # data: {"error": {...}}
    TYPED_ERROR = auto()  # data: {"type": "error", ...}, as Responses documents it
    FAILED = auto()  # response.failed (on Chat Completions the same as ERROR_EVENT)
    MALFORMED = auto()  # an event that is not JSON
    BAD_UTF8 = auto()  # bytes that are not UTF-8
    STALL = auto()  # nothing more, while the connection stays open


@dataclass(frozen=True, slots=True)
class Manner:
    """How a server differs from OpenAI's own in what it streams, each as it was seen of one or another.

    Of a Chat Completion: `finish_each` and `usage_each` put the finish reason and the usage into every chunk,
    `finish_field` is another name for the former, `native` is what a gateway's own source said, `late` is text behind
    the finish reason with the seconds before it. `reasons` are further finish reasons behind the first, each in a chunk
    of its own.

    Of both: `quiet` is for how many seconds nothing but signs of life (`alive_by`, see `sign_of_life`) come between the
    reasoning and the first word, one each `alive_seconds`; with `alive_after` they come behind the end too, and the
    stream is never closed. The rest is how events are framed and labelled. `plain` answers a request for a stream with
    one body of JSON.
    """

    finish_each: bool = False
    usage_each: bool = False
    finish_field: str = "finish_reason"
    native: str = ""
    reasons: tuple[str, ...] = ()
    late: tuple[tuple[float, str], ...] = ()
    quiet: float = 0.0
    alive_by: str = "comment"
    alive_seconds: float = 0.1
    alive_after: bool = False
    end: str = "\n"  # of a line
    space: bool = True  # after "data:"
    byte_order_mark: bool = False
    blank_lines: bool = True  # between events
    last_blank: bool = True  # behind the last
    indented: bool = False  # JSON over several lines of data
    label: str = "text/event-stream; charset=utf-8"
    plain: bool = False

    def encode(self, event: Event, *, first: bool = False, last: bool = False) -> bytes:
        """An event's bytes."""
        if event.raw is not None:
            return event.raw
        data = json.dumps(json.loads(event.data), indent=1) if self.indented and event.data != "[DONE]" else event.data
        name = [f"event: {event.name}"] if event.name else []
        lines = [*name, *(f"data:{' ' if self.space else ''}{line}" for line in data.split("\n"))]
        text = "".join(line + self.end for line in lines)
        if last and not self.last_blank:
            text = text.removesuffix(self.end)
        elif self.blank_lines:
            text += self.end
        return (b"\xef\xbb\xbf" if first and self.byte_order_mark else b"") + text.encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """A request is answered with these words.

    `words_per_second` None sends as fast as the socket takes them; `times` says instead when each word and, after them,
    the end is sent, in seconds after the head. `fault` happens after the share `at` of the words
    (0.0 before the first, 1.0 after the last), or, with `after_finish`, once the finish reason was sent. `code` is the
    error's, for the faults that have one. A request without ``stream`` gets the whole words in one body; a fault of
    the connection breaks that body too.
    """

    text: str = LOREM
    words_per_second: float | None = None
    times: tuple[float, ...] = ()
    finish: str | None = "stop"  # None: no chunk has any
    reasoning: str = ""
    reasoning_field: str = "reasoning_content"  # what a chat completion calls it
    refusal: str = ""
    tool: tuple[str, str] | None = None  # a call's name and arguments
    usage: bool = True
    done: bool = True  # whether [DONE] is sent
    hold_open: bool = False  # after the finish reason: neither usage nor [DONE] nor an end
    odd: bool = False  # unknown kinds of events, empty choices, comments and null fields between the words
    fault: Fault | None = None
    at: float = 0.5
    after_finish: bool = False
    code: str = "server_error"
    tokens: tuple[int, int] = (11, 22)  # input, output
    details: tuple[int, int] = (0, 0)  # of these: cached input, reasoning
    cost: object = None  # of OpenRouter, in the usage
    odd_usage: object = None  # stands in place of the whole usage
    model: str = ""  # named in the response; the requested one if empty
    headers: Mapping[str, str] = field(default_factory=dict)  # of an answer without streaming
    manner: Manner = Manner()


@dataclass(frozen=True, slots=True)
class Status:
    """A request is answered with an HTTP error (or, with `raw`, with any body at all)."""

    status: int
    code: str = ""
    message: str = "It did not work."
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: str | None = None
    content_type: str = "application/json"
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed (or, with `reset`, reset) before any byte of an answer."""

    reset: bool = False


Script = Answer | Status | Drop


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; `piece` is the text in it, by which a stream is paced."""

    data: str
    name: str = ""
    piece: str = ""
    ends: bool = False  # carries the finish reason
    raw: bytes | None = None  # these bytes instead
    wait: float = 0.0  # seconds before it


def sign_of_life(kind: str, wait: float = 0.0) -> Event:
    """What comes where nothing is to be said: one of these kinds."""
    raw = {"comment": b": keep-alive\n\n", "blank": b"\n", "no data": b"data:\n\n"}
    if kind in raw:
        return Event("", raw=raw[kind], wait=wait)
    encrypted = {"type": "reasoning.encrypted", "data": "gAAAAB", "format": "anthropic-claude-v1", "index": 0}
    data = {
        "ping": "{}",
        "keepalive": json.dumps({"type": "keepalive", "sequence_number": 3}),  # of the Responses API
        "encrypted": chat_chunk("", {"content": "", "reasoning_details": [encrypted]}),
        "role": chat_chunk("", {"role": "assistant", "content": ""}),
        "usage": json.dumps({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}),
        "empty": chat_chunk("", {}),
    }
    return Event(data[kind], name=kind if kind in {"ping", "keepalive"} else "", wait=wait)


SIGNS_OF_LIFE = ("comment", "blank", "no data", "ping", "keepalive", "encrypted", "role", "usage", "empty")


def signs_of_life(manner: Manner) -> Iterator[Event]:
    """Those that fill `quiet`."""
    for _ in range(round(manner.quiet / manner.alive_seconds)):
        yield sign_of_life(manner.alive_by, manner.alive_seconds)


def pieces_of(text: str) -> list[str]:
    """The words, each with the white space behind it; their joining is the text."""
    return re.findall(r"\s*\S+\s*|\s+", text)


def error_of(answer: Answer) -> dict[str, Any]:
    return {"message": "The server had an error.", "type": "server_error", "param": None, "code": answer.code}


def chat_chunk(model: str, delta: dict[str, Any], finish: str | None = None, field: str = "finish_reason") -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, field: finish}
    return json.dumps(
        {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
    )


def chat_usage(answer: Answer) -> object:
    given, made = answer.tokens
    cached, reasoning = answer.details
    usage = {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "accepted_prediction_tokens": 0},
        **({"cost": answer.cost} if answer.cost is not None else {}),
    }
    return usage if answer.odd_usage is None else answer.odd_usage


def named(answer: Answer, body: Mapping[str, Any]) -> str:
    """The name of the model in a response."""
    return answer.model or str(body.get("model", ""))


def chat_events(answer: Answer, body: Mapping[str, Any]) -> Iterator[Event]:
    """The events of a streamed chat completion, [DONE] included."""
    model = named(answer, body)
    yield Event(chat_chunk(model, {"role": "assistant", "content": "", "refusal": None}))
    if answer.odd:
        yield from odd_events()
    for piece in pieces_of(answer.reasoning):
        yield Event(chat_chunk(model, {answer.reasoning_field: piece}))
    yield from signs_of_life(answer.manner)
    for piece in pieces_of(answer.text):
        yield Event(_said(answer, chat_chunk(model, {"content": piece})), piece=piece)
    for piece in pieces_of(answer.refusal):
        yield Event(chat_chunk(model, {"refusal": piece}))
    if answer.tool is not None:
        name, arguments = answer.tool
        for call in (
            {"id": "call_1", "function": {"name": name, "arguments": ""}},
            {"function": {"arguments": arguments}},
        ):
            yield Event(chat_chunk(model, {"tool_calls": [{"index": 0, **call}]}))
    yield from _chat_ending(answer, model)
    if answer.usage and (body.get("stream_options") or {}).get("include_usage"):
        yield Event(json.dumps({**json.loads(chat_chunk(model, {})), "choices": [], "usage": chat_usage(answer)}))
    if answer.done:
        yield Event("[DONE]")


def odd_events() -> Iterator[Event]:
    """What nobody has heard of, and what is of no use."""
    yield Event(json.dumps({"object": "future.kind", "something": [1]}))
    yield Event(json.dumps({"id": "x", "choices": [], "prompt_filter_results": []}))
    yield Event(json.dumps({"id": "x", "choices": [{"index": 0, "delta": None}], "error": None}))
    yield Event(json.dumps({"id": "x", "choices": [{"index": 1, "delta": {"content": "of another choice"}}]}))
    yield Event("{}", name="ping")


def _said(answer: Answer, data: str) -> str:
    """A chunk of text, with what its server puts into each."""
    manner = answer.manner
    if not (manner.finish_each or manner.usage_each):
        return data
    chunk = json.loads(data)
    if manner.finish_each:
        chunk["choices"][0][manner.finish_field] = answer.finish
    return json.dumps({**chunk, **({"usage": chat_usage(answer)} if manner.usage_each else {})})


def _chat_ending(answer: Answer, model: str) -> Iterator[Event]:
    """The finish reason, and what some send behind it."""
    manner = answer.manner
    if answer.finish is not None:
        ending = json.loads(chat_chunk(model, {}, answer.finish, manner.finish_field))
        native = {"native_finish_reason": manner.native} if manner.native else {}
        ending["choices"][0].update(native)
        yield Event(json.dumps(ending), ends=True)
    for reason in manner.reasons:
        yield Event(chat_chunk(model, {}, reason, manner.finish_field))
    for wait, text in manner.late:
        yield Event(chat_chunk(model, {"content": text}), wait=wait)


def chat_whole(answer: Answer, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat completion that is not streamed."""
    text = answer.text + "".join(late for _, late in answer.manner.late)
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": answer.refusal or None}
    if answer.reasoning:
        message[answer.reasoning_field] = answer.reasoning
    if answer.tool is not None:
        function = {"name": answer.tool[0], "arguments": answer.tool[1]}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": named(answer, body)}
    return {**whole, "choices": [choice], **({"usage": chat_usage(answer)} if answer.usage else {})}


# finish reasons of Chat Completions, as Responses puts them: status, and why it is incomplete
ENDINGS: dict[str | None, tuple[str, str]] = {
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "no details": ("incomplete", ""),
}


def responses_whole(answer: Answer, body: Mapping[str, Any], status: str = "") -> dict[str, Any]:
    """A response object: the whole answer, or with another `status` one that is under way or has failed."""
    ended, why = ENDINGS.get(answer.finish, ("completed", ""))
    content: list[dict[str, Any]] = []
    if answer.text:
        content.append({"type": "output_text", "text": answer.text, "annotations": []})
    if answer.refusal:
        content.append({"type": "refusal", "refusal": answer.refusal})
    output: list[dict[str, Any]] = []
    if answer.reasoning:
        output.append(
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": answer.reasoning}]}
        )
    output.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content})
    if answer.tool is not None:
        name, arguments = answer.tool
        output.append(
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": arguments}
        )
    failed = status == "failed"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status or ended,
        "error": {"code": answer.code, "message": "The server had an error."} if failed else None,
        "incomplete_details": {"reason": why} if why and not status else None,
        "model": named(answer, body),
        "output": [] if status else output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": responses_usage(answer) if answer.usage and not status else None,
    }


def responses_usage(answer: Answer) -> object:
    given, made = answer.tokens
    cached, reasoning = answer.details
    usage = {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": given + made,
        **({"cost": answer.cost} if answer.cost is not None else {}),
    }
    return usage if answer.odd_usage is None else answer.odd_usage


def responses_events(answer: Answer, body: Mapping[str, Any]) -> Iterator[Event]:
    """The events of a streamed response. There is no [DONE]."""
    number = 0

    def event(kind: str, *, piece: str = "", ends: bool = False, **more: Any) -> Event:
        nonlocal number
        number += 1
        return Event(json.dumps({"type": kind, "sequence_number": number, **more}), name=kind, piece=piece, ends=ends)

    where: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    yield event("response.created", response=responses_whole(answer, body, "in_progress"))
    yield event("response.in_progress", response=responses_whole(answer, body, "in_progress"))
    if answer.odd:
        yield event("response.future.thing", delta="not for you")
        yield Event("{}", name="ping")
        yield Event(json.dumps([1, 2]))
    for piece in pieces_of(answer.reasoning):
        yield event(
            "response.reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta=piece
        )
    yield from signs_of_life(answer.manner)
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    yield event("response.output_item.added", output_index=0, item=message)
    yield event("response.content_part.added", **where, part={"type": "output_text", "text": "", "annotations": []})
    for piece in pieces_of(answer.text):
        yield event("response.output_text.delta", piece=piece, **where, delta=piece, logprobs=[])
    yield event("response.output_text.done", **where, text=answer.text, logprobs=[])
    for piece in pieces_of(answer.refusal):
        yield event("response.refusal.delta", **where, delta=piece)
    if answer.tool is not None:
        name, arguments = answer.tool
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": ""}
        yield event("response.output_item.added", output_index=1, item=item)
        yield event("response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta=arguments)
    whole = responses_whole(answer, body)
    yield event(f"response.{whole['status']}", ends=True, response=whole)
