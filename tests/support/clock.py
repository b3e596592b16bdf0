"""A virtual clock: an event loop on which time passes only when every task waits for it.

Minutes of pacing take milliseconds, and always the same ones; a loop in which nothing could ever happen again raises
`Deadlock` instead of hanging. `VirtualLoop` is for the core with in-memory ports; `LoopbackLoop` also for sockets
between tasks of the same loop. Threads and other processes run in real time.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any, Final

# So many times as long may anything in real time take on a machine with other work.
BUSY: Final = 3

# Real seconds in which data arrives over the loopback interface: the kernel usually delivers it in the sender's call.
# A step of time longer than `_STEP_SECONDS` waits longer, since it may be a client's time-out.
_ARRIVAL_SECONDS, _PATIENT_SECONDS, _STEP_SECONDS = 0.0003, 0.01, 2.0
# Without any timer, a thread (a name look-up) may still wake the loop, late on a busy machine. Real seconds.
_THREAD_SECONDS = 5.0


class Deadlock(AssertionError):
    """Every task waits, and no timer is set: nothing would ever happen again."""


class _VirtualSelector(selectors.SelectSelector):
    """Where it would block, it moves the loop's time forward instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        """Poll; when nothing is there and the loop would sleep, advance its time by as much."""
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Deadlock("every task is waiting and no timer is set")
        # Never stand still, not even for a timer that is due: AsyncLimiter may ask to be woken a rounding error from
        # now, for ever. A nanosecond for each turn of the loop is lost in what tests look at.
        self.loop.advance(max(timeout, 1e-9))
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that owns its time, which starts at 1,000 s (so that a forgotten zero shows)."""

    selector_type = _VirtualSelector

    def __init__(self) -> None:
        selector = self.selector_type()
        super().__init__(selector)
        selector.loop = self
        self._virtual_now = 1000.0

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._virtual_now

    def advance(self, seconds: float) -> None:
        """Move time forward."""
        self._virtual_now += seconds


class _LoopbackSelector(_VirtualSelector):
    """Gives what was sent over the loopback interface a moment to arrive, before it moves time."""

    def select(self, timeout: float | None = None) -> list[Any]:
        """Poll, wait a moment for data, then advance."""
        ready = super(_VirtualSelector, self).select(0)
        if not ready and timeout != 0:
            short = _ARRIVAL_SECONDS if (timeout or 0.0) <= _STEP_SECONDS else _PATIENT_SECONDS
            ready = super(_VirtualSelector, self).select(_THREAD_SECONDS if timeout is None else short)
        return ready or super().select(timeout)


def slowness() -> int:
    """The factor of a platform's short time limits: 1 in virtual time, `BUSY` in real time."""
    return 1 if isinstance(asyncio.get_running_loop(), VirtualLoop) else BUSY


def platform_time() -> float:
    """The loop's time as a platform counts it for its short time limits: slower in real time. Seconds."""
    return asyncio.get_running_loop().time() / slowness()


class LoopbackLoop(VirtualLoop):
    """A virtual clock for clients and servers in one loop, over real sockets."""

    selector_type = _LoopbackSelector
