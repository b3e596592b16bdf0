"""The one client of the process, and the shell in which an answer is asked for and read.

What belongs here: opening, reading and closing a request. What does not: what a request or an event looks like (`chat`,
`responses`), and what an error means (`errors`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType

import httpx2
import openai

from adapters.openai import chat, responses
from adapters.openai.errors import FOREIGN, KEPT, rejects, translated
from adapters.openai.options import OpenAIOptions
from adapters.openai.wire import Decoder
from bot.conversation import Delta, Prompt
from bot.errors import Because, Broken, Declined, Failure

log = logging.getLogger(__name__)

# Sent where no key is set: the SDK insists on one, and a local server that wants none ignores it.
NO_KEY = "none"

# After the finish reason, the usage and the end of the body still come, at once from those that send them at all; but
# some servers never do, or never close. The reader waits for `Finish`, so no longer than this. Seconds.
LINGER_SECONDS = 1.0

# Once the usage is there too, only the end of the body is missing, which lets the connection be used again. Seconds.
DRAIN_SECONDS = 0.1

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

# What is passed over once an answer has finished.
LATE: tuple[type[Exception], ...] = (TimeoutError, Failure, *FOREIGN)


@dataclass(frozen=True, slots=True)
class Api:
    """One of the two wire formats."""

    path: str
    request: Callable[..., dict[str, object]]
    whole: Callable[[object], list[Delta]]
    decoder: Callable[[], Decoder]


APIS = MappingProxyType(
    {
        "chat": Api(chat.PATH, chat.request, chat.whole, chat.ChatDecoder),
        "responses": Api(responses.PATH, responses.request, responses.whole, responses.ResponsesDecoder),
    }
)


class OpenAIModel:
    """A `bot.ports.Model` behind a server that speaks OpenAI's protocol. One for the process; close it at the end.

    Raises `Declined` where the base URL is not one.
    """

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._key = options.api_key.strip()  # a key read from a file often ends in a line break
        with translated(self._key):
            self._client = make_client(options, self._key or NO_KEY)
        self._api = APIS[options.api]
        self._usage = True  # until a server refuses to be asked for it

    def __repr__(self) -> str:
        return f"OpenAIModel({self._options!r})"

    def answer(self, prompt: Prompt, *, stream: bool) -> AsyncGenerator[Delta, None]:
        """See `bot.ports.Model`."""
        return self._streamed(prompt) if stream else self._whole(prompt)

    async def close(self) -> None:
        """Close the connections. Answers still being read break."""
        await self._client.close()

    async def _whole(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        body = self._body(prompt, stream=False)
        with translated(self._key):
            answer = await self._client.post(self._api.path, cast_to=object, body=body)
            deltas = self._read_whole(answer)
        for delta in deltas:
            yield delta

    async def _streamed(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        with translated(self._key):
            # The stream is given as plain JSON (cast_to=object): building the SDK's typed events takes five times as
            # long as all the rest (80 us a chunk against 15), and compatible servers send shapes that no type knows.
            async with await self._open(prompt) as stream:
                if not is_event_stream(stream.response):
                    for delta in self._read_whole(await read_body(stream.response)):
                        yield delta
                    return
                async with aclosing(read(stream, self._api.decoder())) as deltas:
                    async for delta in deltas:
                        yield delta

    async def _open(self, prompt: Prompt) -> openai.AsyncStream[object]:
        """Ask for a stream. A server that does not know ``stream_options`` is asked once more without, and remembered.

        That is no retry: it settles once for the process what this server takes.
        """
        try:
            return await self._post(prompt)
        except openai.APIStatusError as error:
            if not (self._usage and rejects(error, "stream_options")):
                raise
            log.info("the model's server does not take stream_options: tokens will not be counted")
            self._usage = False
            return await self._post(prompt)

    async def _post(self, prompt: Prompt) -> openai.AsyncStream[object]:
        body = self._body(prompt, stream=True)
        return await self._client.post(
            self._api.path, cast_to=object, body=body, stream=True, stream_cls=openai.AsyncStream[object]
        )

    def _body(self, prompt: Prompt, *, stream: bool) -> dict[str, object]:
        if not (prompt.model or self._options.model):
            raise Declined("no model is named", because=Because.MODEL)
        return self._api.request(self._options, prompt, stream=stream, usage=self._usage)

    def _read_whole(self, answer: object) -> list[Delta]:
        if isinstance(answer, str) and answer.lstrip().startswith("{"):  # JSON under another content type
            answer = json.loads(answer)
        if not isinstance(answer, dict):
            raise Broken("the model's server answered with something that is no JSON object; is the base URL right?")
        return self._api.whole(answer)


def make_client(options: OpenAIOptions, key: str) -> openai.AsyncOpenAI:
    """The SDK's client, without its retries and with no time-out but that of connecting (`bot.completion` has them)."""
    timeout = httpx2.Timeout(None, connect=options.connect_seconds)
    url = httpx2.URL(options.base_url)
    local = url.scheme == "http" and url.host in LOOPBACK
    client = openai.AsyncOpenAI(
        api_key=key,
        base_url=options.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=openai.DefaultAsyncHttpx2Client(
            timeout=timeout,
            # A proxy of the environment cannot reach what listens on this machine's loopback (the embedded model).
            trust_env=not local,
            # Nor is anybody's certificate seen there: a context that trusts nobody is made at once, where reading the
            # system's certificates takes 30 to 150 ms (and a redirect to elsewhere fails rather than being believed).
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if local else True,
            event_hooks={"request": [watch_connection]},
        ),
    )
    # The SDK takes these from the environment, which is `config`'s to read, and would send them to any server.
    client.organization = client.project = None
    return client


