"""Decodes the bytes of one answer into deltas: detects the format, the end of the stream, and failures around it.

`chat_completions` and `responses` interpret events, `model` opens and closes the stream, and `bot.completion` has every
timeout except the drain timeout below.

A stream ends at ``[DONE]``, at a terminal event (Responses), or at the end of its body. A finish reason only announces
the end: some servers send ``stop`` with each chunk, others send text after it. It is passed on as `Announced`, and the
reader of the deltas decides how long to wait for the rest.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable

import jiter

from adapters.openai.errors import SDK_ERRORS, ServerError, unexpected_body
from adapters.openai.event_template import EventTemplate
from adapters.openai.payload import EventDecoder
from adapters.openai.read_coalescing import CoalescedReader
from adapters.openai.sse import BYTE_ORDER_MARK, DONE, MAX_EVENT_BYTES, ErrorData, EventSplitter, ParsedData
from bot.conversation import Activity, Announced, Delta, Finish, FinishReason, Refusal, Text, Usage
from bot.errors import Failure, ServiceError

log = logging.getLogger(__name__)

# After the last event, the connection can be reused only if the end of the body arrives within this time. Seconds.
DRAIN_SECONDS = 0.1

# Minimum time between two `Activity` deltas. The idle timeout is many times longer. Seconds.
ACTIVITY_SECONDS = 0.25

# Errors that end a stream, or are ignored after a regular end.
STREAM_ERRORS: tuple[type[Exception], ...] = (TimeoutError, Failure, *SDK_ERRORS)

# Data of keep-alive events. An empty object or null is decoded as an event without content.
KEEPALIVE_DATA = frozenset({b"", b"ping", b"keepalive", b"keep-alive", b"heartbeat", b":"})

# Keep-alives and [DONE] are shorter than this, events with content are longer. Bytes.
MAX_KEEPALIVE_BYTES = 16

ACTIVITY = Activity()

# First bytes of a body without streaming; no line of a stream begins with these.
_BODY_PREFIXES = (b"{", b"[", b"<", b'"')

# White space and comments before the first event. Gateways also send them before a body without streaming.
_PREAMBLE = re.compile(rb"(?:\s*:[^\r\n]*[\r\n])*\s*")


class StreamDecoder:
    """Decodes one answer: deltas, then `Announced` at a finish reason, and finally the usage and `Finish`.

    There is no `Finish` if the stream ends without one. `decode_response` decodes a body without streaming.
    """

    def __init__(self, decoder: EventDecoder, decode_response: Callable[[object], list[Delta]]) -> None:
        self.done = False  # the stream has been read to its end
        self._decoder = decoder
        self._decode_response = decode_response
        self._splitter = EventSplitter()
        self._template = EventTemplate()
        self._head: bytes | None = b""  # bytes before the format is known; None afterwards
        self._body: list[bytes] | None = None  # chunks of a body without streaming
        self._size = 0  # of the body, in bytes
        self._saw_done = False  # [DONE] has arrived
        self._draining = False  # only the end of the body is missing
        self._failure: Exception | None = None  # raised after the deltas before it
        self._announced: Finish | None = None  # the last one passed on
        self._reported_usage: Usage | None = None  # the last one passed on
        self._reopened = False  # text arrived after a finish reason, so finish reasons are unreliable
        self._activity_at = 0.0  # time of the last `Activity`

    async def read(self, reader: CoalescedReader) -> list[Delta]:
        """The deltas of one read, including the final ones at the end of the stream. Raises its failure."""
        if self._failure is not None:
            raise self._failure
        if self._draining:
            await self._drain(reader)
            return self._finish([])
        try:
            received = await reader.read()
        except STREAM_ERRORS as error:
            received, self._failure = b"", error
        deltas = self._feed(received) if received else self._flush()
        if self._failure is not None:
            return self._fail(deltas)
        if not received:
            return self._finish(deltas)
        if self._saw_done or self._decoder.done:
            self._draining = reader.urgent = True
            return [*deltas, *self._decoder.flush()]
        if deltas:
            reader.urgent = False
            if type(deltas[0]) is Text:
                reader.words_came()
        return self._progress(deltas, reader)

    def _progress(self, deltas: list[Delta], reader: CoalescedReader) -> list[Delta]:
        """Add the announced end and usage to the deltas, or an `Activity` if there are none."""
        finish = self._decoder.finish
        if finish is not None:
            if finish != self._announced or deltas:
                self._announced = finish
                deltas.append(Announced(finish.reason, tuple(self._decoder.peek())))
                reader.urgent = not self._reopened
            deltas += self._usage()
        elif not deltas:
            now = asyncio.get_running_loop().time()
            if now - self._activity_at >= ACTIVITY_SECONDS:
                self._activity_at = now
                return [ACTIVITY]
        return deltas

    def _usage(self) -> list[Delta]:
        usage = self._decoder.usage
        if usage is None or usage == self._reported_usage:
            return []
        self._reported_usage = usage
        return [usage]

    def _finish(self, deltas: list[Delta]) -> list[Delta]:
        """The final deltas."""
        self.done = True
        if self._body is not None:
            return deltas
        if not self._draining:
            deltas += self._decoder.flush()
        finish = self._decoder.finish or (Finish(FinishReason.STOP) if self._saw_done else None)
        return [*deltas, *self._usage(), finish] if finish else deltas

    def _fail(self, deltas: list[Delta]) -> list[Delta]:
        """The deltas of a broken stream. An announced end stays valid unless the server has sent text after one."""
        failure = self._failure
        assert failure is not None
        if self._saw_done or self._decoder.done or (self._decoder.finish is not None and not self._reopened):
            log.debug("ignoring %s after the finish reason", type(failure).__name__)
            self._failure = None
            return self._finish(deltas)
        if not deltas:
            raise failure
        return deltas

    # ------------------------------------------------------------------------------------------------ bytes into events

    def _feed(self, received: bytes) -> list[Delta]:
        """Decode received bytes; a failure behind them is stored in `_failure`."""
        if self._head is not None:
            received = self._detect_format(received)
        if self._body is not None:
            self._append_body(received)
            return []
        try:
            events = self._splitter.feed(received)
        except STREAM_ERRORS as error:
            self._failure = error
            return []
        return self._decode(events)

    def _detect_format(self, received: bytes) -> bytes:
        """Detect a stream or a body, whatever the content type. Returns the bytes to decode now."""
        assert self._head is not None
        head = (self._head + received).removeprefix(BYTE_ORDER_MARK)
        preamble = _PREAMBLE.match(head)
        assert preamble is not None  # an empty match is possible
        start = head[preamble.end() :]
        unfinished = start.startswith(b":") or BYTE_ORDER_MARK.startswith(start)  # empty too
        if unfinished and len(start) <= MAX_EVENT_BYTES:
            self._head = start
            return b""
        self._head = None
        if start.startswith(_BODY_PREFIXES):
            self._body = []
        return start

    def _append_body(self, received: bytes) -> None:
        assert self._body is not None
        self._body.append(received)
        self._size += len(received)
        if self._size > MAX_EVENT_BYTES:
            self._failure = ServiceError(f"the model's server sent an answer of more than {MAX_EVENT_BYTES} bytes")

    def _decode(self, events: list[bytes]) -> list[Delta]:
        """Decode events; consecutive texts become one delta, since they arrived together."""
        deltas: list[Delta] = []
        plain: list[str] = []  # since the last event with more than text
        texts: list[str] = []  # since the last delta of another type
        decoder, template = self._decoder, self._template
        try:
            for data in events:
                if len(data) < MAX_KEEPALIVE_BYTES:
                    if (word := data.strip()) == DONE:
                        self._saw_done = True
                        break
                    if word in KEEPALIVE_DATA:
                        continue
                if decoder.finish is None and type(data) is not ErrorData and (text := template.text(data)):
                    plain.append(text)  # nearly always
                    continue
                event = _value_of(data)
                if text := decoder.plain_text(event):
                    plain.append(text)
                    template.learn(data, text)
                    continue
                self._feed_plain(plain, texts, deltas)
                was_finished = decoder.finish is not None
                for delta in decoder.feed(event):
                    is_text = _add(delta, texts, deltas)
                    self._reopened = self._reopened or (was_finished and (is_text or type(delta) is Refusal))
                if decoder.done:
                    break
        except STREAM_ERRORS as error:
            self._failure = error
        self._feed_plain(plain, texts, deltas)
        _flush_texts(texts, deltas)
        return deltas

    def _feed_plain(self, plain: list[str], texts: list[str], deltas: list[Delta]) -> None:
        if plain:
            for delta in self._decoder.feed_text("".join(plain)):
                _add(delta, texts, deltas)
            plain.clear()

    def _flush(self) -> list[Delta]:
        """The deltas of an incomplete last event, or of a body without streaming."""
        if self._body is not None:
            return self._decode_body() if self._failure is None else []
        deltas: list[Delta] = []
        for data in self._splitter.flush():
            try:
                event = data if data.strip() == DONE else ParsedData(data, parse_event(data))
            except STREAM_ERRORS:  # the stream was cut within the event
                continue
            deltas += self._decode([data if type(data) is ErrorData else event])
        return deltas

    def _decode_body(self) -> list[Delta]:
        assert self._body is not None
        body = b"".join(self._body)
        try:
            return self._decode_response(body.decode(errors="replace") if body.startswith(b"<") else json.loads(body))
        except STREAM_ERRORS as error:
            self._failure = error
            return []

    async def _drain(self, reader: CoalescedReader) -> None:
        """Read to the end of the body, for at most `DRAIN_SECONDS`. Errors are ignored: the answer is complete."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while await reader.read():
                    pass
        except STREAM_ERRORS as error:
            log.debug("ignoring %s after the last event", type(error).__name__)


