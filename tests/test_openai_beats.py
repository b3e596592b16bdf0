"""When a stream's socket is read, on the virtual clock with a socket that is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import pytest

from adapters.openai.beats import BEAT_SECONDS, MANY, Beats, Reading
from bot.errors import Broken

EVENT = b"data: {}\n\n"
RATE = 40.0  # events a second


class Socket:
    """Events come at the times that it is told, into a kernel's buffer that is taken whole."""

    def __init__(self, times: Sequence[float], failure: Exception | None = None) -> None:
        now = asyncio.get_running_loop().time()
        self._coming = [now + time for time in times]
        self._failure = failure
        self.paused = False
        self.closed = False
        self.pauses = 0

    def pause(self) -> bool:
        self.paused = bool(self._coming)
        self.pauses += self.paused
        return self.paused

    def resume(self) -> None:
        self.paused = False

    async def bytes(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        try:
            while self._coming:
                assert not self.paused
                await asyncio.sleep(max(self._coming[0] - loop.time(), 0))
                here = [time for time in self._coming if time <= loop.time() + 1e-6]
                del self._coming[: len(here)]
                yield EVENT * len(here)
            if self._failure is not None:
                raise self._failure
        finally:
            self.closed = True


def among(others: int) -> Beats:
    """So many other streams are live."""
    beats = Beats()
    beats.live = others
    return beats


async def ages(
    socket: Socket, times: Sequence[float], beats: Beats, *, tap: bool = True
) -> tuple[list[float], list[int]]:
    """How old each event was when it was given, and how many came in each read. Nothing is urgent after the first."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    reading = Reading(socket.bytes(), socket if tap else None, beats)
    found: list[float] = []
    reads: list[int] = []
    async with aclosing(reading.received()) as stream:
        async for received in stream:
            count = received.count(EVENT)
            reads.append(count)
            found += [loop.time() - began - time for time in times[len(found) : len(found) + count]]
            reading.urgent = False
    return found, reads


STEADY = [0.3 + number / RATE for number in range(80)]


async def test_many_streams_are_read_in_beats() -> None:
    """The first event at once, later ones within a beat, and few reads for them."""
    socket = Socket(STEADY)
    found, reads = await ages(socket, STEADY, among(MANY))
    assert len(found) == len(STEADY)
    assert found[0] == pytest.approx(0, abs=0.001)
    assert max(found) <= BEAT_SECONDS + 0.001
    assert len(reads) < len(STEADY) / RATE / BEAT_SECONDS * 1.2 + 3
    assert not socket.paused
    assert socket.closed


@pytest.mark.parametrize(("others", "tap"), [(MANY - 2, True), (MANY, False)])
async def test_few_streams_are_read_at_once(others: int, tap: bool) -> None:
    """Where there are few, or where a socket cannot be left alone, no event waits."""
    socket = Socket(STEADY)
    found, reads = await ages(socket, STEADY, among(others), tap=tap)
    assert max(found) == pytest.approx(0, abs=0.001)
    assert set(reads) == {1}
    assert socket.pauses == 0


async def test_a_slow_stream_is_read_at_once() -> None:
    """Where a beat would bring one event, it would cost more than it saves."""
    times = [number * 0.08 for number in range(50)]
    socket = Socket(times)
    found, _ = await ages(socket, times, among(MANY))
    assert max(found) == pytest.approx(0, abs=0.001)
    assert socket.pauses == 0


async def test_a_stream_that_becomes_fast_is_read_in_beats_from_then_on() -> None:
    """And at once again when it has become slow."""
    slow, fast = [number * 0.2 for number in range(10)], [2 + number / RATE for number in range(40)]
    times = [*slow, *fast, 3.3, 3.6]
    socket = Socket(times)
    found, _ = await ages(socket, times, among(MANY))
    assert max(found[:10]) == pytest.approx(0, abs=0.001)
    assert 0 < max(found[10:50]) <= BEAT_SECONDS + 0.001
    assert max(found[50:]) == pytest.approx(0, abs=0.001)


async def test_what_is_urgent_is_given_at_once() -> None:
    """Until the first words, and after the last, no beat is waited for."""
    socket = Socket(STEADY)
    reading = Reading(socket.bytes(), socket, among(MANY))
    async with aclosing(reading.received()) as stream:
        assert [received async for received in stream] == [EVENT] * len(STEADY)
    assert socket.pauses == 0


async def test_an_error_comes_after_what_came_before_it() -> None:
    """No event is lost to the error that ends its stream, and neither waits longer than a beat."""
    socket = Socket(STEADY, failure=Broken("reset"))
    loop = asyncio.get_running_loop()
    began, count = loop.time(), 0
    reading = Reading(socket.bytes(), socket, among(MANY))
    reading.urgent = False
    try:
        async for received in reading.received():
            count += received.count(EVENT)
    except Broken:
        count += 1000
    assert count == len(STEADY) + 1000
    assert loop.time() - began <= STEADY[-1] + BEAT_SECONDS + 0.001


async def test_closing_in_a_beat_closes_the_source_at_once() -> None:
    """Whoever reads no further leaves neither a paused socket nor a live stream behind."""
    socket, beats = Socket(STEADY), among(MANY)
    reading = Reading(socket.bytes(), socket, beats)
    reading.urgent = False
    loop = asyncio.get_running_loop()
    stream = reading.received()
    with suppress(TimeoutError):
        async with asyncio.timeout(0.55):
            while True:
                await anext(stream)
    assert socket.pauses
    began = loop.time()
    await stream.aclose()
    assert loop.time() - began < 0.001
    assert not socket.paused
    assert beats.live == MANY


@pytest.mark.parametrize("live", [1, 20, 200, 1500])
async def test_beats_are_shared(live: int) -> None:
    """However many streams there are, a beat is never longer than it may be, and streams wake up together."""
    beats = among(live)
    now = asyncio.get_running_loop().time()
    ends = {round(beats.next_beat(now + number / 7919), 6) for number in range(791)}  # over a tenth of a second
    waits = [beats.next_beat(now + number / 7919) - (now + number / 7919) for number in range(791)]
    assert 0 < max(waits) <= BEAT_SECONDS + 1e-6
    assert len(ends) <= 11
