"""The Responses format: prompt to request body, events and complete responses to deltas. Pure.

Its errors are data: ``response.failed``, ``response.incomplete`` and ``error`` are events like any other, and a
complete response has a status. Source: platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from typing_extensions import override

from adapters.openai.errors import ServerError, raise_error
from adapters.openai.finish_reasons import FinishReasons
from adapters.openai.options import OpenAIOptions
from adapters.openai.payload import (
    EventDecoder,
    data_url,
    fix_surrogates,
    is_text_part,
    message_bodies,
    text_of,
)
from adapters.openai.think_tags import AnswerText, split_thinking
from adapters.openai.usage import usage_of
from adapters.shared.json_fields import Json, as_list, as_object
from bot.conversation import (
    Delta,
    Finish,
    FinishReason,
    Image,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)

PATH = "/responses"

# The last event of a stream.
TERMINAL_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})

# Statuses of an unfinished response.
UNFINISHED_STATUSES = frozenset({"incomplete", "failed", "cancelled"})


def request_body(options: OpenAIOptions, prompt: Prompt, *, stream: bool, usage: bool) -> dict[str, object]:  # noqa: ARG001 (same signature for both APIs; this one always reports usage)
    """The body of a request. The server stores nothing: we read the conversation from the platform each time."""
    body: dict[str, object] = {
        **options.parameters,
        "model": prompt.model or options.model,
        "input": message_bodies(prompt, images=options.images, part_body=_part),
        "stream": stream,
        "store": False,
    }
    if prompt.system.strip():
        body["instructions"] = fix_surrogates(prompt.system)
    return body


def _part(part: str | Image) -> dict[str, object]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": data_url(part), "detail": "auto"}
    return {"type": "input_text", "text": part}


class ResponsesDecoder(EventDecoder):
    """Decodes a streamed response."""

    def __init__(self, finish_reasons: FinishReasons | None = None) -> None:
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.done = False
        self._finish_reasons = finish_reasons or FinishReasons()
        self._text = AnswerText()
        self._has_text = False  # whether a text delta has arrived
        self._calls: dict[str, str] = {}  # ids of tool calls by the id of their item

    @override
    def plain_text(self, event: object) -> str:
        if type(event) is not dict or event.get("type") != "response.output_text.delta" or event.get("error"):
            return ""
        text = event.get("delta")
        return text if type(text) is str else ""

    @override
    def feed_text(self, text: str) -> list[Delta]:
        self._has_text = True
        return self._text.feed(text)

    @override
    def feed(self, event: object) -> list[Delta]:
        raise_error(event)
        data = as_object(event)
        piece = text_of(data.get("delta"))
        deltas: list[Delta] = []
        match data.get("type"):
            case "response.output_text.delta":
                self._has_text = True
                deltas = self._text.feed(piece)
            case "response.refusal.delta":
                self._has_text = True
                deltas = [Refusal(fix_surrogates(piece))] if piece else []
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                deltas = [Reasoning(piece)] if piece else []
            case "response.output_item.added":
                deltas = self._item(as_object(data.get("item")))
            case "response.function_call_arguments.delta":
                deltas = [ToolCall(self._calls.get(text_of(data.get("item_id")), ""), "", piece)]
            case str() as kind if kind in TERMINAL_EVENTS:
                deltas = self._end(as_object(data.get("response")), kind)
        return deltas

    @override
    def flush(self) -> list[Delta]:
        return self._text.flush()

    @override
    def peek(self) -> list[Delta]:
        return self._text.peek()

    def _item(self, item: Json) -> list[Delta]:
        if item.get("type") == "reasoning":
            return [Reasoning("")]  # its content may be encrypted
        if item.get("type") != "function_call":
            return []
        call_id = text_of(item.get("call_id"))
        self._calls[text_of(item.get("id"))] = call_id
        return [ToolCall(call_id, text_of(item.get("name")), text_of(item.get("arguments")))]

    def _end(self, response: Json, kind: str) -> list[Delta]:
        self.usage = usage_of(response.get("usage"), response.get("model"))
        status = text_of(response.get("status"))
        if status not in UNFINISHED_STATUSES:  # some servers never update it; use the event's name
            status = kind.removeprefix("response.")
        self.finish = parse_finish({**response, "status": status}, self._finish_reasons)
        self.done = True
        # Without deltas, the last event holds the whole text.
        return [] if self._has_text else [d for d in output_deltas(response) if isinstance(d, Text | Refusal)]


def decode_response(body: object, finish_reasons: FinishReasons | None = None) -> list[Delta]:
    """The deltas of a response without streaming; no `Finish` if it has not ended. Raises like `feed`."""
    raise_error(body)
    response = as_object(body)
    finish = parse_finish(response, finish_reasons or FinishReasons())
    usage = usage_of(response.get("usage"), response.get("model"))
    return [*output_deltas(response), *([usage] if usage else []), *([finish] if finish else [])]


def output_deltas(response: Json) -> list[Delta]:
    """The content of a complete response: reasoning, then its text as one `Text`, then refusals and calls."""
    output = [as_object(item) for item in as_list(response.get("output"))]
    parts = [
        as_object(part) for item in output if item.get("type") == "message" for part in as_list(item.get("content"))
    ]
    text = "".join(text_of(part.get("text")) for part in parts if is_text_part(part))
    refusal = "".join(text_of(part.get("refusal")) for part in parts if part.get("type") == "refusal")
    deltas: list[Delta] = [
        Reasoning("".join(text_of(as_object(part).get("text")) for part in as_list(item.get("summary"))))
        for item in output
        if item.get("type") == "reasoning"
    ]
    deltas += split_thinking(fix_surrogates(text)) if text else []
    deltas += [Refusal(fix_surrogates(refusal))] if refusal else []
    deltas += [
        ToolCall(text_of(item.get("call_id")), text_of(item.get("name")), text_of(item.get("arguments")))
        for item in output
        if item.get("type") == "function_call"
    ]
    return deltas


def parse_finish(response: Json, finish_reasons: FinishReasons) -> Finish | None:
    """The `Finish` of a response; None if it has not ended. Raises a `Failure` if it failed.

    An incomplete response was cut, with or without a known reason; it never counts as a normal end.
    """
    match response.get("status"):
        case "completed":
            called = any(as_object(item).get("type") == "function_call" for item in as_list(response.get("output")))
            return Finish(FinishReason.TOOLS if called else FinishReason.STOP)
        case "incomplete":
            finish = finish_reasons.finish(text_of(as_object(response.get("incomplete_details")).get("reason")))
            is_filtered = finish is not None and finish.reason is FinishReason.FILTERED
            return Finish(FinishReason.FILTERED if is_filtered else FinishReason.LENGTH)
        case "failed" | "cancelled" as status:
            raise ServerError.parse(response.get("error") or {"message": f"the response has {status}"}).failure()
    if error := response.get("error"):  # a body with nothing but an error
        raise ServerError.parse(error).failure()
    return None
