"""Token counts and costs in responses: what is read, and what is left alone."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai import chat_completions, responses
from adapters.openai.usage import LONGEST_MODEL, MOST_TOKENS, dollars, usage_of, with_header_cost
from bot.conversation import Finish, FinishReason, Text, Usage

PLAIN = {"prompt_tokens": 100, "completion_tokens": 20}


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        (PLAIN, Usage(100, 20)),
        ({"input_tokens": 100, "output_tokens": 20}, Usage(100, 20)),
        (
            {
                **PLAIN,
                "prompt_tokens_details": {"cached_tokens": 64},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(100, 20, 64, 5),
        ),
        (
            {
                "input_tokens": 100,
                "output_tokens": 20,
                "input_tokens_details": {"cached_tokens": 64},
                "output_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(100, 20, 64, 5),
        ),
        ({**PLAIN, "prompt_cache_hit_tokens": 30}, Usage(100, 20, 30)),  # DeepSeek
        (  # xAI: reasoning stands beside the output
            {**PLAIN, "total_tokens": 150, "completion_tokens_details": {"reasoning_tokens": 30}},
            Usage(100, 50, 0, 30),
        ),
        (
            {**PLAIN, "total_tokens": 120, "completion_tokens_details": {"reasoning_tokens": 10}},
            Usage(100, 20, 0, 10),
        ),
        ({**PLAIN, "cost": 0.00014}, Usage(100, 20, cost=Decimal("0.00014"))),  # OpenRouter
        ({**PLAIN, "cost": 0}, Usage(100, 20, cost=Decimal(0))),
        ({**PLAIN, "cost": {"total_cost": 0.006, "request_cost": 0.005}}, Usage(100, 20, cost=Decimal("0.006"))),
        ({**PLAIN, "prompt_tokens_details": {"cached_tokens": 500}}, Usage(100, 20, 100)),  # more than all
        ({**PLAIN, "prompt_tokens_details": None, "cost": None}, Usage(100, 20)),
        ({**PLAIN, "prompt_tokens_details": [[{"cached_tokens": 5}]], "cost": [[1]]}, Usage(100, 20)),
        ({**PLAIN, "prompt_tokens_details": {"cached_tokens": "-5"}, "cost": -1}, Usage(100, 20)),
        ({**PLAIN, "cost": float("nan")}, Usage(100, 20)),
        ({**PLAIN, "cost": True}, Usage(100, 20)),
        ({"prompt_tokens": "100", "completion_tokens": 20.0}, Usage(100, 20)),
        ({"prompt_tokens": -1, "completion_tokens": 20}, None),
        ({"prompt_tokens": True, "completion_tokens": 20}, None),
        ({"prompt_tokens": 1.5, "completion_tokens": 20}, None),
        ({"prompt_tokens": float("inf"), "completion_tokens": 20}, None),
        ({"prompt_tokens": MOST_TOKENS + 1, "completion_tokens": 20}, None),
        ({"prompt_tokens": 100, "completion_tokens": None}, None),
        ({"prompt_tokens": "many", "completion_tokens": "\u00b2"}, None),
        ([100, 20], None),
        ("100", None),
        (None, None),
    ],
)
def test_usage_is_read_from_every_shape(value: object, usage: Usage | None) -> None:
    """Both APIs' names count, a part is never larger than its whole, and anything odd counts as missing."""
    assert usage_of(value) == usage


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted({
        "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "cost", "total_cost",
        "prompt_tokens_details", "completion_tokens_details", "cached_tokens", "reasoning_tokens",
    })), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@given(usage=JSON, model=JSON)
def test_no_usage_breaks_an_answer(usage: object, model: object) -> None:
    """Whatever stands in place of the usage, the text and its end arrive, and every count is in its bounds."""
    choice = {"index": 0, "message": {"content": "Hello"}, "delta": {"content": "Hello"}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": usage, "model": model}
    decoder = chat_completions.ChatDecoder()
    assert [each for each in [*decoder.feed(body), *decoder.flush()] if isinstance(each, Text)] == [Text("Hello")]
    assert decoder.finish == Finish(FinishReason.STOP)
    whole = {
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}],
        "usage": usage,
        "model": model,
    }
    for deltas in (chat_completions.decode_response(body), responses.decode_response(whole)):
        assert deltas[0] == Text("Hello")
        assert deltas[-1] == Finish(FinishReason.STOP)
    for counted in filter(None, (decoder.usage, usage_of(usage, model))):
        assert 0 <= counted.cached_tokens <= counted.input_tokens <= MOST_TOKENS
        assert 0 <= counted.reasoning_tokens <= counted.output_tokens <= 2 * MOST_TOKENS
        assert len(counted.model) <= LONGEST_MODEL
        assert counted.cost is None or (counted.cost.is_finite() and counted.cost >= 0)


def test_the_header_completes_a_usage_without_a_cost() -> None:
    """A proxy's header gives the cost, unless the usage has one; an odd header is ignored."""
    headers = {"x-litellm-response-cost": "2.8e-05"}
    assert with_header_cost([Text("a"), Usage(1, 2)], headers) == [Text("a"), Usage(1, 2, cost=Decimal("0.000028"))]
    own = [Usage(1, 2, cost=Decimal(3))]
    assert with_header_cost(own, headers) == own
    for odd in ({}, {"x-litellm-response-cost": "None"}, {"x-litellm-response-cost": "-1"}):
        assert with_header_cost([Usage(1, 2)], odd) == [Usage(1, 2)]


@pytest.mark.parametrize(
    "value", ["", " ", "NaN", "Infinity", "1e999", "one", pytest.param(10**5000, id="huge"), 2e6, [], {}, None, True]
)
def test_an_odd_amount_is_none(value: object) -> None:
    """Only a finite amount of a plausible size is a cost."""
    assert dollars(value) is None
