"""The model adapter: one SDK client for the process, opening and closing of requests."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType

import httpx2
import openai
from typing_extensions import override

from adapters.openai import chat_completions, responses
from adapters.openai.aiohttp_transport import byte_source, make_http_client
from adapters.openai.errors import SystemRoleRefused, rejects_parameter, translated, unexpected_body
from adapters.openai.finish_reasons import FinishReasons
from adapters.openai.loop_throttle import LoopThrottle
from adapters.openai.options import OpenAIOptions
from adapters.openai.payload import EventDecoder
from adapters.openai.read_coalescing import CoalescedReader, ReadCoalescer
from adapters.openai.request_limiter import RequestLimiter
from adapters.openai.server_limits import ServerLimits
from adapters.openai.stream_decoder import StreamDecoder
from bot.conversation import Delta, Prompt
from bot.errors import ModelRejected, RejectionReason
from bot.ports import Model

log = logging.getLogger(__name__)

# Sent if no key is set: the SDK insists on one, and a local server without keys ignores it.
NO_KEY = "none"

# Requests started in one iteration of the event loop: about ten milliseconds.
REQUESTS_PER_ITERATION = 10


@dataclass(frozen=True, slots=True)
class ApiFormat:
    """Path, request body and decoders of one API."""

    path: str
    request_body: Callable[..., dict[str, object]]
    decode_response: Callable[[object, FinishReasons], list[Delta]]
    decoder: Callable[[FinishReasons], EventDecoder]


API_FORMATS = MappingProxyType(
    {
        "chat": ApiFormat(
            chat_completions.PATH,
            chat_completions.request_body,
            chat_completions.decode_response,
            chat_completions.ChatDecoder,
        ),
        "responses": ApiFormat(
            responses.PATH, responses.request_body, responses.decode_response, responses.ResponsesDecoder
        ),
    }
)


class OpenAIModel(Model):
    """A `bot.ports.Model` behind a server with OpenAI's protocol. One per process; close it at the end.

    Raises `ModelRejected` for an invalid base URL.
    """

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._key = options.api_key.strip()  # a key read from a file often ends in a line break
        with translated(self._key):
            self._client = make_client(options, self._key or NO_KEY)
        self._format = API_FORMATS[options.api]
        self._coalescer = ReadCoalescer(options.coalescing)
        self._request_limiter = RequestLimiter(options.requests_per_minute)
        self._request_throttle = LoopThrottle(REQUESTS_PER_ITERATION)
        self._server_limits = ServerLimits()
        self._finish_reasons = FinishReasons()

    def __repr__(self) -> str:
        return f"OpenAIModel({self._options!r})"

    @override
    def answer(self, prompt: Prompt, *, stream: bool) -> AsyncGenerator[Delta, None]:
        return self._answer(prompt, stream=stream)

    async def close(self) -> None:
        """Close the connections. Open answers fail."""
        await self._client.close()

    async def _answer(self, prompt: Prompt, *, stream: bool) -> AsyncGenerator[Delta, None]:
        """Send the request; if the model has no system role, repeat it once with the system prompt folded.

        This is not a retry: the result is remembered for the life of the process.
        """
        ask = self._request_stream if stream else self._request_whole
        prompt = self._server_limits.adapt(prompt)
        try:
            async with aclosing(ask(prompt)) as deltas:
                async for delta in deltas:
                    yield delta
        except SystemRoleRefused:
            folded = self._server_limits.without_system(prompt)
            if folded is None:
                raise
        else:
            return
        async with aclosing(ask(folded)) as deltas:
            async for delta in deltas:
                yield delta

    async def _request_whole(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        body = self._body(prompt, stream=False)
        await self._request_limiter.acquire()
        with translated(self._key):
            answer = await self._client.post(self._format.path, cast_to=object, body=body)
            deltas = self._decode_response(answer)
        for delta in deltas:
            yield delta

    async def _request_stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        with translated(self._key):
            # The SDK sends the request and checks the response; we read the events. Its own reader takes 80 us for a
            # chunk, plus 100 us for a typed event, and compatible servers send shapes outside of its types.
            source = byte_source((await self._open(prompt)).response)
            try:
                with CoalescedReader(source, self._coalescer) as reader:
                    stream = StreamDecoder(self._format.decoder(self._finish_reasons), self._decode_response)
                    while not stream.done:
                        for delta in await stream.read(reader):
                            yield delta
            finally:
                await source.aclose()

    async def _open(self, prompt: Prompt) -> RawStream:
        """Open a stream; if the server rejects ``stream_options``, repeat the request once without it.

        This is not a retry: the result is remembered for the life of the process.
        """
        try:
            return await self._post(prompt)
        except openai.APIStatusError as error:
            if not (self._server_limits.reports_usage and rejects_parameter(error, "stream_options")):
                raise
            log.info("the model's server rejects stream_options: tokens will not be counted")
            self._server_limits.reports_usage = False
            return await self._post(prompt)

    async def _post(self, prompt: Prompt) -> RawStream:
        body = self._body(prompt, stream=True)
        await self._request_limiter.acquire()
        if not self._request_throttle.try_acquire():
            await self._request_throttle.acquire_later()
        return await self._client.post(self._format.path, cast_to=object, body=body, stream=True, stream_cls=RawStream)

    def _body(self, prompt: Prompt, *, stream: bool) -> dict[str, object]:
        if not (prompt.model or self._options.model):
            raise ModelRejected("no model is named", reason=RejectionReason.MODEL)
        return self._format.request_body(self._options, prompt, stream=stream, usage=self._server_limits.reports_usage)

    def _decode_response(self, answer: object) -> list[Delta]:
        if isinstance(answer, str) and answer.lstrip().startswith(("{", "[")):  # JSON under another content type
            answer = json.loads(answer)
        if not isinstance(answer, dict):
            message = "the model's server answered with something other than a JSON object; is the base URL right?"
            raise unexpected_body(answer, message)
        return self._format.decode_response(answer, self._finish_reasons)


class RawStream(openai.AsyncStream[object]):
    """The SDK's stream class without its event reader.

    The original and its generator refer to each other, so the request with all its headers lives until the garbage
    collector runs.
    """

    def __init__(
        self,
        *,
        cast_to: type[object],  # noqa: ARG002 (the SDK names it)
        response: httpx2.Response,
        client: openai.AsyncOpenAI,  # noqa: ARG002 (the SDK names it)
        options: object = None,  # noqa: ARG002 (the SDK names it)
    ) -> None:
        self.response = response


def make_client(options: OpenAIOptions, key: str) -> openai.AsyncOpenAI:
    """The SDK's client without retries and with the connect timeout only (`bot.completion` has the others)."""
    timeout = httpx2.Timeout(None, connect=options.connect_seconds)
    client = openai.AsyncOpenAI(
        api_key=key,
        base_url=options.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=make_http_client(options.base_url, timeout),
    )
    # The SDK reads these from the environment and would send them to any server. Only `config` reads the environment.
    client.organization = client.project = None
    return client
