"""Holds turns back in a burst of events, so that these are acknowledged in time.

An acknowledgement passes the event loop some seven times. If all questions of a burst begin at once, each pass lasts as
long as a step of every answer; Slack waits three seconds, and delivers the event again. 100 questions a second for 17 s
on two processors: half of the acknowledgements take 6 ms instead of 19, one in a hundred 28 ms instead of 375. All
answers together take a third longer, since a part of the processor stays free during the burst.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

# A burst: so many events within this time, in seconds. One process answers about forty questions a second.
BURST_EVENTS = 30
BURST_SECONDS = 1.0

# Largest share of a processor in use when another turn may begin. The rest is for acknowledgements.
BUSY_SHARE = 0.6

# Longest delay of the event loop when another turn may begin. Where other programs use the processor, the share alone
# is small, and acknowledgements are late. Seconds.
BUSY_DELAY_SECONDS = 0.005

# Time over which both are measured. Seconds.
MEASURE_SECONDS = 0.02

# Time between two turns held back by a burst, once it is over: all at once, their calls of the database would time out.
# Seconds.
BACKLOG_SECONDS = 0.01

# A turn begins after this at the latest behind the one before: an endless burst must not stop answering. Seconds.
LONGEST_SECONDS = 0.2


class StartGate:
    """Lets turns begin one by one during a burst, in order of arrival; at once otherwise."""

    def __init__(self, processor_time: Callable[[], float] | None) -> None:
        """`processor_time` is that of the event loop's thread, in seconds; None: never hold a turn back."""
        self._processor_time = processor_time
        self._turnstile = asyncio.Lock()
        self._events: deque[float] = deque(maxlen=BURST_EVENTS)  # times of the last ones

    def event_received(self) -> None:
        """An event is to be acknowledged."""
        self._events.append(asyncio.get_running_loop().time())

    async def wait(self) -> None:
        """Wait during a burst until the processor has time, or until the longest wait ends."""
        if self._processor_time is None or not (self._is_burst() or self._turnstile.locked()):
            return
        async with self._turnstile:
            give_up_at = asyncio.get_running_loop().time() + LONGEST_SECONDS
            while self._is_burst() and asyncio.get_running_loop().time() < give_up_at:
                if not await _is_busy(self._processor_time):
                    return
            await asyncio.sleep(BACKLOG_SECONDS)

    def _is_burst(self) -> bool:
        """Whether the last events came within the time of a burst, ending now."""
        now = asyncio.get_running_loop().time()
        return len(self._events) == BURST_EVENTS and now - self._events[0] < BURST_SECONDS


async def _is_busy(processor_time: Callable[[], float]) -> bool:
    """Whether the processor has no time for another turn now."""
    loop = asyncio.get_running_loop()
    began, used = loop.time(), processor_time()
    await asyncio.sleep(MEASURE_SECONDS)
    passed = loop.time() - began
    return passed - MEASURE_SECONDS > BUSY_DELAY_SECONDS or (processor_time() - used) / passed > BUSY_SHARE
