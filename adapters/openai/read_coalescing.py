"""Read coalescing: a stream is read when its text can be written, and at intervals in between.

Waking up for a chunk costs more than decoding ten. So a fast stream is paused after a read, and the kernel's buffer
collects the next chunks (its size is the bound). `next_write_at` ends the pause just before new text can be written:
then text is as fresh in a write as without pauses. The first words are never delayed, nor are slow streams. The end and
errors come up to one interval late; the interval grows with the answer, so that its mean delay hardly changes.

With hundreds of streams the interval grows with their number, since each is written only every few seconds. A thousand
streams read five times a second would take the whole processor.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol, Self

from bot.ports import NextWriteAt, at_once

# Pauses ended in one iteration of the loop: the reads behind them take two to five milliseconds, and a request to this
# process takes four iterations. More are due only if the machine is busy. Meanwhile their data waits in the kernel.
READS_PER_ITERATION = 8

# Weight of the newest read in the average gap between events: the last few reads count.
GAP_WEIGHT = 0.25

# A read must bring so many events: pausing and resuming a socket costs about half of a read.
EVENTS_PER_READ = 1.5

# A read just before a write takes the place of one up to so many intervals away.
WAIT_FOR_WRITE = 1.5

# Behind a read of this size more bytes wait already. Bytes.
FULL_READ = 64 * 2**10


@dataclass(frozen=True, slots=True)
class CoalescingOptions:
    """How long reads are delayed. Seconds."""

    # The interval between two reads, as a share of the time since the first words. A final write shows the text of
    # about a second, so half an interval for it costs five milliseconds in the mean over the answer.
    share: float = 0.01
    # Its limits: shorter ones save little at the pace of a usual model, and readers notice longer ones.
    shortest: float = 0.1
    longest: float = 0.15
    # The interval with so many streams, each written once a second or less often: one read between two writes, and one
    # just before a write. With half of it, reading takes half of the processor time.
    many_streams: int = 16
    interval_of_many: float = 0.4
    # Reads of all streams in a second: an eighth of the processor. Their interval gets no longer than so many seconds,
    # a tenth of the usual idle timeout.
    reads_per_second: float = 500.0
    longest_of_many: float = 2.0
    # Before a write: time to read and decode a whole interval, even if the loop is busy. Later words are read at once.
    lead: float = 0.012
    # Intervals of different streams end together, so that the loop wakes up less often. Each further `streams_per_slot`
    # streams add a slot, up to `max_slots`, so that thousands do not hold up the loop all at once.
    slot: float = 0.05
    streams_per_slot: int = 32
    max_slots: int = 5


class ByteSource(Protocol):
    """The bytes of a stream, with reading that can be paused."""

    async def read(self) -> bytes:
        """The next bytes, as soon as any arrive; empty at the end."""
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
        self._resting: dict[float, list[ByteSource]] = {}  # by the time of their next read; one timer for each
        self._due: deque[ByteSource] = deque()  # their time has come

    def interval(self, age: float) -> float:
        """Seconds between two reads of a stream whose words began `age` seconds ago."""
        options = self.options
        if self.open_streams >= options.many_streams:
            fair = self.open_streams / options.reads_per_second
            return min(max(fair, options.interval_of_many), options.longest_of_many)
        return min(max(age * options.share, options.shortest), options.longest)

    def next_read_at(self, now: float, interval: float, next_write_at: float = math.inf) -> float:
        """The loop time of the next read of a stream just read; `now` if a write waits for its text.

        A write so soon that another read would exceed `reads_per_second` shows the text just read.
        """
        if next_write_at <= now:
            return now
        options = self.options
        before_write = next_write_at - options.lead
        if before_write <= now and self.open_streams < options.many_streams:
            return now  # the last words before the write too
        soonest = now + max(interval - options.interval_of_many, 0.0) / 2
        if soonest < before_write < now + WAIT_FOR_WRITE * interval:
            return before_write
        slot = options.slot / min(1 + self.open_streams // options.streams_per_slot, options.max_slots)
        return round((now + interval) / slot) * slot

    def resume_at(self, at: float, source: ByteSource) -> None:
        """Read a paused source again from this loop time on, as soon as the loop has time for it."""
        sources = self._resting.get(at)
        if sources is None:
            sources = self._resting[at] = []
            asyncio.get_running_loop().call_at(at, self._end_rest, at)
        sources.append(source)

    def _end_rest(self, at: float) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._resume_due)
        self._due += self._resting.pop(at)

    def _resume_due(self) -> None:
        """Resume as many as one iteration of the loop has time for; the rest in the next ones."""
        for _ in range(min(READS_PER_ITERATION, len(self._due))):
            self._due.popleft().resume()
        if self._due:
            asyncio.get_running_loop().call_soon(self._resume_due)


class CoalescedReader:
    """Reads one stream; the stream counts as open inside the context.

    `urgent` forbids delays: until the first words, and after the last.
    """

    __slots__ = ("_began", "_coalescer", "_event_gap", "_is_full", "_next_write_at", "_read_at", "_source", "urgent")

    def __init__(self, source: ByteSource, coalescer: ReadCoalescer, next_write_at: NextWriteAt = at_once) -> None:
        self.urgent = True
        self._source = source
        self._coalescer = coalescer
        self._next_write_at = next_write_at
        self._began = math.inf  # when the words began
        self._is_full = False  # the last read was, so the next one must not wait
        self._read_at = -math.inf
        self._event_gap = math.inf  # average seconds between events

    def __enter__(self) -> Self:
        self._coalescer.open_streams += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._coalescer.open_streams -= 1

    def words_came(self) -> None:
        """The last read held words of the answer."""
        self._began = min(self._began, self._read_at)

    async def read(self) -> bytes:
        """The next bytes, possibly delayed; empty at the end. Raises an error after all bytes before it."""
        loop = asyncio.get_running_loop()
        if (at := self._next_read_at(now := loop.time())) > now and self._source.pause():
            self._coalescer.resume_at(at, self._source)
        try:
            received = await self._source.read()
        except asyncio.CancelledError:
            self._source.resume()
            raise
        now = loop.time()
        gap = (now - self._read_at) / (received.count(b"data:") or 1)
        # Averaged, since one late read says little about a stream, and a busy loop delays all of them.
        self._event_gap = gap if self._event_gap == math.inf else self._event_gap + (gap - self._event_gap) * GAP_WEIGHT
        self._read_at, self._is_full = now, len(received) >= FULL_READ
        return received

    def _next_read_at(self, now: float) -> float:
        """Until when a fast stream's socket is left alone; `now` for other streams."""
        if self.urgent or self._is_full:
            return now
        coalescer = self._coalescer
        interval = coalescer.interval(now - self._began)
        if self._event_gap * EVENTS_PER_READ > interval:
            return now
        return coalescer.next_read_at(now, interval, self._next_write_at(now))
