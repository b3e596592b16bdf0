"""The transport: what only it does, since the model's own tests all go through it."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress

import aiohttp
import httpx2
import pytest
from aiohttp import web
from aiohttp.http import HttpProcessingError

from adapters.openai import OpenAIModel, OpenAIOptions
from adapters.openai.aiohttp_transport import (
    HTTPX2_ERRORS,
    make_http_client,
    make_session,
    make_transport,
    map_aiohttp_errors,
)
from adapters.openai.read_coalescing import CoalescingOptions
from bot.conversation import Finish, FinishReason, Text, Usage
from tests.contracts.model import QUESTION, WORDS, ask
from tests.servers.openai import Answer, Event, Fault, Manner, OpenAIDouble, chat_events
from tests.support.waiting import until


def errors_of_aiohttp() -> Iterator[type[Exception]]:
    """All that its client defines."""
    for _, value in inspect.getmembers(aiohttp.client_exceptions, inspect.isclass):
        if issubclass(value, aiohttp.ClientError | HttpProcessingError):
            yield value


@pytest.mark.parametrize("kind", [*errors_of_aiohttp()], ids=lambda kind: kind.__name__)
def test_no_error_of_aiohttp_is_missed(kind: type[Exception]) -> None:
    """Each becomes one of httpx2's; a new one makes this fail if it belongs to none of the known families."""
    assert any(issubclass(kind, kinds) for kinds, _ in HTTPX2_ERRORS)
    made = type(kind.__name__, (kind,), {"__init__": lambda _: None, "__str__": lambda _: "it did not work"})
    with pytest.raises(httpx2.TransportError), map_aiohttp_errors():
        raise made()


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (aiohttp.ConnectionTimeoutError(), httpx2.ConnectTimeout),
        (aiohttp.SocketTimeoutError(), httpx2.ReadTimeout),
        (aiohttp.ServerDisconnectedError(), httpx2.RemoteProtocolError),
        (aiohttp.ClientOSError(104, "reset"), httpx2.ReadError),
        (aiohttp.ClientPayloadError("half"), httpx2.RemoteProtocolError),
        (aiohttp.InvalidURL("http://"), httpx2.UnsupportedProtocol),
        (ValueError("Newline detected in headers"), httpx2.LocalProtocolError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_aiohttp_means(error: Exception, meaning: type[Exception]) -> None:
    """By whether the request may be made again, and whether it may have been answered."""
    with pytest.raises(meaning), map_aiohttp_errors():
        raise error


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_a_proxy_of_the_environment_is_left_to_httpx2(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """httpx2's proxy rules are well known; without a proxy, and for the loopback, aiohttp is used."""
    for other in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(other, raising=False)
    assert make_transport("https://models.example/v1") is not None
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert make_transport("https://models.example/v1") is None
    assert make_transport("http://127.0.0.1:9/v1") is not None
    async with make_http_client("https://models.example/v1", httpx2.Timeout(None, connect=1.0)) as client:
        assert not client.is_closed


async def test_connections_are_not_limited() -> None:
    """The SDK's pool would hold 1,000; the core bounds the number of answers."""
    async with make_session(httpx2.create_ssl_context()) as session:
        assert session.connector is not None
        assert session.connector.limit == 0


# ---------------------------------------------------------------------------------------------- servers of other kinds


@asynccontextmanager
async def served(handler: object) -> AsyncIterator[OpenAIModel]:
    """A model whose server answers every request so."""
    app = web.Application()
    app.router.add_post("/{path:.*}", handler)  # type: ignore[arg-type] # a handler of aiohttp's
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://user:word@127.0.0.1:{runner.addresses[0][1]}/v1"
    model = OpenAIModel(OpenAIOptions("m", "sk-test", url))
    try:
        yield model
    finally:
        await model.close()
        await runner.cleanup()


def stream_of(answer: Answer) -> list[Event]:
    return list(chat_events(answer, {"stream_options": {"include_usage": True}}))


@pytest.mark.sockets(seconds=20)
@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_a_compressed_stream(coding: str) -> None:
    """Some servers and proxies compress whatever is text."""
    raw = b"".join(Manner().encode(event) for event in stream_of(Answer(WORDS)))

    async def handler(request: web.Request) -> web.StreamResponse:
        assert "gzip" in request.headers["accept-encoding"]
        body = gzip.compress(raw) if coding == "gzip" else raw
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "content-encoding": coding})
        await response.prepare(request)
        for at in range(0, len(body), 100):
            await response.write(body[at : at + 100])
        return response

    async with served(handler) as model:
        outcome = await ask(model, stream=True)
    assert outcome.text == WORDS
    assert outcome.deltas[-2:] == [Usage(11, 22), Finish(FinishReason.STOP)]


