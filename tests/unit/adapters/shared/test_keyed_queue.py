"""Ordered work per key; failing or slow work of one key does not affect others. On the virtual clock."""

from __future__ import annotations

import asyncio
import logging

import pytest

from adapters.shared.keyed_queue import MAX_WAITING, KeyedQueue
from bot.errors import ServiceError


class Work:
    """Work items with a record of their execution."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def note(self, name: str, *, seconds: float = 0.0) -> None:
        await asyncio.sleep(seconds)
        self.done.append(name)

    async def fail(self, error: Exception) -> None:
        raise error


async def test_failing_work_does_not_affect_other_work(caplog: pytest.LogCaptureFixture) -> None:
    """A failure is logged with its trace, and later work of the same key and others still runs."""
    work, queue = Work(), KeyedQueue()
    async with asyncio.TaskGroup() as group:
        queue.open(group)
        queue.put("a", work.fail(RuntimeError("odd")))
        queue.put("a", work.fail(ServiceError("closed")))
        queue.put("a", work.note("a"))
        queue.put("b", work.note("b"))

    assert sorted(work.done) == ["a", "b"]
    assert [(record.levelname, record.exc_info is not None) for record in caplog.records] == [
        ("ERROR", True),
        ("WARNING", False),
    ]


async def test_a_closed_queue_is_not_called_full(caplog: pytest.LogCaptureFixture) -> None:
    """Work after `close` is dropped, and the log does not call the queue full."""
    work, queue = Work(), KeyedQueue()
    with caplog.at_level(logging.INFO):
        queue.put("a", work.note("a"))

    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "too many" not in caplog.text


async def test_draining_waits_until_its_timeout() -> None:
    """Draining waits for all work, or until its timeout, and counts the keys with unfinished work."""
    work, queue = Work(), KeyedQueue()
    assert await queue.drain(1.0) == 0
    async with asyncio.TaskGroup() as group:
        queue.open(group)
        queue.put("a", work.note("one", seconds=1.0))
        queue.put("a", work.note("two", seconds=1.0))
        queue.put("b", work.note("late", seconds=60.0))
        began = asyncio.get_running_loop().time()
        left = await queue.drain(3.0)

        assert (left, work.done) == (1, ["one", "two"])
        assert asyncio.get_running_loop().time() - began == pytest.approx(3.0)
        queue.close()


async def test_work_is_ordered_per_key_and_concurrent_across_keys() -> None:
    """Within a conversation one after the other, others meanwhile; at the end nothing waits."""
    done: list[str] = []
    queue = KeyedQueue()

    async def work(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        done.append(name)

    async with asyncio.TaskGroup() as group:
        queue.open(group)
        queue.put("a", work("a1", 3.0))
        queue.put("a", work("a2", 0.0))
        queue.put("b", work("b1", 1.0))

    assert done == ["b1", "a1", "a2"]


@pytest.mark.slow
async def test_the_queue_is_bounded() -> None:
    """Too many messages, in one conversation or in many, are dropped instead of kept, and later there is room again."""
    queue, made = KeyedQueue(), MAX_WAITING + 5

    async def work() -> None:
        await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as group:
        queue.open(group)
        in_one = [queue.put("a", work()) for _ in range(10)]
        in_many = [queue.put(f"c{number}", work()) for number in range(made)]
        await queue.drain(60.0)
        later = queue.put("a", work())

    assert (all(in_one), in_many.count(True), later) == (True, MAX_WAITING - 10, True)


async def test_closing_discards_queued_work() -> None:
    """Closing cancels running work and discards queued work, so that the group ends."""
    done: list[str] = []
    queue = KeyedQueue()

    async def work() -> None:
        await asyncio.sleep(1000.0)
        done.append("")

    async with asyncio.TaskGroup() as group:
        queue.open(group)
        queue.put("a", work())
        queue.put("a", work())
        await asyncio.sleep(1.0)
        queue.close()
        queue.put("a", work())

    assert done == []
