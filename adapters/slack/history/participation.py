"""Which threads we take part in: those in which we were mentioned or have answered.

Known from events; of a thread of which no event told, Slack is asked once (after a restart, mostly).
"""

from __future__ import annotations

import asyncio

from adapters.shared.lru import Bounded
from adapters.slack.events.parse import order
from adapters.slack.history.cache import Conversation

# Threads remembered, about 300 bytes each; of an older one, Slack is asked again. Read by `Participation`.
THREADS = 5_000
# A thread that was none of ours may become so through another process's events: asked again after this, in seconds.
FORGET_NO_SECONDS = 900.0


class Participation:
    """Yes, no, or not known."""

    def __init__(self) -> None:
        self._known: Bounded[Conversation, float] = Bounded(THREADS)  # until when the answer holds; negative: a no
        self._since: Bounded[Conversation, str] = Bounded(
            THREADS
        )  # of a yes: the first message that we know makes it so

    def join(self, thread: Conversation, since: str = "") -> None:
        """We take part in it. `since` names the message that tells so: it says nothing of earlier ones."""
        known = self._since.get(thread) if self.joined(thread) else None
        self._known.put(thread, float("inf"))
        self._since.put(thread, since if known is None else min(known, since, key=order) if known and since else "")

    def decline(self, thread: Conversation) -> None:
        """It is none of ours."""
        self._known.put(thread, -(asyncio.get_running_loop().time() + FORGET_NO_SECONDS))

    def joined(self, thread: Conversation, at: str = "") -> bool | None:
        """Whether we take part in it, or did when the message `at` was said; None when that is not known."""
        until = self._known.get(thread)
        if until is None or (until < 0 and asyncio.get_running_loop().time() >= -until):
            return None
        since = self._since.get(thread) if until > 0 and at else None
        return None if since and order(at) < order(since) else until > 0
