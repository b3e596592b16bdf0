"""Labelled lines for a model, which both platforms write."""

from __future__ import annotations

import pytest

from adapters.shared.context_labels import added_text


@pytest.mark.parametrize(
    ("told", "shown", "more"),
    [
        ("", "", ""),
        ("", "[embed]\n> a", "[embed]\n> a"),
        ("[embed]\n> a", "[embed]\n> a", ""),
        ("[embed]\n> a", "", ""),
        ("[embed]\n> a", "[embed]\n> a\n[embed]\n> b", "[embed]\n> b"),
        ("[embed]\n> a", "[embed]\n> abc", "[embed]\n> abc"),
        ("[embed]\n> a", "[embed]\n> a\n> b", "[embed]\n> a\n> b"),
        ("[embed]\n> a", "[poll: x]\n[embed]\n> a", "[poll: x]\n[embed]\n> a"),
    ],
)
def test_what_is_shown_later_is_told_in_whole_parts(told: str, shown: str, more: str) -> None:
    """A new part is told alone; one that changed is told again, and never a piece without its label."""
    assert added_text(shown, told) == more
