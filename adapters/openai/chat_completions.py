"""The Chat Completions format: prompt to request body, events and complete answers to deltas. Pure.

Source: platform.openai.com/docs/api-reference/chat, and extensions of compatible servers (``reasoning_content`` by
DeepSeek, vLLM and llama.cpp; ``reasoning`` by OpenRouter and newer vLLM, with possibly encrypted ``reasoning_details``;
``thinking`` parts by Mistral; tags in the text, see `think_tags`; other finish reasons, see `finish_reasons`).
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
    message_bodies,
    text_of,
    thinking_of,
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
    ToolCall,
    Usage,
)
from bot.errors import Failure, ServiceError

PATH = "/chat/completions"

# Fields of a choice with a finish reason: OpenAI's, Gemini's and OpenRouter's.
FINISH_FIELDS = ("finish_reason", "finishReason", "native_finish_reason")


def request_body(options: OpenAIOptions, prompt: Prompt, *, stream: bool, usage: bool) -> dict[str, object]:
    """The body of a request. `usage` asks for the token counts of a streamed answer; some servers refuse that."""
    system = [{"role": "system", "content": fix_surrogates(prompt.system)}] if prompt.system.strip() else []
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


class ChatDecoder(EventDecoder):
    """Decodes a streamed chat completion."""

    def __init__(self, finish_reasons: FinishReasons | None = None) -> None:
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.done = False  # stays false: `stream_decoder` handles [DONE], it is no event
        self._finish_reasons = finish_reasons or FinishReasons()
        self._text = AnswerText()
        self._has_deltas = False  # whether a delta has arrived
        self._calls: dict[object, str] = {}  # ids of tool calls by index; later fragments carry only the index

    @override
    def plain_text(self, event: object) -> str:
        if type(event) is not dict or self.finish is not None:
            return ""
        if event.get("error") or event.get("usage") or event.get("type") or event.get("object") == "error":
            return ""
        choices = event.get("choices")
        choice = choices[0] if type(choices) is list and len(choices) == 1 else None
        if type(choice) is not dict or choice.get("index") or any(map(choice.get, FINISH_FIELDS)):
            return ""
        delta = choice.get("delta")
        text = delta.get("content") if type(delta) is dict and len(delta) == 1 else None
        return text if type(text) is str else ""

    @override
    def feed_text(self, text: str) -> list[Delta]:
        deltas = self._text.feed(text)
        self._has_deltas = self._has_deltas or bool(deltas)
        return deltas

    @override
    def feed(self, event: object) -> list[Delta]:
        raise_error(event)
        chunk = as_object(event)
        if usage := chunk.get("usage"):
            self.usage = usage_of(usage, chunk.get("model")) or self.usage
        choice = _first(chunk)
        delta = choice.get("delta")
        if delta is None and not self._has_deltas:  # some servers send a complete answer as one event
            delta = choice.get("message")
        deltas = self._deltas(as_object(delta))
        self._has_deltas = self._has_deltas or bool(deltas)
        try:
            self.finish = parse_finish(choice, self._finish_reasons) or self.finish
        except Failure:  # replaces an end announced earlier
            self.finish = None
            raise
        return deltas

    @override
    def flush(self) -> list[Delta]:
        return self._text.flush()

    @override
    def peek(self) -> list[Delta]:
        return self._text.peek()

    def _deltas(self, delta: Json) -> list[Delta]:
        if len(delta) == 1 and isinstance(text := delta.get("content"), str):  # nearly always
            return self._text.feed(text) if text else []
        deltas: list[Delta] = []
        if (reasoning := reasoning_of(delta)) is not None:
            deltas.append(Reasoning(reasoning))
        if text := text_of(delta.get("content")):
            deltas += self._text.feed(text)
        if refusal := text_of(delta.get("refusal")):
            deltas.append(Refusal(fix_surrogates(refusal)))
        if calls := delta.get("tool_calls"):
            deltas += [self._call(as_object(call)) for call in as_list(calls)]
        if call := delta.get("function_call"):  # the older format with a single call
            deltas.append(tool_call({"function": call}, ""))
        return deltas

    def _call(self, call: Json) -> ToolCall:
        index = call.get("index")
        if call_id := text_of(call.get("id")):
            self._calls[str(index)] = call_id
        return tool_call(call, self._calls.get(str(index), ""))


def decode_response(body: object, finish_reasons: FinishReasons | None = None) -> list[Delta]:
    """The deltas of an answer without streaming. Raises like `feed`.

    The body is complete, so text without a finish reason is an answer. Without either there is no `Finish`.
    """
    raise_error(body)
    answer = as_object(body)
    choice = _first(answer)
    message = as_object(choice.get("message"))
    deltas: list[Delta] = []
    if (reasoning := reasoning_of(message)) is not None:
        deltas.append(Reasoning(reasoning))
    if text := text_of(message.get("content")):
        deltas += split_thinking(fix_surrogates(text))
    if refusal := text_of(message.get("refusal")):
        deltas.append(Refusal(fix_surrogates(refusal)))
    calls = (as_object(call) for call in as_list(message.get("tool_calls")))
    deltas += [tool_call(call, text_of(call.get("id"))) for call in calls]
    finish = parse_finish(choice, finish_reasons or FinishReasons()) or (Finish(FinishReason.STOP) if deltas else None)
    if usage := usage_of(answer.get("usage"), answer.get("model")):
        deltas.append(usage)
    if finish:
        deltas.append(finish)
    return deltas


def reasoning_of(delta: Json) -> str | None:
    """The reasoning in a delta or a message: empty if encrypted, None if there is none."""
    if reasoning := text_of(delta.get("reasoning_content") or delta.get("reasoning") or delta.get("thinking")):
        return reasoning
    if isinstance(content := delta.get("content"), list) and (reasoning := thinking_of(content)):
        return reasoning
    if details := as_list(delta.get("reasoning_details")):
        return "".join(text_of(part.get("text") or part.get("summary")) for part in map(as_object, details))
    return None


def tool_call(call: Json, call_id: str) -> ToolCall:
    """A call or a fragment of one."""
    function = as_object(call.get("function"))
    return ToolCall(call_id, text_of(function.get("name")), text_of(function.get("arguments")))


def parse_finish(choice: Json, finish_reasons: FinishReasons) -> Finish | None:
    """The `Finish` of a choice; None if it has no finish reason. Raises a `Failure` if the server failed."""
    reason = choice.get("finish_reason") or choice.get("finishReason")
    native = choice.get("native_finish_reason")
    if not (reason or native):
        return None
    try:
        return finish_reasons.finish(text_of(reason), text_of(native))
    except ServiceError:
        if error := as_object(choice.get("error")):
            raise ServerError.parse(error).failure() from None
        raise


def _first(chunk: Json) -> Json:
    """The first choice. Parameters may ask for several; the bot shows one answer."""
    for item in as_list(chunk.get("choices")):
        choice = as_object(item)
        if not choice.get("index"):  # 0, or none at all
            return choice
    return {}
