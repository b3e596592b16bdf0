"""Chat Completions on the wire: a prompt into a request's body, events and whole answers into deltas. Pure.

Source: platform.openai.com/docs/api-reference/chat, and what compatible servers send beside it (``reasoning_content``
by DeepSeek, vLLM and llama.cpp; ``reasoning`` by OpenRouter and newer vLLM; tags in the text, see `thinking`).
"""

from __future__ import annotations

from adapters.openai.errors import Complaint, raise_error
from adapters.openai.options import OpenAIOptions
from adapters.openai.thinking import ThoughtSplitter, split
from adapters.openai.wire import Json, SurrogateJoiner, data_url, fields, items, mended, message_bodies, usage_of, words
from bot.conversation import (
    Delta,
    Finish,
    FinishReason,
    Image,
    Prompt,
    Reasoning,
    Refusal,
    ToolCall,
    Usage,
)

PATH = "/chat/completions"

REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.FILTERED,
    "tool_calls": FinishReason.TOOLS,
    "function_call": FinishReason.TOOLS,
}

# Finish reasons with which gateways say that they failed (OpenRouter: "error"; vLLM: "abort"): no end of an answer.
NO_END = frozenset({"error", "abort"})


def request(options: OpenAIOptions, prompt: Prompt, *, stream: bool, usage: bool) -> dict[str, object]:
    """The body of a request. `usage` asks for the tokens of a streamed answer, which some servers cannot tell."""
    system = [{"role": "system", "content": mended(prompt.system)}] if prompt.system.strip() else []
    messages = [*system, *message_bodies(prompt, images=options.images, part_body=_part)]
    body: dict[str, object] = {
        **options.parameters,
        "model": prompt.model or options.model,
        "messages": messages,
        "stream": stream,
    }
    if stream and usage:
        body["stream_options"] = {"include_usage": True}
    return body


def _part(part: str | Image) -> dict[str, object]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": data_url(part)}}
    return {"type": "text", "text": part}


class ChatDecoder:
    """Reads a streamed chat completion. See `wire.Decoder`."""

    def __init__(self) -> None:
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self._text = SurrogateJoiner()
        self._thoughts = ThoughtSplitter()
        self._calls: dict[object, str] = {}  # ids of tool calls by their index: later pieces name only that

    def feed(self, event: object) -> list[Delta]:
        """See `wire.Decoder`."""
        raise_error(event)
        chunk = fields(event)
        self.usage = usage_of(chunk.get("usage"), "prompt_tokens", "completion_tokens") or self.usage
        choice = _first(chunk)
        self.finish = finish_of(choice) or self.finish
        return self._deltas(fields(choice.get("delta")))

    def flush(self) -> list[Delta]:
        """See `wire.Decoder`."""
        return [*self._thoughts.feed(self._text.flush()), *self._thoughts.flush()]

    def _deltas(self, delta: Json) -> list[Delta]:
        found: list[Delta] = []
        if thought := words(delta.get("reasoning_content") or delta.get("reasoning")):
            found.append(Reasoning(thought))
        if (text := words(delta.get("content"))) and (text := self._text.feed(text)):
            found += self._thoughts.feed(text)
        if refusal := words(delta.get("refusal")):
            found.append(Refusal(mended(refusal)))
        if calls := delta.get("tool_calls"):
            found += [self._call(fields(call)) for call in items(calls)]
        return found

    def _call(self, call: Json) -> ToolCall:
        index = call.get("index")
        if name := words(call.get("id")):
            self._calls[str(index)] = name
        return tool_call(call, self._calls.get(str(index), ""))


def whole(body: object) -> list[Delta]:
    """The deltas of an answer that was not streamed; without a `Finish` if it has no reason. Raises as `feed` does."""
    raise_error(body)
    answer = fields(body)
    choice = _first(answer)
    message = fields(choice.get("message"))
    found: list[Delta] = []
    if thought := words(message.get("reasoning_content") or message.get("reasoning")):
        found.append(Reasoning(thought))
    if text := words(message.get("content")):
        found += split(mended(text))
    if refusal := words(message.get("refusal")):
        found.append(Refusal(mended(refusal)))
    calls = (fields(call) for call in items(message.get("tool_calls")))
    found += [tool_call(call, words(call.get("id"))) for call in calls]
    if usage := usage_of(answer.get("usage"), "prompt_tokens", "completion_tokens"):
        found.append(usage)
    if finish := finish_of(choice):
        found.append(finish)
    return found


def tool_call(call: Json, name: str) -> ToolCall:
    """One call, or a piece of one, whose id is `name`."""
    function = fields(call.get("function"))
    return ToolCall(name, words(function.get("name")), words(function.get("arguments")))


def finish_of(choice: Json) -> Finish | None:
    """The end that a choice announces. Raises `Broken` where it says that the server gave up."""
    reason = words(choice.get("finish_reason"))
    if not reason:
        return None
    if reason in NO_END:
        error = fields(choice.get("error"))
        raise Complaint.of(error or {"message": f"the answer ended with {reason!r}"}).failure()
    return Finish(REASONS.get(reason, FinishReason.OTHER))


def _first(chunk: Json) -> Json:
    """The first choice; parameters may ask for more, but there is one answer to show."""
    for item in items(chunk.get("choices")):
        choice = fields(item)
        if not choice.get("index"):  # 0, or none at all
            return choice
    return {}
