"""How many are let through in one round of the loop."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from adapters.openai.loop_throttle import Rounds

AT_ONCE = 10


async def passed(rounds: Rounds) -> None:
    """As callers do it."""
    if not rounds.take():
        await rounds.wait()


@pytest.mark.parametrize("count", [1, AT_ONCE, AT_ONCE + 1, 105])
async def test_only_so_many_pass_in_a_round(count: int) -> None:
    """All get through, in the order they came, and in every round some do until none is left."""
    rounds, order, counts = Rounds(AT_ONCE), list[int](), [0]

    async def begin(number: int) -> None:
        await passed(rounds)
        order.append(number)
        counts[-1] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(begin(number))
        while len(order) < count:
            await asyncio.sleep(0)
            counts.append(0)
    assert order == [*range(count)]
    assert max(counts) <= AT_ONCE
    assert Counter(counts[:-1])[0] <= 2


async def test_one_alone_passes_at_once() -> None:
    """Whoever comes alone pays nothing for what many would cost."""
    rounds = Rounds(AT_ONCE)
    for _ in range(5 * AT_ONCE):
        assert rounds.take()
        await asyncio.sleep(0)


async def test_who_leaves_the_line_holds_up_nobody() -> None:
    """A turn that was cancelled while it waited takes no place."""
    rounds, through = Rounds(AT_ONCE), list[int]()

    async def begin(number: int) -> None:
        await passed(rounds)
        through.append(number)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(begin(number)) for number in range(3 * AT_ONCE)]
        await asyncio.sleep(0)
        for task in tasks[AT_ONCE : 2 * AT_ONCE]:
            task.cancel()
    assert through == [*range(AT_ONCE), *range(2 * AT_ONCE, 3 * AT_ONCE)]
    async with asyncio.timeout(1):
        await passed(rounds)
