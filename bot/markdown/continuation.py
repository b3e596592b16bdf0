"""Elements continued from one message to the next at a cut, except blocks of code (`bot.markdown.fences`).

These are the quote, table, list item and emphasis open at the cut. Whether an emphasis will be closed is unknown at the
cut. It is closed in the first piece, as shown before; the next piece reopens it only if it contains the closing mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.markdown.inline_parser import parse_inline
from bot.markdown.streaming_tail import last_leaf
from bot.markdown.tables import open_table_header

# Quote marks and a list item at the start of a line. Deeper nesting is not continued.
_QUOTE = re.compile(r"[ ]{0,3}(?:>[ ]?){1,12}")
_ITEM = re.compile(r"([ \t]*)([-*+]|\d{1,9}[.)])([ ]{1,4}|\t)(?=\S)")
_NUMBER = re.compile(r"[ ]{0,3}\d{1,9}[.)][ \t]")
_BLOCK = re.compile(r"[ \t]*(?:[-*+][ \t]|\d{1,9}[.)][ \t]|#{1,6}[ \t]|>|```|~~~|\||\n|\Z)")

# Maximum length of a repeated table header: longer ones would leave little room for rows.
_MAX_HEADER_LENGTH = 300

# Marks of emphasis and code.
_MARKS = "*_~`"

_MAX_INDENT = 24  # columns of indentation to continue


@dataclass(frozen=True, slots=True)
class Continuation:
    """Elements open at the start of a piece.

    `quote` holds the quote marks of its first line, `header` the two head lines of its table, and `spans` the open
    emphasis marks, outermost first. `indent` is the indentation of its list item's text in columns. `within` is true
    if it starts inside a line of that item. `is_adjacent`: no white space precedes it, so marks at its start may close
    the open ones.
    """

    quote: str = ""
    header: str = ""
    spans: str = ""
    indent: int = 0
    within: bool = False
    is_adjacent: bool = False

    def apply(self, body: str, closing: str = "") -> str:
        """`body` with the open elements reopened in front; `closing` are the marks behind it."""
        if not body or self == NOTHING:
            return body
        spans = self.spans
        if self.is_adjacent and (closed := _closing_marks(body, spans)):
            # The piece before has closed them: it ended at any place, before its last marks arrived.
            body, spans = body[closed:].lstrip(" \t"), spans[:-closed]
        if self.indent:
            body = self._outdented(body)
        if self.header and body.startswith("|"):
            return self.header + body
        words = body.lstrip(" \t")  # marks with white space behind them open nothing
        if spans := "" if starts_a_block(body) else _reopened(spans, words, closing):
            body = words
        quote = self.quote if not body.startswith(">") else ""
        return quote + spans + body

    def _outdented(self, body: str) -> str:
        """The lines without the item's indentation. A numbered item behind it must not become part of its text."""
        lines = body.split("\n")
        first = 1 if self.within else 0
        least = self.indent if self.within else min(self.indent, _indentation(lines[0]))
        for number in range(first, len(lines)):
            if lines[number].strip() and not _indentation(lines[number]):
                break
            lines[number] = lines[number][min(_indentation(lines[number]), least) :]
        if self.within:
            number = next((number for number, line in enumerate(lines[1:], 1) if _ends_paragraph(line)), 0)
            if number and _NUMBER.match(lines[number]):
                lines.insert(number, "")
        return "\n".join(lines)


NOTHING = Continuation()


def _closing_marks(body: str, spans: str) -> int:
    """The number of marks at the start of `body` that close open ones, innermost first."""
    marks = body[: len(body) - len(body.lstrip(_MARKS))]
    closing, behind = spans[::-1], body[len(marks) :]
    if not closing.startswith(marks) or (marks.endswith("_") and behind[:1].isalnum()):
        return 0
    is_complete = len(marks) == len(closing) or closing[len(marks)] != marks[-1:]
    return len(marks) if is_complete or not behind else 0  # without text behind them, more may arrive


def _reopened(spans: str, body: str, closing: str) -> str:
    """The open marks, if `body` closes them."""
    if not spans:
        return ""
    paragraph = re.split(r"\n[ \t>]*\n", body, maxsplit=1)[0]
    ending = closing if len(paragraph) == len(body) else ""
    parse = parse_inline(f"{spans}{paragraph.rstrip()}{ending}\n")
    left = [at for at, _ in (*parse.open_spans, *([parse.code] if parse.code else [])) if at < len(spans)]
    return "" if left else spans


def starts_a_block(body: str) -> bool:
    """Whether `body` starts with a block other than a paragraph."""
    return _BLOCK.match(body) is not None


def continuation_of(text: str, before: Continuation) -> tuple[str, Continuation]:
    """The marks to close at the end of `text`, and the continuation for the text behind it.

    `before` is the continuation of `text` itself.
    """
    within = not text.endswith("\n")
    line = text[text.rfind("\n") + 1 :]
    quote = _QUOTE.match(line) if within else None
    top = open_table_header(text)
    leaf = last_leaf(text)
    parse = parse_inline(leaf[1] + "\n") if leaf else None  # a mark at the cut is read as if white space followed
    closing, spans = (parse.closing, parse.opening) if parse else ("", "")
    indent = _item(text, before.indent)
    continuation = Continuation(
        quote=quote.group() if quote else "",
        header=top if len(top) <= _MAX_HEADER_LENGTH else "",
        spans=spans,
        indent=indent,
        within=within and bool(indent),
        is_adjacent=bool(spans) and not text[-1:].isspace(),
    )
    return closing, continuation


def _item(text: str, outer: int) -> int:
    """The indentation of the list item at the end of `text`: 0 without one, `outer` if the item spans all of it."""
    blank = False
    for line in reversed(text.rstrip().split("\n")):
        if match := _ITEM.match(line):
            return min(len(match.group().expandtabs(4)), _MAX_INDENT)
        if line.strip() and not _indentation(line) and blank:
            return 0
        blank = blank or not line.strip()
    return outer


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _ends_paragraph(line: str) -> bool:
    return not line.strip() or _BLOCK.match(line) is not None
