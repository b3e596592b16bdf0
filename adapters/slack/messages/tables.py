"""Whole tables: ours as text where Slack shows none, and Slack's back into markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

from bot.markdown.table_text import table_as_text
from bot.markdown.tables import find_tables

_SIDES = MappingProxyType({"left": ":---", "center": ":---:", "right": "---:"})


def count_tables(text: str) -> int:
    """The number of tables in a rendered text."""
    return sum(1 for _ in find_tables(text.split("\n"))) if "|" in text else 0


def with_tables_as_text(text: str, *, limit: int, after: int = 0, measure: Callable[[str], int] = len) -> str:
    """`text` with all its tables except the first `after` as columns or lists.

    The text grows to at most `limit`, counted by `measure`. A table too long for that becomes a code block, or stays.
    The last tables use the room first.
    """
    if "|" not in text:
        return text
    lines, room = text.split("\n"), limit - measure(text)
    for table in reversed(list(find_tables(lines))[after:]):
        end = table.line + table.lines
        source = "\n".join(lines[table.line : end])
        for shown in (table_as_text(table), f"```\n{source}\n```"):
            more = measure(shown) - measure(source)
            if more <= max(room, 0):
                lines[table.line : end], room = [shown], room - more
                break
    return "\n".join(lines)


def grid(rows: Sequence[Sequence[str]], sides: Sequence[str] = ()) -> str:
    """Rows of cells as a markdown table; the first row is the head."""
    width = max(map(len, rows), default=0)
    if not width:
        return ""
    dashes = [_SIDES.get(side, "---") for side in (*sides, *[""] * width)][:width]
    head, *body = [[*row, *[""] * (width - len(row))] for row in rows]
    return "\n".join("| " + " | ".join(map(_in_cell, row)) + " |" for row in (head, dashes, *body))


def _in_cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
