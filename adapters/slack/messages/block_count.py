"""How many blocks Slack makes of a markdown block: a bound that only grows. Pure.

Slack expands a ``markdown`` block into headers, tables, dividers, rich text and more, and only then counts: a message
takes 50 blocks (``msg_blocks_too_long``, ``invalid_blocks``). It does not publish its rules, so the estimate is
conservative: each heading, table, rule and block of code is one, and so is each run of text, of quotes or of a list.
"""

from __future__ import annotations

import re

from bot.markdown import Piece
from bot.markdown.splitter import fence_changes

# What one block takes of the 11,500 characters of a message (`blocks.MARKDOWN_LIMIT`): 44 blocks fill it. The other six
# of Slack's 50 are for the line that has only begun, for our own lines below the answer, and for what Slack may split.
CHARACTERS = 261

_HEADING = re.compile(r"[ ]{0,3}#{1,6}(?:[ \t]|$)")
# A rule, or what underlines a heading.
_RULE = re.compile(r"[ ]{0,3}(?:=+|-+|([-*_])(?:[ \t]*\1){2,})[ \t]*$")
_TABLE = re.compile(r"[ ]{0,3}\||[ ]{0,3}:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*$")
_QUOTE = re.compile(r"[ ]{0,3}>")
_ITEM = re.compile(r"([ \t]*)(?:([-*+])|\d{1,9}[.)])(?:[ \t]|$)")
_LISTS = frozenset({"bullets", "numbers"})


def blocks_of(piece: Piece) -> int:
    """At most how many blocks a piece becomes, without the line at its end that has only begun.

    Each line adds one at the most, by what stands before it, so a piece that goes on further never has fewer.
    """
    source, fence = piece.source, piece.reopened
    states = dict(fence_changes(source, fence))
    run = "code" if fence is not None else "table" if piece.continuation.header else ""
    count, start, after_blank = int(bool(run)), 0, True
    while (end := source.find("\n", start)) != -1:
        if start in states:
            was, fence = fence, states[start]
            count, run = count + (fence is not None), "code" if fence is not None else ""
            if fence is None and was is not None and not was.quoted:
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
    """What a line belongs to, outside of code: the run so far or one that it begins; empty for a blank one."""
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
