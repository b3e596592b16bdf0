"""A command's question as a quote above its answer, and the question in such a quote. Pure.

Nobody sees the text of a command on Discord or Slack, so its answer begins with it. The journal keeps no text: "try
again" reads the question from the quote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.markdown import escape_markdown, grapheme_boundary

# Longest quoted question, in characters. A longer one is cut, and then there is nothing to try again with.
QUOTE_LENGTH = 500

_CUT = "…"

# A mark after a backslash, or a number that would begin a list before one (`escape_markdown`).
_ESCAPED = re.compile(r"\\([^\w\s]|_)")
_QUOTED_LINE = re.compile(r" {0,3}>[ \t]?(.*)")


@dataclass(frozen=True, slots=True)
class Quote:
    """A question as markdown. `is_whole`: nothing was cut."""

    text: str
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class QuotedAnswer:
    """A message that begins with a quote: the quoted question, and the rest."""

    question: str
    answer: str


def quote_of(question: str) -> Quote:
    """The quote of a question; empty for an empty one. Marks in it are shown, and mean nothing."""
    words = "\n".join(line.rstrip() for line in question.strip().splitlines())
    is_whole = len(words) <= QUOTE_LENGTH
    if not is_whole:
        words = words[: grapheme_boundary(words[:QUOTE_LENGTH], QUOTE_LENGTH - len(_CUT))].rstrip() + _CUT
    lines = [f"> {escape_markdown(line)}".rstrip() for line in words.splitlines()]
    return Quote("\n".join(lines), is_whole)


def split_quote(text: str) -> QuotedAnswer | None:
    """The question quoted at the start of a message, and the text below; None if it begins with no quote."""
    lines, quoted = text.lstrip("\n").split("\n"), list[str]()
    for line in lines:
        if (match := _QUOTED_LINE.fullmatch(line)) is None:
            break
        quoted.append(_ESCAPED.sub(r"\1", match[1]).rstrip())
    question = "\n".join(quoted).strip()
    if not question:
        return None
    return QuotedAnswer(question, "\n".join(lines[len(quoted) :]).strip("\n"))
