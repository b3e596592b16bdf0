"""Tables that Slack does not show as such: ours as text, and its own back into markdown. Pure.

What belongs here: what becomes of a whole table. What does not: blocks (`blocks`), and when a table is not taken
(`channel`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.markdown.table_text import table_as_text
from bot.markdown.tables import find_tables

_SIDES = {"left": ":---", "center": ":---:", "right": "---:"}


def count_tables(text: str) -> int:
    """How many tables a rendered text has."""
    return sum(1 for _ in find_tables(text.split("\n"))) if "|" in text else 0


def with_tables_as_text(text: str, *, limit: int, after: int = 0, measure: Callable[[str], int] = len) -> str:
    """`text` with all its tables but the first `after` as columns or lists.

    Nothing is made longer than `limit`, as `measure` counts: what would be is a block of code as it was written, or
    stays. The last tables come first to the room that there is.
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
    """Rows of cells as a markdown table, the first of them its head."""
    width = max(map(len, rows), default=0)
    if not width:
        return ""
    dashes = [_SIDES.get(side, "---") for side in (*sides, *[""] * width)][:width]
    head, *body = [[*row, *[""] * (width - len(row))] for row in rows]
    return "\n".join("| " + " | ".join(map(_in_cell, row)) + " |" for row in (head, dashes, *body))


def _in_cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
