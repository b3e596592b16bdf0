"""What a dialect is: one piece of the source as one platform wants to read it.

A dialect is a value without state, and the same piece always renders alike. What it adds is told beforehand, as a bound
that only grows (`Renderer.padding`): the splitter searches for the longest piece that fits, and rendered text may well
be shorter than it was a character ago.
"""

from __future__ import annotations

from typing import Protocol

from bot.markdown.literal_text import escape_markdown, single_line
from bot.markdown.normalise import normalise
from bot.markdown.placeholders import replace_placeholders
from bot.markdown.splitter import Piece


class Renderer(Protocol):
    """How a platform is written to."""

    def render(self, piece: Piece) -> str:
        """The text of one message. May be empty, where the piece holds nothing to be seen."""
        ...

    def padding(self, piece: Piece) -> int:
        """At most by how much rendering makes a piece longer than `Piece.closed`, in the platform's unit.

        Never less for a piece that goes on further.
        """
        ...

    def notice(self, line: str) -> str:
        """A line of our own (not the model's) as small print."""
        ...

    def escape(self, text: str) -> str:
        """Somebody else's words for within such a line: shown as they are, in one short line, and never active."""
        ...


def utf16_units(text: str) -> int:
    """The length of `text` as Discord and JavaScript count it: most emoji are two.

    Asked for each write's whole message, so both ways are C's: a loop of Python's was most of what writing cost.
    """
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


class PlainMarkdown:
    """For a platform that reads CommonMark as it comes."""

    def render(self, piece: Piece) -> str:
        """See `Renderer`."""
        return replace_placeholders(piece.closed())

    def padding(self, piece: Piece) -> int:  # noqa: ARG002 (nothing is added, whatever the piece)
        """See `Renderer`."""
        return 0

    def notice(self, line: str) -> str:
        """See `Renderer`."""
        return f"*{normalise(line)}*"

    def escape(self, text: str) -> str:
        """See `Renderer`."""
        return escape_markdown(single_line(text))
