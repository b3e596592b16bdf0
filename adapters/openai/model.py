"""The model adapter: opening and closing of requests."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import httpx2
import openai
from typing_extensions import override

from adapters.openai import chat_completions, responses
from adapters.openai.aiohttp_transport import byte_source
from adapters.openai.connection import ServerConnection
from adapters.openai.errors import SystemRoleRefused, rejects_parameter, translated, unexpected_body
from adapters.openai.finish_reasons import FinishReasons
from adapters.openai.options import OpenAIOptions
from adapters.openai.payload import EventDecoder
from adapters.openai.read_coalescing import CoalescedReader
from adapters.openai.stream_decoder import StreamDecoder
from adapters.openai.usage import with_header_cost
from bot.conversation import Delta, Prompt
from bot.errors import ModelRejected, RejectionReason
from bot.ports import Model, NextWriteAt, at_once

log = logging.getLogger(__name__)


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
    """A `bot.ports.Model` behind a server with OpenAI's protocol. Close it at the end.

    Models of one server share its `connection`; without one, the model makes its own. Raises `ModelRejected` for an
    invalid base URL.
    """

    def __init__(self, options: OpenAIOptions, connection: ServerConnection | None = None) -> None:
        self._options = options
        self._connection = connection or ServerConnection(options)
        self._format = API_FORMATS[options.api]

    def __repr__(self) -> str:
        return f"OpenAIModel({self._options!r})"

    @override
    def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        return self._answer(prompt, partial(self._request_stream, next_write_at) if stream else self._request_whole)

    async def close(self) -> None:
        """Close the connection. Open answers fail."""
        await self._connection.close()

    async def _answer(
        self, prompt: Prompt, ask: Callable[[Prompt], AsyncGenerator[Delta, None]]
    ) -> AsyncGenerator[Delta, None]:
        """Send the request; if the model has no system role, repeat it once with the system prompt folded.

        This is not a retry: the result is remembered for the life of the process.
        """
        limits = self._connection.server_limits
        prompt = limits.adapt(replace(prompt, model=prompt.model or self._options.model))
        try:
            async with aclosing(ask(prompt)) as deltas:
                async for delta in deltas:
                    yield delta
        except SystemRoleRefused:
            folded = limits.without_system(prompt)
            if folded is None:
                raise
        else:
            return
        async with aclosing(ask(folded)) as deltas:
            async for delta in deltas:
                yield delta

    async def _request_whole(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        body = self._body(prompt, stream=False)
        await self._connection.request_limiter.acquire()
        with translated(self._connection.key):
            response = await self._connection.client.post(self._format.path, cast_to=httpx2.Response, body=body)
            content_type = response.headers.get("content-type", "").partition(";")[0].strip()
            answer = response.json() if content_type.endswith("json") else response.text
            deltas = with_header_cost(self._decode_response(answer), response.headers)
        for delta in deltas:
            yield delta

    async def _request_stream(self, next_write_at: NextWriteAt, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        with translated(self._connection.key):
            # The SDK sends the request and checks the response; we read the events. Its own reader takes 80 us for a
            # chunk, plus 100 us for a typed event, and compatible servers send shapes outside of its types.
            source = byte_source((await self._open(prompt)).response)
            try:
                with CoalescedReader(source, self._connection.coalescer, next_write_at) as reader:
                    stream = StreamDecoder(self._format.decoder(self._connection.finish_reasons), self._decode_response)
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
            limits = self._connection.server_limits
            if not (limits.reports_usage and rejects_parameter(error, "stream_options")):
                raise
            log.info("the model's server rejects stream_options: tokens will not be counted")
            limits.reports_usage = False
            return await self._post(prompt)

    async def _post(self, prompt: Prompt) -> RawStream:
        body, connection = self._body(prompt, stream=True), self._connection
        await connection.request_limiter.acquire()
        if not connection.request_throttle.try_acquire():
            await connection.request_throttle.acquire_later()
        return await connection.client.post(
            self._format.path, cast_to=object, body=body, stream=True, stream_cls=RawStream
        )

    def _body(self, prompt: Prompt, *, stream: bool) -> dict[str, object]:
        if not prompt.model:
            raise ModelRejected("no model is named", reason=RejectionReason.MODEL)
        usage = self._connection.server_limits.reports_usage
        return self._format.request_body(self._options, prompt, stream=stream, usage=usage)

    def _decode_response(self, answer: object) -> list[Delta]:
        if isinstance(answer, str) and answer.lstrip().startswith(("{", "[")):  # JSON under another content type
            answer = json.loads(answer)
        if not isinstance(answer, dict):
            message = "the model's server answered with something other than a JSON object; is the base URL right?"
            raise unexpected_body(answer, message)
        return self._format.decode_response(answer, self._connection.finish_reasons)


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