@pytest.mark.sockets(seconds=20)
async def test_a_redirect_is_followed() -> None:
    """As the SDK does: a server that has moved is asked where it is now."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if "moved" not in request.path:
            raise web.HTTPTemporaryRedirect("/moved/v1/chat/completions")
        body = await request.json()
        assert body["messages"]
        return web.Response(
            body=b"".join(Manner().encode(event) for event in stream_of(Answer(WORDS))),
            content_type="text/event-stream",
        )

    async with served(handler) as model:
        assert (await ask(model, stream=True)).text == WORDS


@pytest.mark.sockets(seconds=20)
async def test_a_body_that_ends_with_its_connection() -> None:
    """A server of HTTP/1.0 names no length and no chunks."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        head = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        request.transport.write(head + b"".join(Manner().encode(event) for event in stream_of(Answer(WORDS))))
        request.transport.close()
        return web.Response()

    async with served(handler) as model:
        outcome = await ask(model, stream=True)
    assert outcome.text == WORDS
    assert outcome.finish == Finish(FinishReason.STOP)


@pytest.mark.sockets(seconds=20)
@pytest.mark.parametrize(
    ("half", "pieces"), [('{"choices": [{"delta": {"content": "\\ud83d"}}]}', True), ("[" * 9999, False)]
)
async def test_json_that_one_parser_refuses(half: str, pieces: bool) -> None:
    """Half a surrogate pair, and the other half in the next event, are one character; nonsense is a failure."""
    events = [half, '{"choices": [{"delta": {"content": "\\ude00"}}]}', *(e.data for e in stream_of(Answer("")))]
    body = "".join(f"data: {event}\n\n" for event in events).encode()

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/event-stream")

    async with served(handler) as model:
        outcome = await ask(model, stream=True)
    assert outcome.text == ("\U0001f600" if pieces else "")
    assert (outcome.failure is None) is pieces


# ----------------------------------------------------------------------------------------------------- read coalescing


def never(_now: float) -> float:
    """No write is near."""
    return math.inf


@pytest.mark.sockets(seconds=30)
@pytest.mark.parametrize("fault", [None, Fault.ABORT, Fault.FIN, Fault.ERROR_EVENT, Fault.END])
async def test_coalesced_streams_are_complete(fault: Fault | None) -> None:
    """Many at once on real sockets: whole, in fewer pieces than were sent, however they end; connections are kept."""
    text, many = " ".join(f"word{number}" for number in range(60)), 20
    async with OpenAIDouble(default=Answer(text, words_per_second=100, fault=fault, at=0.9)) as double:
        model = OpenAIModel(OpenAIOptions("m", "sk-test", double.url))
        for _ in range(2):
            outcomes = await asyncio.gather(*(ask(model, stream=True, next_write_at=never) for _ in range(many)))
            for outcome in outcomes:
                if fault is None:
                    assert outcome.text == text
                    assert outcome.finish == Finish(FinishReason.STOP)
                elif fault is not Fault.ABORT:  # a reset may take with it what was just sent
                    assert outcome.text.split() == text.split()[:54]
                assert len(outcome.of(Text)) < 40
                assert (outcome.failure is None) is (fault in {None, Fault.END})
        if fault is None:
            assert len({received.peer for received in double.requests}) == many
        await model.close()


@pytest.mark.sockets(seconds=30)
async def test_closing_a_paused_stream_closes_the_connection() -> None:
    """While its socket is left alone, too, a stream that nobody wants is closed at once."""
    async with OpenAIDouble(Answer(WORDS * 100, words_per_second=200)) as double:
        coalescing = CoalescingOptions(shortest=1000.0, longest=1000.0)
        model = OpenAIModel(OpenAIOptions("m", "sk-test", double.url, coalescing=coalescing))
        count = 0

        async def read() -> None:
            nonlocal count
            async with aclosing(model.answer(QUESTION, stream=True, next_write_at=never)) as deltas:
                async for _ in deltas:
                    count += 1

        reading = asyncio.Task(read())
        received = await double.wait_for(1)
        await until(lambda: len(received.sent) >= 100)
        assert count < 10  # of a hundred: the rest is left to the kernel
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await received.left_early.wait()
        await model.close()


def test_events_of_the_double_are_json() -> None:
    """What the tests above send is what they mean to send."""
    assert all(event.data == "[DONE]" or json.loads(event.data) for event in stream_of(Answer(WORDS)))
