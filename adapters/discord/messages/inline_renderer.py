"""Marks and links within a line, as Discord reads them.

What belongs here: what makes Discord see what `bot.markdown.inline_parser` has read. What does not: whole lines
(`renderer`), and what other platforms need as well (`bot.markdown.inline_rewrite`).

Discord matches pairs of marks as they come, whatever stands beside them, and knows marks that CommonMark does not:
``__`` underlines, ``||`` hides. Its clients' rules were read from reimplementations that are tested against them
(https://github.com/brussell98/discord-markdown); a backslash takes a mark's meaning away, as in CommonMark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bot.markdown.emphasis import Edit
from bot.markdown.inline_parser import InlineParse
from bot.markdown.inline_rewrite import InlineStyle
from bot.markdown.plain_blocks import split_backticks

_RUN = re.compile(r"\*+|_+|~~+")

# Names that Python gives a meaning to: nobody means them to be bold.
_PYTHON_NAME = re.compile(
    r"__(?:init|main|name|all|file|doc|dict|str|repr|call|len|iter|next|enter|exit|eq|hash|new|del|class|slots|module"
    r"|getattr|setattr|getitem|setitem|contains|add|post_init|version|pycache|future|import|builtins)__"
)

_BARS = re.compile(r"(?<!\\)\|{2,}")

# Hidden on purpose: bars that stand at words as other marks do.
_HIDDEN = re.compile(r"(?<![^\s(])\|\|(?=[^\s|])[^|\n]*[^\s|]\|\|(?![\w|])")

_TICKS = re.compile(r"`{3,}")
# Two marks that open one after the other, perhaps.
_BOLD_IN_BOLD = re.compile(r"\*\*(?=\S)[^*\n]*\s\*\*(?=\S)")
_MARKS = "*_~|`"
_WEB = re.compile(r"https?://\S+")
_LINK = re.compile(r"\[(.*)\]\(<?([^\s<>]*)>?[^()]*\)", re.DOTALL)


def room_for_marks(text: str) -> int:
    """At most how many characters more a text's lines need that are not code; only ever grows with it."""
    room = 0
    if "|" in text and "||" in text:
        room += sum(len(bars.group()) - 1 for bars in _BARS.finditer(text))
    if "`" in text and "```" in text:
        room += sum(len(split_backticks(run.group())) - len(run.group()) for run in _TICKS.finditer(text))
    if "_" in text and "__" in text:
        room += sum(4 for _ in _PYTHON_NAME.finditer(text))
    return room + sum(run.end() - run.start() for run in _odd_runs(text))


def _odd_runs(text: str) -> Iterator[re.Match[str]]:
    """Runs of marks that CommonMark may leave alone and Discord may pair: not at the beginning or end of words."""
    if "*" not in text and "_" not in text and "~" not in text:
        return
    length = len(text)
    for run in _RUN.finditer(text):
        start, end = run.span()
        before, after = text[start - 1] if start else " ", text[end] if end < length else " "
        if end == length or (after.isspace() and not before.isspace()):
            continue
        if end - start == 1:
            is_odd = run.group() == "*" and not before.isspace() and not before.isalnum() and after.isalnum()
        elif before.isspace():
            is_odd = after.isspace()
        else:
            is_odd = after.isalnum() or after in "([{\"'"
        if is_odd:
            yield run


def _applies(text: str) -> bool:
    """Whether any mark may have to be written otherwise. Asked of each line of each write."""
    if not any(mark in text for mark in _MARKS):
        return False
    special = "__" in text or "||" in text or "```" in text or ("**" in text and _BOLD_IN_BOLD.search(text))
    return bool(special) or next(_odd_runs(text), None) is not None


def _edits(line: str, reading: InlineParse) -> list[Edit]:
    """What is written otherwise in a line for Discord to read it so."""
    found = _strong(line, reading)
    stray = {at for at, _ in reading.stray}
    for run in _odd_runs(f"{line}\n"):
        if any(run.start() <= at < run.end() for at in stray):
            found.append((run.start(), run.end(), "".join(f"\\{mark}" for mark in run.group())))
    if "||" in line:
        hidden = [spoiler.span() for spoiler in _HIDDEN.finditer(line)]
        for bars in _BARS.finditer(line):
            if not any(start <= bars.start() < end for start, end in hidden):
                found.append((*bars.span(), "\\|" * (len(bars.group()) - 1) + "|"))
    found += [(*run.span(), split_backticks(run.group())) for run in _TICKS.finditer(line)]
    return found


def _strong(line: str, reading: InlineParse) -> list[Edit]:
    """Two underscores are bold, and not underlined; what is bold within what is bold needs no marks."""
    found: list[Edit] = []
    names = {name.start() for name in _PYTHON_NAME.finditer(line)} if "__" in line else set()
    end = -1  # of what is bold so far
    for pair in sorted(reading.pairs, key=lambda each: each.start):
        if pair.length != 2 or pair.character == "~":
            continue
        if pair.start in names:
            found += [(at, at + 2, "\\_\\_") for at in (pair.start, pair.end)]
        elif pair.end < end:
            found += [(at, at + 2, "") for at in (pair.start, pair.end)]
        else:
            end = max(end, pair.end)
            if pair.character == "_":
                found += [(at, at + 2, "**") for at in (pair.start, pair.end)]
    return found


def _link(link: str, following: str) -> str:
    """A link whose text is an address is shown as typed: it is written as that address."""
    found = _LINK.fullmatch(link)
    if found is None or not _WEB.search(found.group(1)):
        return link
    text, address = found.groups()
    if not _WEB.fullmatch(text.strip()) or not _WEB.fullmatch(address):
        return link
    bare = address if not following.strip() and address[-1] not in ".,:;\"')]" else f"<{address}>"
    return bare if text.strip().rstrip("/") == address.rstrip("/") else f"{_WEB_START.sub('', text.strip())} ({bare})"


_WEB_START = re.compile(r"https?://(?:www\.)?")

DISCORD = InlineStyle(_applies, _edits, _link)
