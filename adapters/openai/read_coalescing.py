"""Read coalescing: with many open streams, sockets are read at intervals instead of at every chunk.

A read costs about as much for one chunk as for ten. A fast stream is therefore paused after a read, and the kernel's
buffer collects the next chunks (its size is the bound). The first words are never delayed, nor are slow streams, nor
any stream if few are open. Coalescing delays deltas, the end and errors by one interval at most.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Protocol, Self

from adapters.openai.loop_throttle import LoopThrottle

# Reads of all streams in one iteration of the loop: five to ten milliseconds. More are ready only if the machine is
# busy; a read delayed by this limit also takes the data arriving in the meantime.
READS_PER_ITERATION = 150

# Weight of the newest read in the average gap between events: the last few reads count.
GAP_WEIGHT = 0.25


@dataclass(frozen=True, slots=True)
class CoalescingOptions:
    """When and how long reads are delayed."""

    # The longest time between two reads of one socket: a tenth of the time between two edits with so many streams.
    interval_seconds: float = 0.1
    # Below this number of streams, reading costs less than four per cent of a processor, and readers benefit from fresh
    # text: with coalescing from 8 streams on, 12 answers in a Slack workspace were seen 0.05 s later.
    min_streams: int = 16
    # Intervals of different streams end together, so that the loop wakes up less often. Each further `streams_per_slot`
    # streams add a slot to the interval, up to `max_slots`, so that thousands do not hold up the loop all at once.
    streams_per_slot: int = 32
    max_slots: int = 10

    @property
    def max_event_gap(self) -> float:
        """Seconds between events up to which coalescing pays.

        A read must bring several events: pausing and resuming a socket costs about half of a read.
        """
        return self.interval_seconds / 1.5


class ByteSource(Protocol):
    """The bytes of a stream, with reading that can be paused."""

    async def read(self) -> bytes:
        """The next bytes, as soon as any arrive; empty at the end."""
        ...

    def read_nowait(self) -> bytes:
        """The bytes already received; empty if there are none, or after an error."""
        ...

    def pause(self) -> bool:
        """Stop reading the socket. False, without effect, if pausing is impossible or the stream has ended."""
        ...

    def resume(self) -> None:
        """Read the socket again."""
        ...


class ReadCoalescer:
    """The open streams of one model, and the common schedule of their reads."""

    def __init__(self, options: CoalescingOptions) -> None:
        self.options = options
        self.open_streams = 0
        self.throttle = LoopThrottle(READS_PER_ITERATION)

    def next_read_at(self, now: float) -> float:
        """The loop time of the next read of a stream just read."""
        options = self.options
        slot = options.interval_seconds / min(1 + self.open_streams // options.streams_per_slot, options.max_slots)
        return math.floor((now + options.interval_seconds) / slot) * slot

    def delays(self, event_gap: float) -> bool:
        """Whether a stream with this average gap between events is worth delaying."""
        return event_gap < self.options.max_event_gap and self.open_streams >= self.options.min_streams


class CoalescedReader:
    """Reads one stream; the stream counts as open inside the context.

    `urgent` forbids delays: until the first words, and after the last.
    """

    __slots__ = ("_coalescer", "_event_gap", "_read_at", "_source", "urgent")

    def __init__(self, source: ByteSource, coalescer: ReadCoalescer) -> None:
        self.urgent = True
        self._source = source
        self._coalescer = coalescer
        self._read_at = -math.inf
        self._event_gap = math.inf  # average seconds between events

    def __enter__(self) -> Self:
        self._coalescer.open_streams += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._coalescer.open_streams -= 1

    async def read(self) -> bytes:
        """The next bytes, possibly delayed; empty at the end. Raises an error after all bytes before it."""
        if not self.urgent and self._coalescer.delays(self._event_gap):
            await self._pause()
        received = await self._source.read()
        if not (self.urgent or self._coalescer.throttle.try_acquire()):
            await self._coalescer.throttle.acquire_later()
            received += self._source.read_nowait()
        now = asyncio.get_running_loop().time()
        gap = (now - self._read_at) / (received.count(b"data:") or 1)
        # Averaged, since one late read says little about a stream, and a busy loop delays all of them.
        self._event_gap = gap if self._event_gap == math.inf else self._event_gap + (gap - self._event_gap) * GAP_WEIGHT
        self._read_at = now
        return received

    async def _pause(self) -> None:
        await asyncio.sleep(0)  # notice an end directly behind the last bytes now, not an interval later
        if not self._source.pause():
            return
        now = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(self._coalescer.next_read_at(now) - now)
        finally:
            self._source.resume()
