"""The first stage: the source into pieces, whose joining is the source, byte for byte.

What belongs here: where a message ends and the next begins, and which code fence is open there. What does not: how a
platform shows a piece (a dialect), and when anything is shown (`bot.delivery.reply`).

A cut depends on nothing but the text before it and one character after, so any chunking of a text gives the same
pieces; and a piece that was cut never changes, so no permit is spent backwards.
"""

from __future__ import annotations

import itertools
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from bot.markdown.continuation import NOTHING, Continuation, continuation_of
from bot.markdown.inline_parser import LONGEST_CLOSING
from bot.markdown.streaming_tail import ends_in_block_marks, may_close_block, unsplittable_spans, visible_end
from bot.markdown.tables import ends_in_table_head, may_have_fences

# A line that opens or closes a code fence (https://spec.commonmark.org/0.31.2/#fenced-code-blocks), wherever a list or
# a quote has indented it. A backtick fence has no backtick in its info string. Longer runs than 32 are taken for text:
# nobody writes them, and each costs its length again wherever the block is cut.
_FENCE_LINE = re.compile(r"([ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(`{3,32}(?!`)|~{3,32}(?!~))([^\n]*)")

# The language of a block is repeated in each message that it is cut into; longer words are not a language's name.
_LONGEST_INFO = 32

# ... nor is a deeper indentation or quote than this; it is repeated as often.
_LONGEST_LEAD = 24

# The end of a sentence: its mark, what may close it, and the space after it (none is written in Chinese or Japanese).
_SENTENCE_END = re.compile("[.!?…][\"'”\u2019)\\]*_]*\\s|[。\uff01\uff1f]")

# How far back a hard cut looks for a place that is not inside a grapheme; longer sequences are not text that is read.
_LONGEST_GRAPHEME = 48

# How many places of a kind are tried, where the best are inside of something that is kept together.
_TRIES = 64

# What has begun and is longer than these is no word, or no line, that anybody would want to see whole first.
_LONGEST_WORD = 40
_LONGEST_LINE = 200

# Marks that may stand right before a link or an image, and belong to it.
_MARKS_BEFORE = "*_~"

# What may have to be closed where a text is cut.
_MARKS = "*_~`"

# Chunks are joined when there are so many: each costs 50 bytes more than its text, and a join copies all of the text.
_MOST_FED = 512