def _value_of(data: bytes) -> object:
    """The JSON of an event. Raises the `Failure` of an event named ``error``, and as `parse_event` does."""
    if type(data) is ErrorData:
        raise ServerError.parse(data.decode(errors="replace")).failure()
    return data.value if type(data) is ParsedData else parse_event(data)


def parse_event(data: bytes) -> object:
    """Parse the JSON of an event with jiter, the SDK's parser (a quarter of the time), or else with Python's.

    jiter refuses half a surrogate pair, since UTF-8 cannot encode it, and has error types of its own. Raises
    `ValueError` for invalid JSON or UTF-8, or the `Failure` for plain text instead of JSON.
    """
    try:
        return jiter.from_json(data, cache_mode="keys")
    except ValueError:
        pass
    text = data.decode()
    try:
        return json.loads(text)
    except ValueError:
        if not text.lstrip().startswith(("{", "[")):  # plain text, not truncated JSON
            raise unexpected_body(text, "the model's server sent an event without JSON") from None
        raise
    except RecursionError:
        raise ServiceError("the model's server sent an event with too many nesting levels") from None


def _add(delta: Delta, texts: list[str], deltas: list[Delta]) -> bool:
    """Add a delta behind the texts before it. Returns whether it is text."""
    if type(delta) is Text:
        texts.append(delta.text)
        return True
    _flush_texts(texts, deltas)
    deltas.append(delta)
    return False


def _flush_texts(texts: list[str], deltas: list[Delta]) -> None:
    if texts:
        deltas.append(Text("".join(texts)))
        texts.clear()
