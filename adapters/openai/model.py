"""The one client of the process, and the shell in which an answer is asked for and read.

What belongs here: opening and closing a request. What does not: reading the answer (`decoding`), what a request or an
event looks like (`chat`, `responses`), and what an error means (`errors`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType

import httpx2
import openai

from adapters.openai import chat_completions as chat
from adapters.openai import responses
from adapters.openai.aiohttp_transport import make_http_client, source_of
from adapters.openai.errors import SystemRefused, rejects, translated, unreadable
from adapters.openai.finish_reasons import Reasons
from adapters.openai.loop_throttle import Rounds
from adapters.openai.options import OpenAIOptions
from adapters.openai.payload import Decoder
from adapters.openai.read_coalescing import Beats, Reading
from adapters.openai.server_limits import Learned
from adapters.openai.stream_decoder import Decoding
from bot.conversation import Delta, Prompt
from bot.errors import ModelRejected, RejectionReason

log = logging.getLogger(__name__)

# Sent where no key is set: the SDK insists on one, and a local server that wants none ignores it.
NO_KEY = "none"

# Requests begun in one round of the loop: about ten milliseconds of it.
STARTS_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Api:
    """One of the two wire formats."""

    path: str
    request: Callable[..., dict[str, object]]
    whole: Callable[[object, Reasons], list[Delta]]
    decoder: Callable[[Reasons], Decoder]


APIS = MappingProxyType(
    {
        "chat": Api(chat.PATH, chat.request, chat.whole, chat.ChatDecoder),
        "responses": Api(responses.PATH, responses.request, responses.whole, responses.ResponsesDecoder),
    }
)


class OpenAIModel:
    """A `bot.ports.Model` behind a server that speaks OpenAI's protocol. One for the process; close it at the end.

    Raises `ModelRejected` where the base URL is not one.
    """

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._key = options.api_key.strip()  # a key read from a file often ends in a line break
        with translated(self._key):
            self._client = make_client(options, self._key or NO_KEY)
        self._api = APIS[options.api]
        self._beats = Beats()
        self._starts = Rounds(STARTS_AT_ONCE)
        self._learned = Learned()
        self._reasons = Reasons()

    def __repr__(self) -> str:
        return f"OpenAIModel({self._options!r})"

    def answer(self, prompt: Prompt, *, stream: bool) -> AsyncGenerator[Delta, None]:
        """See `bot.ports.Model`."""
        return self._settled(prompt, stream=stream)

    async def close(self) -> None:
        """Close the connections. Answers still being read break."""
        await self._client.close()

    async def _settled(self, prompt: Prompt, *, stream: bool) -> AsyncGenerator[Delta, None]:
        """Ask; where the model has no role for the system's words, once more without it, which is remembered.

        That is no retry: it settles once for the process what this model takes.
        """
        ask = self._streamed if stream else self._whole
        prompt = self._learned.fitted(prompt)
        try:
            async with aclosing(ask(prompt)) as deltas:
                async for delta in deltas:
                    yield delta
        except SystemRefused:
            fitted = self._learned.refused_system(prompt)
            if fitted is None:
                raise
        else:
            return
        async with aclosing(ask(fitted)) as deltas:
            async for delta in deltas:
                yield delta

    async def _whole(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        body = self._body(prompt, stream=False)
        with translated(self._key):
            answer = await self._client.post(self._api.path, cast_to=object, body=body)
            deltas = self._read_whole(answer)
        for delta in deltas:
            yield delta

    async def _streamed(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        with translated(self._key):
            # The SDK asks and checks the answer; its events are read by us. Its own reading takes 80 us for a chunk,
            # and 100 more to make a typed one of it; compatible servers send shapes that no type knows.
            answer = source_of((await self._open(prompt)).response)
            try:
                with Reading(answer, self._beats) as reading:
                    decoding = Decoding(self._api.decoder(self._reasons), self._read_whole)
                    while not decoding.over:
                        for delta in await decoding.read(reading):
                            yield delta
            finally:
                await answer.aclose()

    async def _open(self, prompt: Prompt) -> Opened:
        """Ask for a stream. A server that does not know ``stream_options`` is asked once more without, and remembered.

        That is no retry: it settles once for the process what this server takes.
        """
        try:
            return await self._post(prompt)
        except openai.APIStatusError as error:
            if not (self._learned.usage and rejects(error, "stream_options")):
                raise
            log.info("the model's server does not take stream_options: tokens will not be counted")
            self._learned.usage = False
            return await self._post(prompt)

    async def _post(self, prompt: Prompt) -> Opened:
        body = self._body(prompt, stream=True)
        if not self._starts.take():
            await self._starts.wait()
        return await self._client.post(self._api.path, cast_to=object, body=body, stream=True, stream_cls=Opened)

    def _body(self, prompt: Prompt, *, stream: bool) -> dict[str, object]:
        if not (prompt.model or self._options.model):
            raise ModelRejected("no model is named", reason=RejectionReason.MODEL)
        return self._api.request(self._options, prompt, stream=stream, usage=self._learned.usage)

    def _read_whole(self, answer: object) -> list[Delta]:
        if isinstance(answer, str) and answer.lstrip().startswith(("{", "[")):  # JSON under another content type
            answer = json.loads(answer)
        if not isinstance(answer, dict):
            line = "the model's server answered with something that is no JSON object; is the base URL right?"
            raise unreadable(answer, line)
        return self._api.whole(answer, self._reasons)


class Opened(openai.AsyncStream[object]):
    """What the SDK makes of the answer to a request for a stream, without what it would read it by.

    The SDK's own holds a generator that holds it, and so the request with all its headers, until the collector comes.
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
    """The SDK's client, without its retries and with no time-out but that of connecting (`bot.completion` has them)."""
    timeout = httpx2.Timeout(None, connect=options.connect_seconds)
    client = openai.AsyncOpenAI(
        api_key=key,
        base_url=options.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=make_http_client(options.base_url, timeout),
    )
    # The SDK takes these from the environment, which is `config`'s to read, and would send them to any server.
    client.organization = client.project = None
    return client
