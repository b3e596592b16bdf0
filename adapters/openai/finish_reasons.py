"""Finish reasons: what the words of all vendors mean, in one table.

What belongs here: the words, and the one log line for a word that nobody has written down here. What does not: where a
server puts its word (`chat`, `responses`), and what follows from its meaning (`bot.completion`).

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

# The answer was cut, or held back, by a filter of the provider's.
FILTERED = """
    content_filter content_filtered content_filter_results filter filtered filtering guardrail guardrails
    guardrail_intervened content_policy content_policy_violation content_moderation moderation moderated
    policy_violation safety sensitive sensitive_content recitation blocklist blocked block prohibited_content spii
    language refusal refused error_toxic unsafe image_safety image_recitation image_prohibited_content risk_control
"""

# The model asks for a tool.
TOOLS = "tool_calls tool_call tool_use tools function_call function_calls function_calling"

# No end of an answer: the server gave up, or was told to.
FAILED = """
    error errored failed failure fail abort aborted abandoned cancel canceled cancelled user_cancel user_cancelled
    user_stopped interrupted timeout timed_out time_out network_error connection_error server_error internal_error
    internal_server_error upstream_error overloaded insufficient_system_resource insufficient_resources
    out_of_memory preempted disconnect disconnected load unload model_unloaded malformed_function_call
    malformed_response malformed_tool_call missing_thought_signature unexpected_tool_call too_many_tool_calls
    image_other no_image other
"""

# Sent with chunks that are no end at all.
NO_REASON = "null none nil undefined not_finished unfinished in_progress unspecified finish_reason_unspecified"

# What some put before each of their words: ``FINISH_REASON_MAX_TOKENS``, ``FinishReason.STOP``, ``REASON_STOP``.
PREFIXES = ("finishreason", "stopreason", "reason")

# So many words that nobody knows are remembered, each to be logged once; a server has a few.
MOST_UNKNOWN = 50

# More of an unknown word than this helps nobody who reads a log. Characters.
LONGEST_WORD = 60


def _compact(word: str) -> str:
    """A word whatever its case and its marks: ``MAX_TOKENS``, ``max-tokens`` and ``maxTokens`` are one."""
    return "".join(letter for letter in word if letter.isalnum()).lower()


def _table() -> dict[str, FinishReason | None]:
    meanings = {
        STOP: FinishReason.STOP,
        LENGTH: FinishReason.LENGTH,
        FILTERED: FinishReason.FILTERED,
        TOOLS: FinishReason.TOOLS,
        FAILED: None,
    }
    return {_compact(word): meaning for words, meaning in meanings.items() for word in words.split()}


# None where the server failed.
MEANINGS = MappingProxyType(_table())
_NO_REASON = frozenset(map(_compact, NO_REASON.split()))

# The words of a normal end beside which a gateway's other field may tell that it was none.
_NORMAL = frozenset({FinishReason.STOP, FinishReason.OTHER})


class Reasons:
    """Reads the finish reasons of one server, and remembers which unknown words were logged."""

    def __init__(self) -> None:
        self._unknown: set[str] = set()

    def finish(self, word: str, native: str = "") -> Finish | None:
        """The end that a word announces; None where it announces none. Raises `ServiceError` where the server gave up.

        `native` is what a gateway's own source said: it counts where `word` speaks of a normal end or of nothing.
        """
        if word == "stop" and not native:  # nearly always
            return Finish(FinishReason.STOP)
        meaning = self._meaning(word)
        if native and (meaning is None or meaning.reason in _NORMAL):
            told = self._meaning(native)
            if told is not None and (meaning is None or told.reason not in _NORMAL):
                return told
        return meaning

    def _meaning(self, word: str) -> Finish | None:
        if not word or _is_none(word):
            return None
        # Gemini's compatible API: ``content_filter: PROHIBITED_CONTENT``.
        for part in (word, *word.split(":")):
            if (name := _known(part)) is None:
                continue
            if (reason := MEANINGS[name]) is None:
                raise ServiceError(f"the model's server ended the answer with {word[:LONGEST_WORD]!r}")
            return Finish(reason)
        self._note(word)
        return Finish(FinishReason.OTHER)

    def _note(self, word: str) -> None:
        if word in self._unknown or len(self._unknown) >= MOST_UNKNOWN:
            return
        self._unknown.add(word)
        log.warning("unknown finish reason, taken as an end", extra={"reason": word[:LONGEST_WORD]})


def _known(word: str) -> str | None:
    """The name under which the table has a word."""
    name = _compact(word)
    names = (name, *(name.removeprefix(prefix) for prefix in PREFIXES))
    return next((name for name in names if name in MEANINGS), None)


def _is_none(word: str) -> bool:
    name = _compact(word)
    return not name or name in _NO_REASON
