"""A table as text: for Discord, and for Slack beyond its limit of tables.

Two forms: columns in a code block, or a list of fields per row; the more readable one is used. `bot.markdown.tables`
finds tables.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from markdown_it import MarkdownIt

from bot.markdown import utf16_units
from bot.markdown.emphasis import ZERO_WIDTH_SPACE, add_line_emphasis_spaces
from bot.markdown.tables import Table

# Columns of a code block on a phone without wrapping: about 45 on a common model in portrait.
_WIDEST = 45

_GAP = "  "
_MARKUP = re.compile(r"[*_~`\[\]<>&\\]")
_LINK = re.compile(r"\]\(|https?://")


class _Words(MarkdownIt):
    """The inline grammar, to extract words only."""

    def __init__(self) -> None:
        super().__init__("commonmark")
        self.enable("strikethrough")


_WORDS = _Words()


def table_as_text(table: Table) -> str:
    """The table as markdown without one: columns, where they are narrow enough and hold no links; else fields."""
    return "\n".join(f"{table.prefix}{line}" for line in _table_as_text(table).split("\n"))


def _table_as_text(table: Table) -> str:
    if any(_LINK.search(cell) for row in table.rows for cell in row):
        return _fields(table.rows)
    rows = [[cell_text(cell) for cell in row] for row in table.rows]
    widths = _widths(rows)
    if sum(widths) + len(_GAP) * (len(widths) - 1) > _WIDEST:
        return _fields(table.rows)
    return _columns(rows, widths, table.alignments)


def max_text_length(table: Table) -> int:
    """At least as many UTF-16 units as `table_as_text` has, for this table and for every beginning of it."""
    columns = list(zip(*table.rows, strict=True))
    widths = [max(map(_width, column)) + max(map(_excess, column)) for column in columns]
    line = sum(max(width, 1) for width in widths) + len(_GAP) * (len(widths) - 1) + len("\n")
    fields = _fields(table.rows, filled=True)
    columns_or_fields = max(len("```\n```") + line * (len(table.rows) + 1), utf16_units(fields))
    return columns_or_fields + len(table.prefix) * max(len(table.rows) + 3, fields.count("\n") + 1)


def cell_text(cell: str) -> str:
    """The visible text of a cell's markdown."""
    if not _MARKUP.search(cell):
        return cell
    tokens = _WORDS.parseInline(add_line_emphasis_spaces(cell))[0].children or []
    seen = (" " if token.type.endswith("break") else _seen(token.type, token.content) for token in tokens)
    return "".join(seen).replace(ZERO_WIDTH_SPACE, "")


def _seen(kind: str, content: str) -> str:
    if kind != "html_inline":
        return content
    return " " if content[:3].lower() == "<br" else content


def _columns(rows: Sequence[Sequence[str]], widths: Sequence[int], alignments: Sequence[str]) -> str:
    """Aligned columns under their heads."""
    head, *body = rows
    rule = ["\N{BOX DRAWINGS LIGHT HORIZONTAL}" * max(width, 1) for width in widths]
    lines = [_GAP.join(map(_cell, row, widths, alignments)).rstrip() for row in (head, rule, *body)]
    return "\n".join(["```", *lines, "```"])


def _cell(text: str, width: int, side: str) -> str:
    room = width - _width(text)
    before = {">": room, "^": room // 2}.get(side, 0)
    return " " * before + text + " " * (room - before)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]


def _width(text: str) -> int:
    """How many columns a text takes: those of Chinese, Japanese, Korean and most emoji take two."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(character) for character in text)


def _excess(text: str) -> int:
    """How many UTF-16 units more than columns a text takes at most: accents, joiners."""
    if text.isascii():
        return 0
    return sum(max(utf16_units(character) - _columns_of(character), 0) for character in text)


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _fields(rows: Sequence[Sequence[str]], *, filled: bool = False) -> str:
    """For each row its first cell, then the other cells under their headings.

    `filled` adds marks around a first cell with marks of its own, complete or not: then a growing cell never loses
    them.
    """
    head, *body = rows
    lines = []
    for first, *others in body:
        lines.append(first if not first or ("**" in first and not filled) else f"**{first}**")
        for name, cell in zip(head[1:], others, strict=True):
            if cell:
                lines.append(f"- {name}: {cell}" if name else f"- {cell}")
    return "\n".join(line for line in lines if line)
