"""Delays before connecting to Slack again."""

from __future__ import annotations

import random

from bot.backoff import Backoff

# Delays before connecting again, in seconds.
RECONNECT = Backoff(first=0.5, limit=30.0)


class ReconnectDelay:
    """The delay before the next attempt, spread at random."""

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311 (jitter, not a secret)

    def seconds(self, attempt: int, ordered: float | None = None) -> float:
        """Seconds before attempt number `attempt`, or Slack's order if longer."""
        return max(RECONNECT.delay(attempt, self._random), ordered or 0.0)
