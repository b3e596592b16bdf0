"""Permits of the loop throttle."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from adapters.openai.loop_throttle import LoopThrottle

PER_ITERATION = 10


async def acquire(throttle: LoopThrottle) -> None:
    """The protocol of a caller."""
    if not throttle.try_acquire():
        await throttle.acquire_later()


@pytest.mark.parametrize("count", [1, PER_ITERATION, PER_ITERATION + 1, 105])
async def test_an_iteration_has_a_limit(count: int) -> None:
    """All get a permit in order of arrival, and every iteration grants some until none waits."""
    throttle, order, counts = LoopThrottle(PER_ITERATION), list[int](), [0]

    async def begin(number: int) -> None:
        await acquire(throttle)
        order.append(number)
        counts[-1] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(begin(number))
        while len(order) < count:
            await asyncio.sleep(0)
            counts.append(0)
    assert order == [*range(count)]
    assert max(counts) <= PER_ITERATION
    assert Counter(counts[:-1])[0] <= 2


async def test_a_lone_caller_never_waits() -> None:
    """A permit is free in every new iteration."""
    throttle = LoopThrottle(PER_ITERATION)
    for _ in range(5 * PER_ITERATION):
        assert throttle.try_acquire()
        await asyncio.sleep(0)


async def test_a_cancelled_waiter_takes_no_permit() -> None:
    """Permits go to the next waiters instead."""
    throttle, through = LoopThrottle(PER_ITERATION), list[int]()

    async def begin(number: int) -> None:
        await acquire(throttle)
        through.append(number)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(begin(number)) for number in range(3 * PER_ITERATION)]
        await asyncio.sleep(0)
        for task in tasks[PER_ITERATION : 2 * PER_ITERATION]:
            task.cancel()
    assert through == [*range(PER_ITERATION), *range(2 * PER_ITERATION, 3 * PER_ITERATION)]
    async with asyncio.timeout(1):
        await acquire(throttle)
