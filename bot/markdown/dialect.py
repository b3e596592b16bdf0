"""What a dialect is: one piece of the source as one platform wants to read it.

A dialect is a value without state. Rendering a longer piece never gives a shorter text (the splitter searches for the
longest that fits), and the same piece always renders alike.
"""

from __future__ import annotations

from typing import Protocol

from bot.markdown.split import Piece


class Dialect(Protocol):
    """How a platform is written to."""

    def render(self, piece: Piece) -> str:
        """The text of one message. May be empty, where the piece holds nothing to be seen."""
        ...

    def notice(self, line: str) -> str:
        """A line of our own (not the model's) as small print."""
        ...


def utf16_units(text: str) -> int:
    """The length of `text` as Discord and JavaScript count it: most emoji are two.

    Asked for each write's whole message, so both ways are C's: a loop of Python's was most of what writing cost.
    """
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


class PlainMarkdown:
    """For a platform that reads CommonMark as it comes."""

    def render(self, piece: Piece) -> str:
        """See `Dialect`."""
        return piece.closed()

    def notice(self, line: str) -> str:
        """See `Dialect`."""
        return f"*{line}*"
