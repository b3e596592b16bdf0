"""What the operator is told about the model: each wrong setting by its own line and fix."""

from __future__ import annotations

import pytest

from adapters.openai import OpenAIOptions, check
from tests.servers.openai import Answer, OpenAIDouble, Script, Status

pytestmark = pytest.mark.sockets(seconds=20)


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    ("script", "ok", "message", "fix"),
    [
        (Answer("ok"), True, "answers", ""),
        (Answer("", reasoning="hm"), True, "answers", ""),
        (Status(401, "invalid_api_key"), False, "invalid_api_key", "OPENAI_API_KEY"),
        (Status(404, "model_not_found", "The model does not exist"), False, "does not exist", "OPENAI_MODEL"),
        (Status(404, raw="404 page not found", content_type="text/plain"), False, "404", "OPENAI_BASE_URL"),
        (Status(404, raw="<html>404</html>", content_type="text/html"), False, "web page", "OPENAI_BASE_URL"),
        (Status(429, "insufficient_quota"), False, "insufficient_quota", "credit"),
        (Status(429), False, "429", "try again later"),
        (Status(400, message="Unsupported parameter: 'temperature'"), False, "temperature", "parameters"),
        (Status(500), False, "500", "server runs"),
    ],
    ids=repr,
)
async def test_check_results(script: Script, ok: bool, message: str, fix: str, api: str) -> None:
    """A wrong key, an unknown model, a wrong address and no credit are told apart."""
    async with OpenAIDouble(default=script) as double:
        options = OpenAIOptions("test-model", "sk-secret", double.url, api="chat" if api == "chat" else "responses")
        (result,) = await check(options)
    assert result.ok is ok
    assert message in result.message
    assert fix in result.fix
    assert "sk-secret" not in repr(result)


async def test_one_that_cannot_stream_is_usable() -> None:
    """A server that answers only without streaming passes the check, with a note about it."""
    async with OpenAIDouble(default=Answer("ok")) as double:
        double.streaming = Status(500)
        (result,) = await check(OpenAIOptions("test-model", "x", double.url))
    assert result.ok
    assert "not with streaming" in result.message


async def test_nobody_listens() -> None:
    """A server that is not there is called unreachable."""
    async with OpenAIDouble() as double, double.refused():
        (result,) = await check(OpenAIOptions("test-model", "x", double.url))
    assert not result.ok
    assert "cannot be reached" in result.message


async def test_only_a_little_is_asked_for() -> None:
    """The first words are enough: the rest of the answer is not paid for."""
    async with OpenAIDouble(Answer("word " * 500, words_per_second=50)) as double:
        (result,) = await check(OpenAIOptions("test-model", "x", double.url))
        await (await double.wait_for(1)).left_early.wait()
    assert result.ok


async def test_what_is_missing() -> None:
    """Without a model's name, or without a key for the hosted API, nothing is asked at all."""
    results = await check(OpenAIOptions(""))
    assert [result.ok for result in results] == [False, False]
    assert [word for result in results for word in ("OPENAI_MODEL", "OPENAI_API_KEY") if word in result.fix] == [
        "OPENAI_MODEL",
        "OPENAI_API_KEY",
    ]


async def test_a_malformed_address() -> None:
    """An address that is none is one failed check, not an exception."""
    (result,) = await check(OpenAIOptions("m", "x", "http://[::1"))
    assert not result.ok
    assert "OPENAI_BASE_URL" in result.fix
