"""Simplify fences and quotes for Discord and for Slack's text format.

Both know one fence: three backticks, closed by the next three anywhere. Discord accepts a language after the opening
fence. A quote is a line that starts with ``> ``, without nesting; ``>>> `` quotes the whole rest
(https://support.discord.com/hc/en-us/articles/210298617, https://docs.slack.dev/messaging/formatting-message-text).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from bot.markdown.emphasis import ZERO_WIDTH_SPACE
from bot.markdown.tables import fenced_lines, may_have_fences

_OPENING = re.compile(r"([ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(`{3,}|~{3,})(.*)")
_CLOSING = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*")
_LANGUAGE = re.compile(r"[\w+.#-]{1,32}(?=[\s,{:]|\Z)", re.ASCII)
_TICKS = re.compile(r"`{3,}")

# None of them is an arrow, or a face.
_QUOTE = re.compile(r"[ ]{0,3}>(?!=|:\(|_<)((?:[ ]{0,3}>(?!=))*)[ \t]?(.*)")

_SHORTEST = 3  # characters of a fence

# Stands for a quote within a quote.
_DEEPER = "\N{BOX DRAWINGS LIGHT VERTICAL} "


def split_backticks(ticks: str) -> str:
    """A run of backticks, split so no three are adjacent: three would open or close a code block."""
    return ZERO_WIDTH_SPACE.join(ticks[at : at + 2] for at in range(0, len(ticks), 2))


def simplify_blocks(text: str) -> str:
    """A text with its fences and quotes so."""
    if ">" not in text and not may_have_fences(text):
        return text
    lines = text.split("\n")
    code = fenced_lines(lines)
    shown = simplify_fences(lines, code)
    return "\n".join(shown[number] if number in code else simplify_quote(line) for number, line in enumerate(lines))


def simplify_fences(lines: Sequence[str], code: Collection[int]) -> dict[int, str]:
    """The lines of blocks of code (their numbers are `code`) as Discord reads them."""
    return {number: f"{lead}{shown}" for number, lead, shown, _ in _fences(lines, code)}


def block_padding(text: str, lines: Sequence[str], code: Collection[int]) -> int:
    """At most how many characters more quotes and blocks of code need; together with the text it only ever grows."""
    room = sum(room for *_, room in _fences(lines, code)) if code else 0
    return room + sum(_room_for_quote(line) for line in lines if line.lstrip(" ")[:1] == ">") if ">" in text else room


def _fences(lines: Sequence[str], code: Collection[int]) -> Iterator[tuple[int, str, str, int]]:
    """Line number, quote or indentation, the rest as Discord reads it, and its possible growth."""
    marker, depth = "", 0
    for number in sorted(code):
        line = lines[number]
        marker = marker if number - 1 in code else ""
        if not marker and (opening := _OPENING.fullmatch(line)):
            lead, marker, info = opening.groups()
            depth = lead.count(">")
            yield number, "> " if depth else lead, f"```{_language(info)}", 0
            continue
        lead, bare = _unquoted(line, depth)
        parts = _TICKS.sub(lambda run: split_backticks(run.group()), bare)
        closing = _CLOSING.fullmatch(bare)
        if closing and _closes(closing.group(2), marker):
            # A longer fence's end was its content while it came, as far as it looked like one.
            room = 0 if len(marker) == _SHORTEST else len(parts) - len(bare)
            yield number, lead or closing.group(1), "```", room
            marker = ""
        else:
            yield number, lead, parts, len(parts) - len(bare)


def _unquoted(line: str, depth: int) -> tuple[str, str]:
    """The quote mark of a line of code, and the line without quote marks."""
    rest = line
    for _ in range(depth):
        if not rest.lstrip(" ").startswith(">"):
            break
        rest = rest.lstrip(" ")[1:].removeprefix(" ")
    return ("> ", rest) if depth and rest is not line else ("", line)


def _closes(run: str, marker: str) -> bool:
    return run[0] == marker[0] and len(run) >= len(marker)


def _language(info: str) -> str:
    """A block's language: the only text allowed after its fence."""
    found = _LANGUAGE.match(info.strip().lstrip("{.").removeprefix("language-"))
    return found.group() if found else ""


def simplify_quote(line: str) -> str:
    """A line outside code, with Discord's quote mark if it is quoted."""
    found = _QUOTE.fullmatch(line) if ">" in line[:4] else None
    if found is None:
        return line
    deeper, words = found.groups()
    return f"> {_DEEPER * deeper.count('>') if words else ''}{words}"


def is_empty_quote(line: str) -> bool:
    """Whether a line is of a quote and says nothing."""
    return ">" in line and not line.strip(" \t>")


def _room_for_quote(line: str) -> int:
    found = _QUOTE.fullmatch(line)
    if found is None:
        return 0
    deeper, words = found.groups()
    return max(len("> ") + len(_DEEPER) * deeper.count(">") + len(words) - len(line), 0)
