"""The end of a text still arriving: how much of it to show, and how to close it.

Only the last block can be unfinished. Possible syntax is held back until its kind is certain: a mark at the end of a
line, half a link, a table's header without its delimiter row. So shown text is never taken back. Emphasis and code are
shown at once, and closed. At most `LONGEST_HELD` characters are held, or `_LONGEST_ROW` for a table's row, and none
after the end. Open fences belong to `bot.markdown.splitter`.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.markdown.inline_parser import LONGEST_HELD, parse_inline

# A row appears whole; a longer one is not waited for.
_LONGEST_ROW = 600

# Passes over the rest after something was held back: it may end in another unfinished element.
_LOOKS = 6

# A line with nothing but marks at its start: quotes, items, tasks, headings, or the number of a possible item.
_MARKS_ONLY = re.compile(
    r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])(?:[ \t>]+|$))*(?:#{1,6}[ \t]*|[-*+]|\d{1,9}[.)]?)?(?:\[[ xX]?\]?[ \t]*)?"
)
# A line that may become a rule or a heading's underline.
_RULE = re.compile(r"[ \t>]*(?:(?:-[ \t]*)+|(?:=[ \t]*)+|(?:\*[ \t]*)+|(?:_[ \t]*)+)")
_ROW = re.compile(r"[ \t>]*\|")
_DELIMITER_ROW = re.compile(r"[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
# A tag of HTML, up to its end.
_TAG = re.compile(r"[ \t>]*<(?:[A-Za-z/!?][^>\n]*)?")
# A link's or a footnote's definition, up to its end: shown nowhere, or at the end.
_DEFINITION = re.compile(r"[ \t>]*\[[^\]\n]+\]:[^\n]*")

_UNDECIDED = (_MARKS_ONLY, _RULE, _DEFINITION, _TAG)

# A paragraph or an item of plain lines, which needs no parser: each line begins with a letter, and none is a row.
_PLAIN_LINE = r"[^\W\d_][^|\x00-\x08\x0a-\x1f\x7f-\x9f]*"
_PLAIN = re.compile(rf"(?:[-*+] )?({_PLAIN_LINE}(?:\n{_PLAIN_LINE})*)\n?")

# Starts a block in any context; an unindented line after a blank one does too.
_BLOCK_START = re.compile(r"[-*+][ \t]|#{1,6}[ \t]")


class _Blocks(MarkdownIt):
    """CommonMark's blocks and tables; the text in them is left as it is."""

    def __init__(self) -> None:
        super().__init__("commonmark")
        self.enable("table")
        self.disable("inline")


# A parser has no state of its own between texts, so one serves the process.
_BLOCKS = _Blocks()


def visible_end(text: str) -> tuple[int, str]:
    """How many characters of `text`, outside fences at its end, to show, and the closing marks to add."""
    end = _whole_lines(text)
    for _ in range(_LOOKS):
        end = len(text[:end].rstrip(" \t")) if end else 0
        leaf = last_leaf(text[:end])
        if leaf is None:
            return end, ""
        start, content = leaf
        parse = parse_inline(content)
        held = parse.held
        if held is None:
            held, closing = _empties(content, parse.open_spans, parse.code), parse.closing
            if held is None:
                return (len(text[:end].rstrip()) - _half_ticks(content, parse.code), closing) if closing else (end, "")
        end = start + held
        if not content[:held].strip():
            end = _before_marks(text, end)
    return end, ""


def _whole_lines(text: str) -> int:
    """The length of `text` without undecided last lines."""
    start = text.rfind("\n") + 1
    line = text[start:]
    held = (any(kind.fullmatch(line) for kind in _UNDECIDED) and len(line) <= LONGEST_HELD) or (
        _ROW.match(line) and len(line) <= _LONGEST_ROW
    )
    if line and not held:
        return len(text)
    return _without_lone_header(text, start)


def _without_lone_header(text: str, end: int) -> int:
    """`end`, or the start of the table header before it: a header shows nothing without a row."""
    start = end
    for _ in range(2):
        above = text.rfind("\n", 0, max(start - 1, 0)) + 1
        if not start or not _ROW.match(text, above, start):
            break
        start = above
    before = text[text.rfind("\n", 0, max(start - 1, 0)) + 1 : start]
    dashes = text[start:end].count("\n") < 2 or _DELIMITER_ROW.fullmatch(text[start:end].split("\n")[1])  # or a row
    return start if dashes and not _ROW.match(before) and len(text) - start <= _LONGEST_ROW else end


