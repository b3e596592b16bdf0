"""Small print that a model writes: made ordinary text, since a line of small print is a line of our own.

What belongs here: that rule, for the platforms that show small print (Discord, and the playground as it does). What
does not: our own lines, and how they are told from the model's when an answer is read back.

It looks at the text as it is sent, after everything else was rewritten: a cut, a tag that shows nothing or a table's
cell may each put the mark at a line's beginning.
"""

from __future__ import annotations

import re

from bot.markdown.tables import fenced_lines

# The mark, wherever quotes, items, headings or an indentation leave it at the beginning of what a line says. All that
# some program takes for the end of a line begins one.
_IMITATION = re.compile(
    r"((?:\A|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029])(?:[^\S\n\r]|>|[-*+](?=\s)|\d{1,9}[.)](?=\s)|#{1,6}(?=\s))*)-#"
)
_MARK = "-#"

# What may become the mark: behind an entity, a tag, or marks of emphasis that are left out.
_MAY_IMITATE = re.compile(r"[-;>&*_~\\]#")


def escape_small_print(text: str) -> str:
    """`text`, rendered, in which no line outside of code is small print: a backslash makes the mark a character."""
    if _MARK not in text:
        return text
    lines = text.split("\n")
    code = fenced_lines(lines)
    return "\n".join(
        line if number in code or _MARK not in line else _IMITATION.sub(r"\1\\-#", line)
        for number, line in enumerate(lines)
    )


def small_print_padding(text: str) -> int:
    """At most how much longer a text becomes by it; only ever grows with it.

    A dash may come of an entity or the end of a tag, and what was parted by a tag may come together.
    """
    return len(_MAY_IMITATE.findall(text)) if "#" in text else 0
