"""Work in order per key and concurrent across keys, in a bounded queue."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

from bot.errors import Failure

log = logging.getLogger(__name__)

# Default limit of queued and running work. At about 5 kB per message it takes 50 MB, and it is only reached if the
# journal or the platform's API hangs.
MAX_WAITING = 10_000

Work = Coroutine[Any, Any, None]


class KeyedQueue:
    """One worker task per busy key. Work that fails is logged and does not affect other work."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._group: asyncio.TaskGroup | None = None
        self._waiting: dict[str, deque[Work]] = {}
        self._count = 0  # queued or running
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, group: asyncio.TaskGroup) -> None:
        """Run workers in `group` from now on."""
        self._group = group

    def close(self) -> None:
        """Cancel running work and discard queued work, so that the group can end."""
        self._group = None
        for task in self._tasks:
            task.cancel()
        for queue in self._waiting.values():
            while queue:
                queue.popleft().close()
                self._count -= 1
        self._waiting.clear()

    def put(self, key: str, work: Work) -> bool:
        """Run `work` after all earlier work of the same key; False if it is dropped."""
        if self._group is None:
            work.close()
            log.info("dropping work of %s: the queue is closed", key)
            return False
        if self._count >= self._limit:
            work.close()
            log.warning("dropping work of %s: the queue is full", key)
            return False
        self._count += 1
        if key in self._waiting:
            self._waiting[key].append(work)
            return True
        self._waiting[key] = deque([work])
        task = self._group.create_task(self._run(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def is_busy(self, key: str) -> bool:
        """Whether work of `key` is queued or running."""
        return key in self._waiting

    async def drain(self, seconds: float) -> int:
        """Wait for all work, at most `seconds`; the number of keys with unfinished work."""
        if not self._tasks:
            return 0
        _, unfinished = await asyncio.wait(self._tasks, timeout=seconds)
        return len(unfinished)

    async def _run(self, key: str) -> None:
        queue = self._waiting[key]
        while queue:
            try:
                await queue.popleft()
            except Failure as failure:  # for example: the client was closed meanwhile
                log.warning("giving up work of %s: %r", key, failure)
            except Exception:
                # The boundary of one piece of work: later work of the key still runs.
                log.exception("giving up work of %s", key)
            finally:
                self._count -= 1
        self._waiting.pop(key, None)
