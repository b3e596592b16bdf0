"""Places to cut a text, the best first: between blocks, lines, sentences, words, and characters as readers see them."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator

from bot.markdown.fences import Fence, last_opening
from bot.markdown.streaming_tail import ends_in_block_marks
from bot.markdown.tables import ends_in_table_head

# The end of a sentence: its mark, closing marks, and a space (omitted in Chinese and Japanese).
_SENTENCE_END = re.compile("[.!?…][\"'”\u2019)\\]*_]*\\s|[。\uff01\uff1f]")

# Characters searched backwards for a grapheme boundary. Longer sequences are not readable text.
_MAX_GRAPHEME_LENGTH = 48

# Places of each kind to try if the best ones lie inside of unsplittable spans.
_MAX_TRIES = 64

# Marks of emphasis. They belong to the words, the link or the image next to them.
EMPHASIS_MARKS = "*_~"

_ZERO_WIDTH_JOINER = "\u200d"


def boundaries(text: str, end: int, fence: Fence | None) -> Iterator[int]:
    """Places to end a message at or before `end`, the best first; all in the second half, to avoid short messages."""
    half = end // 2
    yield from block_boundaries(text, end, fence)
    opened_at = last_opening(text[:end], fence)
    yield from line_boundaries(text, end, fence)
    if opened_at is None:
        yield from reversed([match.end() for match in _SENTENCE_END.finditer(text, half, end)][-_MAX_TRIES:])
    for space in _spaces(text, half, end):
        yield space + 1
    yield grapheme_boundary(text, end)


def block_boundaries(text: str, end: int, fence: Fence | None) -> Iterator[int]:
    """Those of them between two blocks: before the code block open at the end, and behind the last blank line."""
    half = end // 2
    opened_at = last_opening(text[:end], fence)
    if opened_at is not None and opened_at > half:
        yield opened_at
    yield from _after(text, "\n\n", half, end)


def line_boundaries(text: str, end: int, _fence: Fence | None) -> Iterator[int]:
    """Those between two lines: the last one, in code too."""
    yield from _after(text, "\n", end // 2, end)


def boundary_between_words(text: str, end: int) -> int:
    """The last place at or before `end` between graphemes and not next to a mark: marks stay with their words."""
    for cut in range(end, max(end - _MAX_GRAPHEME_LENGTH, 1), -1):
        if text[cut - 1] not in EMPHASIS_MARKS and text[cut : cut + 1] not in (*EMPHASIS_MARKS, ""):
            return grapheme_boundary(text, cut)
    return end


def boundary_before(text: str, atom: int) -> int:
    """The end of the message before an unsplittable span, its list mark or table row; 0 if the message is empty."""
    line = text.rfind("\n", 0, atom) + 1
    before = len(text[:atom].rstrip(EMPHASIS_MARKS))  # marks opening there move along
    cut = line if ends_in_block_marks(text[:before]) or text.startswith("|", line) else before
    return cut if text[:cut].strip() and not ends_in_table_head(text[:cut]) else 0


def _after(text: str, mark: str, half: int, end: int) -> Iterator[int]:
    """The last place after `mark` that does not separate a heading or a table's head from its content."""
    at = text.rfind(mark, half, end)
    while at != -1:
        above = text[half:at].rstrip()
        if not above[above.rfind("\n") + 1 :].lstrip().startswith("#") and not ends_in_table_head(text[:at]):
            yield at + len(mark)
            return
        at = text.rfind(mark, half, half + len(above))


def _spaces(text: str, start: int, end: int) -> Iterator[int]:
    """The last white space characters, the last one first."""
    found = (at for at in range(end - 1, start - 1, -1) if text[at].isspace())
    return itertools.islice(found, _MAX_TRIES)


def grapheme_boundary(text: str, end: int) -> int:
    """The nearest place at or before `end` outside of a grapheme, a character as users see it."""
    for cut in range(end, max(end - _MAX_GRAPHEME_LENGTH, 1), -1):
        if cut >= len(text) or not _joins(text, cut):
            return cut
    return end


def _joins(text: str, at: int) -> bool:
    """Whether the characters before and at `at` form one grapheme."""
    before, after = text[at - 1], text[at]
    if _ZERO_WIDTH_JOINER in {before, after} or unicodedata.category(after) in {"Mn", "Me", "Mc"}:
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":  # skin tones, tag sequences
        return True
    if before == "\r" and after == "\n":
        return True
    if _is_regional(before) and _is_regional(after):  # a flag is a pair, counted from the start of the run
        run = 0
        while run < at and _is_regional(text[at - 1 - run]):
            run += 1
        return run % 2 == 1
    return False


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
