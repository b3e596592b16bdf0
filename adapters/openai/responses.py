"""The Responses API on the wire: a prompt into a request's body, events and whole responses into deltas. Pure.

Its errors are data: ``response.failed``, ``response.incomplete`` and ``error`` are events like any other, and a whole
response has a status. Source: platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from adapters.openai.errors import Complaint, raise_error
from adapters.openai.finish_reasons import Reasons
from adapters.openai.options import OpenAIOptions
from adapters.openai.payload import (
    Json,
    data_url,
    fields,
    is_text,
    items,
    mended,
    message_bodies,
    usage_of,
    words,
)
from adapters.openai.think_tags import Spoken, split
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

# With these, no event follows.
LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})

# How a response ends that is not whole.
CUT = frozenset({"incomplete", "failed", "cancelled"})


def request(options: OpenAIOptions, prompt: Prompt, *, stream: bool, usage: bool) -> dict[str, object]:  # noqa: ARG001 (one shape for both APIs; this one always tells usage)
    """The body of a request. Nothing is stored at the server: the conversation is read from the platform each time."""
    body: dict[str, object] = {
        **options.parameters,
        "model": prompt.model or options.model,
        "input": message_bodies(prompt, images=options.images, part_body=_part),
        "stream": stream,
        "store": False,
    }
    if prompt.system.strip():
        body["instructions"] = mended(prompt.system)
    return body


def _part(part: str | Image) -> dict[str, object]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": data_url(part), "detail": "auto"}
    return {"type": "input_text", "text": part}


class ResponsesDecoder:
    """Reads a streamed response. See `wire.Decoder`."""

    def __init__(self, reasons: Reasons | None = None) -> None:
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.over = False
        self._reasons = reasons or Reasons()
        self._spoken = Spoken()
        self._spoke = False  # whether any text came in deltas
        self._calls: dict[str, str] = {}  # ids of tool calls by the id of their item

    def feed(self, event: object) -> list[Delta]:
        """See `wire.Decoder`."""
        raise_error(event)
        data = fields(event)
        piece = words(data.get("delta"))
        found: list[Delta] = []
        match data.get("type"):
            case "response.output_text.delta":
                self._spoke = True
                found = self._spoken.feed(piece)
            case "response.refusal.delta":
                self._spoke = True
                found = [Refusal(mended(piece))] if piece else []
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                found = [Reasoning(piece)] if piece else []
            case "response.output_item.added":
                found = self._item(fields(data.get("item")))
            case "response.function_call_arguments.delta":
                found = [ToolCall(self._calls.get(words(data.get("item_id")), ""), "", piece)]
            case str() as kind if kind in LAST:
                found = self._end(fields(data.get("response")), kind)
        return found

    def flush(self) -> list[Delta]:
        """See `wire.Decoder`."""
        return self._spoken.flush()

    def rest(self) -> list[Delta]:
        """See `wire.Decoder`."""
        return self._spoken.rest()

    def _item(self, item: Json) -> list[Delta]:
        if item.get("type") == "reasoning":
            return [Reasoning("")]  # what follows of it may be encrypted
        if item.get("type") != "function_call":
            return []
        name = words(item.get("call_id"))
        self._calls[words(item.get("id"))] = name
        return [ToolCall(name, words(item.get("name")), words(item.get("arguments")))]

    def _end(self, response: Json, kind: str) -> list[Delta]:
        self.usage = usage_of(response.get("usage"), "input_tokens", "output_tokens")
        status = words(response.get("status"))
        if status not in CUT:  # some servers leave it as it was at the beginning; the event's name tells then
            status = kind.removeprefix("response.")
        self.finish = finish_of({**response, "status": status}, self._reasons)
        self.over = True
        # A server that sends no deltas still says everything at the end.
        return [] if self._spoke else [d for d in output_of(response) if isinstance(d, Text | Refusal)]


def whole(body: object, reasons: Reasons | None = None) -> list[Delta]:
    """The deltas of a response that was not streamed; without a `Finish` if it has not ended. Raises as `feed` does."""
    raise_error(body)
    response = fields(body)
    finish = finish_of(response, reasons or Reasons())
    usage = usage_of(response.get("usage"), "input_tokens", "output_tokens")
    return [*output_of(response), *([usage] if usage else []), *([finish] if finish else [])]


def output_of(response: Json) -> list[Delta]:
    """What a whole response holds: reasoning, then its text as one `Text`, then refusals and calls."""
    output = [fields(item) for item in items(response.get("output"))]
    parts = [fields(part) for item in output if item.get("type") == "message" for part in items(item.get("content"))]
    text = "".join(words(part.get("text")) for part in parts if is_text(part))
    refusal = "".join(words(part.get("refusal")) for part in parts if part.get("type") == "refusal")
    found: list[Delta] = [
        Reasoning("".join(words(fields(part).get("text")) for part in items(item.get("summary"))))
        for item in output
        if item.get("type") == "reasoning"
    ]
    found += split(mended(text)) if text else []
    found += [Refusal(mended(refusal))] if refusal else []
    found += [
        ToolCall(words(item.get("call_id")), words(item.get("name")), words(item.get("arguments")))
        for item in output
        if item.get("type") == "function_call"
    ]
    return found


def finish_of(response: Json, reasons: Reasons) -> Finish | None:
    """How a response ended; None if it has not. Raises a `Failure` where it failed.

    One that is incomplete was cut, whatever word there is for it, or none: that is not taken for a normal end.
    """
    match response.get("status"):
        case "completed":
            called = any(fields(item).get("type") == "function_call" for item in items(response.get("output")))
            return Finish(FinishReason.TOOLS if called else FinishReason.STOP)
        case "incomplete":
            finish = reasons.finish(words(fields(response.get("incomplete_details")).get("reason")))
            is_filtered = finish is not None and finish.reason is FinishReason.FILTERED
            return Finish(FinishReason.FILTERED if is_filtered else FinishReason.LENGTH)
        case "failed" | "cancelled" as status:
            raise Complaint.of(response.get("error") or {"message": f"the response has {status}"}).failure()
    if error := response.get("error"):  # a body that is only an error
        raise Complaint.of(error).failure()
    return None
