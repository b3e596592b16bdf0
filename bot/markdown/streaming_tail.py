"""The end of a text that is still arriving: how much of it is shown, and what is closed for it.

What belongs here: rules for the last block, since only that can be unfinished. What does not: open fences, which
`bot.markdown.splitter` knows of, and platforms.

What may turn out to be syntax is kept back until it is plain what it is (a mark at the end of a line, half a link, a
table's header without the line under it), so that what was shown is not taken back; what is certain enough is shown at
once and closed (emphasis, code). Nothing is kept back for longer than `LONGEST_HELD` characters, or a row of a table
for `_LONGEST_ROW`, and nothing at all once the text has ended.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.markdown.inline_parser import LONGEST_HELD, parse_inline

# A row appears whole; a longer one is not waited for.
_LONGEST_ROW = 600

# How often what is left is looked at again once something was kept back: it may end in the next half thing.
_LOOKS = 6

# A line that is nothing yet but the marks that begin a block: quotes, items, tasks, headings, and the number that may
# become an item's.
_MARKS_ONLY = re.compile(
    r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])(?:[ \t>]+|$))*(?:#{1,6}[ \t]*|[-*+]|\d{1,9}[.)]?)?(?:\[[ xX]?\]?[ \t]*)?"
)
# A line that may become a rule, or a heading's underline.
_RULE = re.compile(r"[ \t>]*(?:(?:-[ \t]*)+|(?:=[ \t]*)+|(?:\*[ \t]*)+|(?:_[ \t]*)+)")
_ROW = re.compile(r"[ \t>]*\|")
_DELIMITER_ROW = re.compile(r"[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
# A tag of HTML, up to its end.
_TAG = re.compile(r"[ \t>]*<(?:[A-Za-z/!?][^>\n]*)?")
# A link's or a footnote's definition, up to its end: shown nowhere, or at the end.
_DEFINITION = re.compile(r"[ \t>]*\[[^\]\n]+\]:[^\n]*")

_UNDECIDED = (_MARKS_ONLY, _RULE, _DEFINITION, _TAG)

# What begins a block for certain, whatever stands above it; a line after a blank one does so if it is not indented.
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
    """How many characters of `text` (which ends outside of code blocks) are shown, and what is added to close them."""
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
    """The length of `text` without last lines of which nothing can be said yet."""
    start = text.rfind("\n") + 1
    line = text[start:]
    held = (any(kind.fullmatch(line) for kind in _UNDECIDED) and len(line) <= LONGEST_HELD) or (
        _ROW.match(line) and len(line) <= _LONGEST_ROW
    )
    if line and not held:
        return len(text)
    return _without_lone_header(text, start)


def _without_lone_header(text: str, end: int) -> int:
    """`end`, or where the lines before it start if they are a table's header, which is nothing without a row."""
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
    """`end`, or where its line starts if only marks that begin a block stand before it there."""
    start = text.rfind("\n", 0, end) + 1
    return start if _MARKS_ONLY.fullmatch(text[start:end]) else end


def last_leaf(text: str) -> tuple[int, str] | None:
    """Where the text of the last block begins and what it is, if it may go on; seen from its end.

    Lines after the first may have had marks of a quote before them; the place is exact for the last line, which is
    where nearly everything that is kept back stands.
    """
    if not text.strip() or re.search(r"\n[ \t>]*\n[ \t]*\Z", text):
        return None
    begin = _last_start(text)
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
    """Whether the last block takes no further line: a heading, or a table's row, that has its end."""
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
    """Where the marks begin that have nothing after them to be seen yet, or None."""
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
    """How many backticks at the end may be the beginning of what closes the code that is open."""
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
    """Whether nothing but what begins a block stands in the last line of `text`: an item's number, say."""
    line = text[text.rfind("\n") + 1 :]
    return bool(line.strip()) and _MARKS_ONLY.fullmatch(line) is not None


def may_close_block(line: str, marker: str) -> bool:
    """Whether `line`, the last of a block of code, may become the one that closes it."""
    bare = line.strip(" \t>")
    return bool(bare) and len(bare) < len(marker) and not bare.strip(marker[0])
