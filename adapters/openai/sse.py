"""Server-sent events out of bytes. Pure.

What belongs here: where an event ends, and its data. What does not: what the data means (`chat`, `responses`).

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation. Of an event's
fields only the data is kept, and whether its name is ``error``: both APIs say in the data what else the others hold.

We accept three things that the specification does not:

- A line of data with a whole JSON object, or ``[DONE]``, is an event without a blank line after it. Some servers omit
  blank lines, above all the last one. An object over several lines of data is still one event.
- A field ``error`` is an error event. llama.cpp sent errors so until September 2025 (ggml-org/llama.cpp, PR 16109).
- A line with a whole JSON object and no field name is data: a gateway that fails within a stream writes its error body.
"""

from __future__ import annotations

import json

from bot.errors import ServiceError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Chat Completions end with this in the place of an event's data.
DONE = b"[DONE]"

# An event may hold a whole answer (the Responses API's last one does), but no more than anybody can post. Bytes.
LONGEST_EVENT = 16 * 2**20


class ErrorData(bytes):
    """The data of an event whose name is ``error``: what it holds is an error, whatever its shape."""

    __slots__ = ()


class EventSplitter:
    """Cuts a stream of bytes, split anywhere, into the data of its events.

    Lines end with LF, CR or CRLF; several lines of data are joined by LF; comments, other fields and events without
    data are passed over. Raises `ServiceError` over an event that is too long.
    """

    def __init__(self) -> None:
        self._began = False
        self._line: list[bytes] = []  # pieces of the line that has not ended
        self._data: list[bytes] = []  # lines of data of the event that has not ended
        self._held = 0  # bytes in both
        self._error = False  # the event that has not ended is called ``error``
        self._after_cr = False  # the last line ended with CR, and an LF that comes first belongs to it

    def feed(self, received: bytes) -> list[bytes]:
        """The data of each event that has ended by now."""
        if self._after_cr and received:
            received = received.removeprefix(b"\n")
            self._after_cr = False
        self._held += len(received)
        if self._held > LONGEST_EVENT:
            raise ServiceError(f"the model's server sent an event of more than {LONGEST_EVENT} bytes")
        if b"\n" not in received and b"\r" not in received:
            self._line.append(received)
            return []
        lines = self._lines(b"".join((*self._line, received)))
        return self._events(lines)

    def flush(self) -> list[bytes]:
        """The data of an event that the stream ended within, if it had any; it may be cut."""
        line = b"".join(self._line)
        line = line if self._began else line.removeprefix(BYTE_ORDER_MARK)
        self._line.clear()
        # It was never ended by a line break, so that the blank line of the event cannot have come.
        return self._events([line, b""] if line else [b""])

    def _lines(self, text: bytes) -> list[bytes]:
        """The lines that have ended; the rest is kept."""
        if not self._began:
            self._began, text = True, text.removeprefix(BYTE_ORDER_MARK)
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
            if data and line and is_whole(data):
                events.append(self._named(data.pop()))
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if data:
                    whole = data[0] if len(data) == 1 else b"\n".join(data)
                    events.append(self._named(whole))
                    data.clear()
                self._error = False
            elif line == b"data":
                data.append(b"")
            elif line.startswith(b"event:"):
                self._error = line[6:].strip() == b"error"
            else:
                events += self._other(line)
        if data and is_whole(data):
            events.append(self._named(data.pop()))
        self._held = sum(map(len, data)) + sum(map(len, self._line))
        return events

    def _other(self, line: bytes) -> list[bytes]:
        """The event in a line with no field of the specification's, if there is one."""
        if line.startswith(b"error:"):
            return [ErrorData(line[6:].strip())]
        if line.startswith(b"{") and not self._data and is_whole([line]):
            return [self._named(line)]
        return []

    def _named(self, data: bytes) -> bytes:
        return ErrorData(data) if self._error else data


def is_whole(data: list[bytes]) -> bool:
    """Whether the lines of data of an event that has not ended are one line, and a message for itself."""
    if len(data) != 1:
        return False
    line = data[0].strip()
    if not line.startswith(b"{"):
        return line == DONE
    if not line.endswith(b"}"):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
