"""Untrusted text within our own sentences, such as a file name or a server's message: one short, harmless line.

It is flattened, shortened and escaped for markdown in general. Renderers escape the rest of a platform's syntax.
"""

from __future__ import annotations

import re
import unicodedata

from bot.markdown.boundaries import grapheme_boundary

# The longest foreign text in a line of ours, in characters: a telephone shows it in two lines.
LONGEST_FOREIGN = 80

# Only this many characters are examined: platforms do not bound the length of names.
_LOOKED_AT = 4_000

# More accents than these on one letter reach into the lines above and below.
_MOST_ACCENTS = 2

# Invisible letters outside Unicode's format category: Korean fillers and the braille blank.
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")

# Control, format (direction, zero width, tags), private, half a pair, not assigned, ends of lines.
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})

# Terminal escape sequences.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])|\x9b[0-?]*[ -/]*[@-~]")

# Characters with a meaning in markdown. An underscore within a word is harmless. So is an address without its slashes,
# or without the dot after www or before its top-level domain.
_MARKS = re.compile(
    r"[\\`*~|\[\]<>@]|(?<![^\W_])_|_(?![^\W_])|(?<=:)/(?=/)|(?i:(?<=\bwww)\.)|\.(?=\w{2,24}/)|(?<=\])\(|(?<=<)[!#:]|&(?=#?\w)|\A(?:[#+>=-]|\d{1,9}(?=[.)]))"
)


def single_line(text: str, longest: int = LONGEST_FOREIGN) -> str:
    """`text` as one line of at most `longest` visible characters; never empty."""
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
    """`text`, escaped to show literally in markdown."""
    return _MARKS.sub(_marked, text)


def _marked(found: re.Match[str]) -> str:
    mark = found.group()
    return f"{mark}\\" if mark.isdigit() else f"\\{mark}"
