"""Which threads we take part in: those in which we were mentioned or have answered.

Known from events; of a thread of which no event told, Slack is asked once (after a restart, mostly).
"""

from __future__ import annotations

import asyncio

from adapters.slack.bounded import Bounded
from adapters.slack.memory import Conversation

# Threads remembered, about 300 bytes each; of an older one, Slack is asked again. Read by `Threads`.
THREADS = 5_000
# A thread that was none of ours may become so through another process's events: asked again after this, in seconds.
FORGET_NO_SECONDS = 900.0


class Threads:
    """Yes, no, or not known."""

    def __init__(self) -> None:
        self._known: Bounded[Conversation, float] = Bounded(THREADS)  # until when the answer holds; negative: a no

    def join(self, thread: Conversation) -> None:
        """We take part in it from now on."""
        self._known.put(thread, float("inf"))

    def decline(self, thread: Conversation) -> None:
        """It is none of ours."""
        self._known.put(thread, -(asyncio.get_running_loop().time() + FORGET_NO_SECONDS))

    def joined(self, thread: Conversation) -> bool | None:
        """Whether we take part in it; None when that is not known."""
        until = self._known.get(thread)
        if until is None or (until < 0 and asyncio.get_running_loop().time() >= -until):
            return None
        return until > 0
