"""Small print and lengths in Discord's markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.messages.renderer import DiscordMarkdown, without_small_print
from bot.markdown import utf16_units


@given(st.text())
def test_length_is_counted_in_utf16(text: str) -> None:
    """The measure is Discord's: UTF-16 units."""
    encodable = text.encode("utf-16-le", "surrogatepass")

    assert utf16_units(text) == len(encodable) // 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("answer", "answer"),
        ("answer\n-# cut at the model's limit", "answer"),
        ("answer\n\n-# one\n-# two\n", "answer"),
        ("-# only ours", ""),
        ("-# the model's own\nanswer", "-# the model's own\nanswer"),
        ("", ""),
    ],
)
def test_small_print_is_left_out(text: str, words: str) -> None:
    """Our own lines at the end of an answer are not the model's words."""
    assert without_small_print(text) == words


def test_a_notice_is_small_print() -> None:
    """`without_small_print` removes the text of `notice`."""
    assert without_small_print("answer\n" + DiscordMarkdown().notice("cut")) == "answer"
