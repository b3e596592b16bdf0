"""The limits and the completeness of the message cache."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.events.message import DiscordMessage
from adapters.discord.history.cache import (
    MAX_CHANNELS,
    MAX_CHARACTERS,
    MAX_SMALL_CACHE,
    MESSAGES_PER_CHANNEL,
    MessageCache,
    characters_of,
)
from adapters.shared.attachments import Attachment

ME = "1"


def said(number: int, text: str = "", **fields: Any) -> DiscordMessage:
    return DiscordMessage(**{"id": str(number), "channel": "7", "author": "2", "name": "Ada", "text": text, **fields})


def test_the_cache_is_bounded() -> None:
    """Counts are bounded, and after an eviction the channel counts as incomplete."""
    cache = MessageCache()
    for number in range(1, MESSAGES_PER_CHANNEL + 50):
        cache.add(said(number))
    assert len(cache.messages("7")) == MESSAGES_PER_CHANNEL
    assert cache.complete_from("7") == 50

    for channel in range(MAX_CHANNELS + 10):
        cache.add(said(1, channel=str(channel)))
    assert cache.messages("0") == []
    for number in range(MAX_SMALL_CACHE + 10):
        cache.set_conversation(str(number), "c")
    assert cache.conversation_count == MAX_SMALL_CACHE


def real_characters(cache: MessageCache) -> int:
    return sum(characters_of(one) for channel in cache.channels for one in cache.messages(channel))


@pytest.mark.slow
def test_the_cache_is_bounded_in_characters() -> None:
    """Characters are bounded over all channels; the least recently used ones are evicted first."""
    cache = MessageCache()
    longest = "x" * 4000
    for number in range(1, 51):
        for channel in range(50):
            cache.add(said(number, longest, question_text=longest, channel=str(channel)))
            assert cache.characters == real_characters(cache) <= MAX_CHARACTERS

    assert [one.id for one in cache.messages("49")][-1] == "50"


def test_a_single_channel_evicts_its_oldest_messages() -> None:
    """A single channel above the limit loses its oldest messages, and counts as complete only from the next one."""
    cache = MessageCache()
    for number in range(1, 6):
        cache.add(said(number, "x" * (MAX_CHARACTERS // 3)))

    assert ([one.id for one in cache.messages("7")], cache.complete_from("7")) == (["3", "4", "5"], 3)


# A text counts twice, as it was written and as it reads; one alone keeps to the bound.
ACTIONS = st.tuples(st.integers(0, 3), st.integers(1, 8), st.integers(0, 3), st.integers(0, MAX_CHARACTERS // 3))


@given(st.lists(ACTIONS, max_size=60))
def test_characters_are_counted_exactly(actions: list[tuple[int, int, int, int]]) -> None:
    """After any operations, the count equals the cached characters and keeps the limit."""
    cache = MessageCache()
    for what, number, channel, length in actions:
        file = Attachment("a.png", "https://cdn.test/a.png", "image/png", 1)
        message = said(number, "x" * length, channel=str(channel), attachments=(file,))
        match what:
            case 0:
                cache.add(message)
            case 1:
                cache.add_read([message, message])
            case 2:
                cache.set_text(str(channel), str(number), "y" * length)
            case _:
                cache.remove(str(channel), str(number))

        assert cache.characters == real_characters(cache) <= MAX_CHARACTERS


def test_a_read_does_not_bring_back_what_it_evicts() -> None:
    """A channel is complete only behind its newest evicted message, whatever was read."""
    cache = MessageCache()
    cache.add(said(1_000))
    cache.set_complete_from("7", 0)
    assert not cache.has_evicted("7")
    cache.add_read([said(number) for number in range(1, MESSAGES_PER_CHANNEL + 3)])
    assert (cache.complete_from("7"), cache.has_evicted("7")) == (4, True)
    cache.set_complete_from("7", 2)
    assert cache.complete_from("7") == 4


def test_a_gap_makes_a_channel_incomplete() -> None:
    """A new session makes a channel incomplete, until the next event or read."""
    cache = MessageCache()
    cache.add(said(10))
    cache.mark_gap()
    assert cache.complete_from("7") is None
    cache.add(said(20))
    assert cache.complete_from("7") == 20
    cache.remove("7", "10")
    cache.remove("7", "11")
    cache.set_text("7", "20", "edited")
    assert [one.text for one in cache.messages("7")] == ["edited"]
