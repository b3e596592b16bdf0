"""What is remembered of conversations stays within its bounds, and is counted right."""

from __future__ import annotations

import pytest

from adapters.slack.events.parse import SlackMessage
from adapters.slack.history import cache as module
from adapters.slack.history.cache import MessageCache


def kept(memory: MessageCache, conversations: int) -> int:
    """Characters of all that is really there."""
    return sum(len(said.text) for number in range(conversations) for said in memory.part(("C1", f"{number}.0")))


def test_the_count_is_the_sum_after_evictions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever bound makes a conversation be forgotten, its characters are counted no more, and new ones are kept."""
    monkeypatch.setattr(module, "CONVERSATIONS", 5)
    monkeypatch.setattr(module, "CHARACTERS", 1_000)
    memory = MessageCache()
    memory.flows("C1")
    for number in range(60):
        conversation = ("C1", f"{number}.0")
        memory.open(conversation, from_start=True)
        for part in range(1 + number % 3):
            memory.hear(conversation, SlackMessage(f"{number}.{part}", "U1", "x" * (30 + 4 * number)))
        assert memory.characters == kept(memory, 60)
        assert memory.recall(conversation) is not None
