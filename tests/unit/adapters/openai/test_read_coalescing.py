"""Read coalescing, on the virtual clock with a scripted socket."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress

import pytest

from adapters.openai.read_coalescing import (
    FULL_READ,
    READS_PER_ITERATION,
    CoalescedReader,
    CoalescingOptions,
    ReadCoalescer,
)
from bot.errors import ServiceError
from bot.ports import NextWriteAt, at_once

EVENT = b"data: {}\n\n"
RATE = 40.0  # events a second
OPTIONS = CoalescingOptions()


class Socket:
    """A kernel buffer filled with one event at each given time; a read takes all of it."""

    def __init__(self, times: Sequence[float], failure: Exception | None = None, *, pausable: bool = True) -> None:
        now = asyncio.get_running_loop().time()
        self._coming = [now + time for time in times]
        self._failure = failure
        self._pausable = pausable
        self._resumed = asyncio.Event()
        self._resumed.set()
        self.pauses = 0

    @property
    def paused(self) -> bool:
        return not self._resumed.is_set()

    def pause(self) -> bool:
        if not (self._coming and self._pausable):
            return False
        self._resumed.clear()
        self.pauses += 1
        return True

    def resume(self) -> None:
        self._resumed.set()

    async def read(self) -> bytes:
        await self._resumed.wait()
        if self._coming:
            await asyncio.sleep(max(self._coming[0] - asyncio.get_running_loop().time(), 0))
            return self._take()
        if self._failure is not None:
            raise self._failure
        return b""

    def _take(self) -> bytes:
        now = asyncio.get_running_loop().time()
        here = [time for time in self._coming if time <= now + 1e-6]
        del self._coming[: len(here)]
        return EVENT * len(here)


def among(others: int) -> ReadCoalescer:
    """A coalescer with this number of other open streams."""
    coalescer = ReadCoalescer(OPTIONS)
    coalescer.open_streams = others
    return coalescer


def never(_now: float) -> float:
    """No write is near."""
    return math.inf


async def ages(
    socket: Socket, times: Sequence[float], others: int = 0, next_write_at: NextWriteAt = never
) -> tuple[list[float], list[int]]:
    """The age of each event at its read, and the events per read. Only the first read is urgent."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    found: list[float] = []
    reads: list[int] = []
    with CoalescedReader(socket, among(others), next_write_at) as reader:
        while received := await reader.read():
            count = received.count(EVENT)
            reads.append(count)
            found += [loop.time() - began - time for time in times[len(found) : len(found) + count]]
            reader.urgent = False
            reader.words_came()
    return found, reads


STEADY = [0.3 + number / RATE for number in range(1_000)]
AT_ONCE = pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("others", [0, OPTIONS.many_streams])
async def test_streams_are_coalesced(others: int) -> None:
    """The first event arrives at once; later ones wait in proportion to the age of the words, within limits."""
    socket = Socket(STEADY)
    found, reads = await ages(socket, STEADY, others)
    assert len(found) == len(STEADY)
    assert found[0] == AT_ONCE
    for time, age in zip(STEADY, found, strict=True):
        interval = min(max((time + age - 0.3) * OPTIONS.share, OPTIONS.shortest), OPTIONS.longest)
        interval = OPTIONS.interval_of_many if others else interval
        assert age <= interval + OPTIONS.slot / 2 + 0.001
    assert len(reads) < 220
    assert not socket.paused


@pytest.mark.parametrize("gap", [0.6, 1.0, 1.37])
async def test_a_write_shows_fresh_text(gap: float) -> None:
    """Just before a write everything is read that came until then, with few more reads."""
    loop = asyncio.get_running_loop()
    socket, began = Socket(STEADY), loop.time()
    writes = [began + 0.5 + number * gap for number in range(15)]
    fresh: list[float] = []
    reads: list[float] = []

    async def read() -> None:
        count = 0
        with CoalescedReader(socket, among(0), lambda now: next(at for at in writes if at > now)) as reader:
            while received := await reader.read():
                count += received.count(EVENT)
                reads.append(loop.time())
                fresh.append(began + STEADY[count - 1])
                reader.urgent = False
                reader.words_came()

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        for at in writes:
            await asyncio.sleep(at - loop.time())
            assert at - fresh[-1] <= OPTIONS.lead + 1 / RATE + 0.001
        reading.cancel()
    assert len(reads) <= 14 * gap / OPTIONS.shortest + 2 * len(writes)
    assert not socket.paused


async def test_text_that_can_be_written_is_read_at_once() -> None:
    """While a write waits for text, no event waits."""
    socket = Socket(STEADY[:80])
    found, reads = await ages(socket, STEADY[:80], next_write_at=at_once)
    assert max(found) == AT_ONCE
    assert set(reads) == {1}
    assert socket.pauses == 0


async def test_a_socket_that_cannot_be_paused_is_read_at_once() -> None:
    """Then no event waits."""
    found, reads = await ages(Socket(STEADY[:80], pausable=False), STEADY[:80])
    assert max(found) == AT_ONCE
    assert set(reads) == {1}


async def test_a_slow_stream_is_read_at_once() -> None:
    """An interval with a single event would cost more than it saves."""
    times = [number * 0.08 for number in range(50)]
    socket = Socket(times)
    found, _ = await ages(socket, times)
    assert max(found) == AT_ONCE
    assert socket.pauses == 0


