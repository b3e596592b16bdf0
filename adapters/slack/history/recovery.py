"""What an earlier process left of one answer, as its conversation shows it now.

What belongs here: the one read of a conversation, from the question on, that tells whether the question is still there
and which messages were posted for it. What does not: what is kept of the question itself (`kept`), and what is done
about it (`hearing`, `channel`).

After a restart in the middle of a hundred answers, a hundred conversations are to be looked into within a budget of
some fifty reads a minute, so each is read once, for everybody who wants to know something of it.
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

# A read that fails for the moment is made again after this, in seconds, and until so many have passed since its first
# failure. Then nothing is known: the question is answered, and each post looked for on its own.
RETRY_SECONDS = 5.0
PATIENCE = 60.0


class ThreadSnapshot:
    """See the module. `messages` are those that the earlier process is known to have posted."""

    def __init__(
        self, reader: HistoryReader, conversation: Conversation, question: str, messages: Sequence[str]
    ) -> None:
        self._reader = reader
        self._conversation = conversation
        self._question = question
        self._reading = asyncio.Lock()
        self._was_read = False
        self._said: Sequence[SlackMessage] | None = None
        self.messages = tuple(messages)

    async def is_deleted(self) -> bool:
        """Whether the question is there no more; what is not known counts as no."""
        said = await self._look()
        if said is None or any(each.ts == self._question for each in said):
            return False
        log.info("Slack: message %s in %s was deleted before it was answered", self._question, self._conversation[0])
        return True

    async def since(self, ts: str) -> Sequence[SlackMessage] | None:
        """What had been said after a message, the question or a later one, oldest first; None where it is not known."""
        said = await self._look()
        if said is None or all(each.ts != ts for each in said):
            return None
        return said[[each.ts for each in said].index(ts) + 1 :]

    async def _look(self) -> Sequence[SlackMessage] | None:
        async with self._reading:
            if not self._was_read:
                self._said = await self._read()
                self._was_read = True
        return self._said

    async def _read(self) -> Sequence[SlackMessage] | None:
        loop, until = asyncio.get_running_loop(), float("inf")
        while True:
            try:
                return await self._reader.onward(self._conversation, self._question)
            except Failure as failure:
                until = min(until, loop.time() + PATIENCE)
                if not isinstance(failure, Retryable) or loop.time() + RETRY_SECONDS >= until:
                    log.info("Slack: what followed message %s cannot be read (%s)", self._question, failure)
                    return None
            await asyncio.sleep(RETRY_SECONDS)
