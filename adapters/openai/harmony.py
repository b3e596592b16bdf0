"""Separates reasoning from answer text in gpt-oss's harmony format. Pure and incremental.

A server without a parser for the format passes its marks on as text::

    <|channel|>analysis<|message|>They ask.<|end|><|start|>assistant<|channel|>final<|message|>Noon.<|return|>

Source: the "harmony response format" in OpenAI's cookbook. Only the channel ``final`` is for the reader; ``analysis``
is reasoning, and ``commentary`` is about tools. Text outside of all messages, or in a message without a channel, is for
the reader too: some servers drop some of the marks, and the answer must not be lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

from bot.conversation import Delta, Reasoning, Text

# Marks at the start of an answer in this format.
OPENINGS = ("<|channel|>", "<|start|>", "<|message|>")

_MARKS = tuple(f"<|{name}|>" for name in ("start", "channel", "constrain", "message", "end", "return", "call"))
_MARK = re.compile("|".join(map(re.escape, _MARKS)))

# A header is a role, a channel's name or a recipient. Longer text is an answer about such marks. Characters.
_MAX_HEADER_CHARACTERS = 120


class _Position(Enum):
    OUTSIDE = auto()  # before, between and after messages
    HEADER = auto()
    CONTENT = auto()


class ChannelSplitter:
    """Splits the text of one answer into `Reasoning` and `Text`, holding back a possible partial mark."""

    def __init__(self) -> None:
        self._pending = ""
        self._position = _Position.OUTSIDE
        self._header = ""  # text from the last `start` or `channel` mark on, with the mark
        self._channel = ""  # empty if the message names none
        self._has_text = False

    def feed(self, text: str, *, last: bool = False) -> Iterator[Delta]:
        """The deltas known so far. `last` marks the end of the answer."""
        text, self._pending = self._pending + text, ""
        start = 0
        for mark in _MARK.finditer(text):
            yield from self._content(text[start : mark.start()])
            yield from self._apply(mark[0])
            start = mark.end()
        rest = text[start:]
        if not last:
            partial = _partial_mark(rest)
            rest, self._pending = rest[: len(rest) - partial], rest[len(rest) - partial :]
        yield from self._content(rest)
        if last:
            yield from self._emit_header()

    def _content(self, text: str) -> Iterator[Delta]:
        if self._position is _Position.HEADER:
            self._header += text
            if len(self._header) > _MAX_HEADER_CHARACTERS:
                yield from self._emit_header()
            return
        if self._position is _Position.OUTSIDE or self._channel in {"", "final"}:
            text = text if self._has_text else text.lstrip()
            if text:
                self._has_text = True
                yield Text(text)
        elif text:
            yield Reasoning(text)

    def _apply(self, mark: str) -> Iterator[Delta]:
        """Apply a mark to the state."""
        match mark:
            case "<|start|>":
                self._position, self._header, self._channel = _Position.HEADER, mark, ""
            case "<|channel|>":
                if self._header.startswith(mark):
                    yield from self._emit_header()
                self._position, self._header = _Position.HEADER, mark
            case "<|message|>":
                if self._header.startswith("<|channel|>"):
                    name = self._header.removeprefix("<|channel|>").split()
                    self._channel = name[0] if name else ""
                self._position, self._header = _Position.CONTENT, ""
            case "<|constrain|>":
                pass
            case _:
                yield from self._emit_header()
                self._position, self._channel = _Position.OUTSIDE, ""

    def _emit_header(self) -> Iterator[Delta]:
        """Emit a header without a message as text of the answer."""
        header, self._header = self._header, ""
        if self._position is not _Position.HEADER:
            return
        self._position, self._channel = _Position.OUTSIDE, ""
        if header.strip() not in {*_MARKS, "<|start|>assistant"}:
            self._has_text = True
            yield Text(header)


def _partial_mark(text: str) -> int:
    """The number of characters at the end of `text` that may begin a mark."""
    start = text.rfind("<")
    if start < 0:
        return 0
    tail = text[start:]
    return len(tail) if any(mark.startswith(tail) for mark in _MARKS) else 0
