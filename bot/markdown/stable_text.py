"""The stable part of a growing text: the longest beginning that later text does not change, for append-only messages.

It ends before a visible character, behind white space if possible: some platforms drop white space at the start of an
appended part (Slack: ``docs/slack.md``). It ends outside of unfinished emphasis, code, links, images and table rows.
Definitions of links that follow their use, and rare constructs beyond, still change it: the caller compares.
"""

from __future__ import annotations

import unicodedata

from bot.markdown.boundaries import grapheme_boundary
from bot.markdown.inline_parser import InlineParse, parse_inline
from bot.markdown.streaming_tail import ends_in_block_marks, last_leaf, visible_end

# A word, a table's row, or a line of code longer than this is not waited for, in characters.
_LONGEST_WORD = 40
_LONGEST_ROW = 600
_LONGEST_LINE = 200


def stable_end(text: str) -> int:
    """How many characters of `text`, outside fences at its end, later text does not change."""
    end, _ = visible_end(text)
    leaf = last_leaf(text[:end])
    if leaf is not None:
        start, content = leaf
        end = min(end, start + _certain(content, parse_inline(content)))
    if text[end:].strip():
        end = _behind_space(text, end)
    line = text.rfind("\n", 0, end) + 1
    if "|" in text[line:end] and end - line <= _LONGEST_ROW:
        return _behind_space(text, line)
    return _between_words(text, end, line)


def stable_code_end(text: str) -> int:
    """The same for a text that ends in a block of code: whole lines."""
    bare = text.rstrip()
    line = bare.rfind("\n") + 1
    if len(bare) - line <= _LONGEST_LINE:
        return _behind_space(text, line)
    return _between_words(text, len(bare), line)


def _certain(content: str, parse: InlineParse) -> int:
    """The beginning of a paragraph before its first unfinished element."""
    code = parse.code[0] if parse.code else None
    unfinished = (parse.held, parse.begun, code, *(at for at, _ in parse.open_spans))
    return min((at for at in unfinished if at is not None), default=len(content))


def _behind_space(text: str, at: int) -> int:
    """`at`, or the next visible character behind it."""
    rest = text[at:]
    return at + len(rest) - len(rest.lstrip()) if rest.strip() else _before_last_space(text, at)


def _before_last_space(text: str, end: int) -> int:
    """The start of the last word before `end`: more white space may follow it."""
    bare = text[:end].rstrip()
    return len(bare) - len(bare.split()[-1]) if bare else 0


def _between_words(text: str, end: int, line: int) -> int:
    """The last place at or before `end` between two words of the line that starts at `line`, both known."""
    cut = end
    while cut > line and not _is_boundary(text, cut):
        cut -= 1
        if end - cut > _LONGEST_WORD:
            return _within_word(text, end)
    if ends_in_block_marks(text[:cut]):  # marks belong to the words behind them
        cut = line
    return cut if cut > line else _behind_space(text, line)


def _is_boundary(text: str, at: int) -> bool:
    """Whether a visible character begins a word at `at`. Chinese and Japanese have no spaces."""
    if at >= len(text) or text[at].isspace():
        return False
    return text[at - 1].isspace() or (_is_ideograph(text[at - 1]) and _is_ideograph(text[at]))


def _is_ideograph(character: str) -> bool:
    return unicodedata.category(character) == "Lo" and unicodedata.east_asian_width(character) in "WF"


def _within_word(text: str, end: int) -> int:
    """A place in a very long word, between two letters or figures."""
    for cut in range(min(end, len(text) - 1), max(end - _LONGEST_WORD, 0), -1):
        if text[cut - 1].isalnum() and text[cut].isalnum():
            return grapheme_boundary(text, cut)
    return _before_last_space(text, end)
