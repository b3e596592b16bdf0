"""Splits a byte stream into server-sent events. Pure.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation. Only an event's data
is kept, and whether its name is ``error``: both APIs repeat the other fields in the data.

Three extensions of the specification:

- A data line with a complete JSON object, or ``[DONE]``, is an event without a blank line after it. Some servers omit
  blank lines, above all the last one. An object over several data lines is still one event.
- A field ``error`` is an error event. llama.cpp sent errors so until September 2025 (ggml-org/llama.cpp, PR 16109).
- A line with a complete JSON object and no field name is data: a gateway failing within a stream writes its error body.
"""

from __future__ import annotations

import json
from typing import Self

import jiter

from bot.errors import ServiceError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# The data of the last event of Chat Completions.
DONE = b"[DONE]"

# An event may hold a whole answer (the last one of the Responses API does), but never more than can be posted. Bytes.
MAX_EVENT_BYTES = 16 * 2**20


class ErrorData(bytes):
    """The data of an event named ``error``: an error of any shape."""

    __slots__ = ()


class ParsedData(bytes):
    """The data of an event already parsed to find its end."""

    value: object

    def __new__(cls, data: bytes, value: object) -> Self:
        """Attach the parsed JSON to its text."""
        parsed = super().__new__(cls, data)
        parsed.value = value
        return parsed


class EventSplitter:
    """Splits bytes, chunked anywhere, into the data of events.

    Lines end with LF, CR or CRLF. LF joins several data lines. Comments, other fields and events without data are
    skipped. Raises `ServiceError` for an event longer than `max_event_bytes`.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._started = False
        self._line: list[bytes] = []  # fragments of the current line
        self._data: list[bytes] = []  # data lines of the current event
        self._pending = 0  # bytes in both
        self._is_error = False  # the current event is named ``error``
        self._after_cr = False  # the last line ended with CR; a leading LF belongs to it

    def feed(self, received: bytes) -> list[bytes]:
        """The data of each completed event."""
        if self._after_cr and received:
            received = received.removeprefix(b"\n")
            self._after_cr = False
        self._pending += len(received)
        if self._pending > self._max_event_bytes:
            raise ServiceError(f"the model's server sent an event of more than {self._max_event_bytes} bytes")
        if b"\n" not in received and b"\r" not in received:
            self._line.append(received)
            return []
        lines = self._lines(b"".join((*self._line, received)))
        return self._events(lines)

    def flush(self) -> list[bytes]:
        """The data of the event cut by the end of the stream, if any; it may be incomplete."""
        line = b"".join(self._line)
        line = line if self._started else line.removeprefix(BYTE_ORDER_MARK)
        self._line.clear()
        # The line has no line break, so the blank line of its event cannot have arrived.
        return self._events([line, b""] if line else [b""])

    def _lines(self, text: bytes) -> list[bytes]:
        """The completed lines; the rest is buffered."""
        if not self._started:
            self._started, text = True, text.removeprefix(BYTE_ORDER_MARK)
        lines = text.splitlines()
        self._line.clear()
        if not text.endswith((b"\n", b"\r")):
            self._line.append(lines.pop())
        self._after_cr = text.endswith(b"\r")
        return lines

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        data = self._data
        for line in lines:
            if data and line and (event := complete_event(data)) is not None:
                data.clear()
                events.append(self._named(event))
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if data:
                    joined = data[0] if len(data) == 1 else b"\n".join(data)
                    events.append(self._named(joined))
                    data.clear()
                self._is_error = False
            elif line == b"data":
                data.append(b"")
            elif line.startswith(b"event:"):
                self._is_error = line[6:].strip() == b"error"
            else:
                events += self._other(line)
        if data and (event := complete_event(data)) is not None:
            data.clear()
            events.append(self._named(event))
        self._pending = sum(map(len, data)) + sum(map(len, self._line))
        return events

    def _other(self, line: bytes) -> list[bytes]:
        """The event in a line without a standard field, if any."""
        if line.startswith(b"error:"):
            return [ErrorData(line[6:].strip())]
        if line.startswith(b"{") and not self._data and (event := complete_event([line])) is not None:
            return [self._named(event)]
        return []

    def _named(self, data: bytes) -> bytes:
        return ErrorData(data) if self._is_error else data


def complete_event(data: list[bytes]) -> bytes | None:
    """The event in the data lines, if it is complete without a blank line after it: ``[DONE]``, or one JSON object."""
    if len(data) != 1:
        return None
    line = data[0].strip()
    if not line.startswith(b"{"):
        return data[0] if line == DONE else None
    if not line.endswith(b"}"):
        return None
    try:
        return ParsedData(data[0], jiter.from_json(line, cache_mode="keys"))
    except ValueError:  # incomplete, or refused by jiter only
        pass
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data[0]
