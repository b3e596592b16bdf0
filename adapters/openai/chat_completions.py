"""Chat Completions on the wire: a prompt into a request's body, events and whole answers into deltas. Pure.

Source: platform.openai.com/docs/api-reference/chat, and what compatible servers send beside it (``reasoning_content``
by DeepSeek, vLLM and llama.cpp; ``reasoning`` by OpenRouter and newer vLLM, with ``reasoning_details`` that may be
encrypted; ``thinking`` parts by Mistral; tags in the text, see `thinking`; other finish reasons, see `reasons`).
"""

from __future__ import annotations

from adapters.openai.errors import Complaint, raise_error
from adapters.openai.finish_reasons import Reasons
from adapters.openai.options import OpenAIOptions
from adapters.openai.payload import Json, data_url, fields, items, mended, message_bodies, thoughts, usage_of, words
from adapters.openai.think_tags import Spoken, split
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
from bot.errors import Failure, ServiceError

PATH = "/chat/completions"


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

    def __init__(self, reasons: Reasons | None = None) -> None:
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.over = False  # [DONE] is no event: whoever reads the events sees it
        self._reasons = reasons or Reasons()
        self._spoken = Spoken()
        self._began = False  # whether anything came in deltas
        self._calls: dict[object, str] = {}  # ids of tool calls by their index: later pieces name only that

    def feed(self, event: object) -> list[Delta]:
        """See `wire.Decoder`."""
        raise_error(event)
        chunk = fields(event)
        if usage := chunk.get("usage"):
            self.usage = usage_of(usage, "prompt_tokens", "completion_tokens") or self.usage
        choice = _first(chunk)
        delta = choice.get("delta")
        if delta is None and not self._began:  # a server that frames a whole answer as a stream
            delta = choice.get("message")
        found = self._deltas(fields(delta))
        self._began = self._began or bool(found)
        try:
            self.finish = finish_of(choice, self._reasons) or self.finish
        except Failure:  # it takes the place of an end that was announced before
            self.finish = None
            raise
        return found

    def flush(self) -> list[Delta]:
        """See `wire.Decoder`."""
        return self._spoken.flush()

    def rest(self) -> list[Delta]:
        """See `wire.Decoder`."""
        return self._spoken.rest()

    def _deltas(self, delta: Json) -> list[Delta]:
        if len(delta) == 1 and isinstance(text := delta.get("content"), str):  # nearly always
            return self._spoken.feed(text) if text else []
        found: list[Delta] = []
        if (thought := thought_of(delta)) is not None:
            found.append(Reasoning(thought))
        if text := words(delta.get("content")):
            found += self._spoken.feed(text)
        if refusal := words(delta.get("refusal")):
            found.append(Refusal(mended(refusal)))
        if calls := delta.get("tool_calls"):
            found += [self._call(fields(call)) for call in items(calls)]
        if call := delta.get("function_call"):  # as it was before there were several
            found.append(tool_call({"function": call}, ""))
        return found

    def _call(self, call: Json) -> ToolCall:
        index = call.get("index")
        if name := words(call.get("id")):
            self._calls[str(index)] = name
        return tool_call(call, self._calls.get(str(index), ""))


def whole(body: object, reasons: Reasons | None = None) -> list[Delta]:
    """The deltas of an answer that was not streamed. Raises as `feed` does.

    Its body is whole, so that words without a reason are an answer; without either there is no `Finish`.
    """
    raise_error(body)
    answer = fields(body)
    choice = _first(answer)
    message = fields(choice.get("message"))
    found: list[Delta] = []
    if (thought := thought_of(message)) is not None:
        found.append(Reasoning(thought))
    if text := words(message.get("content")):
        found += split(mended(text))
    if refusal := words(message.get("refusal")):
        found.append(Refusal(mended(refusal)))
    calls = (fields(call) for call in items(message.get("tool_calls")))
    found += [tool_call(call, words(call.get("id"))) for call in calls]
    finish = finish_of(choice, reasons or Reasons()) or (Finish(FinishReason.STOP) if found else None)
    if usage := usage_of(answer.get("usage"), "prompt_tokens", "completion_tokens"):
        found.append(usage)
    if finish:
        found.append(finish)
    return found


def thought_of(delta: Json) -> str | None:
    """What a piece of an answer has of thinking aloud: empty where that is encrypted, None where there is none."""
    if thought := words(delta.get("reasoning_content") or delta.get("reasoning") or delta.get("thinking")):
        return thought
    if isinstance(content := delta.get("content"), list) and (thought := thoughts(content)):
        return thought
    if details := items(delta.get("reasoning_details")):
        return "".join(words(part.get("text") or part.get("summary")) for part in map(fields, details))
    return None


def tool_call(call: Json, name: str) -> ToolCall:
    """One call, or a piece of one, whose id is `name`."""
    function = fields(call.get("function"))
    return ToolCall(name, words(function.get("name")), words(function.get("arguments")))


def finish_of(choice: Json, reasons: Reasons) -> Finish | None:
    """The end that a choice announces. Raises a `Failure` where it says that the server gave up."""
    word = choice.get("finish_reason") or choice.get("finishReason")
    native = choice.get("native_finish_reason")
    if not (word or native):
        return None
    try:
        return reasons.finish(words(word), words(native))
    except ServiceError:
        if error := fields(choice.get("error")):
            raise Complaint.of(error).failure() from None
        raise


def _first(chunk: Json) -> Json:
    """The first choice; parameters may ask for more, but there is one answer to show."""
    for item in items(chunk.get("choices")):
        choice = fields(item)
        if not choice.get("index"):  # 0, or none at all
            return choice
    return {}
