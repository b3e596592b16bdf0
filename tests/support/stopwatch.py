"""Durations without the time that a busy machine takes away.

Linux counts how long each thread was ready to run and waited for a processor: the second number in
``/proc/PID/task/TID/schedstat``, in nanoseconds (https://docs.kernel.org/scheduler/sched-stats.html).
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path


def seconds_without_processor(pid: int) -> float:
    """How long all threads of a process together have waited for a processor; 0.0 where nobody counts it."""
    total = 0
    for each in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError, IndexError):  # a thread that ended, and a kernel that does not count
            total += int(each.read_text(encoding="ascii").split()[1])
    return total / 1e9


class Stopwatch:
    """Measures from now on, without the waits of the given process and of this one for a processor."""

    def __init__(self, pid: int) -> None:
        self._pids = (pid, os.getpid())
        self._began = asyncio.get_running_loop().time()
        self._waited = self._waits()

    def _waits(self) -> float:
        return sum(map(seconds_without_processor, self._pids))

    @property
    def seconds(self) -> float:
        """The time since the beginning."""
        elapsed = asyncio.get_running_loop().time() - self._began
        return elapsed - max(self._waits() - self._waited, 0.0)
