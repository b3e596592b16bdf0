"""Streamed text is recognised in the forms Slack gives back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.messages.stream_search import holds_twice, looks_like

TEXT = "The first words of an answer, long enough to be known again, and some more."


@pytest.mark.parametrize(
    ("shown", "sent"),
    [
        (TEXT, TEXT),
        ("", TEXT),
        (TEXT[:20], TEXT),
        ("*Bold* and more", "**Bold** and more"),
        ("A heading\nbelow", "## A heading\n\nbelow"),
        ("\N{BULLET} one\n\N{BULLET} two", "- one\n- two"),
        ("see <https://a.example|this> page", "see [this](https://a.example) page"),
        (" ...", "!"),
    ],
)
def test_the_same_text_in_slacks_form(shown: str, sent: str) -> None:
    """Markup, spaces and links may differ, and an empty message has just begun."""
    assert looks_like(shown, sent)


@pytest.mark.parametrize("shown", ["Other words entirely", f"So: {TEXT}", "1"])
def test_another_text(shown: str) -> None:
    """Another answer's text is not taken for it."""
    assert not looks_like(shown, TEXT)


@given(st.text(), st.text())
def test_any_text_is_compared(shown: str, sent: str) -> None:
    """No text of a model or of Slack is too odd, and each text is like itself."""
    looks_like(shown, sent)
    assert looks_like(sent, sent)
    assert not holds_twice(sent, sent)


@pytest.mark.parametrize(
    ("shown", "sent", "streamed"),
    [
        (f"{TEXT}\n\n{TEXT} Yes.", f"{TEXT} Yes.", TEXT),
        (f"{TEXT}\n\n{TEXT}{'more ' * 99}", f"{TEXT}{'more ' * 99}", TEXT),
        (f"{TEXT * 2}\n\nShorter now.", "Shorter now.", TEXT * 2),
        (f"{TEXT}\n\n{TEXT}{'more ' * 99}", f"{TEXT}{'more ' * 99}", ""),  # streamed by a killed process
        (f"Other words.\n\n{TEXT}{'more ' * 99}", f"{TEXT}{'more ' * 99}", ""),
        ("Hello\n\nHi", "Hi", "Hello"),
    ],
)
def test_a_text_that_stands_twice(shown: str, sent: str, streamed: str) -> None:
    """The streamed text above its correction is noticed, however the lengths differ."""
    assert holds_twice(shown, sent, streamed)


@pytest.mark.parametrize(
    ("shown", "sent", "streamed"),
    [
        (f"{TEXT} Yes.", f"{TEXT} Yes.", TEXT),
        (f"{TEXT} {TEXT}", f"{TEXT} {TEXT}", TEXT),
        ("1. One", "One", "O"),
        (f"1. {TEXT}", TEXT, ""),
        (f"{TEXT} Yes.", f"{TEXT} Yes.", ""),
        (":tada:" * 99, "\N{PARTY POPPER}" * 99, ""),
        ("", TEXT, TEXT),
    ],
)
def test_a_text_that_stands_once(shown: str, sent: str, streamed: str) -> None:
    """A text that repeats itself, or is short, is not mistaken for two."""
    assert not holds_twice(shown, sent, streamed)
