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
from typing import Protocol, Self

from adapters.openai.loop_throttle import Rounds

# The longest time between two reads of one socket: a tenth of what lies between two edits where so many run. Seconds.
BEAT_SECONDS = 0.1

# Beats end together, so that the loop wakes up fewer times, for so many streams; with more of them beats are divided,
# up to so many times, so that thousands do not hold up the loop all at once.
TOGETHER = 32
MOST_PARTS = 10

# A beat pays where it brings several events, as it does where they come closer than this: leaving a socket alone and
# coming back costs about half of what a read does. Seconds.
PAYS_SECONDS = BEAT_SECONDS / 1.5

# How much the newest read says of how far apart events come: the last few count.
WEIGHT = 0.25

# Reads of all streams in one round of the loop: five to ten milliseconds of it. More are ready at a time only where the
# machine is busy; what comes for those who wait then is taken in together.
READS_AT_ONCE = 150

# With fewer streams at once reading costs less than four per cent of a processor, and their readers are served best by
# text that is not a beat old: with beats from 8 streams on, 12 answers in a Slack workspace were seen 0.05 s later.
MANY = 16


class Source(Protocol):
    """A stream's bytes, and whoever can be told not to read them."""

    async def read(self) -> bytes:
        """What came, as soon as something did; nothing at the end."""
        ...

    def more(self) -> bytes:
        """What has come since, without waiting; nothing where there is nothing, or an error."""
        ...

    def pause(self) -> bool:
        """Leave what comes to the kernel; false, and nothing is done, where that cannot be or the stream has ended."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...


class Beats:
    """The streams of one model that are being read."""

    def __init__(self) -> None:
        self.live = 0
        self.rounds = Rounds(READS_AT_ONCE)

    def next_beat(self, now: float) -> float:
        """When a stream that was read just now is read again, by the loop's time."""
        grid = BEAT_SECONDS / min(1 + self.live // TOGETHER, MOST_PARTS)
        return math.floor((now + BEAT_SECONDS) / grid) * grid


class Reading:
    """The reads of one stream, which is live while this is entered.

    `urgent` says that nothing may be kept waiting: until the first words, after the last.
    """

    __slots__ = ("_beats", "_between", "_read_at", "_source", "urgent")

    def __init__(self, source: Source, beats: Beats) -> None:
        self.urgent = True
        self._source = source
        self._beats = beats
        self._read_at = -math.inf
        self._between = math.inf  # how far apart events have come lately. Seconds

    def __enter__(self) -> Self:
        self._beats.live += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._beats.live -= 1

    async def next(self) -> bytes:
        """What came, as soon as it may be had; nothing at the end. An error comes after what came before it."""
        if not self.urgent and self._between < PAYS_SECONDS and self._beats.live >= MANY:
            await self._rest()
        received = await self._source.read()
        if not (self.urgent or self._beats.rounds.take()):
            await self._beats.rounds.wait()
            received += self._source.more()
        now = asyncio.get_running_loop().time()
        between = (now - self._read_at) / (received.count(b"data:") or 1)
        # One read that is late says little of a stream, and all are late in a loop that is busy.
        self._between = between if self._between == math.inf else self._between + (between - self._between) * WEIGHT
        self._read_at = now
        return received

    async def _rest(self) -> None:
        await asyncio.sleep(0)  # an end that came right behind what was read is seen now, and not a beat later
        if not self._source.pause():
            return
        now = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(self._beats.next_beat(now) - now)
        finally:
            self._source.resume()
