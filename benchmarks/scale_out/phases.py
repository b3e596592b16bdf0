"""The phases of the simulation: the start, faults of processes and of the engine, and a rolling deploy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.scale_out.simulation import RESTART_SECONDS, Simulation

Phase = Callable[[Simulation], Awaitable[None]]

# After a fault, until the next one: a lease, a grace period, and the way of all lanes. Seconds.
CALM_SECONDS = 15.0

# Processes replaced at the same time.
WAVE = 4


async def begin(simulation: Simulation) -> None:
    """All processes start, and take all lanes."""
    await simulation.start_all()
    await asyncio.sleep(CALM_SECONDS)


async def settle(simulation: Simulation) -> None:  # noqa: ARG001 (a phase)
    """Nothing happens. Owners of too many lanes give up idle ones, which takes a minute."""
    await asyncio.sleep(70.0)


async def kill(simulation: Simulation) -> None:
    """Two processes are killed, one after the other, and started again."""
    for _ in range(2):
        simulation.kill(simulation.any_process())
        await asyncio.sleep(RESTART_SECONDS)
        simulation.start()
        await asyncio.sleep(CALM_SECONDS)


async def kill_two(simulation: Simulation) -> None:
    """Two processes are killed at once."""
    for _ in range(2):
        simulation.kill(simulation.any_process())
    await asyncio.sleep(RESTART_SECONDS)
    for _ in range(2):
        simulation.start()
    await asyncio.sleep(CALM_SECONDS)


async def pause(simulation: Simulation) -> None:
    """A process stands still for ten seconds."""
    await simulation.pause(simulation.any_process(), 10.0)
    await asyncio.sleep(CALM_SECONDS)


def outage(seconds: float) -> Phase:
    """The engine is away for so long."""

    async def phase(simulation: Simulation) -> None:
        simulation.set_away(is_away=True)
        await asyncio.sleep(seconds)
        simulation.set_away(is_away=False)
        await asyncio.sleep(CALM_SECONDS)

    return phase


async def fail_over(simulation: Simulation) -> None:
    """A stand-by takes over after five seconds. It lacks the last half second."""
    await simulation.fail_over(lost=0.5, away=5.0)
    await asyncio.sleep(CALM_SECONDS)


async def deploy(simulation: Simulation) -> None:
    """All processes are replaced, some at a time: new ones first, then the old ones stop."""
    old = list(simulation.processes.values())
    for at in range(0, len(old), WAVE):
        wave = old[at : at + WAVE]
        new = [simulation.start() for _ in wave]
        while not all(each.keeper.is_ready for each in new):
            await asyncio.sleep(0.1)
        async with asyncio.TaskGroup() as group:
            for each in wave:
                group.create_task(simulation.stop(each))
    await asyncio.sleep(CALM_SECONDS)


PHASES: Sequence[tuple[str, Phase]] = (
    ("start", begin),
    ("a minute later", settle),
    ("two kills", kill),
    ("two kills at once", kill_two),
    ("a pause of 10 s", pause),
    ("engine away for 10 s", outage(10.0)),
    ("engine away for 60 s", outage(60.0)),
    ("fail-over, 0.5 s lost", fail_over),
    ("rolling deploy", deploy),
)
