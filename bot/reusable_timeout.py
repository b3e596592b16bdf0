"""Timeouts for many consecutive waits, with one timer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import Self, TypeVar

T = TypeVar("T")


class ReusableTimeout:
    """Timeouts for consecutive waits, like `asyncio.timeout_at` for each, but with one timer for many.

    A stream waits ten times a second and almost never times out; setting a timer for each wait took a tenth of the
    processor with many streams. So the timer fires, and is then set for the current wait.
    """

    __slots__ = ("_ends_at", "_loop", "_rang", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends_at = math.inf  # the present wait
        self._task: asyncio.Task[object] | None = None  # the waiting task
        self._timer: asyncio.TimerHandle | None = None
        self._rang = False  # and the task was cancelled for it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def over(self, awaitable: Awaitable[T], ends_at: float) -> T:
        """Await it. Raises `TimeoutError` if it is not done by `ends_at`, in the loop's time."""
        task = self._task = asyncio.current_task()
        assert task is not None
        self._ends_at, cancelling = ends_at, task.cancelling()
        if self._timer is None or self._timer.when() > ends_at:
            self._set(ends_at)
        try:
            return await awaitable
        except asyncio.CancelledError as error:
            if self._rang:
                self._rang = False
                if task.uncancel() <= cancelling:  # by nobody else
                    raise TimeoutError from error
            raise
        finally:
            if self._rang:  # it ended otherwise meanwhile
                task.uncancel()
            self._ends_at, self._task, self._rang = math.inf, None, False

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._ends_at == math.inf or self._task is None:
            return
        if self._loop.time() >= self._ends_at:
            self._rang = True
            self._task.cancel()
        else:
            self._set(self._ends_at)
