"""The operator's limit of requests, on the virtual clock."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

import pytest

from adapters.openai.request_limiter import RequestLimiter


async def times_of(limiter: RequestLimiter, count: int) -> list[float]:
    """The seconds at which `count` requests get through, all waiting from the start."""
    loop = asyncio.get_running_loop()
    start, times = loop.time(), list[float]()

    async def request() -> None:
        await limiter.acquire()
        times.append(loop.time() - start)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(request())
    return times


@pytest.mark.parametrize("per_minute", [1, 2, 5, 6, 60, 500])
async def test_no_minute_has_more_requests_than_allowed(per_minute: int) -> None:
    """In any stretch of a minute, also with a full queue; and the limit is used up to four fifths."""
    times = await times_of(RequestLimiter(per_minute), 4 * per_minute)
    counts = [number + 1 - bisect_left(times, time - 60 + 1e-6) for number, time in enumerate(times)]
    assert max(counts) <= per_minute
    assert times[-1] <= 5 * 60


async def test_a_lone_question_never_waits() -> None:
    """A sixth of the limit goes out at once, and again after a pause."""
    limiter = RequestLimiter(60)
    assert max(await times_of(limiter, 10)) < 0.001
    await asyncio.sleep(60)
    assert max(await times_of(limiter, 10)) < 0.001


async def test_without_a_limit_nothing_waits() -> None:
    """0 is the default and means no limit."""
    assert max(await times_of(RequestLimiter(0), 1000)) < 0.001
