"""The model adapter against a real server on the loopback: what is its own, beyond the contract of the port."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import pytest

from adapters.openai import OpenAIModel, OpenAIOptions
from bot.conversation import Finish, FinishReason, Prompt, Text, ToolCall, Usage
from bot.errors import ModelRejected, RejectionReason, ServiceError
from tests.contracts.model import QUESTION, WORDS, ask
from tests.servers.openai import Answer, Drop, Fault, OpenAIDouble, Status

pytestmark = pytest.mark.sockets(seconds=20)

KEY = "sk-very-secret-0123456789"


@asynccontextmanager
async def opened(double: OpenAIDouble, **more: object) -> AsyncIterator[OpenAIModel]:
    options = {"model": "test-model", "api_key": KEY, "base_url": double.url, **more}
    model = OpenAIModel(OpenAIOptions(**options))  # type: ignore[arg-type]  # a table of options
    try:
        yield model
    finally:
        await model.close()


# ------------------------------------------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        (
            "chat",
            {
                "model": "test-model",
                "stream": True,
                "stream_options": {"include_usage": True},
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "What is the time?"},
                ],
                "temperature": 0.2,
                "reasoning_effort": "low",
            },
        ),
        (
            "responses",
            {
                "model": "test-model",
                "stream": True,
                "store": False,
                "instructions": "Be brief.",
                "input": [{"role": "user", "content": "What is the time?"}],
                "temperature": 0.2,
                "reasoning_effort": "low",
            },
        ),
    ],
)
async def test_the_request(api: str, expected: Mapping[str, object]) -> None:
    """The whole body is what we say it is: parameters pass through, nothing is stored, nothing else is added."""
    parameters = {"temperature": 0.2, "reasoning_effort": "low", "model": "not this one"}
    async with OpenAIDouble() as double, opened(double, api=api, parameters=parameters) as model:
        await ask(model, stream=True)
        assert double.requests[0].body == expected
        assert double.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_prompt_may_name_its_model() -> None:
    """A channel's table may name another model than the configured one."""
    async with OpenAIDouble() as double, opened(double) as model:
        await ask(model, stream=False, prompt=Prompt("", QUESTION.messages, model="another"))
        assert double.requests[0].body["model"] == "another"


async def test_without_any_model_nothing_is_asked() -> None:
    """No name is baked in: without one the request is declined before it is made."""
    async with OpenAIDouble() as double, opened(double, model="") as model:
        outcome = await ask(model, stream=True)
        assert isinstance(outcome.failure, ModelRejected)
        assert outcome.failure.reason is RejectionReason.MODEL
        assert double.requests == []


async def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key a harmless word is sent, and never one that the environment happens to hold."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with OpenAIDouble() as double, opened(double, api_key="") as model:
        assert (await ask(model, stream=True)).finish
        assert double.requests[0].headers["authorization"] == "Bearer none"


async def test_no_proxy_for_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not asked for what listens on this machine (the embedded model)."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with OpenAIDouble() as double, opened(double) as model:
        assert (await ask(model, stream=True)).finish


# --------------------------------------------------------------------------------------------- servers of other kinds


async def test_a_server_without_stream_options_is_asked_without() -> None:
    """A 400 that names ``stream_options`` costs one more request, once; afterwards they are left out."""
    async with OpenAIDouble(default=Answer(WORDS)) as double, opened(double) as model:
        double.rejects_stream_options = True
        for _ in range(2):
            outcome = await ask(model, stream=True)
            assert outcome.text == WORDS
            assert outcome.finish
        assert ["stream_options" in request.body for request in double.requests] == [True, False, False]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_server_that_ignores_stream(api: str) -> None:
    """A whole body where a stream was asked for is an answer all the same."""
    async with OpenAIDouble() as double, opened(double, api=api) as model:
        double.streaming = Status(200, raw=WHOLE[api])
        outcome = await ask(model, stream=True)
    assert outcome.deltas == [Text("Hello."), Usage(1, 2), Finish(FinishReason.STOP)]


WHOLE = {
    "chat": '{"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}],'
    ' "usage": {"prompt_tokens": 1, "completion_tokens": 2}}',
    "responses": '{"status": "completed", "usage": {"input_tokens": 1, "output_tokens": 2}, "output":'
    ' [{"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}]}',
}


