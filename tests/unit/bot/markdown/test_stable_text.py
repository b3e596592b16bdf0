"""The stable part of a growing text, for any chunking of hostile markdown."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.slack.messages.renderer import SlackMarkdown
from bot.delivery.open_streams import continuation
from bot.markdown import PlainMarkdown, Renderer
from bot.markdown.fences import fence_at_end
from bot.markdown.piece import Piece

RENDERERS = (PlainMarkdown(), SlackMarkdown())
WORDS = st.sampled_from(["one", "two", "naïve", "日本語", "🙂", "a1", "x" * 60, "end.", "(so)", "yes,"])
MARKS = st.sampled_from(
    ["**", "*", "_", "`", "```", "```py\n", "~~", "[", "](http://x.y/z)", "![", "| a | b |\n|---|---|\n", "|", "> ",
     "- ", "1. ", "# ", "\n", "\n\n", "    ", " ", "<b>", "&amp;", "<@U1>", "[r]: http://x.y\n", "[^1]", "\\", "---\n"]
)  # fmt: skip
PLAIN = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)
HOSTILE = st.lists(st.one_of(WORDS, MARKS), max_size=30).map("".join)


def stable(text: str, renderer: Renderer) -> str:
    piece, space = Piece(text, None, fence_at_end(text, None)).stable()
    shown = renderer.render(piece)
    return shown + space if shown else ""


def whole(text: str, renderer: Renderer) -> str:
    return renderer.render(Piece(text, None, fence_at_end(text, None)))


def grown(text: str, cuts: list[int]) -> list[str]:
    return [text[:cut] for cut in sorted({*(cut % (len(text) + 1) for cut in cuts)})]


@pytest.mark.parametrize("renderer", RENDERERS, ids=["plain", "slack"])
@given(PLAIN, st.lists(st.integers(0, 2_000), max_size=20))
@example("one\n\ntwo three", [4, 5, 6])
def test_plain_text_only_ever_grows(renderer: Renderer, text: str, cuts: list[int]) -> None:
    """Each stable text continues the one before, and the whole text continues the last: no correction."""
    parts = [*(stable(part, renderer) for part in grown(text, cuts))]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(parts))
    assert continuation(parts[-1] if parts else "", whole(text, renderer)) is not None


@pytest.mark.parametrize("renderer", RENDERERS, ids=["plain", "slack"])
@given(HOSTILE, st.lists(st.integers(0, 2_000), max_size=20))
def test_no_part_begins_with_white_space(renderer: Renderer, text: str, cuts: list[int]) -> None:
    """White space stays at the end of the earlier part, where no platform drops it."""
    sent = ""
    for part in grown(text, cuts):
        rest = continuation(sent, stable(part, renderer))
        if rest:
            assert not rest[0].isspace() or not sent
            sent += rest


MARKDOWN = (
    "Some **bold words** and `code x`, [a link](https://x.y/z) and *more*.\n\n- one\n- **two**\n  more\n\n1. a\n2. b\n"
    "\n> quote here\n> more\n\n```python\ndef f(x):\n    return x\n\n    y\n```\n\n| a | b |\n|---|---|\n| 1 | x y |\n"
    "| 2 | **b** |\n\nAfter that 今天天气很好，我们去公园玩吧。 See [1]."
)


@pytest.mark.parametrize("renderer", RENDERERS, ids=["plain", "slack"])
def test_ordinary_markdown_needs_no_correction(renderer: Renderer) -> None:
    """Character by character, emphasis, links, lists, quotes, code and tables are appended once they are certain."""
    text = whole(MARKDOWN, renderer)
    parts = [stable(MARKDOWN[:end], renderer) for end in range(len(MARKDOWN) + 1)]
    assert all(text.startswith(part) for part in parts)
    assert max(end - len(part) for end, part in enumerate(parts)) <= 45


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one tw", "one "),
        ("one **two thr", "one "),
        ("one **two** thr", "one **two** "),
        ("one `co de", "one "),
        ("see [a link](http://x", "see "),
        ("```\na\n  b", "```\na\n  "),
        ("a\n\n| x | y |\n|---|---|\n| 1 | 2 |\n| 3", "a\n\n| x | y |\n|---|---|\n| 1 | 2 |\n"),
        ("one\n", ""),
        ("今天天气", "今天天"),
    ],
)
def test_unfinished_elements_are_not_begun(text: str, shown: str) -> None:
    """Words come one by one, lines of code and rows of tables whole, emphasis and links once they are closed."""
    assert stable(text, PlainMarkdown()) == shown
