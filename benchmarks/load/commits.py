"""``python -m benchmarks.load.commits``: questions accepted a second in PostgreSQL, and the way to a lane's owner.

The server runs on this machine with its files on the disk, and a commit waits for that disk. The machine's own limit is
measured in the same run: so many connections, each with one row in each commit.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import itertools
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.journal.postgres import PostgresJournal
from adapters.postgres.migrations import migrate
from adapters.postgres.ownership import PostgresOwnership
from benchmarks.load.machine import show
from bot.conversation import Ending, TurnKey
from bot.ownership.lanes import Lane
from bot.ownership.ports import Caller, Heartbeat, RoutedEvent
from bot.turns.hooks import every_turn
from tests.servers.postgres import DURABLE_SETTINGS
from tests.support.members import member
from tests.support.postgres import engine, own_server
from tests.support.waiting import until

# Bytes of a question in the journal.
EVENT_BYTES = 400

# Questions at the same time.
AT_ONCE = (1, 16, 64)

# Long enough for a busy machine. Seconds.
LEASE_SECONDS = 60.0

# Events routed to another process, a second.
ROUTED_RATE = 50.0

Work = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second, and their times in seconds, in order."""

    a_second: float
    times: Sequence[float]

    def line(self, name: str) -> str:
        """For people."""
        middle, late = self.times[len(self.times) // 2], self.times[int(len(self.times) * 0.99)]
        return f"{name:<48} {self.a_second:>8,.0f} {middle * 1000:>8.1f} {late * 1000:>8.1f}"


async def repeat(at_once: int, seconds: float, work: Work) -> Rate:
    """Do it again and again, so many at the same time."""
    loop, times, numbers = asyncio.get_running_loop(), list[float](), itertools.count()
    began = loop.time()

    async def one() -> None:
        while (started := loop.time()) < began + seconds:
            await work(next(numbers))
            times.append(loop.time() - started)

    await asyncio.gather(*(one() for _ in range(at_once)))
    return Rate(len(times) / (loop.time() - began), sorted(times))


def disk(seconds: float) -> Rate:
    """Write a page to a file and wait for the disk, as a commit does."""
    times: list[float] = []
    with tempfile.TemporaryFile() as file:
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            file.seek(0)
            file.write(b"x" * 8192)
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return Rate(len(times) / sum(times), sorted(times))


@asynccontextmanager
async def bare_inserts(url: str, connections: int) -> AsyncIterator[Work]:
    """Rows of a question's size, each in a commit of its own."""
    asyncpg = importlib.import_module("asyncpg")
    opened = [await asyncpg.connect(url) for _ in range(connections)]
    await opened[0].execute("CREATE TABLE IF NOT EXISTS rows (id bigserial PRIMARY KEY, event bytea)")
    free: asyncio.Queue[object] = asyncio.Queue()
    for connection in opened:
        free.put_nowait(connection)

    async def insert(number: int) -> None:  # noqa: ARG001 (as `Work`)
        connection = await free.get()
        await connection.execute("INSERT INTO rows (event) VALUES ($1)", b"x" * EVENT_BYTES)  # type: ignore[attr-defined]
        free.put_nowait(connection)

    try:
        yield insert
    finally:
        for connection in opened:
            await connection.close()


@asynccontextmanager
async def journal_of(url: str) -> AsyncIterator[PostgresJournal]:
    """A process's journal, with as many connections as the program has."""
    async with (
        engine(url, call_seconds=30.0) as opened,
        member(opened, LEASE_SECONDS) as (keeper, _),
        PostgresJournal(opened, lambda: datetime.now(UTC), lambda: keeper.process, may_run=every_turn) as journal,
    ):
        await journal.wait_until_ready()
        await until(lambda: keeper.is_valid)
        yield journal


def question(number: int, at_once: int) -> TurnKey:
    """The key of a question."""
    return TurnKey("playground", f"T{at_once}", "C1", str(number))


def accepting(journal: PostgresJournal, at_once: int) -> Work:
    """Accept a question: one commit."""

    async def accept(number: int) -> None:
        assert await journal.accept(question(number, at_once), "x" * EVENT_BYTES)

    return accept


def whole_turns(journal: PostgresJournal, at_once: int) -> Work:
    """Accept a question, note its first message, and end it: three commits."""

    async def turn(number: int) -> None:
        key = question(number, -at_once)
        assert await journal.accept(key, "x" * EVENT_BYTES)
        await journal.posted(key, "m1")
        await journal.ended(key, Ending.DONE)

    return turn


async def to_owner(url: str, seconds: float) -> Rate:
    """From an event's arrival at one process to its owner, through the inbox."""
    loop, lane = asyncio.get_running_loop(), Lane("slack", "T1")
    sent, times, heard = dict[str, float](), list[float](), asyncio.Event()
    async with engine(url) as one, engine(url) as other:
        owner, receiver = PostgresOwnership(one), PostgresOwnership(other)
        callers = [await _join(each, name) for each, name in ((owner, "owner"), (receiver, "receiver"))]
        await owner.route(callers[0], RoutedEvent(lane, "first", b""), may_take=True, may_keep=True)

        async def read() -> None:
            while True:
                await heard.wait()
                heard.clear()
                while found := await owner.events("owner", 50):
                    times.extend(loop.time() - sent[each.event.id] for each in found)
                    await owner.handled([each.number for each in found])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(owner.listen(lambda _: heard.set())), group.create_task(read())]
            await asyncio.sleep(1.0)
            for number in range(int(seconds * ROUTED_RATE)):
                sent[str(number)] = loop.time()
                event = RoutedEvent(lane, str(number), b"x" * EVENT_BYTES)
                group.create_task(_route(receiver, callers[1], event))
                await asyncio.sleep(1 / ROUTED_RATE)
            await asyncio.sleep(2.0)
            for task in tasks:
                task.cancel()
    return Rate(len(times) / seconds, sorted(times))