@pytest.mark.parametrize(
    "refusal",
    [
        Status(500),
        Status(501, message="no streaming"),
        Status(400, param="stream", message="Your organization must be verified to stream this model."),
        Status(400, message="Streaming is not supported."),
        Status(422, raw='{"detail": [{"loc": ["body", "stream"], "msg": "extra fields not permitted"}]}'),
    ],
    ids=lambda status: f"{status.status}-{status.message}",
)
async def test_where_streaming_never_works_the_core_may_go_on(refusal: Status) -> None:
    """A server that cannot stream raises something retryable, and answers the call without streaming."""
    async with OpenAIDouble(default=Answer(WORDS)) as double, opened(double) as model:
        double.streaming = refusal
        assert type((await ask(model, stream=True)).failure) is ServiceError
        assert (await ask(model, stream=False)).text == WORDS


@pytest.mark.parametrize("stream", [True, False])
async def test_a_web_page_is_no_answer(stream: bool) -> None:
    """A wrong base URL often leads to a page: the failure says what to look at."""
    async with OpenAIDouble() as double, opened(double) as model:
        double.queue(Status(200, raw="<!doctype html><html></html>", content_type="text/html"))
        outcome = await ask(model, stream=stream)
    assert type(outcome.failure) is ServiceError
    assert "base URL" in str(outcome.failure)


async def test_json_under_another_content_type() -> None:
    """A server that calls its JSON plain text is understood."""
    async with (
        OpenAIDouble(Status(200, raw=WHOLE["chat"], content_type="text/plain")) as double,
        opened(double) as model,
    ):
        assert (await ask(model, stream=False)).text == "Hello."


async def test_tool_calls_come_in_pieces_with_their_id() -> None:
    """Every piece of a tool call carries the call's id, in both APIs, streamed or whole."""
    script = Answer("", tool=("clock", '{"zone": "UTC"}'), finish="tool_calls")
    for api in ("chat", "responses"):
        for stream in (True, False):
            async with OpenAIDouble(script) as double, opened(double, api=api) as model:
                outcome = await ask(model, stream=stream)
            calls = [delta for delta in outcome.deltas if isinstance(delta, ToolCall)]
            assert {call.id for call in calls} == {"call_1"}
            assert "".join(call.name for call in calls) == "clock"
            assert "".join(call.arguments for call in calls) == '{"zone": "UTC"}'
            assert outcome.finish == Finish(FinishReason.TOOLS)


async def test_an_empty_answer_is_an_answer() -> None:
    """A finish without a word is passed on: judging it is the core's."""
    async with OpenAIDouble(Answer("")) as double, opened(double) as model:
        outcome = await ask(model, stream=True)
    assert [type(delta) for delta in outcome.deltas] == [Usage, Finish]


# --------------------------------------------------------------------------------------------------------- connections


async def test_connections_are_kept_and_reused() -> None:
    """An answer read to its end leaves its connection for the next."""
    async with OpenAIDouble() as double, opened(double) as model:
        for stream in (True, False, True):
            await ask(model, stream=stream)
        assert len({request.peer for request in double.requests}) == 1


@pytest.mark.parametrize("reset", [True, False])
async def test_a_stale_connection_may_be_tried_again_at_once(reset: bool) -> None:
    """A kept connection that breaks before a byte of an answer says: at once. A new one that does so does not."""
    async with OpenAIDouble(Answer(), Drop(reset), Drop(reset)) as double, opened(double) as model:
        await ask(model, stream=True)
        stale = (await ask(model, stream=True)).failure
        fresh = (await ask(model, stream=True)).failure
    assert type(stale) is ServiceError
    assert stale.retry_after == 0.0
    assert type(fresh) is ServiceError
    assert fresh.retry_after is None


async def test_a_cut_on_a_kept_connection_is_no_stale_one() -> None:
    """Once an answer has begun, a reset is an ordinary failure, also on a connection that was used before."""
    scripts = Answer(), Answer(WORDS, fault=Fault.ABORT, words_per_second=400)
    async with OpenAIDouble(*scripts) as double, opened(double) as model:
        await ask(model, stream=True)
        failure = (await ask(model, stream=True)).failure
        assert len({request.peer for request in double.requests}) == 1
    assert isinstance(failure, ServiceError)
    assert failure.retry_after is None


