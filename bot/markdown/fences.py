"""Code fences by lines: where a block of code opens and closes.

The content of blocks belongs to `bot.markdown.code_blocks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bot.markdown.tables import may_have_fences

# A line opening or closing a code fence (https://spec.commonmark.org/0.31.2/#fenced-code-blocks), at any indentation of
# a list or quote. The info string of a backtick fence contains no backtick. Runs longer than 32 count as text: they do
# not occur, and each would cost its length again at every cut of the block.
_FENCE_LINE = re.compile(r"([ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(`{3,32}(?!`)|~{3,32}(?!~))([^\n]*)")

# Maximum length of a language name. It is repeated in each message of a block; longer words are not a language's name.
_MAX_INFO_LENGTH = 32

# Maximum length of the indentation or quote marks before a fence, repeated as often.
_MAX_PREFIX_LENGTH = 24


@dataclass(frozen=True, slots=True)
class Fence:
    """An open code fence: `marker` as written (three or more backticks or tildes) and its language, `info`.

    `prefix` is the text before it: a list item's indentation, or quote marks.
    """

    marker: str
    info: str
    prefix: str = ""

    @property
    def is_quoted(self) -> bool:
        """Whether the block is inside a quote, and therefore ends with it."""
        return ">" in self.prefix

    def standalone(self) -> Fence:
        """The fence outside of its list."""
        return self if self.is_quoted else Fence(self.marker, self.info)


def _lines(source: str) -> Iterator[tuple[int, str]]:
    """Every line with its offset; the last one may be incomplete."""
    start = 0
    while start < len(source):
        end = source.find("\n", start)
        end = len(source) if end == -1 else end
        yield start, source[start:end]
        start = end + 1


def _opens(line: str) -> Fence | None:
    match = _FENCE_LINE.fullmatch(line)
    if match is None:
        return None
    prefix, marker, info = match.group(1), match.group(2), match.group(3).strip()
    if marker[0] == "`" and "`" in info:
        return None
    language = info.split()[0] if info else ""
    # A list's own mark is not repeated; the item's further lines are indented instead.
    prefix = "".join(character if character in " \t>" else " " for character in prefix)
    return Fence(marker, language if len(language) <= _MAX_INFO_LENGTH else "", prefix[:_MAX_PREFIX_LENGTH])


def closes_fence(line: str, fence: Fence) -> bool:
    """Whether a line inside a block closes it."""
    bare = line.strip(" \t>\r")
    return len(bare) >= len(fence.marker) and bare.strip(fence.marker[0]) == ""


def ends_block(line: str, fence: Fence) -> bool:
    """Whether the block ends at this line: by a closing fence, or by the end of its quote."""
    return closes_fence(line, fence) or (fence.is_quoted and not line.lstrip().startswith(">"))


def dedented(text: str, fence: Fence) -> str:
    """The lines of a block without its list's indentation."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        cut = len(line) - len(line.lstrip(" \t"))
        lines[number] = line[min(cut, len(fence.prefix)) :]
        if closes_fence(line, fence):
            break
    return "\n".join(lines)


def fence_changes(source: str, fence: Fence | None) -> Iterator[tuple[int, Fence | None]]:
    """The open fence after each line with a change, with the line's offset. `fence` is open at the start."""
    if fence is None and not may_have_fences(source):
        return  # no line can open one: true for nearly all calls
    for start, line in _lines(source):
        if fence is not None and not ends_block(line, fence):
            continue
        if fence is not None:
            is_closing_line = closes_fence(line, fence)
            fence = None
            yield start, None
            if is_closing_line:
                continue
        if (opened := _opens(line)) is not None:
            fence = opened
            yield start, fence


def open_fences(source: str, fence: Fence | None) -> Iterator[Fence]:
    """Every fence open somewhere in the source."""
    if fence is not None:
        yield fence
    yield from (state for _, state in fence_changes(source, fence) if state is not None)


def fence_at_end(source: str, fence: Fence | None) -> Fence | None:
    """The fence open at the end of `source`, if `fence` is open at its start."""
    for _, state in fence_changes(source, fence):
        fence = state
    return fence


def last_opening(source: str, fence: Fence | None) -> int | None:
    """The offset of the opening of the fence open at the end; 0 if it was open at the start, None if none is open."""
    opened_at = 0 if fence is not None else None
    for start, state in fence_changes(source, fence):
        opened_at = start if state is not None else None
    return opened_at


def next_line_start(text: str, at: int) -> int:
    """The offset of the line after the one at `at`."""
    end = text.find("\n", at)
    return len(text) if end == -1 else end + 1
