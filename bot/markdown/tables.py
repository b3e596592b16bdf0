"""Tables as models write them (https://github.github.com/gfm/#tables-extension-): every line begins with a pipe.

What belongs here: which lines are a table, and their cells. What does not: how a platform shows one (a dialect). The
pipe in front may be left out in GFM; such tables are left as they are written, since a line of text could be one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ROW = re.compile(r"[ ]{0,3}\|.*")
_DELIMITERS = re.compile(r"[ ]{0,3}\|[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_PIPE = re.compile(r"(?<!\\)\|")
_FENCE = re.compile(r"[ \t>]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)?(`{3,}(?=[^`]*\Z)|~{3,}).*")


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the line of the text that it begins in, how many lines it takes, and its cells, the header's first.

    `sides` are the columns' sides: ``<``, ``>`` or ``^``, as `str.format` writes them.
    """

    line: int
    lines: int
    rows: tuple[tuple[str, ...], ...]
    sides: tuple[str, ...]


def tables(lines: Sequence[str]) -> Iterator[Table]:
    """The tables in a text's lines, but for those in blocks of code; `lines` are without their ends.

    A table begins with three lines: a header, the dashes under it, and a row; without one there is nothing to align.
    """
    code, number = fenced(lines), 0
    while number < len(lines):
        if number in code or not _is_head(lines, number):
            number += 1
            continue
        end = number + 2
        while end < len(lines) and _ROW.fullmatch(lines[end]):
            end += 1
        yield _table(lines[number:end], number)
        number = end


def fenced(lines: Sequence[str]) -> frozenset[int]:
    """The numbers of the lines that are in blocks of code, with those that open and close them."""
    found, fence = set(), ""
    for number, line in enumerate(lines):
        if fence:
            found.add(number)
            bare = line.strip(" \t>\r")
            fence = "" if len(bare) >= len(fence) and not bare.strip(fence[0]) else fence
        elif opening := _FENCE.fullmatch(line):
            fence = opening.group(1)
            found.add(number)
    return frozenset(found)


def _is_head(lines: Sequence[str], number: int) -> bool:
    return (
        number + 2 < len(lines)
        and _ROW.fullmatch(lines[number + 2]) is not None
        and _ROW.fullmatch(lines[number]) is not None
        and _DELIMITERS.fullmatch(lines[number + 1]) is not None
        and len(_cells(lines[number])) == len(_cells(lines[number + 1]))
    )


def _table(lines: Sequence[str], number: int) -> Table:
    head = _cells(lines[0])
    rows = [_fitted(_cells(line), len(head)) for line in lines[2:]]
    return Table(number, len(lines), (head, *rows), tuple(_side(cell) for cell in _cells(lines[1])))


def _cells(line: str) -> tuple[str, ...]:
    bare = line.strip()[1:]
    parts = _PIPE.split(bare)
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()
    return tuple(part.strip().replace("\\|", "|") for part in parts)


def _fitted(cells: tuple[str, ...], width: int) -> tuple[str, ...]:
    return (*cells[:width], *("" for _ in range(width - len(cells))))


def _side(dashes: str) -> str:
    if dashes.endswith(":"):
        return "^" if dashes.startswith(":") else ">"
    return "<"


def header(text: str) -> str:
    """The two lines on top of the table that `text` ends in (after a whole line of it), or nothing."""
    if not text.endswith("\n"):
        return ""
    lines = text.split("\n")[:-1]
    number = len(lines)
    while number and _ROW.fullmatch(lines[number - 1]):
        number -= 1
    found = next(iter(tables([*lines[number:], "|"])), None)
    if found is None or found.line:
        return ""
    return "".join(f"{line}\n" for line in lines[number : number + 2])


def stands_over(text: str) -> bool:
    """Whether `text` ends with a line that is nothing without the next: a table's header, or the dashes under it."""
    *_, above, last = ["", *text.rstrip("\n").rsplit("\n", 2)]
    if not _ROW.fullmatch(last):
        return False
    return _DELIMITERS.fullmatch(last) is not None or not _ROW.fullmatch(above)
