"""Waiting for a condition in real time, instead of for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

# Seconds between two looks at a condition without a signal.
POLL_SECONDS = 0.005


async def until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait until `condition` is true. Raises `TimeoutError` after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(POLL_SECONDS)


async def stays(condition: Callable[[], bool], *, seconds: float) -> None:
    """Check that `condition` stays true for `seconds`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        assert condition()
        await asyncio.sleep(POLL_SECONDS)


async def becomes(read: Callable[[], Awaitable[T]], expected: T, *, seconds: float = 30.0) -> None:
    """Read until the result is as expected."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (found := await read()) != expected:
        assert loop.time() < end, found
        await asyncio.sleep(POLL_SECONDS)
