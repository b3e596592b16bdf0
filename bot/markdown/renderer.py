"""Renderers: one piece of the source as a platform's text.

A renderer is stateless, and the same piece always renders alike. `Renderer.padding` bounds its added characters and
never shrinks: the splitter searches for the longest piece that fits, though rendered text may shrink as the source
grows.
"""

from __future__ import annotations

from typing import Protocol

from typing_extensions import override

from bot.markdown.literal_text import escape_markdown, single_line
from bot.markdown.normalise import normalise
from bot.markdown.piece import Piece
from bot.markdown.placeholders import replace_placeholders


class Renderer(Protocol):
    """How a platform is written to."""

    def render(self, piece: Piece) -> str:
        """The text of one message. May be empty, where the piece holds nothing to be seen."""
        ...

    def padding(self, piece: Piece) -> int:
        """An upper bound for the characters added to `Piece.closed`, in the platform's unit.

        Never less for a longer piece.
        """
        ...

    def notice(self, line: str) -> str:
        """A line of our own (not the model's) as small print."""
        ...

    def escape(self, text: str) -> str:
        """Somebody else's words for within such a line: shown as they are, in one short line, and never active."""
        ...


def utf16_units(text: str) -> int:
    """The length of `text` in UTF-16 units, as Discord and JavaScript count: most emoji have two.

    Runs for the whole message at each write, so both branches use C code: a Python loop took most of a write's time.
    """
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


class PlainMarkdown(Renderer):
    """For platforms with plain CommonMark."""

    @override
    def render(self, piece: Piece) -> str:
        return replace_placeholders(piece.closed())

    @override
    def padding(self, piece: Piece) -> int:
        return 0

    @override
    def notice(self, line: str) -> str:
        return f"*{normalise(line)}*"

    @override
    def escape(self, text: str) -> str:
        return escape_markdown(single_line(text))
