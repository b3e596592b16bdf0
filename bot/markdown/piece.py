"""One piece of the source, the content of one message, as a markdown text of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bot.markdown.continuation import NOTHING, Continuation, continuation_of
from bot.markdown.fences import Fence, closes_fence, dedented, ends_block, fence_at_end, last_opening
from bot.markdown.stable_text import stable_code_end, stable_end
from bot.markdown.streaming_tail import may_close_block, visible_end

# Maximum length of a partial word, or line of code, held back until it is complete. Longer ones are shown at once.
_MAX_WORD_LENGTH = 40
_MAX_LINE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the source for one message.

    `reopened` is the fence open at its start, `open_fence` the one open at its end. `continuation` holds all other
    elements open at its start. `closing` are the marks to close those open at its end.
    """

    source: str
    reopened: Fence | None = None
    open_fence: Fence | None = None
    continuation: Continuation = NOTHING
    closing: str = field(default="", compare=False)  # derived from the other fields

    def closed(self) -> str:
        """The piece as a separate text: fences, quotes, tables and emphasis cut by it are reopened and closed.

        Blank lines at both ends are left out, since messages do not show them. May be empty.
        """
        body, last = self.standalone(_without_blank_ends(self.source))
        if not body:
            return ""
        return body + self.closing + (f"\n{last.prefix}{last.marker}" if last else "")

    def shown(self) -> Piece:
        """The piece while it grows: without incomplete elements at its end, and with open ones closed.

        It includes white space at its end, so that all visible text counts as covered.
        """
        piece = self._without_partial_fence_line()
        if piece.open_fence is not None or not piece.source.strip():
            return piece
        text, _ = piece.standalone(_without_blank_start(piece.source))
        end, closing = visible_end(text)
        rest = text[end:]
        if rest.strip():
            source = piece.source[: _from_the_end(piece.source, rest)]
            piece = piece.with_source(source)
        return replace(piece, closing=closing)

    def stable(self) -> tuple[Piece, str]:
        """The part of a growing piece that later text does not change, and the white space behind it."""
        piece = self._without_partial_fence_line()
        if piece.open_fence is not None:
            source = piece.source[: stable_code_end(piece.source)]
        else:
            text, _ = piece.standalone(_without_blank_start(piece.source))
            rest = text[stable_end(text) :]
            source = piece.source[: _from_the_end(piece.source, rest)] if rest else piece.source
        if not source.strip():
            return piece.with_source(""), ""
        # Closing marks would be appended in the middle of the text.
        return replace(piece.with_source(source), open_fence=None), source[len(source.rstrip()) :]

    def with_source(self, source: str) -> Piece:
        """The piece with a shorter source."""
        return replace(self, source=source, open_fence=fence_at_end(source, self.reopened), closing="")

    def split_off(self) -> tuple[Piece, Continuation]:
        """The piece in its final form, with open elements closed, and the continuation for the next piece."""
        if self.open_fence is not None:
            return self, NOTHING
        closing, continuation = continuation_of(
            self.standalone(_without_blank_start(self.source))[0], self.continuation
        )
        return replace(self, closing=closing), continuation

    def _without_partial_fence_line(self) -> Piece:
        """Without an incomplete line at the end that opens or may close a block of code."""
        piece: Piece = self
        if piece.open_fence is not None:
            last = piece.source[piece.source.rfind("\n") + 1 :]
            if may_close_block(last, piece.open_fence.marker):
                piece = piece.with_source(piece.source[: len(piece.source) - len(last)])
        if piece.open_fence is not None:
            opened_at = last_opening(piece.source, piece.reopened) or 0
            partial = piece.source[opened_at:].strip()
            if (opened_at or piece.reopened is None) and "\n" not in partial:
                piece = piece.with_source(piece.source[:opened_at])
        return piece

    def standalone(self, body: str) -> tuple[str, Fence | None]:
        """`body` with the elements open at its start reopened, and the fence open at its end."""
        reopened, last = self.reopened, self.open_fence
        if reopened is None:
            before = self.continuation
            if before.is_adjacent and self.source[:1].isspace():
                before = replace(before, is_adjacent=False)
            return before.apply(body, self.closing), last
        if not reopened.is_quoted:
            body = dedented(body, reopened)
            last = last.standalone() if last == reopened else last
            reopened = reopened.standalone()
        if (line := _first_line(body)) and ends_block(line, reopened):
            # The cut is directly before the closing line: the block ended in the previous message.
            rest = body[len(line) :] if closes_fence(line, reopened) else body
            body, reopened = _without_blank_start(rest), None
        head = f"{reopened.prefix}{reopened.marker}{reopened.info}\n" if reopened and body else ""
        return head + body, last

    def trim_partial_word(self) -> Piece:
        """The piece without an incomplete word at its end; in a block of code, without an incomplete line."""
        mark = max(self.source.rfind("\n"), -1 if self.open_fence else self.source.rfind(" "))
        partial = len(self.source) - (mark + 1)
        if (
            not 0 < partial <= (_MAX_LINE_LENGTH if self.open_fence else _MAX_WORD_LENGTH)
            or not self.source[: mark + 1].strip()
        ):
            return self
        return self.with_source(self.source[: mark + 1])


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]


def _without_blank_ends(text: str) -> str:
    """Remove blank lines at both ends and trailing space, but keep the first line's indentation."""
    return _without_blank_start(text).rstrip()


def _without_blank_start(text: str) -> str:
    first_word = len(text) - len(text.lstrip())
    return text[text.rfind("\n", 0, first_word) + 1 :]


def _from_the_end(source: str, rest: str) -> int:
    """The offset of `rest` in `source`, which ends with the same lines apart from their prefixes."""
    first, *others = rest.split("\n")
    at = len(source)
    for _ in others:
        at = source.rfind("\n", 0, at)
    return max(at - len(first), 0)
