"""A choice is found by the words typed for it, and never by chance."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.interactions.matching import match_choice
from bot.interactions.values import Choice

CHOICES = [
    Choice(":default", "Default"),
    Choice("gpt-5", "GPT-5"),
    Choice("gpt-5-mini", "GPT-5 mini"),
    Choice("llama/3.1:8b", "Fast and cheap"),
    Choice("été", "L'été"),
]


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("gpt-5", "gpt-5"),
        ("GPT-5", "gpt-5"),
        ("  gpt 5 ", "gpt-5"),
        ("gpt5mini", "gpt-5-mini"),
        ("mini", "gpt-5-mini"),
        ("fast", "llama/3.1:8b"),
        ("Fast and  cheap", "llama/3.1:8b"),
        ("llama", "llama/3.1:8b"),
        ("default", ":default"),
        ("ÉTÉ", "été"),
        ("e\u0301te\u0301", "été"),
        # Several have it, or nothing is left of it.
        ("gpt", None),
        ("a", None),
        ("", None),
        ("!?", None),
        ("ggpt-5-mini", None),
    ],
)
def test_a_choice_is_found_by_name_label_or_part(typed: str, value: str | None) -> None:
    """In any case, without signs and accents' spelling; a part must belong to one choice alone."""
    found = match_choice(typed, CHOICES).found
    assert (found and found.value) == value


@pytest.mark.parametrize(
    ("typed", "closest"), [("gtp-5", "gpt-5"), ("lama", "llama/3.1:8b"), ("gpt-5-nini", "gpt-5-mini")]
)
def test_the_closest_choice_is_named(typed: str, closest: str) -> None:
    """A typo leads to the name that was meant."""
    match = match_choice(typed, CHOICES)
    assert match.closest is not None
    assert match.closest.value == closest


def test_nothing_is_close_without_choices() -> None:
    """An empty list has no closest entry."""
    assert match_choice("gpt", []).closest is None


@settings(max_examples=60)
@given(st.text(), st.lists(st.builds(Choice, st.text(max_size=40), st.text(max_size=40)), max_size=5))
def test_any_words_are_compared(typed: str, choices: list[Choice]) -> None:
    """Any text gives one of the choices or none, and something close if there is a choice at all."""
    match = match_choice(typed, choices)
    assert match.found is None or match.found in choices
    assert (match.closest is None) is (not choices)


@given(st.sampled_from(CHOICES[1:]), st.booleans())
def test_every_name_and_label_finds_its_own_choice(choice: Choice, upper: bool) -> None:
    """An exact name wins over names that begin with it."""
    for name in (choice.value, choice.label):
        assert match_choice(name.upper() if upper else name, CHOICES).found == choice
