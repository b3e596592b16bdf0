"""Incoming text of a model: normalised, with oversized addresses extracted.

An address is held back until it ends. A data URL never reaches a message and does not count against its size. Code is
left unchanged. `bot.markdown.placeholders` defines the text shown instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType

from bot.markdown.fences import Fence, fence_at_end
from bot.markdown.normalise import CONTROLS, Normaliser
from bot.markdown.placeholders import placeholder
from bot.markdown.tables import may_have_fences

# Characters of all addresses kept of one answer: ten megabytes of pictures, as Discord accepts them, in base64.
MAX_EXTRACTED_CHARACTERS = 14 * 2**20

# Characters of a message reserved beside its longest address: a table's header and open marks.
_ROOM = 400

# A line longer than this opens no block of code, and its beginning need not be kept.
_LONGEST_LINE = 1000

# A data URL outside a link is content from this many characters on; shorter ones are examples.
_LONGEST_EXAMPLE = 64

_EVENT = re.compile(r"[\n(/:@#!]")
_SPECIAL = re.compile(rf"{_EVENT.pattern}|{CONTROLS.pattern}")
_TICKS = re.compile(r"(?<!\\)`+")
_ATTRIBUTE = re.compile(r"<[A-Za-z][^<>]*=\s*([\"']?)data:\Z")
_DATA = re.compile(r"<?data:(?:[\w.+-]+/[\w.+-]+)?(?:;[^,\s;]{1,80}){0,4},")
_TYPE = re.compile(r"<?data:([\w.+-]+)/([\w.+-]+)")
_HOST = re.compile(r"[\w.-]+")

# Characters at the start of an address, enough to recognise its kind.
_LONGEST_HEAD = 200

# Encoded content is broken into lines of 64 or 76 characters; a shorter one is its last.
_FULL_LINE = 60

# Non-ASCII text goes on without a space behind an address.
_WIDE = "\u1100-\U0010ffff"


class _AddressContext(Enum):
    """The place of an address; it decides how the address ends."""

    LINK = auto()
    QUOTED = auto()
    BARE_DATA = auto()
    BARE = auto()


_ENDS = MappingProxyType(
    {
        _AddressContext.LINK: re.compile(r"[\s()>]"),
        _AddressContext.BARE_DATA: re.compile(rf"[\s()<>\[\]\"'`{_WIDE}]"),
        _AddressContext.BARE: re.compile(rf"[\s<>\"{_WIDE}]"),
    }
)


_QUOTES = MappingProxyType({quote: re.compile(rf"[{quote}>\n]") for quote in ('"', "'")})


@dataclass(frozen=True, slots=True)
class ExtractedAddress:
    """An address too long for a message. `is_complete`: it had an end, and all of it was kept."""

    number: int
    address: str = field(repr=False)
    is_complete: bool


@dataclass(slots=True)
class _PendingAddress:
    """An address still being read."""

    context: _AddressContext
    lead: str  # the part of it before the first character read
    quote: str = ""
    depth: int = 0
    head: str = ""  # its first characters
    line: int = 0  # where its last line begins
    parts: list[str] = field(default_factory=list)
    size: int = 0
    kept: int = 0

    @property
    def is_no_data(self) -> bool:
        """Whether its beginning rules out a data URL."""
        begin = (self.lead + self.head).removeprefix("<")[: len("data:")]
        return not "data:".startswith(begin)


class ModelText:
    """Extracts addresses from a stream; the result does not depend on the chunking.

    `limit` is the longest text of a message, in the unit counted by `measure`.
    """

    def __init__(self, limit: int, measure: Callable[[str], int] = len) -> None:
        self._longest = max(limit - _ROOM, limit // 2)
        self._measure = measure
        self._normaliser = Normaliser()
        self._fence: Fence | None = None
        self._line = ""  # the last line so far, if it may matter
        self._held: _PendingAddress | None = None
        self._room = MAX_EXTRACTED_CHARACTERS
        self.extracted: list[ExtractedAddress] = []

    def feed(self, text: str) -> str:
        """Take the next text and return all text known to be safe, including addresses that fit."""
        if self._held is None and not self._normaliser.after_return and _SPECIAL.search(text) is None:
            self._read(text)  # the way of nearly every chunk
            return text
        text = self._normaliser.feed(text)
        out: list[str] = []
        at = 0
        while at < len(text):
            at = self._text(text, at, out) if self._held is None else self._address(text, at, out)
        return "".join(out)

    def finish(self, *, for_good: bool = True) -> str:
        """Return the held text, closed if its syntax needs it.

        With `for_good`, the answer has ended. Otherwise a data URL stays held, as more of its content may follow.
        """
        held = self._held
        if held is None or not (for_good or held.is_no_data):
            return ""
        self._held = None
        given = self._given(held, ended=False)
        if given == "".join(held.parts):
            return given
        return given + {_AddressContext.LINK: ")", _AddressContext.QUOTED: f"{held.quote}>"}.get(held.context, "")

    def _read(self, text: str) -> None:
        self._line += text
        if len(self._line) > 2 * _LONGEST_LINE:  # in whole steps: the chunking must not matter
            self._line = self._line[(len(self._line) - 1) // _LONGEST_LINE * _LONGEST_LINE - _LONGEST_LINE :]

    def _text(self, text: str, at: int, out: list[str]) -> int:
        """Pass on text up to the next address; return the position where it begins."""
        while (event := _EVENT.search(text, at)) is not None:
            end = event.end()
            out.append(text[at:end])
            self._read(text[at:end])
            at = end
            if event.group() == "\n":
                self._end_line()
            elif not self._is_in_block() and (held := _begins(self._line, event.group())) is not None:
                self._held = held
                return at
        out.append(text[at:])
        self._read(text[at:])
        return len(text)

    def _is_in_block(self) -> bool:
        """Whether the line so far is in a block of code; one in a quote ends with it."""
        return self._fence is not None and (not self._fence.is_quoted or self._line.lstrip().startswith(">"))

    def _end_line(self) -> None:
        if not self._is_in_block():
            self._fence = None
        may_matter = self._fence is not None or may_have_fences(self._line)
        if may_matter and len(self._line) <= _LONGEST_LINE:
            self._fence = fence_at_end(self._line, self._fence)
        self._line = ""

    def _address(self, text: str, at: int, out: list[str]) -> int:
        """Hold back an address; returns where it ends."""
        held = self._held
        assert held is not None
        end = _end_of(held, text, at)
        part = text[at : len(text) if end is None else end]
        held.size += len(part)
        if kept := part[: max(self._room, self._longest) - held.kept]:
            held.parts.append(kept)
            held.kept += len(kept)
        if end is None:
            return len(text)
        self._held = None
        rest = ""
        if held.line and text[end] != ")":  # the supposed next line of the address is ordinary text
            address = "".join(held.parts)
            held.parts, rest = [address[: held.line - 1]], address[held.line - 1 :]
            held.size = held.kept = held.line - 1
        given = self._given(held, ended=True)
        if held.context is _AddressContext.LINK and (rest or text[end] == "\n") and given != "".join(held.parts):
            given += ")"  # the line ends within the link: nothing will close it
        given += rest
        out.append(given)
        self._read(given)
        return end

    def _given(self, held: _PendingAddress, *, ended: bool) -> str:
        """The address itself if it fits, otherwise its placeholder."""
        address = "".join(held.parts)
        begin = held.lead + held.head
        is_data = _DATA.match(begin) is not None
        if held.context is _AddressContext.BARE_DATA:
            is_data = is_data and held.size > _LONGEST_EXAMPLE
        if not is_data and held.size <= self._longest and self._measure(address) <= self._longest:
            return address
        is_complete = ended and held.kept == held.size
        self._room -= held.kept
        number = len(self.extracted) + 1
        self.extracted.append(ExtractedAddress(number, (held.lead + address).removeprefix("<"), is_complete))
        angle = "<" if address.startswith("<") else ""
        type_ = _TYPE.match(begin) if is_data else None
        if type_ and type_.group(1) == "image":
            return angle + placeholder("image", number, type_.group(2))
        host = _HOST.search((address if held.lead else address.partition("://")[2]) or address)
        return angle + placeholder("address", number, "" if is_data else host.group() if host else "")


def _begins(line: str, sign: str) -> _PendingAddress | None:
    """The address that begins after `line`, whose last character is `sign`; None in code or if none begins."""
    held = _beginning(line, sign)
    return None if held is not None and _in_code(line) else held


def _beginning(line: str, sign: str) -> _PendingAddress | None:
    if sign == "(":
        return _PendingAddress(_AddressContext.LINK, "") if line.endswith("](") else None
    if sign == "/":
        scheme = next((each for each in ("https://", "http://") if line.endswith(each)), "")
        return _PendingAddress(_AddressContext.BARE, scheme) if scheme else None
    if sign != ":" or line.endswith(("<:", "<a:")):
        return _PendingAddress(_AddressContext.BARE, "") if line.endswith((f"<{sign}", "<a:")) else None
    if not line.endswith("data:") or line[-6:-5].isalnum():
        return None
    attribute = _ATTRIBUTE.search(line)
    if attribute is None:
        return _PendingAddress(_AddressContext.BARE_DATA, "data:")
    return _PendingAddress(
        _AddressContext.QUOTED if attribute.group(1) else _AddressContext.BARE_DATA, "data:", attribute.group(1)
    )


def _in_code(line: str) -> bool:
    """Whether the end of a line is within a span of code."""
    if "`" not in line:
        return False
    open_ = 0
    for run in _TICKS.finditer(line):
        length = len(run.group())
        open_ = 0 if length == open_ else open_ or length
    return open_ > 0


def _end_of(held: _PendingAddress, text: str, at: int) -> int | None:
    """Where an address ends in `text`; None if it goes on."""
    begin = held.size
    if len(held.head) < _LONGEST_HEAD:
        held.head += text[at : at + _LONGEST_HEAD - len(held.head)]
    if held.context is _AddressContext.QUOTED:
        found = _QUOTES[held.quote].search(text, at)
        return found.start() if found else None
    angled = held.context is _AddressContext.LINK and held.head.startswith("<")
    for found in _ENDS[held.context].finditer(text, at):
        sign = found.group()
        if held.context is _AddressContext.LINK:
            if sign == "(" or (sign == ")" and held.depth):
                held.depth += 1 if sign == "(" else -1
                continue
            if (sign == ">" and not angled) or (sign.isspace() and _goes_on(held, sign, begin + found.start() - at)):
                continue
        return found.start()
    return None


def _goes_on(held: _PendingAddress, sign: str, at: int) -> bool:
    """Whether a link's content continues after white space: as unencoded text, or as full lines of base64."""
    head = _DATA.match(held.head)
    if head is None or at < head.end():
        return False
    if not head.group().endswith(";base64,"):
        return sign != "\n"
    if sign != "\n" or at - held.line < _FULL_LINE:
        return False
    held.line = at + 1
    return True
