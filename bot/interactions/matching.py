"""Find a choice by the words typed for it: in any case, without its signs, or by a part of it. Pure."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.interactions.values import Choice

# Only this many characters are compared: names are shorter, and comparing takes time with the square of the length.
_LOOKED_AT = 100

# Fewest letters and digits of a part: shorter ones mean too many names.
_SHORTEST_START = 2
_SHORTEST_PART = 3


@dataclass(frozen=True, slots=True)
class Match:
    """The choice found, or None; `closest` is the most similar one, from 0 to 1 in `similarity`."""

    found: Choice | None = None
    closest: Choice | None = None
    similarity: float = 0.0


def match_choice(typed: str, choices: Sequence[Choice]) -> Match:
    """The choice with this value or label. A part of a name counts if only one choice has it."""
    words = " ".join(typed[:_LOOKED_AT].split())
    folded, letters = words.casefold(), _letters(words)
    rules: tuple[Callable[[str], bool], ...] = (
        lambda name: name == words,
        lambda name: name.casefold() == folded,
        lambda name: bool(letters) and _letters(name) == letters,
        lambda name: len(letters) >= _SHORTEST_START and _letters(name).startswith(letters),
        lambda name: len(letters) >= _SHORTEST_PART and letters in _letters(name),
    )
    for rule in rules:
        matching = [each for each in choices if any(map(rule, _names(each)))]
        if len(matching) == 1:
            return Match(matching[0], matching[0], 1.0)
    return _closest(letters, choices)


def _closest(letters: str, choices: Sequence[Choice]) -> Match:
    """The most similar choice, of equal ones the first."""
    best = Match()
    for each in choices:
        similarity = max(difflib.SequenceMatcher(None, letters, _letters(name)).ratio() for name in _names(each))
        if best.closest is None or similarity > best.similarity:
            best = Match(None, each, similarity)
    return best


def _names(choice: Choice) -> tuple[str, str]:
    return choice.value, choice.label


def _letters(text: str) -> str:
    """Letters and digits alone, without case, width and composition."""
    folded = unicodedata.normalize("NFKC", text[:_LOOKED_AT].casefold())
    return "".join(filter(str.isalnum, folded))
