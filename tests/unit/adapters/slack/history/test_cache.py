"""The message cache: its bounds, and its count of characters."""

from __future__ import annotations

from adapters.slack.events.parse import SlackMessage
from adapters.slack.history.cache import CacheLimits, MessageCache


def cached_characters(cache: MessageCache, conversations: int) -> int:
    """Characters of all messages still in the cache."""
    return sum(
        len(message.text) for number in range(conversations) for message in cache.messages(("C1", f"{number}.0"))
    )


def test_the_count_is_the_sum_after_evictions() -> None:
    """An evicted conversation no longer counts, whichever bound evicted it, and new ones are cached."""
    cache = MessageCache(CacheLimits(conversations=5, characters=1_000))
    cache.set_subscribed("C1")
    for number in range(60):
        conversation = ("C1", f"{number}.0")
        cache.open(conversation, from_start=True)
        for part in range(1 + number % 3):
            cache.put(conversation, SlackMessage(f"{number}.{part}", "U1", "x" * (30 + 4 * number)))
        assert cache.characters == cached_characters(cache, 60)
        assert cache.complete(conversation) is not None
