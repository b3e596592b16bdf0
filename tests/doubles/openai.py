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
import re
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self

from aiohttp import web

from tests.doubles.requests import messages_of, out_of_order, seen

LOREM = "The quick brown fox jumps over the lazy dog and keeps running until the whole page is full of its tracks."


class Fault(Enum):
    """How a stream goes wrong, at the place that `Answer.at` says."""

    ABORT = auto()  # the TCP connection is reset (what was just sent may be lost with it)
    FIN = auto()  # the TCP connection is closed in the middle of the body
    END = auto()  # the body ends as it should, without a finish reason and without [DONE]
    DONE = auto()  # the same with [DONE] (Chat Completions only; Responses has no such line)
    HALF_EVENT = auto()  # half an event, then the body ends as it should
    ERROR_EVENT = auto()  # data: {"error": {...}}
    TYPED_ERROR = auto()  # data: {"type": "error", ...}, as Responses documents it
    FAILED = auto()  # response.failed (on Chat Completions the same as ERROR_EVENT)
    MALFORMED = auto()  # an event that is not JSON
    BAD_UTF8 = auto()  # bytes that are not UTF-8
    STALL = auto()  # nothing more, while the connection stays open


@dataclass(frozen=True, slots=True)
class Answer:
    """A request is answered with these words.

    `words_per_second` None sends as fast as the socket takes them; `times` says instead when each word and, after them,
    the end is sent, in seconds after the head. `fault` happens after the share `at` of the words
    (0.0 before the first, 1.0 after the last), or, with `after_finish`, once the finish reason was sent. `code` is the
    error's, for the faults that have one. A request without ``stream`` gets the whole words in one body; a fault of
    the connection breaks that body too.
    """

    text: str = LOREM
    words_per_second: float | None = None
    times: tuple[float, ...] = ()
    finish: str = "stop"
    reasoning: str = ""
    reasoning_field: str = "reasoning_content"  # what a chat completion calls it
    refusal: str = ""
    tool: tuple[str, str] | None = None  # a call's name and arguments
    usage: bool = True
    done: bool = True  # whether [DONE] is sent
    hold_open: bool = False  # after the finish reason: neither usage nor [DONE] nor an end
    odd: bool = False  # unknown kinds of events, empty choices, comments and null fields between the words
    fault: Fault | None = None
    at: float = 0.5
    after_finish: bool = False
    code: str = "server_error"
    tokens: tuple[int, int] = (11, 22)  # input, output


@dataclass(frozen=True, slots=True)
class Status:
    """A request is answered with an HTTP error (or, with `raw`, with any body at all)."""

    status: int
    code: str = ""
    message: str = "It did not work."
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: str | None = None
    content_type: str = "application/json"
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed (or, with `reset`, reset) before any byte of an answer."""

    reset: bool = False


Script = Answer | Status | Drop


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
    each vendor (`tests/doubles/complaints.py`).
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


# ------------------------------------------------------------------------------------------------------ wire formats


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; `piece` is the text in it, by which a stream is paced."""

    data: str
    name: str = ""
    piece: str = ""
    ends: bool = False  # carries the finish reason

    def encode(self) -> bytes:
        head = f"event: {self.name}\n" if self.name else ""
        return f"{head}data: {self.data}\n\n".encode()


def pieces_of(text: str) -> list[str]:
    """The words, each with the white space behind it; their joining is the text."""
    return re.findall(r"\s*\S+\s*|\s+", text)


def error_of(answer: Answer) -> dict[str, Any]:
    return {"message": "The server had an error.", "type": "server_error", "param": None, "code": answer.code}


