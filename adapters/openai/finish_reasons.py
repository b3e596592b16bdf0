"""One table of the finish reasons of all vendors.

`chat_completions` and `responses` locate a reason in a body; `bot.completion` acts on it.

Sources: the API references of OpenAI, Azure, Anthropic (``stop_reason``), Gemini (``FinishReason``), Mistral, DeepSeek,
Cohere, OpenRouter (``native_finish_reason``), Zhipu, Hunyuan, Bedrock, watsonx; the source of vLLM, SGLang,
TensorRT-LLM, text-generation-inference, llama.cpp (``stop_type``), Ollama (``done_reason``) and LM Studio
(``stopReason``). Gateways pass such words on as they are.
"""

from __future__ import annotations

import logging
from types import MappingProxyType

from bot.conversation import Finish, FinishReason
from bot.errors import ServiceError

log = logging.getLogger(__name__)

# Normal ends.
STOP = """
    stop stopped end end_turn end_of_turn end_of_text end_of_stream end_of_message eos eos_token eos_found eot
    endoftext end_id stop_sequence stop_sequences stop_word stop_words stop_string stop_string_found stop_token
    stop_token_ids word complete completed completion finished finish done normal natural success succeeded ok
"""

# The answer was cut at a limit of the model's, the server's or the request's.
LENGTH = """
    length max_length max_len max_tokens max_token max_new_tokens max_output_tokens max_completion_tokens max_output
    maximum_tokens max_predicted_tokens_reached max_turns max_context_length model_length model_max_length
    model_context_window model_context_window_exceeded context_window_exceeded context_length context_length_reached
    context_length_exceeded context_limit token_limit token_limit_reached limit error_limit incomplete truncated
    truncation pause_turn time_limit
"""

# The provider's content filter cut or withheld the answer.
FILTERED = """
    content_filter content_filtered content_filter_results filter filtered filtering guardrail guardrails
    guardrail_intervened content_policy content_policy_violation content_moderation moderation moderated
    policy_violation safety sensitive sensitive_content recitation blocklist blocked block prohibited_content spii
    language refusal refused error_toxic unsafe image_safety image_recitation image_prohibited_content risk_control
"""

# The model asks for a tool.
TOOLS = "tool_calls tool_call tool_use tools function_call function_calls function_calling"

# The server failed, or the request was cancelled.
FAILED = """
    error errored failed failure fail abort aborted abandoned cancel canceled cancelled user_cancel user_cancelled
    user_stopped interrupted timeout timed_out time_out network_error connection_error server_error internal_error
    internal_server_error upstream_error overloaded insufficient_system_resource insufficient_resources
    out_of_memory preempted disconnect disconnected load unload model_unloaded malformed_function_call
    malformed_response malformed_tool_call missing_thought_signature unexpected_tool_call too_many_tool_calls
    image_other no_image other
"""

# Sent with ordinary chunks, before the end.
NO_REASON = "null none nil undefined not_finished unfinished in_progress unspecified finish_reason_unspecified"

# Vendors' prefixes: ``FINISH_REASON_MAX_TOKENS``, ``FinishReason.STOP``, ``REASON_STOP``.
PREFIXES = ("finishreason", "stopreason", "reason")

# Unknown reasons remembered, so that each is logged once; a server has a few.
MAX_UNKNOWN = 50

# Characters of an unknown reason in the log.
MAX_WORD_CHARACTERS = 60


def _normalize(word: str) -> str:
    """Ignore case and punctuation: ``MAX_TOKENS``, ``max-tokens`` and ``maxTokens`` are the same."""
    return "".join(letter for letter in word if letter.isalnum()).lower()


def _table() -> dict[str, FinishReason | None]:
    reasons = {
        STOP: FinishReason.STOP,
        LENGTH: FinishReason.LENGTH,
        FILTERED: FinishReason.FILTERED,
        TOOLS: FinishReason.TOOLS,
        FAILED: None,
    }
    return {_normalize(word): reason for words, reason in reasons.items() for word in words.split()}


# None: the server failed.
REASONS = MappingProxyType(_table())
_NO_REASON = frozenset(map(_normalize, NO_REASON.split()))

# Beside these, a gateway's native reason may still report an abnormal end.
_NORMAL = frozenset({FinishReason.STOP, FinishReason.OTHER})


class FinishReasons:
    """Parses the finish reasons of one server and logs each unknown one once."""

    def __init__(self) -> None:
        self._unknown: set[str] = set()

    def finish(self, word: str, native: str = "") -> Finish | None:
        """The `Finish` for a reason; None if it marks no end. Raises `ServiceError` if the server failed.

        `native` is the upstream vendor's reason behind a gateway. It counts if `word` is a normal end or empty.
        """
        if word == "stop" and not native:  # nearly always
            return Finish(FinishReason.STOP)
        finish = self._parse(word)
        if native and (finish is None or finish.reason in _NORMAL):
            native_finish = self._parse(native)
            if native_finish is not None and (finish is None or native_finish.reason not in _NORMAL):
                return native_finish
        return finish

    def _parse(self, word: str) -> Finish | None:
        if not word or _is_none(word):
            return None
        # Gemini's compatible API: ``content_filter: PROHIBITED_CONTENT``.
        for part in (word, *word.split(":")):
            if (name := _table_key(part)) is None:
                continue
            if (reason := REASONS[name]) is None:
                raise ServiceError(f"the model's server ended the answer with {word[:MAX_WORD_CHARACTERS]!r}")
            return Finish(reason)
        self._log_unknown(word)
        return Finish(FinishReason.OTHER)

    def _log_unknown(self, word: str) -> None:
        if word in self._unknown or len(self._unknown) >= MAX_UNKNOWN:
            return
        self._unknown.add(word)
        log.warning("unknown finish reason, treated as an end", extra={"reason": word[:MAX_WORD_CHARACTERS]})


def _table_key(word: str) -> str | None:
    """The table's key for a reason; None if unknown."""
    name = _normalize(word)
    names = (name, *(name.removeprefix(prefix) for prefix in PREFIXES))
    return next((name for name in names if name in REASONS), None)


def _is_none(word: str) -> bool:
    name = _normalize(word)
    return not name or name in _NO_REASON
