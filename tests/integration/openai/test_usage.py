"""Usage from a server over sockets: both APIs, with and without streaming."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adapters.openai import OpenAIModel, OpenAIOptions
from bot.conversation import Usage
from tests.contracts.model import WORDS, Outcome, ask
from tests.servers.openai import Answer, OpenAIDouble

pytestmark = pytest.mark.sockets(seconds=20)

DETAILED = Answer(WORDS, tokens=(100, 20), details=(64, 5), cost=0.00123, model="vendor/model-2026")


async def asked(answer: Answer, *, api: str, stream: bool) -> Outcome:
    async with OpenAIDouble(default=answer) as double:
        model = OpenAIModel(OpenAIOptions("alias", "x", double.url, api=api))  # type: ignore[arg-type]
        try:
            return await ask(model, stream=stream)
        finally:
            await model.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_the_whole_usage_arrives(api: str, stream: bool) -> None:
    """Cached input, reasoning, the server's own cost and its name of the model arrive with the counts."""
    outcome = await asked(DETAILED, api=api, stream=stream)
    assert outcome.text == WORDS
    assert [each for each in outcome.deltas if isinstance(each, Usage)] == [
        Usage(100, 20, 64, 5, "vendor/model-2026", Decimal("0.00123"))
    ]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_proxys_header_is_the_cost_without_streaming(api: str) -> None:
    """LiteLLM's header is read from a response without streaming."""
    answer = Answer(WORDS, tokens=(100, 20), headers={"X-LiteLLM-Response-Cost": "2.8e-05"})
    outcome = await asked(answer, api=api, stream=False)
    assert [each.cost for each in outcome.deltas if isinstance(each, Usage)] == [Decimal("0.000028")]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("usage", ["free", [[1]], {"prompt_tokens": -1}, {"input_tokens": {"n": 1}}, 7])
async def test_an_odd_usage_breaks_no_answer(usage: object, api: str, stream: bool) -> None:
    """The answer is whole whatever the server says about tokens."""
    outcome = await asked(Answer(WORDS, odd_usage=usage), api=api, stream=stream)
    assert (outcome.text, outcome.failure) == (WORDS, None)
    assert outcome.finish
    assert not [each for each in outcome.deltas if isinstance(each, Usage)]
