"""Calls in any order, some of them cancelled: no slot is lost, and those that wait go by their priority."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from adapters.postgres.priorities import Priority, PrioritySemaphore

SLOTS = 2

# A new call of a priority; or the end, or the cancellation, of the call with this number.
STEPS = st.lists(
    st.one_of(
        st.sampled_from([Priority.FIRST, Priority.ORDINARY]),
        st.tuples(st.sampled_from(["end", "cancel", "end and cancel"]), st.integers(0, 7)),
    ),
    max_size=30,
)


class Calls:
    """Calls on a semaphore, and which of them hold a slot."""

    def __init__(self) -> None:
        self.semaphore = PrioritySemaphore(SLOTS)
        self.tasks: list[tuple[Priority, asyncio.Task[None], asyncio.Event]] = []
        self.holding: set[int] = set()

    def add(self, priority: Priority) -> None:
        number, end = len(self.tasks), asyncio.Event()

        async def call() -> None:
            async with self.semaphore.hold(priority):
                self.holding.add(number)
                try:
                    await end.wait()
                finally:
                    self.holding.remove(number)

        self.tasks.append((priority, asyncio.Task(call()), end))

    def waiting(self, priority: Priority) -> list[int]:
        return [
            number
            for number, (each, task, _) in enumerate(self.tasks)
            if each is priority and number not in self.holding and not task.done()
        ]


@given(STEPS)
def test_the_slots_go_by_priority(steps: list[Priority | tuple[str, int]]) -> None:
    """At most two hold one, nobody waits while one is free, and none passes an earlier call of its kind."""

    async def play() -> None:
        calls = Calls()
        for step in steps:
            before = {each: calls.waiting(each) for each in (Priority.FIRST, Priority.ORDINARY)}
            held = set(calls.holding)
            if isinstance(step, Priority):
                calls.add(step)
            elif step[1] < len(calls.tasks):
                _, task, end = calls.tasks[step[1]]
                if "end" in step[0]:
                    end.set()
                if "cancel" in step[0]:
                    task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            waiting = [*calls.waiting(Priority.FIRST), *calls.waiting(Priority.ORDINARY)]
            assert len(calls.holding) <= SLOTS
            assert not waiting or len(calls.holding) == SLOTS
            order = [*before[Priority.FIRST], *before[Priority.ORDINARY]]
            taken = [number for number in order if number in calls.holding - held]
            left = [number for number in order if not calls.tasks[number][1].done()]
            assert taken == left[: len(taken)]
        for _, task, _ in calls.tasks:
            task.cancel()
        await asyncio.gather(*(task for _, task, _ in calls.tasks), return_exceptions=True)
        async with asyncio.timeout(1), calls.semaphore.hold(Priority.ORDINARY), calls.semaphore.hold(Priority.FIRST):
            pass

    asyncio.run(play())


async def test_a_call_cancelled_as_it_gets_a_slot_gives_it_on() -> None:
    """The slot is given and the call cancelled before it runs again."""
    calls = Calls()
    for _ in range(SLOTS + 2):
        calls.add(Priority.ORDINARY)
    await asyncio.sleep(0)
    calls.tasks[0][2].set()
    await asyncio.sleep(0)
    calls.tasks[SLOTS][1].cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert calls.holding == {1, SLOTS + 1}
