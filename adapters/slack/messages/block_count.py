"""An upper bound for the blocks Slack makes of a markdown block; it only grows with the text. Pure.

Slack expands a ``markdown`` block into headers, tables, dividers, rich text and more, and counts afterwards: a message
may have 50 blocks (``msg_blocks_too_long``, ``invalid_blocks``). The rules are unpublished, so the estimate is
conservative: one for each heading, table, rule and block of code, and one for each run of text, quotes or list items.
"""

from __future__ import annotations

import re

from bot.markdown import Piece
from bot.markdown.fences import fence_changes

# Share of one block in the 11,500 characters of a message (`blocks.MARKDOWN_LIMIT`): 44 blocks fill it. The other six
# of Slack's 50 are for the unfinished last line, our own lines below the answer, two of buttons, others split by Slack.
CHARACTERS_PER_BLOCK = 261

_HEADING = re.compile(r"[ ]{0,3}#{1,6}(?:[ \t]|$)")
# A rule, or the underline of a heading.
_RULE = re.compile(r"[ ]{0,3}(?:=+|-+|([-*_])(?:[ \t]*\1){2,})[ \t]*$")
_TABLE = re.compile(r"[ ]{0,3}\||[ ]{0,3}:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*$")
_QUOTE = re.compile(r"[ ]{0,3}>")
_ITEM = re.compile(r"([ \t]*)(?:([-*+])|\d{1,9}[.)])(?:[ \t]|$)")
_LISTS = frozenset({"bullets", "numbers"})


def max_blocks(piece: Piece) -> int:
    """The most blocks of a piece, without its unfinished last line.

    Each line adds at most one, depending on earlier lines only, so a longer piece never has fewer.
    """
    source, fence = piece.source, piece.reopened
    states = dict(fence_changes(source, fence))
    run = "code" if fence is not None else "table" if piece.continuation.header else ""
    count, start, after_blank = int(bool(run)), 0, True
    while (end := source.find("\n", start)) != -1:
        if start in states:
            was, fence = fence, states[start]
            count, run = count + (fence is not None), "code" if fence is not None else ""
            if fence is None and was is not None and not was.is_quoted:
                start, after_blank = end + 1, True
                continue
        if fence is None:
            line = source[start:end]
            kind = _kind(line, run, after_blank=after_blank)
            count += kind == "single" or (kind not in ("", run))
            run = "" if kind == "single" or (not kind and run == "table") else kind or run
            after_blank = not kind
        start = end + 1
    return count


def _kind(line: str, run: str, *, after_blank: bool) -> str:
    """The run of a line outside code: the current one or a new one; empty for a blank line."""
    if not line.strip():
        return ""
    if _HEADING.match(line) or _RULE.match(line):
        return "single"
    if (item := _ITEM.match(line)) is not None:
        nested = run in _LISTS and len(item.group(1)) > 1
        return run if nested else "bullets" if item.group(2) else "numbers"
    if _QUOTE.match(line):
        return "quote"
    if _TABLE.match(line):
        return "table"
    goes_on = not after_blank and run in (*_LISTS, "quote", "table")
    within_item = run in _LISTS and line[0] in " \t"
    return run if goes_on or within_item else "text"
