"""At most one log line a minute about something others can cause at will."""

from __future__ import annotations

import asyncio

# Minimum time between two lines. Seconds.
LINE_SECONDS = 60.0


class LogThrottle:
    """Counts occurrences, and tells when a line about them is due: at the first one, then once a minute at most."""

    def __init__(self) -> None:
        self._count = 0  # since the last line
        self._next_at = float("-inf")

    def count(self) -> int:
        """Count one more. Returns the number since the last line if one is due, otherwise 0."""
        self._count += 1
        now = asyncio.get_running_loop().time()
        if now < self._next_at:
            return 0
        due, self._count, self._next_at = self._count, 0, now + LINE_SECONDS
        return due
