"""Leases, lanes and inbox in PostgreSQL: the port's contract, many connections, and another run of the server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from typing_extensions import override

from adapters.postgres.migrations import migrate
from adapters.postgres.ownership import PostgresOwnership
from bot.errors import Retryable
from bot.ownership.ports import Ownership, Route
from bot.ownership.shares import ShareReport, divide
from tests.contracts.ownership import LANES, LIMIT, PLATFORM, SHARED, OwnershipContract, Process, begin, event
from tests.servers.postgres_pooler import pooler
from tests.support.postgres import engine, own_server, read_rows, run_script, stopped_clock

pytestmark = pytest.mark.sockets(seconds=30)


class TestPostgresOwnership(OwnershipContract):
    """See `tests.contracts.ownership`."""

    @pytest.fixture(autouse=True)
    def _open(self, bare_database: str) -> None:
        self.url = bare_database

    @override
    @asynccontextmanager
    async def ownership(self) -> AsyncIterator[Ownership]:
        async with stopped_clock(self.url) as self.clock, engine(self.url, connections=8) as opened:
            await migrate(opened, lambda _: None)
            self.opened = opened
            yield PostgresOwnership(opened, {LIMIT: SHARED})

    @override
    def with_settings(self, settings: Mapping[str, str]) -> Ownership:
        return PostgresOwnership(self.opened, {LIMIT: SHARED}, settings)

    @override
    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)


async def test_shares_never_exceed_the_limit_with_many_processes_at_once(database: str) -> None:
    """Each with a connection of its own and a demand that changes; held shares add up to the limit at most."""
    async with AsyncExitStack() as stack:
        processes: list[Process] = []
        for name in "abcdefgh":
            opened = await stack.enter_async_context(engine(database, connections=1))
            processes.append(await begin(PostgresOwnership(opened, {LIMIT: SHARED}), name, 30.0))

        async def spend(process: Process, number: int) -> None:
            in_use = 0
            for turn in range(12):
                response = await process.beat(share=ShareReport(in_use, (number * 7 + turn * 13) % 40))
                assert response is not None
                in_use = response.shares[LIMIT]  # as if a window had passed since

        await asyncio.gather(*(spend(process, number) for number, process in enumerate(processes)))
        for _ in range(3):
            granted = [await process.beat(share=ShareReport(0, number)) for number, process in enumerate(processes)]
            assert sum(each.shares[LIMIT] for each in granted if each is not None) <= SHARED
    rows = await read_rows(database, "SELECT (held->>'discord')::int AS held FROM tickertape.members")
    assert sum(row["held"] for row in rows) <= SHARED


@pytest.mark.parametrize("demands", [(0, 0, 0), (5, 0, 100), (1, 2, 3, 4, 5, 6, 7), (9,) * 16, (1,) * 50, (40,)])
async def test_the_database_divides_as_the_rule_does(database: str, demands: tuple[int, ...]) -> None:
    """For any number of processes, even more than permits."""
    expected = divide(SHARED, {f"p{number:02}": demand for number, demand in enumerate(demands)})
    async with engine(database) as opened:
        processes = [await begin(PostgresOwnership(opened, {LIMIT: SHARED}), name, 30.0) for name in expected]
        for _ in range(2):
            for process, demand in zip(processes, demands, strict=True):
                await process.beat(share=ShareReport(0, demand))
        rows = await opened.fetch(
            "SELECT id, tickertape.share_target(id, $1, $2) AS part FROM tickertape.members", LIMIT, SHARED
        )
    assert {row["id"]: row["part"] for row in rows} == expected


async def test_another_run_of_the_server_is_another_epoch() -> None:
    """Callers of the run before get nothing; heartbeats go on and find all lanes."""
    with own_server() as server:
        async with engine(server.url, connections=2) as opened:
            await migrate(opened, lambda _: None)
            process = await begin(PostgresOwnership(opened), "a", 30.0)
            await process.route(event(LANES[0]))
            owned = await process.listed()
            server.stop(signal.SIGINT)
            server.start()
            caller, other = process.caller, event(LANES[1])
            while process.caller.heard.epoch == caller.heard.epoch:
                with suppress(Retryable):
                    assert await process.listed() == owned
            routed = await process.ownership.route(caller, other, may_take=True, may_keep=True)
            assert routed.route is Route.QUEUED
            assert await process.ownership.take(caller, PLATFORM, 1) == []
            assert [grant.lane for grant in await process.take(1)] == [LANES[1]]


async def test_it_works_through_a_transaction_pooler(database: str) -> None:
    """Each call is one statement; without notifications nothing is lost."""
    async with pooler(database) as (url, _), engine(url) as opened:
        ownership = PostgresOwnership(opened, {LIMIT: SHARED})
        owner, other = await begin(ownership, "a", 30.0), await begin(ownership, "b", 30.0)
        await owner.route(event(LANES[0]))
        await other.route(event(LANES[0], 2))
        assert await owner.inbox() == ["Ev2"]


async def test_a_lane_locked_by_somebody_else_is_left_to_the_next_look(database: str) -> None:
    """Neither a take nor a reap waits for a lock of another session."""
    async with engine(database) as opened:
        process = await begin(PostgresOwnership(opened), "a", 30.0)
        await process.route(event(LANES[0]), may_take=False)
        await process.route(event(LANES[1]), may_take=False)
        async with opened.transaction() as session:
            await session.fetch("SELECT 1 FROM tickertape.lanes WHERE name = $1 FOR UPDATE", LANES[0].name)
            assert [grant.lane for grant in await process.take()] == [LANES[1]]
        assert [grant.lane for grant in await process.take()] == [LANES[0]]


async def test_settings_lost_in_a_failover_are_sent_again(database: str) -> None:
    """They are sent once; a database that lacks them says so."""
    async with engine(database) as opened:
        process = await begin(PostgresOwnership(opened, {}, {"slack": "1"}), "a", 30.0)
        for lost in ("UPDATE tickertape.members SET settings = '{}'", "DELETE FROM tickertape.members"):
            await run_script(database, lost)
            await process.beat()
            await process.beat()
            (row,) = await read_rows(database, "SELECT settings FROM tickertape.members")
            assert row["settings"] == '{"slack": "1"}'


async def test_a_process_of_the_version_before_has_no_settings(database: str) -> None:
    """Its heartbeats go on beside ours, and nobody differs from it."""
    async with engine(database) as opened:
        ours = await begin(PostgresOwnership(opened, {}, {"slack": "1"}), "new", 30.0)
        for number in (1, 2):
            found = await opened.fetch_value(
                "SELECT tickertape.heartbeat("
                "'old', $1, 30, ARRAY['slack'], true, $2, '{}', '{}', '[]', NULL)->>'state'",
                number,
                ours.caller.heard.epoch,
            )
            response = await ours.beat()
            assert response is not None
            assert (found, response.counts[PLATFORM].takers, response.different_settings) == ("alive", 2, frozenset())


async def test_rows_of_the_long_dead_are_removed(database: str) -> None:
    """A day later nobody asks for them."""
    async with engine(database) as opened:
        process = await begin(PostgresOwnership(opened), "a", 30.0)
        await begin(PostgresOwnership(opened), "old", 30.0)
        await run_script(
            database, "UPDATE tickertape.members SET dead = true, seen_at = now() - interval '2 days' WHERE id = 'old'"
        )
        assert await process.ownership.reap(process.caller) == []
    assert [row["id"] for row in await read_rows(database, "SELECT id FROM tickertape.members")] == ["a"]
