"""Delays between connection attempts."""

from __future__ import annotations

import random

from adapters.discord.connection import IMMEDIATE_EVERY, ReconnectDelays


class Longest(random.Random):
    """Jitter at its maximum."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_delays_grow_and_start_over() -> None:
    """Tries to connect are farther and farther apart, up to a minute, until one works."""
    delays = ReconnectDelays(Longest())
    grown = [delays.next() for _ in range(8)]
    delays.reset()

    assert (grown, delays.next()) == ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0], 1.0)
    assert 0.5 <= ReconnectDelays().next() <= 1.0


def test_only_the_first_lost_connection_is_replaced_at_once() -> None:
    """The first lost connection is replaced at once; another one within seconds waits, and each further one longer."""
    delays = ReconnectDelays(Longest())

    assert [delays.after_disconnect(now) for now in (0.0, 0.1, 1.2, 3.0)] == [0.0, 1.0, 2.0, 4.0]
    delays.reset()
    assert [delays.after_disconnect(now) for now in (IMMEDIATE_EVERY, IMMEDIATE_EVERY + 1)] == [0.0, 1.0]
