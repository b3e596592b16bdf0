"""Markdown: the text so far into segments for a platform, pure and incremental.

Two stages, kept apart. *Split* (`bot.markdown.splitter`) cuts the source into pieces whose joining is the source, byte
for byte. A *dialect* renders one piece for a platform, adding the closings and headers that it needs; what it renders
is what is measured against the platform's limit. Dialects live with their platform, in `adapters`.
"""

from bot.markdown.literal_text import escape_markdown, single_line
from bot.markdown.renderer import PlainMarkdown, Renderer, utf16_units
from bot.markdown.splitter import Piece, Splitter, grapheme_boundary

__all__ = [
    "Piece",
    "PlainMarkdown",
    "Renderer",
    "Splitter",
    "escape_markdown",
    "grapheme_boundary",
    "single_line",
    "utf16_units",
]
