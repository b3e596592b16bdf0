"""Delimiter runs of ``*``, ``_`` and ``~``: which can open or close emphasis, and which pair up.

Two rules: CommonMark's (https://spec.commonmark.org/0.31.2/#delimiter-run), and a wider one for model text. CommonMark
decides by white space and punctuation, so it needs spaces between words. Chinese and Japanese have none, and Korean
puts particles directly after a closing mark: a mark between punctuation and a word closes nothing. The wider rule lets
a run next to such a character open and close (https://github.com/commonmark/commonmark-spec/issues/650). In other
scripts a double mark after punctuation closes open emphasis: ``**Note:**text``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class DelimiterRun:
    """A run that can open or close emphasis; its marks from `at` on, `remaining` of them, are unused.

    `closes_too`: it may close an open double mark although it can only open by CommonMark's rule.
    """

    at: int
    character: str
    remaining: int
    opens: bool
    closes: bool
    closes_too: bool = False
    opens_too: bool = False

    @property
    def both(self) -> bool:
        """Whether it can open and close, so the rule of three applies."""
        return self.opens and self.closes


@dataclass(frozen=True, slots=True)
class MarkPair:
    """A matched pair: the offsets of its marks, their count and their character."""

    start: int
    end: int
    character: str
    length: int


def flanks(before: str, after: str) -> tuple[bool, bool]:
    """Whether a run between these two is left-flanking, and right-flanking, by CommonMark's own rule."""
    left = not after.isspace() and (not is_punctuation(after) or before.isspace() or is_punctuation(before))
    right = not before.isspace() and (not is_punctuation(before) or after.isspace() or is_punctuation(after))
    return left, right


def can_open_and_close(character: str, before: str, after: str) -> tuple[bool, bool]:
    """Whether a run may open, and may close, by CommonMark's own rule."""
    opens, closes = flanks(before, after)
    if character == "_":
        return opens and (not closes or is_punctuation(before)), closes and (not opens or is_punctuation(after))
    return opens, closes


def classify_run(before: str, after: str, *, at: int, character: str, length: int) -> DelimiterRun:
    """The run of `length` at `at`, by the wider rule."""
    opens, closes = can_open_and_close(character, before, after)
    if (opens and closes) or before.isspace() or after.isspace():
        return DelimiterRun(at, character, length, opens, closes)
    if _is_wide(before) or _is_wide(after):
        within_word = character == "_" and (_in_spaced_word(before) or _in_spaced_word(after))
        return DelimiterRun(at, character, length, opens or not within_word, closes or not within_word)
    double = length >= 2 and character != "_"
    closes_too = double and not closes and is_punctuation(before) and not is_punctuation(after) and not _begins(before)
    opens_too = double and not opens and not is_punctuation(before) and _begins(after)
    return DelimiterRun(at, character, length, opens, closes, closes_too, opens_too)


def is_punctuation(character: str) -> bool:
    """Whether CommonMark takes it for punctuation."""
    return unicodedata.category(character)[0] in "PS"


def _begins(character: str) -> bool:
    """Whether it opens a bracket or a quotation, or may."""
    return unicodedata.category(character) in {"Ps", "Pi"} or character in "\"'"


def _is_wide(character: str) -> bool:
    """Whether the character is twice as wide: scripts without spaces, and Korean."""
    return not character.isascii() and unicodedata.east_asian_width(character) in "WF"


def _in_spaced_word(character: str) -> bool:
    return character.isalnum() and not _is_wide(character)


def match_runs(marks: Sequence[DelimiterRun]) -> tuple[list[MarkPair], list[DelimiterRun]]:
    """Pairs and unmatched runs, by https://spec.commonmark.org/0.31.2/#phase-2-inline-structure.

    Uses up the runs.
    """
    pairs: list[MarkPair] = []
    stack: list[DelimiterRun] = []
    bottoms: dict[tuple[str, bool, bool, int], int] = {}  # below, no opener is left for a closer of this kind
    for mark in marks:
        while (mark.closes or mark.closes_too) and mark.remaining:
            kind = (mark.character, mark.opens, mark.closes, mark.remaining % 3)
            bottom = bottoms.get(kind, 0)
            found = next((i for i in range(len(stack) - 1, bottom - 1, -1) if _match(stack[i], mark)), None)
            if found is None:
                bottoms[kind] = len(stack)
                break
            del stack[found + 1 :]
            pairs.append(_take_pair(stack[found], mark))
            if not stack[found].remaining:
                stack.pop()
            bottoms = {key: min(value, len(stack)) for key, value in bottoms.items()}
        if mark.remaining and (mark.opens or mark.opens_too):
            stack.append(mark)
    return pairs, stack


def _take_pair(opener: DelimiterRun, closer: DelimiterRun) -> MarkPair:
    """Pair the innermost remaining marks of two runs."""
    used = 2 if min(opener.remaining, closer.remaining) >= 2 else 1
    opener.remaining -= used
    pair = MarkPair(opener.at + opener.remaining, closer.at, closer.character, used)
    closer.at += used
    closer.remaining -= used
    return pair


def _match(opener: DelimiterRun, closer: DelimiterRun) -> bool:
    if opener.character != closer.character:
        return False
    if opener.opens_too or closer.closes_too:  # only two such marks, and only for each other: 2**(n - 1) is a power
        return opener.remaining == closer.remaining == 2 and not closer.opens_too
    if not (opener.both or closer.both) or opener.character == "~":
        return True
    return (opener.remaining + closer.remaining) % 3 != 0 or (opener.remaining % 3 == 0 and closer.remaining % 3 == 0)
