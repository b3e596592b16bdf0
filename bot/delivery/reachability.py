"""Whether a platform answers our writes, as they came back. Pure; time is given.

What belongs here: the memory of one connection. What does not: the platform's own connection for events
(`bot.ports.Platform.ready`), and what is made of it (`bot.completion`).
"""

from __future__ import annotations

import math

from bot.errors import ConnectFailed, Failure, OutcomeUnknown

# A write that met nobody tells of the network for so long, in seconds: the next try comes after at most 8 s and takes
# at most 10 (bot/delivery/reply.py, `WritePolicy`). Then an answer that was given up meanwhile has no say any more.
REMEMBERED_SECONDS = 30.0


class Reachability:
    """What the last writes of a connection met."""

    def __init__(self) -> None:
        self._unreachable_at = -math.inf

    def note(self, failure: Failure | None, now: float) -> None:
        """A write came back, well or with a `failure`; any answer shows that somebody is there."""
        unreachable = isinstance(failure, ConnectFailed | OutcomeUnknown)
        self._unreachable_at = now if unreachable else -math.inf

    def is_unreachable(self, now: float) -> bool:
        """Whether nobody answers just now."""
        return now - self._unreachable_at < REMEMBERED_SECONDS