async def test_a_stream_is_coalesced_while_it_is_fast() -> None:
    """Before and after, it is read at once."""
    slow, fast = [number * 0.2 for number in range(10)], [2 + number / RATE for number in range(40)]
    times = [*slow, *fast, 3.3, 3.6]
    found, _ = await ages(Socket(times), times)
    assert max(found[:10]) == AT_ONCE
    assert 0.02 < max(found[10:50]) <= OPTIONS.shortest + OPTIONS.slot / 2 + 0.001
    assert max(found[50:]) == AT_ONCE


async def test_a_full_read_is_followed_by_another() -> None:
    """A server that sends megabytes is read as fast as it sends."""
    size = FULL_READ // len(EVENT) + 1
    times = [0.001 * (number // size) for number in range(size * 20)]
    socket = Socket(times)
    found, _ = await ages(socket, times)
    assert max(found) == AT_ONCE
    assert socket.pauses == 0


async def test_urgent_reads_are_not_delayed() -> None:
    """Until the first words, and after the last, there is no coalescing."""
    socket = Socket(STEADY)
    with CoalescedReader(socket, among(20), never) as reader:
        assert [await reader.read() for _ in STEADY] == [EVENT] * len(STEADY)
        assert await reader.read() == b""
    assert socket.pauses == 0


async def test_one_late_read_starts_no_coalescing() -> None:
    """Two events in one read may come from a busy loop instead of a fast stream."""
    times = [number * 0.1 for number in range(50)]
    times[20] = times[21]
    socket = Socket(times)
    found, reads = await ages(socket, times)
    assert max(reads) == 2
    assert max(found) == AT_ONCE
    assert socket.pauses == 0


async def test_many_reads_at_once_leave_the_loop_to_others() -> None:
    """An iteration of the loop ends a limited number of pauses, and the later reads take all that came meanwhile."""
    coalescer, loop = ReadCoalescer(OPTIONS), asyncio.get_running_loop()
    ended = [0]  # pauses, by iteration

    class Counted(Socket):
        def resume(self) -> None:
            if not ended[-1]:
                loop.call_soon(ended.append, 0)
            ended[-1] += 1
            super().resume()

    async def take() -> None:
        with CoalescedReader(Counted(STEADY[:80]), coalescer, never) as reader:
            received = await reader.read()
            reader.urgent = False
            while more := await reader.read():
                received += more
            assert received == EVENT * 80

    async with asyncio.TaskGroup() as group:
        for _ in range(3 * READS_PER_ITERATION):
            group.create_task(take())
    assert sum(ended) >= 4 * 3 * READS_PER_ITERATION
    assert max(ended) == READS_PER_ITERATION


@pytest.mark.parametrize(("open_streams", "interval"), [(20, 0.4), (200, 0.4), (500, 1.0), (2_000, 2.0)])
async def test_the_reads_of_many_streams_are_bounded(open_streams: int, interval: float) -> None:
    """However soon a write is said to come, hundreds of streams are read so many times a second, or every two."""
    coalescer = among(open_streams)
    assert coalescer.interval(60.0) == pytest.approx(interval)
    now = asyncio.get_running_loop().time()
    for soon in (0.02, 0.05, 0.1, 0.3, 1.0, 3.0):
        assert coalescer.next_read_at(now, interval, now + soon) >= now + (interval - OPTIONS.interval_of_many) / 2


async def test_an_error_comes_after_what_came_before_it() -> None:
    """No event is lost to the error at the end of its stream, and both wait for an interval at most."""
    times = STEADY[:80]
    socket = Socket(times, failure=ServiceError("reset"))
    loop = asyncio.get_running_loop()
    began, count = loop.time(), 0
    with CoalescedReader(socket, among(0), never) as reader:
        reader.urgent = False
        while count < len(times):
            count += (await reader.read()).count(EVENT)
        with pytest.raises(ServiceError):
            await reader.read()
    assert count == len(times)
    assert loop.time() - began <= times[-1] + OPTIONS.shortest + OPTIONS.slot / 2 + 0.001


async def test_cancelling_a_paused_read_cleans_up() -> None:
    """No paused socket and no open stream remain."""
    socket, coalescer = Socket(STEADY), among(20)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with suppress(TimeoutError), CoalescedReader(socket, coalescer, never) as reader:
        reader.urgent = False
        async with asyncio.timeout(0.56):
            while True:
                await reader.read()
    assert socket.pauses
    assert loop.time() - began < 0.561
    assert not socket.paused
    assert coalescer.open_streams == 20


@pytest.mark.parametrize("open_streams", [1, 20, 200, 1500])
async def test_intervals_end_together(open_streams: int) -> None:
    """With any number of streams, they wake up together, and an interval is exceeded by half a slot at most."""
    coalescer = among(open_streams)
    interval, now = 0.1, asyncio.get_running_loop().time()
    looks = [now + number / 7919 for number in range(791)]  # over a tenth of a second
    reads = [coalescer.next_read_at(look, interval) for look in looks]
    waits = [read - look for look, read in zip(looks, reads, strict=True)]
    assert interval - OPTIONS.slot / 2 - 1e-6 <= min(waits)
    assert max(waits) <= interval + OPTIONS.slot / 2 + 1e-6
    assert len({round(read, 6) for read in reads}) <= 12
