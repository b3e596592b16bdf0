"""What a reader may be told: whole sentences, with a reference where an operator can help, and nothing else."""

from __future__ import annotations

import itertools

import pytest

from bot.conversation import Ending
from bot.errors import RejectionReason
from bot.strings import Strings


@pytest.mark.parametrize(
    ("ending", "reason", "partial"), list(itertools.product(Ending, [None, *RejectionReason], [True, False]))
)
def test_every_ending_has_its_words(ending: Ending, reason: RejectionReason | None, *, partial: bool) -> None:
    """A whole answer and one with no place to stand need none; each other is said, without a hole in the sentence."""
    line = Strings().ending(ending, "abcd1234", reason, partial=partial)
    assert bool(line) is (ending not in {Ending.DONE, Ending.GONE})
    assert "{" not in line
    if ending is Ending.FAILED and reason is not RejectionReason.CONTEXT:
        assert "abcd1234" in line


def test_a_failure_says_whether_something_was_received() -> None:
    """A partial answer is called cut, an absent one is not."""
    words = Strings()
    assert "cut" in words.ending(Ending.FAILED, "r", None, partial=True)
    assert "cut" not in words.ending(Ending.FAILED, "r", None, partial=False)
