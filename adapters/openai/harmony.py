"""The channels of gpt-oss within an answer's text: what was thought, told from what was said. Pure and incremental.

A server without a parser for the model's format passes its marks on as text::

    <|channel|>analysis<|message|>They ask.<|end|><|start|>assistant<|channel|>final<|message|>Noon.<|return|>

Source: the "harmony response format" in OpenAI's cookbook. Only the channel ``final`` is for the reader; ``analysis``
is thinking, and ``commentary`` is about tools. A message without a channel, and text outside of all messages, is for
the reader too, so that no answer is lost to a server that drops some of the marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

from bot.conversation import Delta, Reasoning, Text

# What may open an answer in this format.
OPENINGS = ("<|channel|>", "<|start|>", "<|message|>")

_MARKS = tuple(f"<|{name}|>" for name in ("start", "channel", "constrain", "message", "end", "return", "call"))
_MARK = re.compile("|".join(map(re.escape, _MARKS)))

# A header is a role, a channel's name or a recipient, and never longer; what is longer is an answer about such marks.
# Characters.
_LONGEST_HEADER = 120


class _Place(Enum):
    OUTSIDE = auto()  # before, between and after messages
    HEADER = auto()
    CONTENT = auto()


class ChannelSplitter:
    """Splits the text of one answer into `Reasoning` and `Text`; what may be a part of a mark is held back."""

    def __init__(self) -> None:
        self._held = ""
        self._place = _Place.OUTSIDE
        self._header = ""  # since the last `start` or `channel`, and with its mark
        self._channel = ""  # empty where none was named
        self._said = False

    def feed(self, text: str, *, last: bool = False) -> Iterator[Delta]:
        """The deltas that are known by now; with `last`, nothing follows."""
        text, self._held = self._held + text, ""
        start = 0
        for mark in _MARK.finditer(text):
            yield from self._piece(text[start : mark.start()])
            yield from self._turn(mark[0])
            start = mark.end()
        rest = text[start:]
        if not last:
            kept = _begun(rest)
            rest, self._held = rest[: len(rest) - kept], rest[len(rest) - kept :]
        yield from self._piece(rest)
        if last:
            yield from self._give_up_header()

    def _piece(self, text: str) -> Iterator[Delta]:
        if self._place is _Place.HEADER:
            self._header += text
            if len(self._header) > _LONGEST_HEADER:
                yield from self._give_up_header()
            return
        if self._place is _Place.OUTSIDE or self._channel in {"", "final"}:
            text = text if self._said else text.lstrip()
            if text:
                self._said = True
                yield Text(text)
        elif text:
            yield Reasoning(text)

    def _turn(self, mark: str) -> Iterator[Delta]:
        """What a mark changes."""
        match mark:
            case "<|start|>":
                self._place, self._header, self._channel = _Place.HEADER, mark, ""
            case "<|channel|>":
                if self._header.startswith(mark):
                    yield from self._give_up_header()
                self._place, self._header = _Place.HEADER, mark
            case "<|message|>":
                if self._header.startswith("<|channel|>"):
                    name = self._header.removeprefix("<|channel|>").split()
                    self._channel = name[0] if name else ""
                self._place, self._header = _Place.CONTENT, ""
            case "<|constrain|>":
                pass
            case _:
                yield from self._give_up_header()
                self._place, self._channel = _Place.OUTSIDE, ""

    def _give_up_header(self) -> Iterator[Delta]:
        """What looked like a header is an answer of its own."""
        header, self._header = self._header, ""
        if self._place is not _Place.HEADER:
            return
        self._place, self._channel = _Place.OUTSIDE, ""
        if header.strip() not in {*_MARKS, "<|start|>assistant"}:
            self._said = True
            yield Text(header)


def _begun(text: str) -> int:
    """How many characters at the end may begin a mark."""
    start = text.rfind("<")
    if start < 0:
        return 0
    tail = text[start:]
    return len(tail) if any(mark.startswith(tail) for mark in _MARKS) else 0
