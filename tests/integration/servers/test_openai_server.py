"""The double says what the SDK's own types demand, so that what passes against it means something."""

from __future__ import annotations

import openai
import pytest

from tests.servers.openai import Answer, OpenAIDouble

pytestmark = pytest.mark.sockets(seconds=20)

RICH = Answer("Hello there", reasoning="hm", refusal="no", tool=("clock", "{}"), finish="length")


def strict(double: OpenAIDouble) -> openai.AsyncOpenAI:
    """The SDK's client, which raises where an answer is not of its type."""
    return openai.AsyncOpenAI(api_key="x", base_url=double.url, max_retries=0, _strict_response_validation=True)


@pytest.mark.parametrize("answer", [Answer(), RICH], ids=["plain", "rich"])
async def test_chat_completions_are_of_their_type(answer: Answer) -> None:
    """Every chunk and every whole completion passes the SDK's validation."""
    async with OpenAIDouble(default=answer) as double, strict(double) as client:
        async with await client.chat.completions.create(
            model="m", messages=[], stream=True, stream_options={"include_usage": True}
        ) as stream:
            chunks = [chunk async for chunk in stream]
        whole = await client.chat.completions.create(model="m", messages=[])
        assert [page.id async for page in client.models.list()] == double.models
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == answer.text
    assert chunks[-1].usage is not None
    assert whole.choices[0].message.content == answer.text


@pytest.mark.parametrize("answer", [Answer(), RICH], ids=["plain", "rich"])
async def test_responses_are_of_their_type(answer: Answer) -> None:
    """Every event and every whole response passes the SDK's validation."""
    async with OpenAIDouble(default=answer) as double, strict(double) as client:
        async with await client.responses.create(model="m", input="?", stream=True) as stream:
            events = [event async for event in stream]
        whole = await client.responses.create(model="m", input="?")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == answer.text == whole.output_text
