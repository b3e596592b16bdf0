"""The state shared by the turns of one bot."""

from __future__ import annotations

from adapters.discord.state import Typing


def test_typing_is_due_once_in_a_while() -> None:
    """One indicator serves all turns of a channel, and the memory of it is bounded."""
    typing = Typing()
    due = [typing.due("1", now) for now in (0.0, 1.0, 7.9, 8.0, 9.0)]
    for number in range(5_000):
        typing.hold(str(number), 100.0)

    assert due == [True, False, False, True, False]
    assert len(typing) <= 1_000
