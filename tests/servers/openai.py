"""A loopback server that speaks the OpenAI protocol (Chat Completions and Responses) and fails on command.

What belongs here: the wire format as the platform documents it, the scripts of what each request is answered with, and
a record of what was asked. What does not: anything of the adapter that is tested against it.

    async with OpenAIDouble() as double:
        double.default = Answer("Hello there", words_per_second=40)
        double.queue(Status(429, headers={"retry-after": "1"}), Answer("Hello there", fault=Fault.FIN))
        ... a client with base_url=double.url ...

Each request to make an answer (`/v1/chat/completions`, `/v1/responses`) takes the next script of the queue; once it is
empty, `default` serves. Sources: platform.openai.com/docs/api-reference/chat/streaming and .../responses-streaming.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.servers.openai_scripts import (
    LOREM,
    SIGNS_OF_LIFE,
    Answer,
    Drop,
    Event,
    Fault,
    Manner,
    Script,
    Status,
    chat_events,
    chat_whole,
    error_of,
    pieces_of,
    responses_events,
    responses_whole,
    sign_of_life,
)
from tests.servers.requests import messages_of, out_of_order, seen

__all__ = [
    "LOREM",
    "SIGNS_OF_LIFE",
    "Answer",
    "Drop",
    "Event",
    "Fault",
    "Manner",
    "OpenAIDouble",
    "Received",
    "Script",
    "Status",
    "chat_events",
    "pieces_of",
    "responses_events",
]


@dataclass(slots=True, eq=False)
class Received:
    """One request to make an answer, as it arrived. `headers` have lower-case names."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    peer: int  # the client's port: the same for requests on one kept-alive connection
    at: float  # the loop's time
    left_early: asyncio.Event = field(default_factory=asyncio.Event)  # the client went away before the end
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # however it ended
    sent: list[str] = field(default_factory=list)  # pieces of text put on the wire
    sent_at: list[float] = field(default_factory=list)  # ... and when, by the loop's time

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream"))


# --------------------------------------------------------------------------------------------- what a server may refuse

ORDER = "Conversation roles must alternate user/assistant/user/assistant/..."
NO_SYSTEM = "System role not supported"


@dataclass(slots=True)
class Taste:
    """What a server takes. Each refusal stands for the script that the request would have got, which is kept.

    Sources: the chat templates of Mistral, Gemma and Llama 2 for the order and the role; for the rest the errors of
    each vendor (`tests/servers/vendor_errors.py`).
    """

    alternates: bool = False  # only messages in order
    system: bool = True  # takes the system's role, or instructions
    images: Script | None = None  # how it refuses any image
    unread: Mapping[bytes, Script] = field(default_factory=dict)  # ... an image with these bytes
    most_images: int = 100
    characters: int | None = None  # of all messages
    too_long: Script | None = None  # how it refuses more of them
    models: frozenset[str] = frozenset()  # whom all this is about; all where it is empty

    def refusal(self, body: Mapping[str, Any]) -> Script | None:
        """How a request is refused, if it is."""
        if self.models and body.get("model") not in self.models:
            return None
        return next(self._refusals(body), None)

    def _refusals(self, body: Mapping[str, Any]) -> Iterator[Script]:
        texts, images = seen(body)
        has_system = bool(body.get("instructions")) or any(m["role"] == "system" for m in messages_of(body))
        if has_system and not self.system:
            yield Status(400, message=NO_SYSTEM)
        if self.alternates and (fault := out_of_order(body)):
            yield Status(400, message=f"{ORDER} ({fault})")
        if images and self.images is not None:
            yield self.images
        if len(images) > self.most_images:
            yield Status(400, message=f"At most {self.most_images} image(s) may be provided in one request.")
        encoded = {base64.b64encode(data).decode(): script for data, script in self.unread.items()}
        yield from (script for data, script in encoded.items() if any(data in image for image in images))
        if self.characters is not None and sum(map(len, texts)) > self.characters:
            line = f"This model's maximum context length is {self.characters} tokens."
            yield self.too_long or Status(400, "context_length_exceeded", line)


