"""The capabilities of one answer's channel."""

from __future__ import annotations

from dataclasses import replace

from adapters.shared.capabilities import PresentCapabilities
from adapters.slack.messages.renderer import SlackMarkdown
from bot.ports import ChannelCapabilities, StreamCapabilities

BODIES = ChannelCapabilities(limit=12_000, measure=len, renderer=SlackMarkdown())
STREAM = StreamCapabilities(limit=9_000, measure=len, seconds=280.0)


def test_each_change_shows_at_once() -> None:
    """Refused buttons, a failed upload and a refused stream change what the core may send next."""
    present = PresentCapabilities()
    shorter = replace(BODIES, limit=6_000)
    asked = [(BODIES, 10, STREAM), (BODIES, 0, STREAM), (BODIES, 0, None), (shorter, 0, None), (BODIES, 10, STREAM)]
    for bodies, files, stream in asked:
        assert present.of(bodies, files, stream) == replace(bodies, files=files, stream=stream)


def test_unchanged_capabilities_are_the_same_object() -> None:
    """The core asks for them at every word."""
    present = PresentCapabilities()
    first = present.of(BODIES, 10, STREAM)
    assert present.of(BODIES, 10, STREAM) is first
