"""When a stream's socket is read: at once, or in beats where many streams run.

What belongs here: that choice, and waiting for the next beat. What does not: what is read (`client`, `sse`).

A read costs about as much for one chunk as for ten, so that streams whose chunks come faster than anybody is shown them
are read in *beats*: after a read the socket is left alone for a while, and the kernel collects what comes (its buffer
is the bound). The first words are never kept waiting, nor are streams of which there are few; an end or an error is
noticed within a beat, and the deltas are as old as that at the most.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

# The longest time between two reads of one socket: a tenth of what lies between two edits where so many run. Seconds.
BEAT_SECONDS = 0.1

# Beats end together, so that the loop wakes up fewer times, for so many streams; with more of them beats are divided,
# up to so many times, so that thousands do not hold up the loop all at once.
TOGETHER = 32
MOST_PARTS = 10

# With fewer streams at once reading costs less than two per cent of a processor, and their readers are served best by
# text that is not a beat old.
MANY = 8


class Tap(Protocol):
    """What can be told not to read."""

    def pause(self) -> bool:
        """Leave what comes to the kernel; false, and nothing is done, where the stream has ended."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...


class Beats:
    """The streams of one model that are being read."""

    def __init__(self) -> None:
        self.live = 0

    def next_beat(self, now: float) -> float:
        """When a stream that was read just now is read again, by the loop's time."""
        grid = BEAT_SECONDS / min(1 + self.live // TOGETHER, MOST_PARTS)
        return math.floor((now + BEAT_SECONDS) / grid) * grid


class Reading:
    """The bytes of one stream. `urgent` says that nothing may be kept waiting: until the first words, after the last.

    Without a `tap` there are no beats: a socket that goes on being read would only be read for later.
    """

    def __init__(self, source: AsyncIterator[bytes], tap: Tap | None, beats: Beats) -> None:
        self.urgent = True
        self._source = source
        self._tap = tap
        self._beats = beats
        self._read_at = -math.inf

    async def received(self) -> AsyncGenerator[bytes, None]:
        """What came, as soon as it may be had. Raises what the source raises, after what came before that."""
        self._beats.live += 1
        try:
            async for received in self._source:
                yield received
                if self._tap is not None and self._pays(received):
                    await self._rest(self._tap)
        finally:
            self._beats.live -= 1

    def _pays(self, received: bytes) -> bool:
        """Whether a beat would bring several events, judging by this read and the time since the last."""
        now = asyncio.get_running_loop().time()
        since, self._read_at = now - self._read_at, now
        if self.urgent or self._beats.live < MANY:
            return False
        return since < BEAT_SECONDS / 2 or received.count(b"data:") > 1

    async def _rest(self, tap: Tap) -> None:
        await asyncio.sleep(0)  # an end that came right behind what was read is seen now, and not a beat later
        if not tap.pause():
            return
        now = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(self._beats.next_beat(now) - now)
        finally:
            tap.resume()
