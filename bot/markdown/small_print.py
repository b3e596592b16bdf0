"""Escape small print in a model's text: a line of small print marks our own notices.

For platforms with small print: Discord and the playground. It runs last, on the rendered text: a cut, an empty tag or a
table's cell may each move the mark to the start of a line.
"""

from __future__ import annotations

import re

from bot.markdown.tables import fenced_lines

# The mark at the start of a line, after quotes, items, headings or indentation. Every character treated as a line break
# by some program counts as one.
_IMITATION = re.compile(
    r"((?:\A|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029])(?:[^\S\n\r]|>|[-*+](?=\s)|\d{1,9}[.)](?=\s)|#{1,6}(?=\s))*)-#"
)
_MARK = "-#"

# Text that may become the mark: after an entity, a tag, or removed emphasis.
_MAY_IMITATE = re.compile(r"[-;>&*_~\\]#")


def escape_small_print(text: str) -> str:
    """Rendered `text` without small print outside code; a backslash makes the mark literal."""
    if _MARK not in text:
        return text
    lines = text.split("\n")
    code = fenced_lines(lines)
    return "\n".join(
        line if number in code or _MARK not in line else _IMITATION.sub(r"\1\\-#", line)
        for number, line in enumerate(lines)
    )


def small_print_padding(text: str) -> int:
    """An upper bound for the added characters; it never shrinks as the text grows.

    A dash may come from an entity or the end of a tag, and removing a tag may join its neighbours.
    """
    return len(_MAY_IMITATE.findall(text)) if "#" in text else 0
