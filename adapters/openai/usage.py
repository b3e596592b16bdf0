"""Parses the token counts and the cost in a response. Pure; accepts any JSON.

Sources: platform.openai.com/docs/api-reference (``usage`` of both APIs), openrouter.ai/docs/use-cases/usage-accounting
(``usage.cost``), docs.litellm.ai/docs/proxy/cost_tracking (``x-litellm-response-cost``), docs.perplexity.ai
(``usage.cost.total_cost``), api-docs.deepseek.com (``prompt_cache_hit_tokens``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from adapters.shared.json_fields import Json, as_object, as_string
from bot.conversation import Delta, Usage

# LiteLLM's header with the cost of a response without streaming, in dollars.
COST_HEADER = "x-litellm-response-cost"

# Greater numbers are mistakes: no call has a trillion tokens or costs a million dollars.
MOST_TOKENS = 10**12
MOST_DOLLARS = Decimal(10**6)

# Characters of a model's name in the ledger.
LONGEST_MODEL = 200


def usage_of(value: object, model: object = "") -> Usage | None:
    """The usage in the field ``usage`` of a response; None without both counts. `model` is its field ``model``."""
    if not value:
        return None
    counts = as_object(value)
    input_tokens = _first_count(counts, "prompt_tokens", "input_tokens")
    output_tokens = _first_count(counts, "completion_tokens", "output_tokens")
    if input_tokens is None or output_tokens is None:
        return None
    reasoning = _detail(counts, "completion_tokens_details", "output_tokens_details", "reasoning_tokens")
    if reasoning and _count(counts.get("total_tokens")) == input_tokens + output_tokens + reasoning:
        output_tokens += reasoning  # xAI and Gemini count reasoning beside the output
    cached = _detail(counts, "prompt_tokens_details", "input_tokens_details", "cached_tokens")
    cached = cached or _count(counts.get("prompt_cache_hit_tokens")) or 0
    return Usage(
        input_tokens,
        output_tokens,
        cached_tokens=min(cached, input_tokens),
        reasoning_tokens=min(reasoning, output_tokens),
        model=model_of(model),
        cost=_cost_of(counts.get("cost")),
    )


def model_of(value: object) -> str:
    """A model's name in a response, in one line of bounded length; empty without one."""
    return "".join(filter(str.isprintable, as_string(value)[:LONGEST_MODEL])).strip()


def with_header_cost(deltas: Sequence[Delta], headers: Mapping[str, str]) -> list[Delta]:
    """The deltas of a response without streaming, its usage completed by the cost in a header."""
    cost = dollars(headers.get(COST_HEADER))
    return [
        replace(delta, cost=cost) if isinstance(delta, Usage) and delta.cost is None and cost is not None else delta
        for delta in deltas
    ]


def dollars(value: object) -> Decimal | None:
    """An amount in dollars, from a number or its text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):  # ValueError: an integer of thousands of digits
        return None
    return amount if amount.is_finite() and 0 <= amount <= MOST_DOLLARS else None


def _cost_of(value: object) -> Decimal | None:
    """The cost in a usage: a number, or an object with the total."""
    return dollars(value.get("total_cost") if isinstance(value, dict) else value)


def _first_count(counts: Json, *names: str) -> int | None:
    """The first of these fields with a count."""
    return next((count for name in names if (count := _count(counts.get(name))) is not None), None)


def _detail(counts: Json, chat: str, responses: str, name: str) -> int:
    """A count among the details, under either API's name; 0 without one."""
    return _first_count(as_object(counts.get(chat)), name) or _first_count(as_object(counts.get(responses)), name) or 0


def _count(value: object) -> int | None:
    """A number of tokens, from a whole number or its text; None for anything else."""
    if isinstance(value, str) and len(value) <= len(str(MOST_TOKENS)) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MOST_TOKENS else None
