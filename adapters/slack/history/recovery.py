"""Recovery of one turn of an earlier process: its conversation, from the question on, as it is now.

A restart amid a hundred answers looks into a hundred conversations within some fifty reads a minute, so each
conversation is read once for all its uses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from adapters.slack.events.parse import SlackMessage
from adapters.slack.history.cache import Conversation
from adapters.slack.history.reader import HistoryReader
from bot.errors import Failure, Retryable

log = logging.getLogger(__name__)

# Delay before a failed read is repeated, and the limit since its first failure, in seconds. After the limit, the
# question is answered, and each post is looked up on its own.
RETRY_SECONDS = 5.0
PATIENCE = 60.0


class ThreadSnapshot:
    """The question and later messages, read once. `messages` are the earlier process's known posts for the turn."""

    def __init__(
        self, reader: HistoryReader, conversation: Conversation, question: str, messages: Sequence[str]
    ) -> None:
        self._reader = reader
        self._conversation = conversation
        self._question = question
        self._reading = asyncio.Lock()
        self._is_read = False
        self._snapshot: Sequence[SlackMessage] | None = None
        self.messages = tuple(messages)

    async def is_deleted(self) -> bool:
        """Whether the question was deleted; False if unknown."""
        snapshot = await self._load()
        if snapshot is None or any(each.ts == self._question for each in snapshot):
            return False
        log.info("Slack: message %s in %s was deleted before its answer", self._question, self._conversation[0])
        return True

    async def since(self, ts: str) -> Sequence[SlackMessage] | None:
        """Messages after `ts` (the question or a later message), oldest first; None if unknown."""
        snapshot = await self._load() or ()
        times = [each.ts for each in snapshot]
        return snapshot[times.index(ts) + 1 :] if ts in times else None

    async def _load(self) -> Sequence[SlackMessage] | None:
        async with self._reading:
            if not self._is_read:
                self._snapshot = await self._read()
                self._is_read = True
        return self._snapshot

    async def _read(self) -> Sequence[SlackMessage] | None:
        loop, until = asyncio.get_running_loop(), float("inf")
        while True:
            try:
                return await self._reader.from_message(self._conversation, self._question)
            except Failure as failure:
                # A limited app's permits are a minute apart, and answers do not wait for them.
                until = min(until, loop.time() + (0.0 if self._reader.is_limited else PATIENCE))
                if not isinstance(failure, Retryable) or loop.time() + RETRY_SECONDS >= until:
                    log.info("Slack: the messages after %s are unreadable (%s)", self._question, failure)
                    return None
            await asyncio.sleep(RETRY_SECONDS)
