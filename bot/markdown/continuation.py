"""What goes on from one message to the next where a text is cut, other than a block of code.

What belongs here: which quote, table, item and emphasis are open at a cut, and how the next piece takes them up. What
does not: where the cut is, and fences (`bot.markdown.splitter`).

Whether an emphasis will be closed is not known when it is cut. It is closed in the first piece, as it was shown; the
next takes it up only if it ends there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.markdown.inline_parser import parse_inline
from bot.markdown.streaming_tail import last_leaf
from bot.markdown.tables import open_table_header

# Marks of a quote, and an item, at the beginning of a line. Deeper ones than these are not carried along.
_QUOTE = re.compile(r"[ ]{0,3}(?:>[ ]?){1,12}")
_ITEM = re.compile(r"([ \t]*)([-*+]|\d{1,9}[.)])([ ]{1,4}|\t)(?=\S)")
_NUMBER = re.compile(r"[ ]{0,3}\d{1,9}[.)][ \t]")
_BLOCK = re.compile(r"[ \t]*(?:[-*+][ \t]|\d{1,9}[.)][ \t]|#{1,6}[ \t]|>|```|~~~|\||\n|\Z)")

# A header that takes more than this is not repeated: it would leave little room for its rows.
_LONGEST_HEADER = 300

_DEEPEST = 24  # columns of indentation that are carried along


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a piece takes over.

    `quote` are the marks of the quote that its first line is in, `header` the two lines on top of its table, `spans`
    the marks that were open, the outermost first, `indent` how far the item's text that it begins in was indented,
    `within` whether it begins inside of a line of that.
    """

    quote: str = ""
    header: str = ""
    spans: str = ""
    indent: int = 0
    within: bool = False

    def apply(self, body: str, closing: str = "") -> str:
        """`body` with what it takes over in front; `closing` ends it."""
        if not body or self == NOTHING:
            return body
        if self.indent:
            body = self._outdented(body)
        if self.header and body.startswith("|"):
            return self.header + body
        spans = "" if starts_a_block(body) else self._reopen_marks(body, closing)
        quote = self.quote if not body.startswith(">") else ""
        return quote + spans + body

    def _reopen_marks(self, body: str, closing: str) -> str:
        """The marks that were open, if `body` ends them."""
        if not self.spans:
            return ""
        paragraph = re.split(r"\n[ \t>]*\n", body, maxsplit=1)[0]
        ending = closing if len(paragraph) == len(body) else ""
        parse = parse_inline(f"{self.spans}{paragraph.rstrip()}{ending}\n")
        left = [at for at, _ in (*parse.open_spans, *([parse.code] if parse.code else [])) if at < len(self.spans)]
        return "" if left else self.spans

    def _outdented(self, body: str) -> str:
        """The lines without their item's indentation; a number after the item's rest is kept from being its text."""
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


def starts_a_block(body: str) -> bool:
    """Whether `body` begins with something other than the text of a paragraph."""
    return _BLOCK.match(body) is not None


def continuation_of(text: str, before: Continuation) -> tuple[str, Continuation]:
    """What ends the marks that are open at the end of `text`, and what the text after it takes over.

    `before` is what `text` itself took over.
    """
    within = not text.endswith("\n")
    line = text[text.rfind("\n") + 1 :]
    quote = _QUOTE.match(line) if within else None
    top = open_table_header(text)
    leaf = last_leaf(text)
    parse = parse_inline(leaf[1] + "\n") if leaf else None  # a mark at the cut does what it does before white space
    closing, spans = (parse.closing, parse.opening) if parse else ("", "")
    indent = _item(text, before.indent)
    continuation = Continuation(
        quote=quote.group() if quote else "",
        header=top if len(top) <= _LONGEST_HEADER else "",
        spans=spans,
        indent=indent,
        within=within and bool(indent),
    )
    return closing, continuation


def _item(text: str, outer: int) -> int:
    """How far the item that `text` ends in indents its text; 0 if it ends in none, `outer` if all of it is in one."""
    blank = False
    for line in reversed(text.rstrip().split("\n")):
        if match := _ITEM.match(line):
            return min(len(match.group().expandtabs(4)), _DEEPEST)
        if line.strip() and not _indentation(line) and blank:
            return 0
        blank = blank or not line.strip()
    return outer


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _ends_paragraph(line: str) -> bool:
    return not line.strip() or _BLOCK.match(line) is not None