_ZERO_WIDTH_JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class Fence:
    """An open code fence: `marker` as it was written (three or more backticks or tildes), `info` its language.

    `lead` is what stands before it: the indentation of a list's item, the marks of a quote.
    """

    marker: str
    info: str
    lead: str = ""

    @property
    def quoted(self) -> bool:
        """Whether the block is inside a quote, and ends with it."""
        return ">" in self.lead

    def standalone(self) -> Fence:
        """The same where the list that it stood in has not come along."""
        return self if self.quoted else Fence(self.marker, self.info)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the source that becomes one message.

    `reopened` is the fence that was open where the piece begins, `open_fence` the one that is open where it ends (the
    last piece of an unfinished text may end inside one as well). `continuation` is what else was open where it begins,
    `closing` the marks that end what is open where it ends.
    """

    source: str
    reopened: Fence | None = None
    open_fence: Fence | None = None
    continuation: Continuation = NOTHING
    closing: str = field(default="", compare=False)  # it follows from the rest

    def closed(self) -> str:
        """The piece as a text of its own: a fence that was open is reopened with its language, one still open closed.

        The same with what else was cut: a quote, a table, an emphasis. Blank lines at both ends are left out, since a
        message neither begins nor ends with one; empty if nothing else is there.
        """
        body, last = self.standalone(_without_blank_ends(self.source))
        if not body:
            return ""
        return body + self.closing + (f"\n{last.lead}{last.marker}" if last else "")

    def shown(self) -> Piece:
        """The piece as it is shown while it grows: without what its end has only begun, what is open there closed.

        It covers the space at its end, so that nothing seen is thought to be missing.
        """
        piece = self._without_begun_line()
        if piece.open_fence is not None or not piece.source.strip():
            return piece
        text, _ = piece.standalone(_without_blank_start(piece.source))
        end, closing = visible_end(text)
        rest = text[end:]
        if rest.strip():
            source = piece.source[: _from_the_end(piece.source, rest)]
            piece = piece.with_source(source)
        return replace(piece, closing=closing)

    def with_source(self, source: str) -> Piece:
        """The piece with less of its source."""
        return replace(self, source=source, open_fence=fence_at_end(source, self.reopened), closing="")

    def split_off(self) -> tuple[Piece, Continuation]:
        """The piece when it is cut off here, with what is open there closed; and what the next one takes over."""
        if self.open_fence is not None:
            return self, NOTHING
        closing, continuation = continuation_of(
            self.standalone(_without_blank_start(self.source))[0], self.continuation
        )
        return replace(self, closing=closing), continuation

    def _without_begun_line(self) -> Piece:
        """Inside a block of code: without the line that opens it, or the line that may be closing it."""
        piece: Piece = self
        if piece.open_fence is not None:
            last = piece.source[piece.source.rfind("\n") + 1 :]
            if may_close_block(last, piece.open_fence.marker):
                piece = piece.with_source(piece.source[: len(piece.source) - len(last)])
        if piece.open_fence is not None:
            opened_at = _last_opening(piece.source, piece.reopened) or 0
            begun = piece.source[opened_at:].strip()
            if (opened_at or piece.reopened is None) and "\n" not in begun:
                piece = piece.with_source(piece.source[:opened_at])
        return piece

    def standalone(self, body: str) -> tuple[str, Fence | None]:
        """`body` with what it needs in front, and the fence that is open where it ends."""
        reopened, last = self.reopened, self.open_fence
        if reopened is None:
            return self.continuation.apply(body, self.closing), last
        if not reopened.quoted:
            body = _dedented(body, reopened)
            last = last.standalone() if last == reopened else last
            reopened = reopened.standalone()
        if (line := _first_line(body)) and _ends_block(line, reopened):
            # The cut fell just before the closing line: the block ended in the message before.
            rest = body[len(line) :] if closes_fence(line, reopened) else body
            body, reopened = _without_blank_start(rest), None
        head = f"{reopened.lead}{reopened.marker}{reopened.info}\n" if reopened and body else ""
        return head + body, last

    def trim_partial_word(self) -> Piece:
        """The piece without the word that its end has begun, or the line where that is in a block of code."""
        mark = max(self.source.rfind("\n"), -1 if self.open_fence else self.source.rfind(" "))
        begun = len(self.source) - (mark + 1)
        if (
            not 0 < begun <= (_LONGEST_LINE if self.open_fence else _LONGEST_WORD)
            or not self.source[: mark + 1].strip()
        ):
            return self
        return self.with_source(self.source[: mark + 1])


class Splitter:
    """Cuts a growing text into pieces that fit.

    `measure` gives the length that a piece has once it is rendered (in the platform's unit) and never shrinks as the
    piece grows; `limit` is the longest that fits. `feed` costs nothing but an append, one cut costs in proportion to
    `limit`, however much text waits behind it.
    """

    def __init__(self, measure: Callable[[Piece], int], limit: int) -> None:
        self._measure = measure
        self._limit = limit
        self._sealed: list[Piece] = []
        self._fed: list[str] = []  # what is not in `_text` yet
        self._text = ""
        self._at = 0  # where the last piece, which may still grow, begins in the text
        self._fence: Fence | None = None  # the one open there
        self._continuation = NOTHING  # what else is open there
        self.length = 0  # characters fed in all

    def feed(self, text: str) -> None:
        """Take in more of the source."""
        self._fed.append(text)
        self.length += len(text)
        if len(self._fed) >= _MOST_FED:
            self._join()

    def cut(self, most: int = sys.maxsize, *, steps: int = sys.maxsize, room: int = 0) -> bool:
        """Cut off the pieces that are final, at most `steps` now; false if there may be more of them.

        After `most` pieces nothing is cut; the last of these leaves `room` free.
        """
        self._join()
        for _ in range(steps):
            if len(self._sealed) >= most:
                return True
            is_last = len(self._sealed) == most - 1
            cut = self._cut(self._limit - room if is_last else self._limit)
            if cut is None:
                return True
            self._end_piece(cut)
        return len(self._sealed) >= most

    def pieces(self, most: int = sys.maxsize) -> list[Piece]:
        """All pieces so far; every one but the last is final. After `most`, all the rest is in the last one."""
        self.cut(most)
        return [*self._sealed, self.last] if self._at < self.length else list(self._sealed)

    @property
    def source(self) -> str:
        """All of the source."""
        self._join()
        return self._text

    @property
    def sealed(self) -> int:
        """How many pieces are final."""
        return len(self._sealed)

    def final(self, first: int) -> list[Piece]:
        """The pieces that are final, from this one on."""
        return self._sealed[first:]

    @property
    def last(self) -> Piece:
        """What follows the final pieces; one piece once `cut` has come to its end."""
        self._join()
        return self._piece(len(self._text) - self._at)

    def seal(self, at: int) -> int:
        """End a piece after `at` characters of the source, wherever that is: what follows goes into the next one.

        Space that follows stays behind as well, but for a line's indentation. Returns where the piece ends then.
        """
        self._join()
        self._take_back(at)
        end = _behind_space(self._text, at)
        if end > self._at:
            self._end_piece(end - self._at)
        return end

    def recut(self, limit: int, at: int) -> None:
        """Cut again what follows the first `at` characters, where a piece ends, for another measure or limit."""
        self._limit = limit
        self._take_back(at)

    def _take_back(self, at: int) -> None:
        while self._at > at:
            last = self._sealed.pop()
            self._at, self._fence, self._continuation = self._at - len(last.source), last.reopened, last.continuation

    def _join(self) -> None:
        if self._fed:
            self._text += "".join(self._fed)
            self._fed.clear()

    def _piece(self, size: int) -> Piece:
        """The first `size` characters of the open piece."""
        source = self._text[self._at : self._at + size]
        return Piece(source, self._fence, fence_at_end(source, self._fence), self._continuation)

    def _end_piece(self, size: int) -> None:
        piece, self._continuation = self._piece(size).split_off()
        self._sealed.append(piece)
        self._at, self._fence = self._at + size, piece.open_fence

    def _cut(self, limit: int) -> int | None:
        """The size at which the open piece must end, or None while all of it fits."""
        # Rendered text is hardly ever shorter than its source, so that twice the limit never fits; looking no further
        # keeps a megabyte that comes at once from being measured whole for every message it fills.
        text = self._text[self._at : self._at + 2 * self._limit]
        if self._at + len(text) == len(self._text) and self._fits(text, limit):
            return None
        low, high = 1, len(text)  # the longest that fits lies in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(text[:middle], limit) else (low, middle)
        together = () if fence_at_end(text[:low], self._fence) else unsplittable_spans(text[:low])
        for cut in _breaks(text, low, self._fence):
            apart = any(start < cut < end for start, end in together) or ends_in_block_marks(text[:cut])
            if not apart and self._fits(text[:cut], limit):
                return cut
        ahead = (cut for start, end in together if start < low < end and (cut := _ahead_of(text, start)))
        return next(ahead, _between_words(text, low))

    def _fits(self, source: str, limit: int) -> bool:
        # What closes a block of code is kept free even when that has been closed again: what fits must go on fitting
        # while the closing line arrives character by character. What closes an emphasis is never there with it.
        room_to_close = LONGEST_CLOSING if _has_marks(source, self._fence) else 0
        for fence in _fences(source, self._fence):
            room_to_close = max(room_to_close, 2 * len(fence.lead + fence.marker) + 2)
        continuation = replace(self._continuation, spans="") if self._continuation.spans else self._continuation
        room_to_close += len(self._continuation.spans)
        return self._measure(Piece(source, self._fence, None, continuation)) + room_to_close <= limit


def _breaks(text: str, end: int, fence: Fence | None) -> Iterator[int]:
    """Places to end a message at or before `end`, the best first; each in the second half, so that none is short."""
    half = end // 2
    opened_at = _last_opening(text[:end], fence)
    if opened_at is not None and opened_at > half:
        yield opened_at
    yield from _after(text, "\n\n", half, end)
    yield from _after(text, "\n", half, end)
    if opened_at is None:
        yield from reversed([match.end() for match in _SENTENCE_END.finditer(text, half, end)][-_TRIES:])
    for space in _spaces(text, half, end):
        yield space + 1
    yield grapheme_boundary(text, end)


def _between_words(text: str, end: int) -> int:
    """The last place at or before `end` that splits no character, and stands at no mark: those go with their words."""
    for cut in range(end, max(end - _LONGEST_GRAPHEME, 1), -1):
        if text[cut - 1] not in _MARKS_BEFORE and text[cut : cut + 1] not in (*_MARKS_BEFORE, ""):
            return grapheme_boundary(text, cut)
    return end


def _ahead_of(text: str, atom: int) -> int:
    """Where a message ends before what must not be cut, its item's marks or its table's row; 0 if that is empty."""
    line = text.rfind("\n", 0, atom) + 1
    before = len(text[:atom].rstrip(_MARKS_BEFORE))  # marks that open there go along
    cut = line if ends_in_block_marks(text[:before]) or text.startswith("|", line) else before
    return cut if text[:cut].strip() and not ends_in_table_head(text[:cut]) else 0


def _after(text: str, mark: str, half: int, end: int) -> Iterator[int]:
    """The last place after `mark`, unless a heading would be left behind there without what it stands over."""
    at = text.rfind(mark, half, end)
    while at != -1:
        above = text[half:at].rstrip()
        if not above[above.rfind("\n") + 1 :].lstrip().startswith("#") and not ends_in_table_head(text[:at]):
            yield at + len(mark)
            return
        at = text.rfind(mark, half, half + len(above))


def _spaces(text: str, start: int, end: int) -> Iterator[int]:
    """The last places of white space, the last one first."""
    found = (at for at in range(end - 1, start - 1, -1) if text[at].isspace())
    return itertools.islice(found, _TRIES)


def grapheme_boundary(text: str, end: int) -> int:
    """The nearest place at or before `end` that is not inside what a reader takes for one character."""
    for cut in range(end, max(end - _LONGEST_GRAPHEME, 1), -1):
        if cut >= len(text) or not _joins(text, cut):
            return cut
    return end


def _joins(text: str, at: int) -> bool:
    """Whether the characters before and at `at` belong together."""
    before, after = text[at - 1], text[at]
    if _ZERO_WIDTH_JOINER in {before, after} or unicodedata.category(after) in {"Mn", "Me", "Mc"}:
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":  # skin tones, tag sequences
        return True
    if before == "\r" and after == "\n":
        return True
    if _is_regional(before) and _is_regional(after):  # a flag is two of them, counted from the first of the run
        run = 0
        while run < at and _is_regional(text[at - 1 - run]):
            run += 1
        return run % 2 == 1
    return False


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


# ------------------------------------------------------------------------------------------------------------- fences


def _lines(source: str) -> Iterator[tuple[int, str]]:
    """Every line with where it starts; the last may be unfinished."""
    start = 0
    while start < len(source):
        end = source.find("\n", start)
        end = len(source) if end == -1 else end
        yield start, source[start:end]
        start = end + 1


def _opens(line: str) -> Fence | None:
    match = _FENCE_LINE.fullmatch(line)
    if match is None:
        return None
    lead, marker, info = match.group(1), match.group(2), match.group(3).strip()
    if marker[0] == "`" and "`" in info:
        return None
    language = info.split()[0] if info else ""
    # A list's own mark is not repeated: what follows it in the item is indented as far.
    lead = "".join(character if character in " \t>" else " " for character in lead)
    return Fence(marker, language if len(language) <= _LONGEST_INFO else "", lead[:_LONGEST_LEAD])


def closes_fence(line: str, fence: Fence) -> bool:
    """Whether a line within a block of code ends it."""
    bare = line.strip(" \t>\r")
    return len(bare) >= len(fence.marker) and bare.strip(fence.marker[0]) == ""


def _ends_block(line: str, fence: Fence) -> bool:
    """Whether the block ends with this line: it closes it, or the quote that the block is in has ended."""
    return closes_fence(line, fence) or (fence.quoted and not line.lstrip().startswith(">"))


def _dedented(text: str, fence: Fence) -> str:
    """The lines of a block without the indentation that came from its list."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        cut = len(line) - len(line.lstrip(" \t"))
        lines[number] = line[min(cut, len(fence.lead)) :]
        if closes_fence(line, fence):
            break
    return "\n".join(lines)


def fence_changes(source: str, fence: Fence | None) -> Iterator[tuple[int, Fence | None]]:
    """The state after each line that changes it, with where that line starts."""
    if fence is None and not may_have_fences(source):
        return  # no line can open one: most texts, and most looks at them
    for start, line in _lines(source):
        if fence is not None and not _ends_block(line, fence):
            continue
        if fence is not None:
            closed_by_it = closes_fence(line, fence)
            fence = None
            yield start, None
            if closed_by_it:
                continue
        if (opened := _opens(line)) is not None:
            fence = opened
            yield start, fence


def _fences(source: str, fence: Fence | None) -> Iterator[Fence]:
    """Every fence that is open somewhere in the source."""
    if fence is not None:
        yield fence
    yield from (state for _, state in fence_changes(source, fence) if state is not None)


def _has_marks(source: str, fence: Fence | None) -> bool:
    """Whether there are marks that may have to be closed: outside of code, and those that begin a block of it."""
    outside, start = fence is None, 0
    for at, state in fence_changes(source, fence):
        if state is not None or (outside and _is_marked(source, start, at)):
            return True
        outside, start = True, next_line_start(source, at)
    return outside and _is_marked(source, start, len(source))


def _is_marked(source: str, start: int, end: int) -> bool:
    return any(source.find(mark, start, end) != -1 for mark in _MARKS)  # a class of a regex takes ten times as long


def fence_at_end(source: str, fence: Fence | None) -> Fence | None:
    """The fence that is open behind `source`, before which `fence` was."""
    for _, state in fence_changes(source, fence):
        fence = state
    return fence


def _last_opening(source: str, fence: Fence | None) -> int | None:
    """Where the fence that is open at the end was opened: 0 if it was open before, None if none is open."""
    opened_at = 0 if fence is not None else None
    for start, state in fence_changes(source, fence):
        opened_at = start if state is not None else None
    return opened_at


# -------------------------------------------------------------------------------------------------------- blank lines


def _behind_space(text: str, at: int) -> int:
    """Where the next text after `at` begins: behind blank lines, before its line's indentation."""
    behind = at + len(text[at:]) - len(text[at:].lstrip())
    return max(text.rfind("\n", at, behind) + 1, at) if "\n" in text[at:behind] and behind < len(text) else behind


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]


def _without_blank_ends(text: str) -> str:
    """Leave out blank lines at both ends and trailing space, but keep the first line's indentation."""
    return _without_blank_start(text).rstrip()


def _without_blank_start(text: str) -> str:
    first_word = len(text) - len(text.lstrip())
    return text[text.rfind("\n", 0, first_word) + 1 :]


def _from_the_end(source: str, rest: str) -> int:
    """Where `rest` begins in `source`, which ends with it but for what its lines begin with."""
    first, *others = rest.split("\n")
    at = len(source)
    for _ in others:
        at = source.rfind("\n", 0, at)
    return max(at - len(first), 0)


def next_line_start(text: str, at: int) -> int:
    """Where the line after the one at `at` begins."""
    end = text.find("\n", at)
    return len(text) if end == -1 else end + 1
