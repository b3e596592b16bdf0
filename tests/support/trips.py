"""Round trips to a virtual platform: how long a write travels to the server, and its response back.

A `Trips` is asked once for each write, with the loop's time, and returns both ways in seconds. Seeded ones are the same
on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable

Trips = Callable[[float], tuple[float, float]]

# Random trips spend a share of their time on the way there between this and its rest.
_LEAST_SHARE = 0.3


def fixed(seconds: float, *, there: float = 0.5) -> Trips:
    """Always the same round trip; `there` is its share on the way to the server."""
    return lambda _now: (seconds * there, seconds * (1 - there))


def varying(low: float, high: float, *, seed: int) -> Trips:
    """A round trip between `low` and `high`, unevenly shared by its two ways."""
    seeded = random.Random(seed)  # seeded: results are the same everywhere

    def trip(_now: float) -> tuple[float, float]:
        seconds, there = seeded.uniform(low, high), seeded.uniform(_LEAST_SHARE, 1 - _LEAST_SHARE)
        return seconds * there, seconds * (1 - there)

    return trip


def growing(first: float, last: float, *, over: float) -> Trips:
    """A server under load: round trips grow from `first` to `last` within `over` seconds of the first write."""
    began: list[float] = []

    def trip(now: float) -> tuple[float, float]:
        began.append(now) if not began else None
        share = min((now - began[0]) / over, 1.0)
        seconds = first + (last - first) * share
        return seconds / 2, seconds / 2

    return trip