async def test_cancelling_while_nothing_has_come_closes_the_connection() -> None:
    """A reader's task that is cancelled in a stall leaves no connection open."""
    async with OpenAIDouble(Answer(fault=Fault.STALL, at=0.0)) as double, opened(double) as model:
        asking = asyncio.Task(ask(model, stream=True))
        received = await double.wait_for(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await received.left_early.wait()


@pytest.mark.parametrize("stream", [True, False])
async def test_requests_are_limited(stream: bool) -> None:
    """With a limit of one request a minute, a second one does not reach the server."""
    async with OpenAIDouble(default=Answer(WORDS)) as double, opened(double, requests_per_minute=1) as model:
        assert (await ask(model, stream=stream)).text == WORDS
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(model, stream=stream)
        assert len(double.requests) == 1


async def test_closing_the_model_ends_its_connections() -> None:
    """After `close` no connection is left, read to the end or not."""
    async with OpenAIDouble(Answer(WORDS * 50, words_per_second=50)) as double:
        async with opened(double) as model, aclosing(model.answer(QUESTION, stream=True)) as deltas:
            await anext(deltas)
        await (await double.wait_for(1)).ended.wait()


# ------------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [401, 403, 400, 429, 500])
async def test_the_key_is_in_no_failure(status: int, stream: bool) -> None:
    """Not even where the server quotes it: neither in what a failure says nor in its traceback."""
    async with OpenAIDouble() as double, opened(double) as model:
        double.queue(Status(status, message=f"Incorrect API key provided: {KEY}."))
        outcome = await ask(model, stream=stream)
    assert outcome.failure is not None
    assert KEY not in "".join(traceback.format_exception(outcome.failure))


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("fault", [Fault.ERROR_EVENT, Fault.TYPED_ERROR, Fault.FAILED])
async def test_the_key_is_in_no_failure_that_came_as_data(api: str, fault: Fault) -> None:
    """The same for an error event that quotes it."""
    async with OpenAIDouble(Answer(fault=fault, code=f"no_{KEY}")) as double, opened(double, api=api) as model:
        outcome = await ask(model, stream=True)
    assert outcome.failure is not None
    assert KEY not in "".join(traceback.format_exception(outcome.failure))


@pytest.mark.parametrize("key", [f"{KEY}\nx", f"{KEY}\u2026"])
async def test_an_impossible_key_is_declined_and_not_shown(key: str) -> None:
    """A key with a line break or a character outside ASCII in it: one plain line, and not the key."""
    async with OpenAIDouble() as double, opened(double, api_key=key) as model:
        outcome = await ask(model, stream=True)
        assert double.requests == []
    assert isinstance(outcome.failure, ModelRejected)
    assert outcome.failure.reason is RejectionReason.CREDENTIALS
    assert "secret" not in "".join(traceback.format_exception(outcome.failure))


async def test_nothing_shows_the_key() -> None:
    """Neither the options' nor the model's repr, nor that of what hides in the base URL."""
    options = OpenAIOptions("m", KEY, "https://user:password@models.example/v1")
    model = OpenAIModel(options)
    await model.close()
    shown = f"{options!r} {model!r} {options.where}"
    assert KEY not in shown
    assert "password" not in shown
    assert options.where == "https://models.example/v1"


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://models.example/v1", "http://[::1", "http://"])
async def test_a_base_url_that_is_none(url: str) -> None:
    """A malformed address is declined, when it is set up or when it is asked."""
    with pytest.raises(ModelRejected):
        await anext(OpenAIModel(OpenAIOptions("m", KEY, url)).answer(QUESTION, stream=True))


async def test_nothing_of_the_environment_goes_to_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own variables name an organisation and a project, which are no business of another server."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    async with OpenAIDouble() as double:
        model = OpenAIModel(OpenAIOptions(model="m", base_url=double.url))
        await ask(model, stream=True)
        await model.close()
    (request,) = double.requests
    assert not [name for name in request.headers if name in {"openai-organization", "openai-project"}]
