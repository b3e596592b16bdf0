"""The bytes of one answer into deltas: where its stream ends, and what that end is worth.

What belongs here: telling a stream from a whole body, the ends that a stream may have, and what a failure means once an
end was announced. What does not: what an event means (`chat`, `responses`), opening and closing (`client`), and every
time-out (`bot.completion`) but the one behind a stream that is over.

A stream is over at ``[DONE]``, at an event that says so (Responses), or at the end of its body. A finish reason
announces the end and is none yet: some servers send ``stop`` with each chunk, and others send text behind it. What the
server has announced is passed on (`Announced`); whoever reads decides how long to wait for the rest.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable

import jiter

from adapters.openai.errors import FOREIGN, Complaint, unreadable
from adapters.openai.payload import Decoder
from adapters.openai.read_coalescing import Reading
from adapters.openai.sse import BYTE_ORDER_MARK, DONE, LONGEST_EVENT, ErrorData, EventSplitter
from bot.conversation import Activity, Announced, Delta, Finish, FinishReason, Refusal, Text, Usage
from bot.errors import Failure, ServiceError

log = logging.getLogger(__name__)

# Once a stream is over, only the end of its body is missing, which lets the connection be used again. Seconds.
DRAIN_SECONDS = 0.1

# Signs of life without anything to read are passed on this far apart at the least: whoever watches for silence waits
# many times longer. Seconds.
ACTIVITY_SECONDS = 0.25

# What ends a stream, or is passed over once it has ended well.
LATE: tuple[type[Exception], ...] = (TimeoutError, Failure, *FOREIGN)

# Data of events that only keep a connection open. An empty object or null is read as an event without anything in it.
KEEPS_ALIVE = frozenset({b"", b"ping", b"keepalive", b"keep-alive", b"heartbeat", b":"})

# ... and of [DONE]: no event that says anything is as short. Bytes.
SHORT = 16

ALIVE = Activity()

# How a body begins that is no stream: no line of one can begin with these.
_NO_STREAM = (b"{", b"[", b"<", b'"')

# White space and comments before the first event. Gateways send them before a whole body too, to keep it alive.
_PREAMBLE = re.compile(rb"(?:\s*:[^\r\n]*[\r\n])*\s*")


class Decoding:
    """Reads one answer: deltas as they come, `Announced` where the end was, and last the usage and `Finish`.

    Without a `Finish` where the stream just ended. `whole` reads a body that turns out to be no stream.
    """

    def __init__(self, decoder: Decoder, whole: Callable[[object], list[Delta]]) -> None:
        self.over = False  # nothing more is to be read
        self._decoder = decoder
        self._read_whole = whole
        self._splitter = EventSplitter()
        self._head: bytes | None = b""  # what came before it was clear what comes
        self._body: list[bytes] | None = None  # of an answer that is no stream
        self._size = 0  # of it
        self._done = False  # the server has said that no event follows
        self._drains = False  # all is read but the end of the body
        self._failure: Exception | None = None  # raised after the deltas that came before it
        self._announced: Finish | None = None  # as it was passed on last
        self._told: Usage | None = None  # as it was passed on last
        self._reopened = False  # text came behind a finish reason, which is worth little then
        self._alive_at = 0.0  # when a sign of life was passed on last

    async def read(self, reading: Reading) -> list[Delta]:
        """The deltas of one read; the last ones once the stream is at its end. Raises the failure that ends it."""
        if self._failure is not None:
            raise self._failure
        if self._drains:
            await self._drain(reading)
            return self._end([])
        try:
            received = await reading.next()
        except LATE as error:
            received, self._failure = b"", error
        deltas = self._feed(received) if received else self._last()
        if self._failure is not None:
            return self._fail(deltas)
        if not received:
            return self._end(deltas)
        if self._done or self._decoder.over:
            self._drains = reading.urgent = True
            return [*deltas, *self._decoder.flush()]
        if deltas:
            reading.urgent = False
        return self._news(deltas, reading)

    def _news(self, deltas: list[Delta], reading: Reading) -> list[Delta]:
        """What came, and what is known of the end; a sign of life where nothing is to be read."""
        finish = self._decoder.finish
        if finish is not None:
            if finish != self._announced or deltas:
                self._announced = finish
                deltas.append(Announced(finish.reason, tuple(self._decoder.rest())))
                reading.urgent = not self._reopened
            deltas += self._usage()
        elif not deltas:
            now = asyncio.get_running_loop().time()
            if now - self._alive_at >= ACTIVITY_SECONDS:
                self._alive_at = now
                return [ALIVE]
        return deltas

    def _usage(self) -> list[Delta]:
        usage = self._decoder.usage
        if usage is None or usage == self._told:
            return []
        self._told = usage
        return [usage]

    def _end(self, deltas: list[Delta]) -> list[Delta]:
        """The last deltas of all."""
        self.over = True
        if self._body is not None:
            return deltas
        if not self._drains:
            deltas += self._decoder.flush()
        finish = self._decoder.finish or (Finish(FinishReason.STOP) if self._done else None)
        return [*deltas, *self._usage(), finish] if finish else deltas

    def _fail(self, deltas: list[Delta]) -> list[Delta]:
        """The stream has broken. An end that was announced stands, unless the server had gone on behind one before."""
        failure = self._failure
        assert failure is not None
        if self._done or self._decoder.over or (self._decoder.finish is not None and not self._reopened):
            log.debug("after the finish reason: %s", type(failure).__name__)
            self._failure = None
            return self._end(deltas)
        if not deltas:
            raise failure
        return deltas

    # ------------------------------------------------------------------------------------------------ bytes into events

    def _feed(self, received: bytes) -> list[Delta]:
        """The deltas in what came, and a note of what failed after them."""
        if self._head is not None:
            received = self._begin(received)
        if self._body is not None:
            self._collect(received)
            return []
        try:
            events = self._splitter.feed(received)
        except LATE as error:
            self._failure = error
            return []
        return self._decode(events)

    def _begin(self, received: bytes) -> bytes:
        """See what it is that begins, whatever it is labelled; what is to be read of it by now."""
        assert self._head is not None
        head = (self._head + received).removeprefix(BYTE_ORDER_MARK)
        preamble = _PREAMBLE.match(head)
        assert preamble is not None  # it may be empty
        begun = head[preamble.end() :]
        unfinished = begun.startswith(b":") or BYTE_ORDER_MARK.startswith(begun)  # empty too
        if unfinished and len(begun) <= LONGEST_EVENT:
            self._head = begun
            return b""
        self._head = None
        if begun.startswith(_NO_STREAM):
            self._body = []
        return begun

    def _collect(self, received: bytes) -> None:
        assert self._body is not None
        self._body.append(received)
        self._size += len(received)
        if self._size > LONGEST_EVENT:
            self._failure = ServiceError(f"the model's server sent an answer of more than {LONGEST_EVENT} bytes")

    def _decode(self, events: list[bytes]) -> list[Delta]:
        """Texts are joined: they became known at the same time."""
        found: list[Delta] = []
        texts: list[str] = []  # since the last delta of another kind
        try:
            for data in events:
                if len(data) < SHORT:
                    if (word := data.strip()) == DONE:
                        self._done = True
                        break
                    if word in KEEPS_ALIVE:
                        continue
                if type(data) is ErrorData:
                    raise Complaint.of(data.decode(errors="replace")).failure()
                was_finished = self._decoder.finish is not None
                for delta in self._decoder.feed(parsed(data)):
                    if type(delta) is Text:
                        texts.append(delta.text)
                        self._reopened = self._reopened or was_finished
                        continue
                    _join(texts, found)
                    found.append(delta)
                    self._reopened = self._reopened or (was_finished and type(delta) is Refusal)
                if self._decoder.over:
                    break
        except LATE as error:
            self._failure = error
        _join(texts, found)
        return found

    def _last(self) -> list[Delta]:
        """The deltas of an event whose end is missing, or of a body that was no stream."""
        if self._body is not None:
            return self._whole() if self._failure is None else []
        deltas: list[Delta] = []
        for data in self._splitter.flush():
            try:
                parsed(data) if data.strip() != DONE else None
            except LATE:  # it was cut within the event
                continue
            deltas += self._decode([data])
        return deltas

    def _whole(self) -> list[Delta]:
        assert self._body is not None
        body = b"".join(self._body)
        try:
            return self._read_whole(body.decode(errors="replace") if body.startswith(b"<") else json.loads(body))
        except LATE as error:
            self._failure = error
            return []

    async def _drain(self, reading: Reading) -> None:
        """Read to the end of the body, for a bounded time. Whatever happens there: the answer is whole."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while await reading.next():
                    pass
        except LATE as error:
            log.debug("after the end: %s", type(error).__name__)


def parsed(data: bytes) -> object:
    """The JSON of an event: by the SDK's own parser, which takes a quarter of the time, or else by Python's.

    The first refuses what no UTF-8 can carry, half a surrogate pair, and has errors of its own.
    Raises `ValueError` (JSON or UTF-8), `ServiceError`, and what plain words in the place of JSON mean.
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
        raise ServiceError("the model's server sent an event of too many levels") from None


def _join(texts: list[str], found: list[Delta]) -> None:
    if texts:
        found.append(Text("".join(texts)))
        texts.clear()
