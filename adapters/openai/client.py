"""The one client of the process, and the shell in which an answer is asked for and read.

What belongs here: opening, reading and closing a request. What does not: what a request or an event looks like (`chat`,
`responses`), and what an error means (`errors`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType

import httpx2
import jiter
import openai

from adapters.openai import chat, responses
from adapters.openai.beats import Beats, Reading
from adapters.openai.errors import FOREIGN, Complaint, SystemRefused, rejects, translated, unreadable
from adapters.openai.learned import Learned
from adapters.openai.options import OpenAIOptions
from adapters.openai.rounds import Rounds
from adapters.openai.sse import ErrorData, EventSplitter
from adapters.openai.transport import Body, Coded, make_http_client, source_of
from adapters.openai.wire import Decoder
from bot.conversation import Delta, Prompt, Text
from bot.errors import Because, Broken, Declined, Failure

log = logging.getLogger(__name__)

# Sent where no key is set: the SDK insists on one, and a local server that wants none ignores it.
NO_KEY = "none"

# After the finish reason, the usage and the end of the body still come, at once from those that send them at all; but
# some servers never do, or never close. The reader waits for `Finish`, so no longer than this. Seconds.
LINGER_SECONDS = 1.0

# Once the usage is there too, only the end of the body is missing, which lets the connection be used again. Seconds.
DRAIN_SECONDS = 0.1

# Requests begun in one round of the loop: about ten milliseconds of it.
STARTS_AT_ONCE = 10

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
        self._beats = Beats()
        self._starts = Rounds(STARTS_AT_ONCE)
        self._learned = Learned()

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
            answer = await self._begun(prompt)
            if isinstance(answer, list):
                for delta in answer:
                    yield delta
                return
            try:
                with Reading(answer, self._beats) as reading:
                    decoding = Decoding(self._api.decoder())
                    while not decoding.over:
                        for delta in await decoding.read(reading):
                            yield delta
            finally:
                await answer.aclose()

    async def _begun(self, prompt: Prompt) -> Body | Coded | list[Delta]:
        """Ask for a stream: its bytes, or all deltas where the server sent no stream.

        The SDK asks and checks the answer; its events are read by us. Its own reading takes 80 us for a chunk, and 100
        more to make a typed one of it; compatible servers send shapes that no type knows.
        """
        response = (await self._open(prompt)).response
        if is_event_stream(response):
            return source_of(response)
        try:
            return self._read_whole(await read_body(response))
        finally:
            await response.aclose()

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
            raise Declined("no model is named", because=Because.MODEL)
        return self._api.request(self._options, prompt, stream=stream, usage=self._learned.usage)

    def _read_whole(self, answer: object) -> list[Delta]:
        if isinstance(answer, str) and answer.lstrip().startswith(("{", "[")):  # JSON under another content type
            answer = json.loads(answer)
        if not isinstance(answer, dict):
            line = "the model's server answered with something that is no JSON object; is the base URL right?"
            raise unreadable(answer, line)
        return self._api.whole(answer)


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


def is_event_stream(response: httpx2.Response) -> bool:
    """Whether a stream came: a server that ignores ``stream`` sends a whole body, a wrong address a page."""
    kind = response.headers.get("content-type", "text/event-stream").lower()
    return "json" not in kind and "html" not in kind


async def read_body(response: httpx2.Response) -> object:
    """The JSON of a response, or None where it holds something else."""
    content = await response.aread()
    return None if "html" in response.headers.get("content-type", "") else json.loads(content)


class Decoding:
    """The bytes of one stream into deltas: what an event holds, then usage and `Finish` if they came."""

    def __init__(self, decoder: Decoder) -> None:
        self.over = False  # nothing more is to be read
        self._decoder = decoder
        self._ended = False  # its last words have been read
        self._done = False  # the server has said that no event follows, or sent what cannot be read
        self._failure: Exception | None = None  # raised after the deltas that came before it
        self._splitter = EventSplitter()

    async def read(self, reading: Reading) -> list[Delta]:
        """The deltas of one read; the last ones once the stream is at its end. Raises the failure that ends it."""
        if self._failure is not None:
            raise self._failure
        if not self._ended:
            received = await reading.next()
            deltas = self._feed(received)
            if deltas:
                reading.urgent = False
            if received and not (self._done or self._finished):
                return deltas
            self._ended = reading.urgent = True
            if deltas or self._failure is not None:
                return deltas
        self.over = True
        return [*await self._linger(reading), *self._decoder.flush(), *self._ending()]

    @property
    def _finished(self) -> bool:
        """Whether the answer's end was announced: whatever the stream does from now on does not unmake it."""
        return self._decoder.finish is not None

    def _ending(self) -> Iterator[Delta]:
        """Without a `Finish` where the stream just ended."""
        if self._decoder.finish is not None:
            if self._decoder.usage is not None:
                yield self._decoder.usage
            yield self._decoder.finish

    def _feed(self, received: bytes) -> list[Delta]:
        """The deltas, and a note of what failed after them. Texts are joined: they became known at the same time."""
        found: list[Delta] = []
        texts: list[str] = []  # since the last delta of another kind
        try:
            for delta in self._deltas(received):
                if type(delta) is Text:
                    texts.append(delta.text)
                    continue
                _join(texts, found)
                found.append(delta)
        except LATE as error:
            self._done = True
            self._failure = None if self._finished else error
        _join(texts, found)
        return found

    def _deltas(self, received: bytes) -> Iterator[Delta]:
        for data in self._splitter.feed(received):
            if self._done or data.startswith(b"[DONE]"):
                self._done = True
                return
            if type(data) is ErrorData:
                raise Complaint.of(data.decode(errors="replace")).failure()
            yield from self._decoder.feed(parsed(data))

    async def _linger(self, reading: Reading) -> list[Delta]:
        """Read what still comes after the finish reason, for a bounded time.

        An answer that has finished stays finished, however its stream goes on: failures are passed over here.
        """
        rest: list[Delta] = []
        if not self._finished:
            return rest
        loop = asyncio.get_running_loop()
        ending = self._done or self._decoder.usage is not None
        try:
            async with asyncio.timeout(DRAIN_SECONDS if ending else LINGER_SECONDS) as timeout:
                while received := await reading.next():
                    rest += self._feed(received)
                    if not ending and (self._done or self._decoder.usage is not None):
                        ending = True
                        timeout.reschedule(loop.time() + DRAIN_SECONDS)
        except LATE as error:
            log.debug("after the finish reason: %s", type(error).__name__)
        return rest


def parsed(data: bytes) -> object:
    """The JSON of an event: by the SDK's own parser, which takes a quarter of the time, or else by Python's.

    The first refuses what no UTF-8 can carry, half a surrogate pair, and has errors of its own.
    Raises `ValueError` (JSON or UTF-8), `Broken`, and what plain words in the place of JSON mean.
    """
    try:
        return jiter.from_json(data, cache_mode="keys")
    except ValueError:
        pass
    text = data.decode()
    try:
        return json.loads(text)
    except ValueError:
        if not text.lstrip().startswith(("{", "[")):  # no event cut off, but words
            raise unreadable(text, "the model's server sent an event that is no JSON") from None
        raise
    except RecursionError:
        raise Broken("the model's server sent an event of too many levels") from None


def _join(texts: list[str], found: list[Delta]) -> None:
    if texts:
        found.append(Text("".join(texts)))
        texts.clear()
