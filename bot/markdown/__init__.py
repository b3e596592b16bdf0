"""Markdown: split a growing text into messages and render them, pure and incremental.

Two stages. The *splitter* cuts the source into pieces; joined, they equal the source byte for byte. A *renderer* turns
one piece into a platform's text with the closings and headers it needs; its result is measured against the platform's
limit. The platforms' renderers are in `adapters`.
"""

from bot.markdown.boundaries import grapheme_boundary
from bot.markdown.literal_text import escape_markdown, single_line
from bot.markdown.piece import Piece
from bot.markdown.renderer import PlainMarkdown, Renderer, utf16_units
from bot.markdown.splitter import Splitter

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
