"""Whether a platform is reachable, judged by our writes. Pure; time is given."""

from __future__ import annotations

import math

from bot.errors import ConnectFailed, Failure, OutcomeUnknown

# How long a failed connection counts, in seconds: the next attempt follows within 8 s and takes at most 10 (see
# `WritePolicy`). Older failures may be of an abandoned answer.
REMEMBERED_SECONDS = 30.0


class Reachability:
    """The outcome of a connection's last write."""

    def __init__(self) -> None:
        self._unreachable_at = -math.inf

    def record(self, failure: Failure | None, now: float) -> None:
        """Record the outcome of a write; any response proves reachability."""
        unreachable = isinstance(failure, ConnectFailed | OutcomeUnknown)
        self._unreachable_at = now if unreachable else -math.inf

    def is_unreachable(self, now: float) -> bool:
        """Whether writes get no response at present."""
        return now - self._unreachable_at < REMEMBERED_SECONDS
