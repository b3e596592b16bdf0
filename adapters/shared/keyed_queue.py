"""Messages on their way to being turns: side by side, but in order within a conversation.

What belongs here: the lanes, and how many may wait in them. What does not: what is done with a message (`platform`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

from bot.errors import Failure

log = logging.getLogger(__name__)

# Messages that wait to be written down or looked up, in all: beyond that they are dropped, and the log says so. About
# 5 kB each. Writing one down takes milliseconds, so that many come only while the journal or Discord's REST hangs.
MAX_WAITING = 10_000


class KeyedQueue:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._waiting: dict[str, deque[Coroutine[Any, Any, None]]] = {}
        self._count = 0  # messages that wait or are worked on
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, group: asyncio.TaskGroup) -> None:
        """Work in `group` from now on."""
        self._group = group

    def close(self) -> None:
        """Give up what waits, so that the group can end."""
        self._group = None
        for task in self._tasks:
            task.cancel()
        for queue in self._waiting.values():
            while queue:
                queue.popleft().close()
                self._count -= 1
        self._waiting.clear()

    def put(self, conversation: str, work: Coroutine[Any, Any, None]) -> bool:
        """Do `work` after what waits in the same conversation; False if it is dropped."""
        if self._group is None:
            work.close()
            log.info("dropping a message of conversation %s: not listening any more", conversation)
            return False
        if self._count >= MAX_WAITING:
            work.close()
            log.warning("dropping a message of conversation %s: too many wait", conversation)
            return False
        self._count += 1
        if conversation in self._waiting:
            self._waiting[conversation].append(work)
            return True
        self._waiting[conversation] = deque([work])
        task = self._group.create_task(self._work(conversation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def is_busy(self, conversation: str) -> bool:
        """Whether something is worked on or waits there."""
        return conversation in self._waiting

    async def drain(self, seconds: float) -> int:
        """Wait until all is done, but not longer than that; how many conversations are left."""
        if not self._tasks:
            return 0
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        return len(late)

    async def _work(self, conversation: str) -> None:
        queue = self._waiting[conversation]
        while queue:
            try:
                await queue.popleft()
            except Failure as failure:  # the client was closed meanwhile
                log.warning("leaving a message of conversation %s: %r", conversation, failure)
            except Exception:
                # The boundary of one message: whatever is odd about it, the next ones are heard.
                log.exception("dropping a message of conversation %s", conversation)
            finally:
                self._count -= 1
        self._waiting.pop(conversation, None)
