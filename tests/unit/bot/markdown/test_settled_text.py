"""Blocks before the last blank line are rendered once, and nobody sees a difference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.messages.renderer import DiscordMarkdown
from adapters.slack.messages.renderer import SlackMarkdown
from bot.markdown import Piece, PlainMarkdown, Renderer, Splitter
from bot.markdown.settled_text import NOTHING_SETTLED, render_growing

SIGNS = ["a ", "- ", "1. ", "\n", " ", "|", "|---|\n", "`", "# ", "[x](y)", "[^1]", "=", "---", "**", "_", "é", "\\"]
BLOCKS = ["\n\n", "\n\n", "\n\n", "word" * 60, "```\n", "~~~", "> ", "<div>", "[x]: https://y.example\n", "-# "]
PARTS = [*SIGNS, *BLOCKS, "&amp;"]
RENDERERS = [DiscordMarkdown(), SlackMarkdown(), PlainMarkdown()]


@pytest.mark.parametrize("renderer", RENDERERS, ids=lambda each: type(each).__name__)
@given(st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join), max_size=12), st.booleans())
def test_a_growing_text_is_rendered_as_a_whole_one(renderer: Renderer, growth: list[str], ends: bool) -> None:
    """At each step the parts rendered at different times make up what rendering all of it gives."""
    splitter, settled = Splitter(lambda _: 0, 100_000), NOTHING_SETTLED
    for text in growth:
        splitter.feed(text)
        piece = splitter.last if ends else splitter.last.shown()
        rendered, settled = render_growing(renderer.render, piece, settled)
        assert rendered == renderer.render(piece)


def test_only_the_last_block_is_rendered_again() -> None:
    """A message of many blocks costs the last one at each step."""
    lengths: list[int] = []

    def render(piece: Piece) -> str:
        lengths.append(len(piece.source))
        return piece.closed()

    text, settled = "", NOTHING_SETTLED
    for number in range(300):
        text += f"Word {number}." + ("\n\n" if number % 30 == 29 else " ")
        rendered, settled = render_growing(render, Piece(text), settled)
        assert rendered == text.rstrip()
    assert max(lengths) < 700
