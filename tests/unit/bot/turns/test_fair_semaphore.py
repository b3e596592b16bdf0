"""Slots: bounded in all and for each, fair to those that wait, and never lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.turns.fair_semaphore import FairSemaphore
from tests.support.clock import VirtualLoop


async def test_whoever_asks_one_thing_waits_for_nobody_who_asks_twenty() -> None:
    """The next free slot goes to the person who holds the fewest, though others have waited longer."""
    slots, order = FairSemaphore(2, per_user=2, per_channel=9), list[str]()

    async def hold(person: str, place: str) -> None:
        async with slots.acquire(person, place):
            order.append(person)
            await asyncio.sleep(10)

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(hold("busy", f"c{number}"))
        await asyncio.sleep(1)
        group.create_task(hold("calm", "c9"))
    assert order == ["busy", "busy", "calm", *["busy"] * 4]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 3), st.booleans()), max_size=40),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_bounds_hold_and_all_are_served(
    claims: list[tuple[str, str, int, bool]], total: int, per_user: int, per_channel: int
) -> None:
    """Whoever comes, and whoever gives up while waiting: never more than allowed, and nobody is forgotten."""
    slots, people, places = (
        FairSemaphore(total, per_user=per_user, per_channel=per_channel),
        Counter[str](),
        Counter[str](),
    )
    served = 0

    async def hold(person: str, place: str, seconds: int) -> None:
        nonlocal served
        async with slots.acquire(person, place):
            people[person] += 1
            places[place] += 1
            assert people.total() <= total
            assert people[person] <= per_user
            assert places[place] <= per_channel
            try:
                await asyncio.sleep(seconds)
            finally:
                people[person] -= 1
                places[place] -= 1
        served += 1

    async def everybody() -> None:
        async with asyncio.TaskGroup() as group:
            for person, place, seconds, gives_up in claims:
                task = group.create_task(hold(person, place, seconds))
                if gives_up:
                    asyncio.get_running_loop().call_later(1.5, task.cancel)
                await asyncio.sleep(seconds / 4)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(everybody())
    assert served >= sum(not gives_up for *_, gives_up in claims)
    assert not people.total()
    assert slots.is_unused