def chat_chunk(model: str, delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return json.dumps(
        {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
    )


def chat_usage(answer: Answer) -> dict[str, int]:
    given, made = answer.tokens
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def chat_events(answer: Answer, body: Mapping[str, Any]) -> Iterator[Event]:
    """The events of a streamed chat completion, [DONE] included."""
    model = str(body.get("model", ""))
    yield Event(chat_chunk(model, {"role": "assistant", "content": "", "refusal": None}))
    if answer.odd:
        yield Event(json.dumps({"object": "future.kind", "something": [1]}))
        yield Event(json.dumps({"id": "x", "choices": [], "prompt_filter_results": []}))
        yield Event(json.dumps({"id": "x", "choices": [{"index": 0, "delta": None}], "error": None}))
        yield Event(json.dumps({"id": "x", "choices": [{"index": 1, "delta": {"content": "of another choice"}}]}))
        yield Event("{}", name="ping")
    for piece in pieces_of(answer.reasoning):
        yield Event(chat_chunk(model, {answer.reasoning_field: piece}))
    for piece in pieces_of(answer.text):
        yield Event(chat_chunk(model, {"content": piece}), piece=piece)
    for piece in pieces_of(answer.refusal):
        yield Event(chat_chunk(model, {"refusal": piece}))
    if answer.tool is not None:
        name, arguments = answer.tool
        for call in (
            {"id": "call_1", "function": {"name": name, "arguments": ""}},
            {"function": {"arguments": arguments}},
        ):
            yield Event(chat_chunk(model, {"tool_calls": [{"index": 0, **call}]}))
    yield Event(chat_chunk(model, {}, answer.finish), ends=True)
    if answer.usage and (body.get("stream_options") or {}).get("include_usage"):
        yield Event(json.dumps({**json.loads(chat_chunk(model, {})), "choices": [], "usage": chat_usage(answer)}))
    if answer.done:
        yield Event("[DONE]")


def chat_whole(answer: Answer, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat completion that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": answer.refusal or None}
    if answer.reasoning:
        message[answer.reasoning_field] = answer.reasoning
    if answer.tool is not None:
        function = {"name": answer.tool[0], "arguments": answer.tool[1]}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body.get("model", "")}
    return {**whole, "choices": [choice], **({"usage": chat_usage(answer)} if answer.usage else {})}


# finish reasons of Chat Completions, as Responses puts them: status, and why it is incomplete
ENDINGS = {"length": ("incomplete", "max_output_tokens"), "content_filter": ("incomplete", "content_filter")}


def responses_whole(answer: Answer, body: Mapping[str, Any], status: str = "") -> dict[str, Any]:
    """A response object: the whole answer, or with another `status` one that is under way or has failed."""
    ended, why = ENDINGS.get(answer.finish, ("completed", ""))
    content: list[dict[str, Any]] = []
    if answer.text:
        content.append({"type": "output_text", "text": answer.text, "annotations": []})
    if answer.refusal:
        content.append({"type": "refusal", "refusal": answer.refusal})
    output: list[dict[str, Any]] = []
    if answer.reasoning:
        output.append(
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": answer.reasoning}]}
        )
    output.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content})
    if answer.tool is not None:
        name, arguments = answer.tool
        output.append(
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": arguments}
        )
    given, made = answer.tokens
    failed = status == "failed"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status or ended,
        "error": {"code": answer.code, "message": "The server had an error."} if failed else None,
        "incomplete_details": {"reason": why} if why and not status else None,
        "model": body.get("model", ""),
        "output": [] if status else output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": responses_usage(given, made) if answer.usage and not status else None,
    }


def responses_usage(given: int, made: int) -> dict[str, Any]:
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + made,
    }


def responses_events(answer: Answer, body: Mapping[str, Any]) -> Iterator[Event]:
    """The events of a streamed response. There is no [DONE]."""
    number = 0

    def event(kind: str, *, piece: str = "", ends: bool = False, **more: Any) -> Event:
        nonlocal number
        number += 1
        return Event(json.dumps({"type": kind, "sequence_number": number, **more}), name=kind, piece=piece, ends=ends)

    where: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    yield event("response.created", response=responses_whole(answer, body, "in_progress"))
    yield event("response.in_progress", response=responses_whole(answer, body, "in_progress"))
    if answer.odd:
        yield event("response.future.thing", delta="not for you")
        yield Event("{}", name="ping")
        yield Event(json.dumps([1, 2]))
    for piece in pieces_of(answer.reasoning):
        yield event(
            "response.reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta=piece
        )
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    yield event("response.output_item.added", output_index=0, item=message)
    yield event("response.content_part.added", **where, part={"type": "output_text", "text": "", "annotations": []})
    for piece in pieces_of(answer.text):
        yield event("response.output_text.delta", piece=piece, **where, delta=piece, logprobs=[])
    yield event("response.output_text.done", **where, text=answer.text, logprobs=[])
    for piece in pieces_of(answer.refusal):
        yield event("response.refusal.delta", **where, delta=piece)
    if answer.tool is not None:
        name, arguments = answer.tool
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": ""}
        yield event("response.output_item.added", output_index=1, item=item)
        yield event("response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta=arguments)
    whole = responses_whole(answer, body)
    yield event(f"response.{whole['status']}", ends=True, response=whole)


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
            if received.streams:
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
        return web.json_response(body)

    async def _stream(
        self, request: web.Request, received: Received, answer: Answer, events: Iterator[Event]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        fault_at = None if answer.after_finish else round(len(pieces_of(answer.text)) * answer.at)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for event in events:
            faulty = answer.fault is not None and not answer.after_finish
            if faulty and (event.piece or event.ends) and len(received.sent) == fault_at:
                return await self._break(request, response, answer)
            due = _due(answer, event, len(received.sent))
            if due is not None:
                await asyncio.sleep(began + due - loop.time())
            await response.write(event.encode())
            if event.piece:
                received.sent.append(event.piece)
                received.sent_at.append(loop.time())
                if answer.odd:
                    await response.write(b": a comment\n\n")
            if event.ends and answer.hold_open:
                await self._stopping.wait()
            if event.ends and answer.fault is not None:
                return await self._break(request, response, answer)
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
                await response.write(Event(json.dumps({**typed, "type": "error"}), name="error").encode())
            case Fault.FAILED if not chat:
                failed = {"type": "response.failed", "response": responses_whole(answer, {}, "failed")}
                await response.write(Event(json.dumps(failed), name="response.failed").encode())
            case Fault.ERROR_EVENT | Fault.FAILED:
                await response.write(Event(json.dumps({"error": error_of(answer)})).encode())
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