def _before_marks(text: str, end: int) -> int:
    """`end`, or the start of its line if only block marks precede it there."""
    start = text.rfind("\n", 0, end) + 1
    return start if _MARKS_ONLY.fullmatch(text[start:end]) else end


def last_leaf(text: str) -> tuple[int, str] | None:
    """The offset and text of the last block if it may continue.

    Later lines may have lost quote marks, so the offset is exact for the last line only; nearly all held text is there.
    """
    if not text.strip() or re.search(r"\n[ \t>]*\n[ \t]*\Z", text):
        return None
    begin = _last_start(text)
    if (plain := _PLAIN.fullmatch(text, begin)) is not None:
        return plain.start(1), plain.group(1).rstrip()
    tokens = _BLOCKS.parse(text[begin:])
    leaf = next((token for token in reversed(tokens) if token.type in _LEAVES), None)
    if leaf is None or leaf.type != "inline" or not leaf.map or _is_over(tokens, text):
        return None
    lines = text[begin:].split("\n")[leaf.map[0] : leaf.map[1]]
    return _placed(text, lines, leaf.content)


def _last_start(text: str) -> int:
    """Where the last block begins for certain."""
    at = len(text)
    while (at := text.rfind("\n", 0, at)) != -1:
        if _BLOCK_START.match(text, at + 1):
            return at + 1
        if text[at + 1 : at + 2].strip(" \t") and not text[text.rfind("\n", 0, at) + 1 : at].strip(" \t"):
            return at + 1
    return 0


_LEAVES = frozenset({"inline", "fence", "code_block", "html_block", "hr"})


def _is_over(tokens: list[Token], text: str) -> bool:
    """Whether the last block is complete: a heading or a table row with its line end."""
    last = next((token.type for token in reversed(tokens) if token.type.endswith("_close")), "")
    kinds = {token.type for token in tokens[-4:]}
    ended = text.endswith("\n")
    return (last == "heading_close" or "table_close" in kinds or "heading_close" in kinds) and ended


def _placed(text: str, lines: list[str], content: str) -> tuple[int, str] | None:
    """The last block's text as it stands in the source, if it does so in one stretch; else its last line alone."""
    bare = text.rstrip()
    if bare.endswith(content):
        return len(bare) - len(content), content
    joined = "\n".join(lines).rstrip()
    first = content.split("\n", 1)[0]
    at = joined.find(first)
    if at < 0 or not bare.endswith(joined):
        return None
    return len(bare) - len(joined) + at, joined[at:]


def _empties(content: str, open_spans: tuple[tuple[int, str], ...], code: tuple[int, str] | None) -> int | None:
    """The offset of marks without visible content after them, or None."""
    end = len(content)
    marks = [*open_spans, *([code] if code else [])]
    found = None
    for at, mark in reversed(marks):
        after = content[at + len(mark) : end].strip()
        if after and not (code is not None and (at, mark) == code and not after.strip("`")):
            break
        found = end = at
    return found


def _half_ticks(content: str, code: tuple[int, str] | None) -> int:
    """How many backticks at the end may begin the closing run of open code."""
    return len(content) - len(content.rstrip("`")) if code else 0


def unsplittable_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Where `text` is not cut (start, end): inside of links, code and addresses of its last block, ended or not."""
    leaf = last_leaf(text)
    if leaf is None:
        return ()
    start, content = leaf
    parse = parse_inline(content)
    ends = (parse.held, parse.code[0] if parse.code else None, parse.begun)
    begun = min((at for at in ends if at is not None), default=None)
    open_spans = [*parse.atoms, *([(begun, len(text) + 1)] if begun is not None else [])]
    return tuple((start + first, start + last) for first, last in open_spans)


def ends_in_block_marks(text: str) -> bool:
    """Whether the last line of `text` has only block marks, such as an item's number."""
    line = text[text.rfind("\n") + 1 :]
    return bool(line.strip()) and _MARKS_ONLY.fullmatch(line) is not None


def may_close_block(line: str, marker: str) -> bool:
    """Whether `line`, the last of a code block, may become its closing fence."""
    bare = line.strip(" \t>")
    return bool(bare) and len(bare) < len(marker) and not bare.strip(marker[0])
