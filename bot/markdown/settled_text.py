"""Rendering a growing piece: blocks before its last blank line are rendered once.

Renderers work on lines, and only link definitions, footnotes, small print, tags and quoted code depend on lines beyond
a blank one. Texts with these are rendered as a whole, and so are pieces with elements reopened at their start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.markdown.continuation import NOTHING
from bot.markdown.fences import fence_at_end
from bot.markdown.piece import Piece

# Signs of elements that depend on lines elsewhere.
_DISTANT = ("]:", "-#", "<", ">")

# Stand for the text before and behind a part, so that its first and last lines are rendered as lines between others.
_BEFORE, _MORE = "x\n\n", "x"

# Characters of new blocks worth rendering on their own.
_LEAST = 200


@dataclass(frozen=True, slots=True)
class SettledText:
    """The beginning of a piece, up to the first character of a block, and its rendered form."""

    source: str = ""
    rendered: str = ""


NOTHING_SETTLED = SettledText()


def render_growing(
    render: Callable[[Piece], str], piece: Piece, settled: SettledText = NOTHING_SETTLED
) -> tuple[str, SettledText]:
    """The rendered piece, and what is settled of it for the next time."""
    source = piece.source
    if piece.reopened is not None or piece.continuation != NOTHING or any(sign in source for sign in _DISTANT):
        return render(piece), NOTHING_SETTLED
    if not source.startswith(settled.source):
        settled = NOTHING_SETTLED
    settled = _more_settled(render, source, settled)
    if not settled.source:
        return render(piece), settled
    tail = render(replace(piece, source=_BEFORE + source[len(settled.source) :]))
    return (settled.rendered + _behind(tail)).rstrip(), settled


def _more_settled(render: Callable[[Piece], str], source: str, settled: SettledText) -> SettledText:
    blank, done = source.rfind("\n\n"), len(settled.source)
    at = blank + 2
    if (
        blank < 0
        or at < done + _LEAST
        or source[at : at + 1].strip() == ""
        or fence_at_end(source[:at], None) is not None
    ):
        return settled
    rendered = render(Piece((_BEFORE if done else "") + source[done:at] + _MORE)).removesuffix(_MORE)
    return SettledText(source[:at], settled.rendered + (_behind(rendered) if done else rendered))


def _behind(rendered: str) -> str:
    """A rendered part without the text before it."""
    return rendered.removeprefix(_BEFORE.rstrip()).removeprefix("\n\n")
