"""Holds turns back in a burst of events, so that these are acknowledged in time.

An acknowledgement passes the event loop some seven times. If all questions of a burst begin at once, each pass lasts as
long as a step of every answer; Slack waits three seconds, and delivers the event again. 1,500 questions within 15 s on
two processors: half of the acknowledgements take 11 ms instead of 50, one in a hundred 50 to 110 ms instead of 240. All
answers together take a tenth longer. On a busy machine 2,100 acknowledgements came too late without it, none with it.
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

# Time over which the share is measured. Seconds.
MEASURE_SECONDS = 0.02

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
                if await _busy_share(self._processor_time) <= BUSY_SHARE:
                    return

    def _is_burst(self) -> bool:
        """Whether the last events came within the time of a burst, ending now."""
        now = asyncio.get_running_loop().time()
        return len(self._events) == BURST_EVENTS and now - self._events[0] < BURST_SECONDS


async def _busy_share(processor_time: Callable[[], float]) -> float:
    """The share of a processor in use now."""
    loop = asyncio.get_running_loop()
    began, used = loop.time(), processor_time()
    await asyncio.sleep(MEASURE_SECONDS)
    return (processor_time() - used) / (loop.time() - began)
