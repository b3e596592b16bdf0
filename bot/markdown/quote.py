"""A command's question, quoted above its answer, and read back from there. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.markdown.boundaries import grapheme_boundary
from bot.markdown.literal_text import escape_markdown
from bot.markdown.normalise import normalise

# Longest quoted question, in characters: longer ones would hide the answer below them.
QUOTE_LENGTH = 500

# What `escape_markdown` puts before a mark, or after a digit.
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_LINE = re.compile(r"^> ?(.*)$")


@dataclass(frozen=True, slots=True)
class QuotedQuestion:
    """A question as quoted markdown, without markup of its own. A cut one ends in an ellipsis and is not `whole`."""

    markdown: str
    whole: bool


def quote_question(text: str) -> QuotedQuestion:
    """The question as a quote of at most `QUOTE_LENGTH` characters, before escapes and marks of quotes."""
    text = normalise(text).strip()
    whole = len(text) <= QUOTE_LENGTH
    if not whole:
        end = grapheme_boundary(text[:QUOTE_LENGTH], QUOTE_LENGTH - 1)
        text = text[:end].rstrip() + "…"
    lines = [escape_markdown(line.strip()) for line in text.split("\n")]
    return QuotedQuestion("\n".join(f"> {line}".rstrip() for line in lines), whole)


def quoted_question(markdown: str) -> str:
    """The question quoted at the start of a message; empty without a quote."""
    lines: list[str] = []
    for line in markdown.lstrip().split("\n"):
        found = _LINE.match(line)
        if found is None:
            break
        lines.append(_ESCAPE.sub(r"\1", found[1]))
    return "\n".join(lines).strip()


def without_quote(markdown: str) -> str:
    """The rest of a message that starts with a quote."""
    lines = markdown.lstrip().split("\n")
    while lines and _LINE.match(lines[0]):
        lines.pop(0)
    return "\n".join(lines).lstrip("\n")