# --------------------------------------------------------------------------------------------------------- the server


class OpenAIDouble:
    """The server. Listens while it is entered; `url` is a `base_url` for clients."""

    def __init__(self, *scripts: Script, default: Script | None = None) -> None:
        self.default: Script = default if default is not None else Answer()
        self.requests: list[Received] = []
        self.open_connections = 0
        self.streaming: Script | None = None  # what any request with `stream` gets instead, when not None
        self.rejects_stream_options = False
        self.taste = Taste()
        self.models: list[str] = ["test-model"]
        self.key: str | None = None  # when not None, any other key is a 401
        self._scripts: deque[Script] = deque(scripts)
        self._arrived = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def queue(self, *scripts: Script) -> None:
        self._scripts.extend(scripts)

    def clear(self) -> None:
        """Forget the scripts that nobody has asked for."""
        self._scripts.clear()

    async def wait_for(self, count: int) -> Received:
        """The request of this number (the first is 1), once it has arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests[count - 1]

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._unlisten()

    @asynccontextmanager
    async def refused(self) -> AsyncIterator[None]:
        """Nobody listens here meanwhile; live connections are closed too."""
        await self._unlisten()
        try:
            yield
        finally:
            await self._listen()

    async def _listen(self) -> None:
        self._stopping.clear()
        app = web.Application(middlewares=[self._count])
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/v1/models/{model:.+}", self._one_model)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/responses", self._responses)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _unlisten(self) -> None:
        assert self._runner is not None
        self._stopping.set()
        await self._runner.cleanup()

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.open_connections += 1
        try:
            if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
                return _error(Status(401, "invalid_api_key", "Incorrect API key provided: sk-wr*ng."))
            response: web.StreamResponse = await handler(request)
            return response
        finally:
            self.open_connections -= 1

    async def _list_models(self, request: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "created": 1, "owned_by": "test"} for name in self.models]
        return web.json_response({"object": "list", "data": data})

    async def _one_model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if name not in self.models:
            return _error(Status(404, "model_not_found", f"The model '{name}' does not exist"))
        return web.json_response({"id": name, "object": "model", "created": 1, "owned_by": "test"})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._make(request, chat_events, chat_whole)

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._make(request, responses_events, responses_whole)

    async def _make(self, request: web.Request, events: Any, whole: Any) -> web.StreamResponse:
        received = await self._record(request)
        script = self._script_for(received)
        try:
            if isinstance(script, Status):
                return _error(script)
            if isinstance(script, Drop):
                return _drop(request, reset=script.reset)
            if received.streams and not script.manner.plain:
                return await self._stream(request, received, script, events(script, received.body))
            return await self._whole(request, script, whole(script, received.body))
        except (asyncio.CancelledError, ConnectionError):
            if not self._stopping.is_set():
                received.left_early.set()
            raise
        finally:
            received.ended.set()

    async def _record(self, request: web.Request) -> Received:
        assert request.transport is not None
        received = Received(
            number=len(self.requests) + 1,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.json(),
            peer=request.transport.get_extra_info("peername")[1],
            at=asyncio.get_running_loop().time(),
        )
        async with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        return received

    def _script_for(self, received: Received) -> Script:
        if received.streams and self.rejects_stream_options and "stream_options" in received.body:
            return Status(400, "unknown_parameter", "Unrecognized request argument supplied: stream_options")
        if (refusal := self.taste.refusal(received.body)) is not None:
            return refusal
        if received.streams and self.streaming is not None:
            return self.streaming
        return self._scripts.popleft() if self._scripts else self.default

    async def _whole(self, request: web.Request, answer: Answer, body: dict[str, Any]) -> web.StreamResponse:
        if answer.fault is Fault.STALL:
            await self._stopping.wait()
        if answer.fault in {Fault.ABORT, Fault.FIN}:
            return _drop(request, reset=answer.fault is Fault.ABORT)
        if answer.fault is Fault.MALFORMED:
            return web.Response(text='{"choices": [', content_type="application/json")
        return web.json_response(body, headers=answer.headers)

    async def _stream(
        self, request: web.Request, received: Received, answer: Answer, events: Iterator[Event]
    ) -> web.StreamResponse:
        manner = answer.manner
        response = web.StreamResponse(headers={"content-type": manner.label})
        await response.prepare(request)
        fault_at = None if answer.after_finish else round(len(pieces_of(answer.text)) * answer.at)
        loop = asyncio.get_running_loop()
        began = loop.time()
        planned = list(events)
        for number, event in enumerate(planned):
            faulty = answer.fault is not None and not answer.after_finish
            if faulty and (event.piece or event.ends) and len(received.sent) == fault_at:
                return await self._break(request, response, answer)
            due = _due(answer, event, len(received.sent))
            if due is not None:
                await asyncio.sleep(began + due - loop.time())
            if event.wait:
                await asyncio.sleep(event.wait)
            await response.write(manner.encode(event, first=number == 0, last=number == len(planned) - 1))
            if event.piece:
                received.sent.append(event.piece)
                received.sent_at.append(loop.time())
                if answer.odd:
                    await response.write(b": a comment\n\n")
            if event.ends and answer.hold_open:
                await self._stopping.wait()
            if event.ends and answer.fault is not None:
                return await self._break(request, response, answer)
        while manner.alive_after and not self._stopping.is_set():
            await response.write(manner.encode(sign_of_life(manner.alive_by)))
            await asyncio.sleep(manner.alive_seconds)
        await response.write_eof()
        return response

    async def _break(self, request: web.Request, response: web.StreamResponse, answer: Answer) -> web.StreamResponse:
        fault = answer.fault
        assert request.transport is not None
        chat = request.path.endswith("/chat/completions")
        match fault:
            case Fault.STALL:
                await self._stopping.wait()
            case Fault.ABORT | Fault.FIN:
                return _drop(request, reset=fault is Fault.ABORT)
            case Fault.DONE:
                await response.write(b"data: [DONE]\n\n")
            case Fault.HALF_EVENT:
                await response.write(b'data: {"id": "chatcmpl-1", "choi')
            case Fault.MALFORMED:
                await response.write(b'data: {"id": "chatcmpl-1", "choices": [{]}\n\n')
            case Fault.BAD_UTF8:
                await response.write(b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n')
            case Fault.TYPED_ERROR:
                typed = {"type": "error", "sequence_number": 9, **error_of(answer), "code": answer.code}
                await response.write(answer.manner.encode(Event(json.dumps({**typed, "type": "error"}), name="error")))
            case Fault.FAILED if not chat:
                failed = {"type": "response.failed", "response": responses_whole(answer, {}, "failed")}
                await response.write(answer.manner.encode(Event(json.dumps(failed), name="response.failed")))
            case Fault.ERROR_EVENT | Fault.FAILED:
                await response.write(answer.manner.encode(Event(json.dumps({"error": error_of(answer)}))))
        await response.write_eof()
        return response


def _due(answer: Answer, event: Event, number: int) -> float | None:
    """When an event after so many words is sent, in seconds after the head; None where it waits for nothing."""
    if answer.times and (event.piece or event.ends):
        return answer.times[number]
    if event.piece and answer.words_per_second:
        return (number + 1) / answer.words_per_second
    return None


def _error(status: Status) -> web.Response:
    if status.raw is not None:
        return web.Response(
            status=status.status, text=status.raw, content_type=status.content_type, headers=dict(status.headers)
        )
    error = {"message": status.message, "type": "error", "param": status.param, "code": status.code or None}
    return web.json_response({"error": error}, status=status.status, headers=dict(status.headers))


def _drop(request: web.Request, *, reset: bool) -> web.Response:
    assert request.transport is not None
    if reset:
        # A closing that lingers for no time is a reset (socket(7), SO_LINGER); abort() alone sends an ordinary FIN.
        peer = request.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    else:
        request.transport.close()
    return web.Response()  # goes nowhere: the connection is closed already
