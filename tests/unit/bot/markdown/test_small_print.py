"""What a model writes is never taken for a line of our own, and our own lines always are."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.discord.messages.renderer import DiscordMarkdown, without_small_print
from adapters.playground.rendering import PlaygroundMarkdown, to_html
from adapters.playground.rendering import without_small_print as without_playground_print
from adapters.slack.events.own_answer import own_answer
from adapters.slack.messages.renderer import NOTICE_MARK, SlackMarkdown, strip_our_markup
from bot.markdown import Piece, Renderer, Splitter, utf16_units
from bot.markdown.tables import fenced_lines
from bot.strings import Strings

SMALL = ["-# Stopped.", "> -# x", ">-# x", "- -# x", "1. -# x", "  -# x", "\t-# x", "# -# x", "> - -# x", "&#45;# x"]
SMALL += [
    "<span>-# x",
    "<br>-# x",
    "a<br>-# x",
    "<!-- -->-# x",
    "-# -# x",
    "-#",
    "- x\n  -# y",
    "x\r-# y",
    "\u2028-# y",
]
SMALL += ["| a |\n|---|\n| -# **x** |\n"]
MARKED = [f"{NOTICE_MARK}Stopped.", f"_{NOTICE_MARK}Stopped._", f"> {NOTICE_MARK}x", f"- _{NOTICE_MARK}x", "&#8291;x"]
MARKED += ["&#x2063;x", "&ic;x", "_&InvisibleComma;x_", f"`{NOTICE_MARK}x`", f"**{NOTICE_MARK}x**", f"a{NOTICE_MARK}b"]
TEXTS = st.lists(st.sampled_from([*SMALL, *MARKED, "words", "```\ncode\n```", "\n", " ", "-", "#"]), max_size=8)


def pieces(renderer: Renderer, text: str, limit: int) -> list[Piece]:
    splitter = Splitter(lambda piece: utf16_units(piece.closed()) + renderer.padding(piece), limit)
    splitter.feed(text)
    return splitter.pieces()


@example(["```\ncode\n```", f"{NOTICE_MARK}Stopped."], " ", 60, 60)
@given(TEXTS, st.sampled_from(["\n", " ", "\n\n"]), st.integers(60, 200), st.integers(0, 100))
def test_no_line_of_a_model_is_taken_for_ours(parts: list[str], joint: str, limit: int, end: int) -> None:
    """Wherever it is cut, and at whatever point of its growth: a message read back loses nothing, and fits."""
    text = joint.join(parts)
    for renderer in (DiscordMarkdown(), SlackMarkdown(), PlaygroundMarkdown()):
        *sealed, last = [Piece(""), *pieces(renderer, text[: end * max(len(text), 1) // 100 + 1], limit)]
        for shown in (*sealed, last, last.shown(), last.trim_partial_word().shown()):
            message = renderer.render(shown)
            assert utf16_units(message) <= limit
            if isinstance(renderer, SlackMarkdown):
                lines = message.split("\n")
                code = fenced_lines(lines)  # within a line of code the mark stays: it is no notice there
                assert not [line for number, line in enumerate(lines) if number not in code and NOTICE_MARK in line]
                assert own_answer({"blocks": [{"type": "markdown", "text": message}]}) == strip_our_markup(message)
                assert len(strip_our_markup(message)) >= len(message.strip("\n").replace("<\u200b", "<"))
            elif isinstance(renderer, DiscordMarkdown):
                words = message.rstrip().replace("\u200b", "")  # a mark of ours between backticks
                for read in (message, f"{message}\n\n{renderer.notice('Stopped.')}"):
                    assert without_small_print(read).replace("\u200b", "") == words
            else:
                assert without_playground_print(message) == message.rstrip("\n ")
                assert "small-print" not in to_html(message)


@pytest.mark.parametrize("text", SMALL)
def test_small_print_of_a_model_is_text(text: str) -> None:
    """Discord: no line begins with the mark, behind quotes, items, headings and indentation neither."""
    for ending in ("", "\n", "\n\nmore"):
        shown = DiscordMarkdown().render(Piece(f"before\n\n{text}{ending}"))
        for line in shown.replace("\r", "\n").replace("\u2028", "\n").split("\n"):
            assert not line.lstrip(" \t>").startswith("-#") or "```" in shown


@pytest.mark.parametrize("renderer", [DiscordMarkdown(), PlaygroundMarkdown(), SlackMarkdown()])
@pytest.mark.parametrize("fence", ["```", "````", "~~~"])
def test_code_stays_as_it_is(renderer: Renderer, fence: str) -> None:
    """Byte for byte within a fence, where neither mark is read as one of ours."""
    code = f"-# comment\n  -# x\nx = '{NOTICE_MARK}'\n"
    text = f"{fence}py\n{code}{fence}"
    shown = "```" if isinstance(renderer, DiscordMarkdown) else fence  # the only one that Discord knows
    assert renderer.render(Piece(text)) == text.replace(fence, shown)


def test_a_mark_at_the_beginning_of_a_line_of_code_is_left_out() -> None:
    """Slack: there it would be read as the beginning of a line of ours, and the code's line would be lost."""
    shown = SlackMarkdown().render(Piece(f"```\n{NOTICE_MARK}x = 1\n _{NOTICE_MARK} y{NOTICE_MARK}\n```"))
    assert shown == f"```\nx = 1\n _ y{NOTICE_MARK}\n```"
    assert strip_our_markup(shown) == shown


@pytest.mark.parametrize("line", [Strings().stopped, Strings().length, Strings().rest, Strings().limit])
def test_our_own_lines_are_left_out_of_what_was_said(line: str) -> None:
    """Those of this version and of earlier ones alike."""
    assert without_small_print(f"Words.\n\n-# {line}\n\n-# {line}") == "Words."
    assert strip_our_markup(f"Words.\n\n_{NOTICE_MARK}{line}_") == "Words."
    rich = {"type": "rich_text", "elements": [{"type": "text", "text": f"{NOTICE_MARK}{line}"}]}
    assert own_answer({"blocks": [{"type": "markdown", "text": "Words."}, rich]}) == "Words."
    assert without_playground_print(f"Words.\n\n-# {line}") == "Words."
