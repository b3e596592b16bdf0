"""Splits the growing source into pieces, one per message. Joined, the pieces are the source, byte for byte.

A cut depends only on the text before it and one character behind it. Therefore any chunking of a text gives the same
pieces, and a final piece never changes, so no permit is spent on earlier messages. Rendering belongs to
`bot.markdown.renderer`, and the choice of when to show a piece to `bot.delivery.reply`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from bot.markdown.boundaries import (
    EMPHASIS_MARKS,
    block_boundaries,
    boundaries,
    boundary_before,
    boundary_between_words,
    line_boundaries,
)
from bot.markdown.continuation import NOTHING
from bot.markdown.fences import Fence, fence_at_end, fence_changes, next_line_start, open_fences
from bot.markdown.inline_parser import LONGEST_CLOSING
from bot.markdown.piece import Piece
from bot.markdown.streaming_tail import ends_in_block_marks, unsplittable_spans

# Marks to close at a cut.
_MARKS = "*_~`"

# Chunks until they are joined. Each costs 50 bytes more than its text, and a join copies the whole text.
_MAX_CHUNKS = 512


class Splitter:
    """Cuts a growing text into pieces within a limit.

    `measure` returns the rendered length of a piece in the platform's unit; it must not shrink as the piece grows.
    `limit` is the maximum. `feed` costs one append, and a cut costs time proportional to `limit`, regardless of the
    amount of text behind it.
    """

    def __init__(self, measure: Callable[[Piece], int], limit: int) -> None:
        self._measure = measure
        self._limit = limit
        self._sealed: list[Piece] = []
        self._chunks: list[str] = []  # chunks not in `_text` yet
        self._text = ""
        self._at = 0  # offset of the last piece, which may still grow
        self._fence: Fence | None = None  # open at that offset
        self._continuation = NOTHING  # other elements open there
        self.length = 0  # characters fed in total
        self._open_size = 0, 0  # of the open piece when it was measured last: its characters, and its rendered length
        self.kept = 0  # characters that stay in their piece: they were appended to its message for good

    def feed(self, text: str) -> None:
        """Append to the source."""
        self._chunks.append(text)
        self.length += len(text)
        if len(self._chunks) >= _MAX_CHUNKS:
            self._join()

    def cut(self, most: int = sys.maxsize, *, steps: int = sys.maxsize, room: int = 0) -> bool:
        """Finalise pieces, at most `steps` in this call; false if there may be more.

        At most `most` pieces are cut in total; the last of them leaves `room` free.
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
        """All pieces so far; all but the last are final. After `most` pieces the last one holds the whole rest."""
        self.cut(most)
        return [*self._sealed, self.last] if self._at < self.length else list(self._sealed)

    @property
    def source(self) -> str:
        """The whole source."""
        self._join()
        return self._text

    @property
    def sealed(self) -> int:
        """The number of final pieces."""
        return len(self._sealed)

    def final(self, first: int) -> list[Piece]:
        """The final pieces from index `first` on."""
        return self._sealed[first:]

    @property
    def expected_size(self) -> float:
        """The rendered length of the open piece, if its new text is like that measured last."""
        length, size = self._open_size
        return size / length * (self.length - self._at) if length else 0.0

    @property
    def last(self) -> Piece:
        """The text behind the final pieces; it fits into one message once `cut` has returned true."""
        self._join()
        return self._piece(len(self._text) - self._at)

    def seal(self, at: int) -> int:
        """End a piece after `at` characters of the source, at any place.

        White space behind it stays in the piece, except a line's indentation. Returns the end of the piece.
        """
        self._join()
        self._reopen_from(at)
        end = _skip_space(self._text, at)
        if end > self._at:
            self._end_piece(end - self._at)
        return end

    def end_early(self, between_blocks: int, between_lines: int) -> bool:
        """After `cut`: end the open piece before its last block or line, if it measures so much or more up to there."""
        size = self.expected_size
        if size < min(between_blocks, between_lines):
            return False
        text = self.last.source
        end = len(text.rstrip())
        ends = ((block_boundaries, between_blocks), (line_boundaries, between_lines))
        for boundaries_of, least in ends:
            at = next(boundaries_of(text, end, self._fence), 0) if size >= least else 0
            if at and self._may_end_at(text, at) and self._measure(self._piece(at)) >= least:
                self._end_piece(at)
                return True
        return False

    def _may_end_at(self, text: str, at: int) -> bool:
        """Whether the open piece may end there: outside of code, before a line without indentation."""
        is_outside = fence_at_end(text[:at], self._fence) is None
        return is_outside and not text[at].isspace() and self._at + at >= self.kept

    def recut(self, limit: int, at: int) -> None:
        """Cut the text behind the first `at` characters again for another limit. A piece must end at `at`."""
        self._limit, self.kept = limit, 0
        self._reopen_from(at)

    def _reopen_from(self, at: int) -> None:
        while self._at > at:
            last = self._sealed.pop()
            self._at, self._fence, self._continuation = self._at - len(last.source), last.reopened, last.continuation

    def _join(self) -> None:
        if self._chunks:
            self._text += "".join(self._chunks)
            self._chunks.clear()

    def _piece(self, size: int) -> Piece:
        """The first `size` characters of the open piece."""
        source = self._text[self._at : self._at + size]
        return Piece(source, self._fence, fence_at_end(source, self._fence), self._continuation)

    def _end_piece(self, size: int) -> None:
        piece, self._continuation = self._piece(size).split_off()
        self._sealed.append(piece)
        self._at, self._fence = self._at + size, piece.open_fence

    def _cut(self, limit: int) -> int | None:
        """The size of the open piece's final form, or None if all of it fits."""
        # Rendered text is hardly ever shorter than its source, so twice the limit never fits. Looking no further avoids
        # measuring a megabyte as a whole for each of its messages.
        text = self._text[self._at : self._at + 2 * self._limit]
        if self._at + len(text) == len(self._text) and self._fits(text, limit):
            return None
        low, high = 1, len(text)  # the maximum lies in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(text[:middle], limit) else (low, middle)
        kept = min(max(self.kept - self._at, 0), len(text))
        spans = () if fence_at_end(text[:low], self._fence) else unsplittable_spans(text[:low])
        for boundary in boundaries(text, low, self._fence):
            cut = self._behind_closing_marks(text, boundary, low)
            is_inside = any(start < cut < end for start, end in spans) or ends_in_block_marks(text[:cut])
            if cut and cut >= kept and not is_inside and self._fits(text[:cut], limit):
                return cut
        ahead = (cut for start, end in spans if start < low < end and (cut := boundary_before(text, start)))
        return max(next(ahead, boundary_between_words(text, low)), kept)

    def _behind_closing_marks(self, text: str, cut: int, low: int) -> int:
        """`cut`, or the end of the closing marks directly behind it: they stay with their emphasis.

        0 if that end is beyond `low`, or not known yet.
        """
        if text[cut : cut + 1] not in (*EMPHASIS_MARKS,) or text[cut - 1].isspace():
            return cut
        if not self._piece(cut).split_off()[1].spans:
            return cut  # they open
        end = cut + len(text[cut : low + 1]) - len(text[cut : low + 1].lstrip(EMPHASIS_MARKS))
        return end if end <= low else 0

    def _fits(self, source: str, limit: int) -> bool:
        # Room for closing a block of code is reserved even if the block is closed already: a fitting text must keep
        # fitting while the closing line arrives character by character. Emphasis is never closed at the same place.
        room_to_close = LONGEST_CLOSING if _has_marks(source, self._fence) else 0
        for fence in open_fences(source, self._fence):
            room_to_close = max(room_to_close, 2 * len(fence.prefix + fence.marker) + 2)
        continuation = replace(self._continuation, spans="") if self._continuation.spans else self._continuation
        room_to_close += len(self._continuation.spans)
        size = self._measure(Piece(source, self._fence, None, continuation)) + room_to_close
        self._open_size = len(source), size
        return size <= limit


def _has_marks(source: str, fence: Fence | None) -> bool:
    """Whether there are marks to close: outside of code, or in the fences of a block."""
    outside, start = fence is None, 0
    for at, state in fence_changes(source, fence):
        if state is not None or (outside and _is_marked(source, start, at)):
            return True
        outside, start = True, next_line_start(source, at)
    return outside and _is_marked(source, start, len(source))


def _is_marked(source: str, start: int, end: int) -> bool:
    return any(source.find(mark, start, end) != -1 for mark in _MARKS)  # a class of a regex takes ten times as long


def _skip_space(text: str, at: int) -> int:
    """The offset of the next text after `at`: behind blank lines, before its line's indentation."""
    behind = at + len(text[at:]) - len(text[at:].lstrip())
    return max(text.rfind("\n", at, behind) + 1, at) if "\n" in text[at:behind] and behind < len(text) else behind
