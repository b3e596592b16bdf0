"""Emphasis for strict CommonMark readers: Slack's markdown block and the playground.

A zero-width space inside a mark makes such a reader pair marks as `bot.markdown.inline_parser` does, also in Chinese,
Japanese and Korean. CommonMark treats the space as a letter, so adjacent punctuation no longer counts. Slack needs it
too (https://github.com/darkgaldragon/slack-markdown-parser), even next to punctuation of these scripts: it knows only
ASCII's. Discord pairs marks by other rules (`adapters.discord.messages.inline_renderer`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bot.markdown.delimiter_runs import MarkPair, can_open_and_close, is_punctuation
from bot.markdown.inline_parser import InlineParse, parse_inline
from bot.markdown.tables import fenced_lines

ZERO_WIDTH_SPACE = "\u200b"

Edit = tuple[int, int, str]  # start, end, replacement

# Goes inside marks, and between backticks to keep them from closing a block.
_SPACES = re.compile(f"(?<=[*_~`]){ZERO_WIDTH_SPACE}|{ZERO_WIDTH_SPACE}(?=[*_~])")
# A run of one mark. Three alternatives would take twice the time of this pattern.
_RUN = re.compile(r"([*_~])\1*")


def emphasis_padding(text: str) -> int:
    """At most how much longer `add_emphasis_spaces` makes a text; only ever grows with it."""
    return sum(1 for _ in ambiguous_runs(text))


def ambiguous_runs(text: str) -> Iterator[re.Match[str]]:
    """Delimiter runs with another meaning in CommonMark. Each needs at most one zero-width space.

    They stand beside non-ASCII characters, or between punctuation and a letter. A run at the end of a text does not
    count yet.
    """
    if "*" not in text and "_" not in text and "~" not in text:
        return
    length = len(text)
    for run in _RUN.finditer(text):
        start, end = run.span()
        if start > 0 and end < length:
            before, after = text[start - 1], text[end]
            if before != " " and after != " " and run[0] != "~" and _is_ambiguous(before, after):
                yield run


def _is_ambiguous(before: str, after: str) -> bool:
    if before.isspace() or after.isspace():
        return False
    if not (before.isascii() and after.isascii()):
        return True
    if before.isalnum():
        return after in "([{\"'"
    return after.isalnum() and before not in "([{<*_~"


def strip_emphasis_spaces(text: str) -> str:
    """Remove our zero-width spaces from a model's text, to keep the model from imitating them."""
    return _SPACES.sub("", text) if ZERO_WIDTH_SPACE in text else text


def has_ambiguous_runs(text: str) -> bool:
    """Whether there is such a run. Asked of each line of each write."""
    return next(ambiguous_runs(text), None) is not None


def add_emphasis_spaces(text: str) -> str:
    """`text` with zero-width spaces wherever CommonMark needs them for the intended emphasis; not in code."""
    if not has_ambiguous_runs(text):
        return text
    lines = text.split("\n")
    code = fenced_lines(lines)
    return "\n".join(line if number in code else add_line_emphasis_spaces(line) for number, line in enumerate(lines))


def add_line_emphasis_spaces(line: str) -> str:
    """The same for one line outside code."""
    return apply_edits(line, emphasis_edits(line, parse_inline(line + "\n"))) if has_ambiguous_runs(line) else line


def apply_edits(text: str, edits: Sequence[Edit], start: int = 0, end: int | None = None) -> str:
    """`text` from `start` to `end` with the edits inside that range."""
    end = len(text) if end is None else end
    out, at = [], start
    for begin, stop, new in sorted(edits):
        if begin >= at and stop <= end:
            out += [text[at:begin], new]
            at = stop
    return "".join([*out, text[at:end]])


def emphasis_edits(line: str, parse: InlineParse) -> list[Edit]:
    """Edits that make CommonMark read the pairs of a line as `inline_parser` does."""
    found: set[Edit] = set()
    for pair in parse.pairs:
        found |= _inside(line, pair)
    for at, run in parse.stray:
        found |= _beside(line, at, run)
    spaces = {begin for begin, end, _ in found if begin == end}
    for pair in parse.pairs:
        # An underscore beside such a space stands in a word.
        if pair.character == "_" and not spaces.isdisjoint((_run(line, pair.start)[0], _run(line, pair.end)[1])):
            found |= _with_asterisks(pair)
    return sorted(found)


def _inside(line: str, pair: MarkPair) -> set[Edit]:
    """Edits of one pair: zero-width spaces inside its marks, or asterisks within words."""
    first, last = _run(line, pair.start), _run(line, pair.end)
    opens = _needs_none(_before(line, first[0]), _after(line, first[1]))
    closes = _needs_none(_after(line, last[1]), _before(line, last[0]))
    found: set[Edit] = set()
    if pair.character == "_" and not (opens and closes and _reads_strictly(line, first, last)):
        found |= _with_asterisks(pair)
    if not opens:
        found.add((first[1], first[1], ZERO_WIDTH_SPACE))
    if not closes:
        found.add((last[0], last[0], ZERO_WIDTH_SPACE))
    return found


def _with_asterisks(pair: MarkPair) -> set[Edit]:
    return {(at, at + pair.length, "*" * pair.length) for at in (pair.start, pair.end)}


def _needs_none(outside: str, inside: str) -> bool:
    """Whether CommonMark, and a reader with ASCII punctuation only, understand a mark between these characters."""
    is_inside_plain = not is_punctuation(inside) and not inside.isspace()
    return is_inside_plain or outside.isspace() or (outside.isascii() and is_punctuation(outside))


def _reads_strictly(line: str, first: tuple[int, int], last: tuple[int, int]) -> bool:
    opens, _ = can_open_and_close("_", _before(line, first[0]), _after(line, first[1]))
    _, closes = can_open_and_close("_", _before(line, last[0]), _after(line, last[1]))
    return opens and closes


def _beside(line: str, at: int, run: str) -> set[Edit]:
    """Edits of a mark whose partner is on another line: keep its role."""
    if run[0] == "_":
        return set()
    start, end = _run(line, at)
    before, after = _before(line, start), _after(line, end)
    if before.isspace() or after.isspace() or (before.isascii() and after.isascii()):
        return set()
    opens, closes = can_open_and_close(run[0], before, after)
    if not opens:
        return {(end, end, ZERO_WIDTH_SPACE)}
    return set() if closes else {(start, start, ZERO_WIDTH_SPACE)}


def _run(line: str, at: int) -> tuple[int, int]:
    """The start and end of a mark's delimiter run."""
    start = end = at
    while start and line[start - 1] == line[at]:
        start -= 1
    while end < len(line) and line[end] == line[at]:
        end += 1
    return start, end


def _before(line: str, at: int) -> str:
    return line[at - 1] if at else " "


def _after(line: str, at: int) -> str:
    return line[at] if at < len(line) else " "
