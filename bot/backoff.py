"""Delays between retries, as a frozen value."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Doublings after which a delay is at its limit whatever the first one was; keeps the power within a float.
MAX_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff: the delay doubles from `first` to `limit`, both in seconds.

    `jitter` is the share of each delay drawn at random: 1.0 draws evenly from zero to the full delay ("full jitter"),
    0.5 from half to all of it. Jitter keeps many callers with the same failure apart.
    """

    first: float
    limit: float
    jitter: float = 0.5

    def delay(self, attempt: int, random_: random.Random) -> float:
        """Seconds to wait after failed attempt number `attempt`, counted from 1."""
        longest = min(self.first * 2.0 ** min(attempt - 1, MAX_DOUBLINGS), self.limit)
        return random_.uniform(longest * (1.0 - self.jitter), longest)