async def watch_connection(request: httpx2.Request) -> None:
    """Note in the request whether it waits for an answer on a connection that had been kept (see `errors.KEPT`)."""
    request.extensions[KEPT] = True

    async def trace(event: str, info: object) -> None:  # noqa: ARG001 (the signature is httpcore's)
        if event.endswith(("connect_tcp.started", "receive_response_headers.complete")):
            request.extensions[KEPT] = False

    request.extensions["trace"] = trace


def is_event_stream(response: httpx2.Response) -> bool:
    """Whether a stream came: a server that ignores ``stream`` sends a whole body, a wrong address a page."""
    kind = response.headers.get("content-type", "text/event-stream").lower()
    return "json" not in kind and "html" not in kind


async def read_body(response: httpx2.Response) -> object:
    """The JSON of a response, or None where it holds something else."""
    content = await response.aread()
    return None if "html" in response.headers.get("content-type", "") else json.loads(content)


async def read(stream: openai.AsyncStream[object], decoder: Decoder) -> AsyncGenerator[Delta, None]:
    """The deltas of a stream, then usage and `Finish` if they came; without one where the stream just ends."""
    async with aclosing(events_of(stream)) as events:
        async for event in events:
            for delta in decoder.feed(event):
                yield delta
            if decoder.finish is not None:
                break
        for delta in await linger(events, decoder):
            yield delta
    for delta in decoder.flush():
        yield delta
    if decoder.finish is not None:
        if decoder.usage is not None:
            yield decoder.usage
        yield decoder.finish


async def linger(events: AsyncIterator[object], decoder: Decoder) -> list[Delta]:
    """Read what still comes after the finish reason, for a bounded time.

    An answer that has finished stays finished, however its stream goes on: failures are passed over here.
    """
    rest: list[Delta] = []
    if decoder.finish is None:
        return rest
    loop = asyncio.get_running_loop()
    limit = LINGER_SECONDS if decoder.usage is None else DRAIN_SECONDS
    try:
        async with asyncio.timeout(limit) as timeout:
            async for event in events:
                counted = decoder.usage is not None
                rest += decoder.feed(event)
                if decoder.usage is not None and not counted:
                    timeout.reschedule(loop.time() + DRAIN_SECONDS)
    except LATE as error:
        log.debug("after the finish reason: %s", type(error).__name__)
    return rest


async def events_of(stream: openai.AsyncStream[object]) -> AsyncGenerator[object, None]:
    """The events of a stream as a generator that can be closed."""
    async for event in stream:
        yield event