async def _join(ownership: PostgresOwnership, name: str) -> Caller:
    response = await ownership.heartbeat(Heartbeat(name, 1, 3600.0, ("slack",), may_take=True))
    assert response is not None
    return Caller(name, response.engine)


async def _route(ownership: PostgresOwnership, caller: Caller, event: RoutedEvent) -> None:
    await ownership.route(caller, event, may_take=False, may_keep=True)


async def measure(seconds: float) -> list[str]:
    """All of it, as lines for people."""
    before = os.getloadavg()[0]
    with own_server(DURABLE_SETTINGS) as server:
        async with engine(server.url) as opened:
            await migrate(opened, lambda _: None)
        rates = {"the disk: a page": disk(seconds)}
        for at_once in AT_ONCE:
            async with bare_inserts(server.url, at_once) as insert:
                rates[f"the machine: rows by {at_once} connections"] = await repeat(at_once, seconds, insert)
        for at_once in AT_ONCE:
            async with journal_of(server.url) as journal:
                rates[f"questions accepted, {at_once} at once"] = await repeat(
                    at_once, seconds, accepting(journal, at_once)
                )
                rates[f"whole turns (three commits), {at_once} at once"] = await repeat(
                    at_once, seconds, whole_turns(journal, at_once)
                )
        rates[f"events to the lane's owner, {ROUTED_RATE:g} a second"] = await to_owner(server.url, seconds)
    load = f"load of the machine before and after: {before:.1f}, {os.getloadavg()[0]:.1f}"
    return [f"{'':<48} {'a second':>8} {'p50, ms':>8} {'p99, ms':>8}", *map(_line, rates.items()), load]


def _line(named: tuple[str, Rate]) -> str:
    name, rate = named
    return rate.line(name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and keep it if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.commits", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measure")
    parser.add_argument("--write", action="store_true", help="keep the result in benchmarks/results")
    chosen = parser.parse_args(arguments)
    show("commits", asyncio.run(measure(chosen.seconds)), write=chosen.write)


if __name__ == "__main__":
    main()
