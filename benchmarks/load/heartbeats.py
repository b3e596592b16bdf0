"""How long heartbeats take in PostgreSQL, with processes of one connection each.

Each sends one a second, with a share of a common limit and reports of its busiest lanes. The server runs on this
machine, with its files in memory or on its disk.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from adapters.postgres.migrations import migrate
from adapters.postgres.ownership import PostgresOwnership
from bot.ownership.lanes import Grant, Lane
from bot.ownership.ports import Caller, Heartbeat, HeartbeatResponse, RoutedEvent
from bot.ownership.shares import ShareReport
from bot.ownership.write_history import WriteReport
from tests.support.postgres import engine, own_server

PLATFORM, LIMIT, SHARED = "slack", "discord", 45

# Lanes with live answers in each process, and the calls of each in the last minute.
BUSY_LANES, CALLS = 20, 30

LEASE_SECONDS = 5.0


@dataclass
class Process:
    """One process, and the times of its heartbeats in seconds."""

    name: str
    ownership: PostgresOwnership
    random_: random.Random
    number: int = 0
    last: HeartbeatResponse | None = None
    seconds: list[float] = field(default_factory=list)

    async def beat(self) -> HeartbeatResponse:
        """Send a heartbeat, and measure it."""
        loop = asyncio.get_running_loop()
        self.number += 1
        known = self.last
        busy: Sequence[Grant] = list(known.lanes)[:BUSY_LANES] if known is not None else ()
        calls = [round(self.random_.uniform(0.0, 60.0), 3) for _ in range(CALLS)]
        heartbeat = Heartbeat(
            self.name,
            self.number,
            LEASE_SECONDS,
            (PLATFORM,),
            may_take=True,
            epoch=known.engine.epoch if known is not None else "",
            shares={LIMIT: ShareReport(known.shares[LIMIT] if known is not None else 0, self.random_.randrange(30))},
            writes={grant: WriteReport({"chat.update": calls}, 12) for grant in busy},
        )
        began = loop.time()
        response = await self.ownership.heartbeat(heartbeat)
        self.seconds.append(loop.time() - began)
        assert response is not None
        self.last = response
        return response

    async def run(self, seconds: float) -> None:
        """One heartbeat a second, from a random moment of the first."""
        await asyncio.sleep(self.random_.random())
        for _ in range(int(seconds)):
            await self.beat()
            await asyncio.sleep(1.0)


async def measure(processes: int, lanes: int, seconds: float) -> Sequence[float]:
    """The times of all heartbeats but each process's first ones, in order."""
    with own_server() as server:
        async with AsyncExitStack() as stack:
            made: list[Process] = []
            for number in range(processes):
                opened = await stack.enter_async_context(engine(server.url, connections=2))
                if not made:
                    await migrate(opened, lambda _: None)
                random_ = random.Random(number)  # noqa: S311 (seeded: the same demands in each run)
                made.append(Process(f"p{number}", PostgresOwnership(opened, {LIMIT: SHARED}), random_))
            for process in made:
                await process.beat()
            for number in range(lanes):
                process = made[number % processes]
                assert process.last is not None
                event = RoutedEvent(Lane(PLATFORM, f"T{number}"), "Ev1", b"")
                await process.ownership.route(
                    Caller(process.name, process.last.engine), event, may_take=True, may_keep=True
                )
            for process in made:
                await process.beat()
                process.seconds.clear()
            await asyncio.gather(*(process.run(seconds) for process in made))
            return sorted(time for process in made for time in process.seconds)


def main() -> None:
    """Print the median, the 99th percentile and the longest, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    for processes, lanes in ((8, 100), (16, 100), (16, 10_000)):
        times = asyncio.run(measure(processes, lanes, options.seconds))
        middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
        print(  # noqa: T201 (a command)
            f"{processes:3} processes, {lanes:6} lanes: p50 {middle * 1000:.1f} ms, p99 {late * 1000:.1f} ms, "
            f"longest {times[-1] * 1000:.1f} ms"
        )


if __name__ == "__main__":
    main()
