"""What the operator is told about the model: each wrong setting by its own line and remedy."""

from __future__ import annotations

import pytest

from adapters.openai import OpenAIOptions, check
from tests.servers.openai import Answer, OpenAIDouble, Script, Status

pytestmark = pytest.mark.sockets(seconds=20)


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    ("script", "ok", "line", "remedy"),
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
async def test_findings(script: Script, ok: bool, line: str, remedy: str, api: str) -> None:
    """A wrong key, an unknown model, a wrong address and no credit are told apart."""
    async with OpenAIDouble(default=script) as double:
        options = OpenAIOptions("test-model", "sk-secret", double.url, api="chat" if api == "chat" else "responses")
        (finding,) = await check(options)
    assert finding.ok is ok
    assert line in finding.message
    assert remedy in finding.fix
    assert "sk-secret" not in repr(finding)


async def test_one_that_cannot_stream_is_usable() -> None:
    """A server that answers only without streaming is found to work, with what that means."""
    async with OpenAIDouble(default=Answer("ok")) as double:
        double.streaming = Status(500)
        (finding,) = await check(OpenAIOptions("test-model", "x", double.url))
    assert finding.ok
    assert "not with streaming" in finding.message


async def test_nobody_listens() -> None:
    """A server that is not there is called unreachable."""
    async with OpenAIDouble() as double, double.refused():
        (finding,) = await check(OpenAIOptions("test-model", "x", double.url))
    assert not finding.ok
    assert "cannot be reached" in finding.message


async def test_only_a_little_is_asked_for() -> None:
    """The first words are enough: the rest of the answer is not paid for."""
    async with OpenAIDouble(Answer("word " * 500, words_per_second=50)) as double:
        (finding,) = await check(OpenAIOptions("test-model", "x", double.url))
        await (await double.wait_for(1)).left_early.wait()
    assert finding.ok


async def test_what_is_missing() -> None:
    """Without a model's name, or without a key for the hosted API, nothing is asked at all."""
    findings = await check(OpenAIOptions(""))
    assert [finding.ok for finding in findings] == [False, False]
    assert [word for finding in findings for word in ("OPENAI_MODEL", "OPENAI_API_KEY") if word in finding.fix] == [
        "OPENAI_MODEL",
        "OPENAI_API_KEY",
    ]


async def test_a_malformed_address() -> None:
    """An address that is none is one finding, not an exception."""
    (finding,) = await check(OpenAIOptions("m", "x", "http://[::1"))
    assert not finding.ok
    assert "OPENAI_BASE_URL" in finding.fix
