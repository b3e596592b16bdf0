"""Rewrite marks and links within a line for Discord's parser.

Whole lines belong to `renderer`, and rewriting shared with other platforms to `bot.markdown.inline_rewrite`.

Discord pairs marks in order, regardless of the neighbouring characters, and has marks unknown to CommonMark: ``__``
underlines, ``||`` hides. The rules come from reimplementations tested against its clients
(https://github.com/brussell98/discord-markdown). A backslash escapes a mark, as in CommonMark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bot.markdown.emphasis import Edit
from bot.markdown.inline_parser import InlineParse
from bot.markdown.inline_rewrite import InlineStyle
from bot.markdown.plain_blocks import split_backticks

# A run of one mark. Three alternatives would take twice the time of this pattern.
_RUN = re.compile(r"([*_~])\1*")

# Python's special names; they are not meant to be bold.
_PYTHON_NAME = re.compile(
    r"__(?:init|main|name|all|file|doc|dict|str|repr|call|len|iter|next|enter|exit|eq|hash|new|del|class|slots|module"
    r"|getattr|setattr|getitem|setitem|contains|add|post_init|version|pycache|future|import|builtins)__"
)

_BARS = re.compile(r"(?<!\\)\|{2,}")

# An intended spoiler: its bars touch words as other marks do.
_HIDDEN = re.compile(r"(?<![^\s(])\|\|(?=[^\s|])[^|\n]*[^\s|]\|\|(?![\w|])")

_TICKS = re.compile(r"`{3,}")
# Two opening marks in a row, possibly.
_BOLD_IN_BOLD = re.compile(r"\*\*(?=\S)[^*\n]*\s\*\*(?=\S)")
_MARKS = "*_~|`"
_WEB = re.compile(r"https?://\S+")
_LINK = re.compile(r"\[(.*)\]\(<?([^\s<>]*)>?[^()]*\)", re.DOTALL)


def mark_padding(text: str) -> int:
    """Upper bound of characters added to lines outside code; never falls as the text grows."""
    padding = 0
    if "|" in text and "||" in text:
        padding += sum(len(bars.group()) - 1 for bars in _BARS.finditer(text))
    if "`" in text and "```" in text:
        padding += sum(len(split_backticks(run.group())) - len(run.group()) for run in _TICKS.finditer(text))
    if "_" in text and "__" in text:
        padding += sum(4 for _ in _PYTHON_NAME.finditer(text))
    return padding + sum(run.end() - run.start() for run in _ambiguous_runs(text))


def _ambiguous_runs(text: str) -> Iterator[re.Match[str]]:
    """Runs of marks CommonMark may ignore and Discord may pair: not at the beginning or end of words."""
    if "*" not in text and "_" not in text and "~" not in text:
        return
    length = len(text)
    for run in _RUN.finditer(text):
        start, end = run.span()
        before, after = text[start - 1] if start else " ", text[end] if end < length else " "
        if end == length or (after.isspace() and not before.isspace()):
            continue
        if end - start == 1:
            is_ambiguous = run.group() == "*" and not before.isspace() and not before.isalnum() and after.isalnum()
        elif before.isspace():
            is_ambiguous = after.isspace()
        else:
            is_ambiguous = after.isalnum() or after in "([{\"'"
        if is_ambiguous:
            yield run


def _needs_rewrite(text: str) -> bool:
    """Whether any mark may need rewriting. Called for each line of each write."""
    if not any(mark in text for mark in _MARKS):
        return False
    special = "__" in text or "||" in text or "```" in text or ("**" in text and _BOLD_IN_BOLD.search(text))
    return bool(special) or next(_ambiguous_runs(text), None) is not None


def _edits(line: str, reading: InlineParse) -> list[Edit]:
    """The changes after which Discord reads a line as CommonMark does."""
    found = _strong(line, reading)
    stray = {at for at, _ in reading.stray}
    for run in _ambiguous_runs(f"{line}\n"):
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
    """Replace two underscores, which would underline, by bold; drop marks of bold text inside bold text."""
    found: list[Edit] = []
    names = {name.start() for name in _PYTHON_NAME.finditer(line)} if "__" in line else set()
    end = -1  # end of the bold text so far
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
    """A link as its address if its text is an address; Discord does not render such links."""
    found = _LINK.fullmatch(link)
    if found is None or not _WEB.search(found.group(1)):
        return link
    text, address = found.groups()
    if not _WEB.fullmatch(text.strip()) or not _WEB.fullmatch(address):
        return link
    bare = address if not following.strip() and address[-1] not in ".,:;\"')]" else f"<{address}>"
    return bare if text.strip().rstrip("/") == address.rstrip("/") else f"{_WEB_START.sub('', text.strip())} ({bare})"


_WEB_START = re.compile(r"https?://(?:www\.)?")

DISCORD = InlineStyle(_needs_rewrite, _edits, _link)
