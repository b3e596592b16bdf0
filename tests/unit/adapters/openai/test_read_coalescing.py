"""Read coalescing, on the virtual clock with a scripted socket."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import pytest

from adapters.openai.read_coalescing import READS_PER_ITERATION, CoalescedReader, CoalescingOptions, ReadCoalescer
from bot.errors import ServiceError

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
        self.paused = False
        self.pauses = 0

    def pause(self) -> bool:
        self.paused = bool(self._coming) and self._pausable
        self.pauses += self.paused
        return self.paused

    def resume(self) -> None:
        self.paused = False

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        assert not self.paused
        if self._coming:
            await asyncio.sleep(max(self._coming[0] - loop.time(), 0))
            return self.read_nowait()
        if self._failure is not None:
            raise self._failure
        return b""

    def read_nowait(self) -> bytes:
        loop = asyncio.get_running_loop()
        here = [time for time in self._coming if time <= loop.time() + 1e-6]
        del self._coming[: len(here)]
        return EVENT * len(here)


def among(others: int) -> ReadCoalescer:
    """A coalescer with this number of other open streams."""
    coalescer = ReadCoalescer(OPTIONS)
    coalescer.open_streams = others
    return coalescer


async def ages(socket: Socket, times: Sequence[float], coalescer: ReadCoalescer) -> tuple[list[float], list[int]]:
    """The age of each event at its read, and the events per read. Only the first read is urgent."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    found: list[float] = []
    reads: list[int] = []
    with CoalescedReader(socket, coalescer) as reader:
        while received := await reader.read():
            count = received.count(EVENT)
            reads.append(count)
            found += [loop.time() - began - time for time in times[len(found) : len(found) + count]]
            reader.urgent = False
    return found, reads


STEADY = [0.3 + number / RATE for number in range(80)]


async def test_many_streams_are_coalesced() -> None:
    """The first event arrives at once, later ones within an interval and in few reads."""
    socket = Socket(STEADY)
    found, reads = await ages(socket, STEADY, among(OPTIONS.min_streams))
    assert len(found) == len(STEADY)
    assert found[0] == pytest.approx(0, abs=0.001)
    assert max(found) <= OPTIONS.interval_seconds + 0.001
    assert len(reads) < len(STEADY) / RATE / OPTIONS.interval_seconds * 1.2 + 3
    assert not socket.paused


@pytest.mark.parametrize(("others", "pausable"), [(OPTIONS.min_streams - 2, True), (OPTIONS.min_streams, False)])
async def test_few_streams_are_read_at_once(others: int, pausable: bool) -> None:
    """With few streams, or if a socket cannot be paused, no event waits."""
    socket = Socket(STEADY, pausable=pausable)
    found, reads = await ages(socket, STEADY, among(others))
    assert max(found) == pytest.approx(0, abs=0.001)
    assert set(reads) == {1}
    assert socket.pauses == 0


async def test_a_slow_stream_is_read_at_once() -> None:
    """An interval with a single event would cost more than it saves."""
    times = [number * 0.08 for number in range(50)]
    socket = Socket(times)
    found, _ = await ages(socket, times, among(OPTIONS.min_streams))
    assert max(found) == pytest.approx(0, abs=0.001)
    assert socket.pauses == 0


async def test_a_stream_is_coalesced_while_it_is_fast() -> None:
    """Before and after, it is read at once."""
    slow, fast = [number * 0.2 for number in range(10)], [2 + number / RATE for number in range(40)]
    times = [*slow, *fast, 3.3, 3.6]
    socket = Socket(times)
    found, _ = await ages(socket, times, among(OPTIONS.min_streams))
    assert max(found[:10]) == pytest.approx(0, abs=0.001)
    assert 0 < max(found[10:50]) <= OPTIONS.interval_seconds + 0.001
    assert max(found[50:]) == pytest.approx(0, abs=0.001)


async def test_urgent_reads_are_not_delayed() -> None:
    """Until the first words, and after the last, there is no coalescing."""
    socket = Socket(STEADY)
    with CoalescedReader(socket, among(OPTIONS.min_streams)) as reader:
        assert [await reader.read() for _ in STEADY] == [EVENT] * len(STEADY)
        assert await reader.read() == b""
    assert socket.pauses == 0


async def test_one_late_read_starts_no_coalescing() -> None:
    """Two events in one read may come from a busy loop instead of a fast stream."""
    times = [number * 0.1 for number in range(50)]
    times[20] = times[21]
    socket = Socket(times)
    found, reads = await ages(socket, times, among(OPTIONS.min_streams))
    assert max(reads) == 2
    assert max(found) == pytest.approx(0, abs=0.001)
    assert socket.pauses == 0


async def test_many_reads_at_once_leave_the_loop_to_others() -> None:
    """An iteration of the loop has a limit of reads; a delayed read takes all data since."""
    coalescer, iterations, counts = ReadCoalescer(OPTIONS), [0], Counter[int]()
    many = 3 * READS_PER_ITERATION

    async def take() -> None:
        socket = Socket([0.0, 0.0])
        with CoalescedReader(socket, coalescer) as reader:
            reader.urgent = False
            assert await reader.read() == EVENT * 2
            counts[iterations[0]] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(many):
            group.create_task(take())
        while counts.total() < many:
            await asyncio.sleep(0)
            iterations[0] += 1
    assert max(counts.values()) <= READS_PER_ITERATION
    assert len(counts) <= 4


async def test_an_error_comes_after_what_came_before_it() -> None:
    """No event is lost to the error at the end of its stream, and both wait for an interval at most."""
    socket = Socket(STEADY, failure=ServiceError("reset"))
    loop = asyncio.get_running_loop()
    began, count = loop.time(), 0
    with CoalescedReader(socket, among(OPTIONS.min_streams)) as reader:
        reader.urgent = False
        while count < len(STEADY):
            count += (await reader.read()).count(EVENT)
        with pytest.raises(ServiceError):
            await reader.read()
    assert count == len(STEADY)
    assert loop.time() - began <= STEADY[-1] + OPTIONS.interval_seconds + 0.001


async def test_cancelling_a_paused_read_cleans_up() -> None:
    """No paused socket and no open stream remain."""
    socket, coalescer = Socket(STEADY), among(OPTIONS.min_streams)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with suppress(TimeoutError), CoalescedReader(socket, coalescer) as reader:
        reader.urgent = False
        async with asyncio.timeout(0.55):
            while True:
                await reader.read()
    assert socket.pauses
    assert loop.time() - began < 0.551
    assert not socket.paused
    assert coalescer.open_streams == OPTIONS.min_streams


@pytest.mark.parametrize("open_streams", [1, 20, 200, 1500])
async def test_intervals_end_together(open_streams: int) -> None:
    """With any number of streams, an interval never exceeds its maximum, and streams wake up together."""
    coalescer = among(open_streams)
    now = asyncio.get_running_loop().time()
    ends = {round(coalescer.next_read_at(now + number / 7919), 6) for number in range(791)}  # over a tenth of a second
    waits = [coalescer.next_read_at(now + number / 7919) - (now + number / 7919) for number in range(791)]
    assert 0 < max(waits) <= OPTIONS.interval_seconds + 1e-6
    assert len(ends) <= 11
