"""Tables in model text (https://github.github.com/gfm/#tables-extension-), also in quotes and items.

Every line starts with a pipe. GFM allows leaving it out if a pipe stands between two cells of every line. Only tables
with leading pipes get their header repeated after a cut: other lines could be text. `bot.markdown.table_text` shows
them as text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ROW = re.compile(r"[ ]{0,3}\|.*")
_DELIMITERS = re.compile(r"[ ]{0,3}\|[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_BARE_DELIMITERS = re.compile(r":?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+")
_LEAD = re.compile(r"[ \t]*(?:>[ \t]*)*")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_BLOCK = re.compile(r"[-*+][ \t]|\d{1,9}[.)][ \t]|#{1,6}[ \t]|```|~~~")
_CODE_INDENT = 4
_PIPE = re.compile(r"(?<!\\)\|")
_FENCE = re.compile(r"[ \t>]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)?(`{3,}(?=[^`]*\Z)|~{3,}).*")


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its first line in the text, its number of lines, and its cells, header first.

    `alignments` holds one of ``<``, ``>`` and ``^`` per column, as in `str.format`. `prefix` is the quote mark in front
    of its lines; the indentation of a list item is left out.
    """

    line: int
    lines: int
    rows: tuple[tuple[str, ...], ...]
    alignments: tuple[str, ...]
    prefix: str = ""


def find_tables(lines: Sequence[str]) -> Iterator[Table]:
    """The tables in a text's lines, but for those in blocks of code; `lines` are without their ends.

    A table begins with three lines: a header, the dashes under it, and a row; without one there is nothing to align.
    """
    code, number, in_list = fenced_lines(lines), 0, False
    while number < len(lines):
        head = lines[number]
        in_list = in_list or _ITEM.match(head) is not None
        found = None if number in code or "|" not in head else _table_at(lines, number, in_list=in_list)
        if found:
            yield found
        number += found.lines if found else 1


def may_have_fences(text: str) -> bool:
    """Whether a line of it may open a block of code. A look for one character takes a twentieth of one for three."""
    return ("`" in text and "```" in text) or ("~" in text and "~~~" in text)


def fenced_lines(lines: Sequence[str]) -> frozenset[int]:
    """The numbers of the lines in code blocks, fences included."""
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


def _table_at(lines: Sequence[str], number: int, *, in_list: bool) -> Table | None:
    """The table starting at a line. Below an item only, a line indented as code may start one."""
    prefix, head = _parted(lines[number])
    if ">" not in prefix and len(prefix.expandtabs(4)) >= _CODE_INDENT and not in_list:
        return None
    rows = _rows(lines, number + 1, prefix.count(">"), piped=head.startswith("|"))
    bare = [head, *itertools.islice(rows, 2)]
    return _table([*bare, *rows], number, prefix if ">" in prefix else "") if _is_table(bare) else None


def _rows(lines: Sequence[str], number: int, quoted: int, *, piped: bool) -> Iterator[str]:
    """Possible table lines from one on, without quote marks and indentation."""
    for line in (lines[at] for at in range(number, len(lines))):
        prefix, bare = _parted(line)
        goes_on = bare.startswith("|") if piped else "|" in bare and not _BLOCK.match(bare)
        if not goes_on or prefix.count(">") != quoted:
            return
        yield bare


def _parted(line: str) -> tuple[str, str]:
    """The quote marks and indentation of a line, and its rest."""
    prefix = _LEAD.match(line)
    end = prefix.end() if prefix else 0
    return line[:end], line[end:]


def _is_table(lines: Sequence[str]) -> bool:
    """Whether the lines begin with a header, the dashes under it, and a row."""
    if len(lines) < 3 or _BLOCK.match(lines[0]):
        return False
    dashes = _DELIMITERS if lines[0].startswith("|") else _BARE_DELIMITERS
    return dashes.fullmatch(lines[1]) is not None and len(_cells(lines[0])) == len(_cells(lines[1]))


def _table(lines: Sequence[str], number: int, prefix: str) -> Table:
    head = _cells(lines[0])
    rows = [_fitted(_cells(line), len(head)) for line in lines[2:]]
    return Table(number, len(lines), (head, *rows), tuple(_side(cell) for cell in _cells(lines[1])), prefix)


def _cells(line: str) -> tuple[str, ...]:
    parts = _PIPE.split(line.strip().removeprefix("|"))
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()
    return tuple(part.strip().replace("\\|", "|") for part in parts)


def _fitted(cells: tuple[str, ...], width: int) -> tuple[str, ...]:
    return (*cells[:width], *("" for _ in range(width - len(cells))))


def _side(dashes: str) -> str:
    if dashes.endswith(":"):
        return "^" if dashes.startswith(":") else ">"
    return "<"


def open_table_header(text: str) -> str:
    """The two header lines of the table at the end of `text`, after a complete line; empty if there is none."""
    if not text.endswith("\n"):
        return ""
    begin = len(text)
    while begin:
        line = text.rfind("\n", 0, begin - 1) + 1
        if not _ROW.fullmatch(text, line, begin - 1):
            break
        begin = line
    lines = text[begin:].split("\n", 2)[:2]
    found = next(iter(find_tables([*lines, "|"])), None)
    if found is None or found.line:
        return ""
    return "".join(f"{line}\n" for line in lines)


def ends_in_table_head(text: str) -> bool:
    """Whether `text` ends with a table's header or its delimiter row: neither shows anything alone."""
    *_, above, last = ["", *text.rstrip("\n").rsplit("\n", 2)]
    if not _ROW.fullmatch(last):
        return False
    return _DELIMITERS.fullmatch(last) is not None or not _ROW.fullmatch(above)
