"""Foreign words within a line of our own: the name of a file, what a server said. One line, short, and harmless.

What belongs here: flattening and shortening, and the marks that a backslash makes text wherever markdown is read. What
does not: a platform's own syntax beyond that (a dialect), and the sentences (`bot.strings`).
"""

from __future__ import annotations

import re
import unicodedata

from bot.markdown.splitter import grapheme_boundary

# The longest foreign text in a line of ours, in characters: a telephone shows it in two lines.
LONGEST_FOREIGN = 80

# Of more than this nothing is looked at: names come from a platform's event, which bounds them by nothing.
_LOOKED_AT = 4_000

# More accents than these on one letter reach into the lines above and below.
_MOST_ACCENTS = 2

# Letters that show nothing, though they are no format characters: fillers of Korean, and the blank of braille.
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")

# Control, format (direction, zero width, tags), private, half a pair, not assigned, ends of lines.
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})

# Terminals' colours and the like: the escape character and what it takes with it.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])|\x9b[0-?]*[ -/]*[@-~]")

# What markdown may take for more than a character. An underscore is one within a word; an address is none without its
# slashes, or without the dot after www or before its domain's end.
_MARKS = re.compile(
    r"[\\`*~|\[\]<>@]|(?<![^\W_])_|_(?![^\W_])|(?<=:)/(?=/)|(?i:(?<=\bwww)\.)|\.(?=\w{2,24}/)|(?<=\])\(|(?<=<)[!#:]|&(?=#?\w)|\A(?:[#+>=-]|\d{1,9}(?=[.)]))"
)


def single_line(text: str, longest: int = LONGEST_FOREIGN) -> str:
    """`text` in one line of at most `longest` characters, without anything that does not show; never empty."""
    cut = len(text) > _LOOKED_AT
    seen, accents = [], 0
    for character in _ESCAPES.sub("", text[:_LOOKED_AT]):
        category = unicodedata.category(character)
        accents = accents + 1 if category in {"Mn", "Me"} else 0
        if character.isspace() or character in _BLANKS:
            seen.append(" ")
        elif category not in _UNSEEN and accents <= _MOST_ACCENTS:
            seen.append(character)
    line = " ".join("".join(seen).split())
    if len(line) > longest or cut:
        end = min(longest - 1, len(line))
        line = line[: grapheme_boundary(line[: end + 1], end)].rstrip() + "…"
    return line or "?"


def escape_markdown(text: str) -> str:
    """`text` such that markdown shows it and does nothing about it."""
    return _MARKS.sub(_marked, text)


def _marked(found: re.Match[str]) -> str:
    mark = found.group()
    return f"{mark}\\" if mark.isdigit() else f"\\{mark}"
