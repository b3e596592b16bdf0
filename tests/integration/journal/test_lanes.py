"""The journal of several processes with lanes: whoever owns a lane has its turns, whoever accepted them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from adapters.journal.postgres import PostgresJournal
from adapters.postgres.ownership import PostgresOwnership
from bot.conversation import Ending, TurnKey
from bot.errors import ServiceError
from bot.ownership.holder import LaneHolder
from bot.ownership.keeper import Keeper
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from tests.integration.journal.test_postgres import PATIENT, QUICK, QUICK_ENGINE, opened_journal, taken
from tests.servers.faulty_link import faulty_link
from tests.support.postgres import connection, engine, read_rows, run_script
from tests.support.waiting import becomes, until

pytestmark = pytest.mark.sockets(seconds=30)

LANE = Lane("slack", "T1")
SHARDS = 3
# Discord servers, by their shard of three.
SERVERS = tuple(str(shard << 22 | 99) for shard in range(SHARDS))


def question(number: int, workspace: str = "T1", platform: str = "slack") -> TurnKey:
    return TurnKey(platform, workspace, "C1", str(number))


class Process:
    """A process that takes lanes when told to."""

    def __init__(self, url: str, journal: PostgresJournal, keeper: Keeper, ownership: PostgresOwnership) -> None:
        self.url = url
        self.journal = journal
        self.keeper = keeper
        self.ownership = ownership

    async def take(self, *lanes: Lane) -> None:
        for lane in lanes:
            await until(lambda: self.keeper.is_ready)
            assert await self.keeper.route(RoutedEvent(lane, "1", b""))

    async def hand_over(self, lane: Lane, to: Process) -> None:
        """Another process takes the lane, as after a release."""
        await self.lose(lane, to)
        await until(lambda: not self.keeper.owns(lane))
        await to.take(lane)

    async def lose(self, lane: Lane, to: Process) -> None:
        """In the database the lane is another process's; its response is still under way."""
        await run_script(
            self.url,
            f"UPDATE tickertape.lanes SET owner = '{to.keeper.process}', fence = fence + 1 "
            f"WHERE platform = '{lane.platform}' AND name = '{lane.name}'",
        )


class Workspaces(LaneHolder):
    """A platform whose lanes are its workspaces."""

    def lane_of(self, key: TurnKey) -> Lane | None:
        return Lane(key.platform, key.workspace)


@asynccontextmanager
async def process(
    url: str, lease_seconds: float = QUICK, *, place: str = "", **engine_options: float
) -> AsyncIterator[Process]:
    """A process at `url`. `place` is the database's address, if that is another."""
    async with (
        engine(url, **engine_options) as opened,
        opened_journal(opened, lease_seconds, platforms={"slack": Workspaces()}) as (journal, keeper),
    ):
        yield Process(place or url, journal, keeper, PostgresOwnership(opened))


@asynccontextmanager
async def uncommitted(url: str, key: TurnKey) -> AsyncIterator[None]:
    """Another transaction holds the place of a turn meanwhile, so that its acceptance waits; then it is rolled back."""
    async with connection(url) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(
            "INSERT INTO tickertape.turns (platform, workspace, channel, message, event, owner) "
            "VALUES ($1, $2, $3, $4, 'text', 'other')",
            *(key.platform, key.workspace, key.channel, key.message),
        )
        yield
        await transaction.rollback()


async def waiting_statements(url: str) -> int:
    """How many statements wait for another transaction."""
    (row,) = await read_rows(
        url,
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'transactionid'",
    )
    return int(row["count"])


async def refused(journal: PostgresJournal, key: TurnKey) -> bool:
    """Whether a turn is left to another process."""
    try:
        await journal.accept(key, "text")
    except ServiceError:
        return True
    return False


@pytest.mark.quick
async def test_only_the_owner_of_a_lane_accepts_its_turns(database: str) -> None:
    """Another process refuses, so that the event is not acknowledged; a platform without lanes has no owners."""
    async with process(database) as owner, process(database) as other:
        await owner.take(LANE)
        assert await owner.journal.accept(question(1), "text")
        for refused in (question(1), question(2)):
            with pytest.raises(ServiceError, match="another process"):
                await other.journal.accept(refused, "text")
        with pytest.raises(ServiceError):
            await owner.journal.accept(question(1, "T2"), "text")
        assert await other.journal.accept(TurnKey("playground", "", "C1", "1"), "text")


@pytest.mark.quick
async def test_the_next_owner_of_a_lane_has_its_turns_though_the_earlier_one_lives(database: str) -> None:
    """From then on, nothing that the earlier one says about them counts."""
    async with process(database) as first, process(database) as second:
        await first.take(LANE)
        for number in range(4):
            await first.journal.accept(question(number), "text")
        await first.journal.posted(question(0), "m1")
        assert not await second.journal.unfinished("slack")
        await first.hand_over(LANE, second)
        assert await taken(second.journal, "slack", least=4) == [question(number) for number in range(4)]
        await first.journal.posted(question(0), "m2")
        await first.journal.ended(question(1), Ending.DONE)
        await first.journal.update_event(question(2), "other text")
        await first.journal.drop(question(3))
        assert not await first.journal.unfinished("slack")
    rows = await read_rows(
        database,
        "SELECT message, event, ending, ARRAY(SELECT answers.message FROM tickertape.answers WHERE turn = turns.id) "
        "FROM tickertape.turns ORDER BY id",
    )
    left = [("0", b"text", None, ["m1"]), *((str(number), b"text", None, []) for number in (1, 2, 3))]
    assert [tuple(row) for row in rows] == left


async def test_turns_found_before_their_lane_is_ours_are_found_again(database: str) -> None:
    """The database may tell a look for turns of the lane sooner than the response to its taking comes."""
    async with process(database) as first, process(database) as second:
        await first.take(LANE)
        await first.journal.accept(question(1), "text")
        await first.lose(LANE, second)
        assert await taken(second.journal, "slack") == [question(1)]  # no handler: the lane is not in our hands
        await second.take(LANE)
        assert await taken(second.journal, "slack") == [question(1)]
        assert not await second.journal.unfinished("slack")


async def test_a_lane_that_comes_back_brings_its_turns(database: str) -> None:
    """This process has forgotten them at the loss, though nobody else has continued them."""
    async with process(database) as owner:
        await owner.take(LANE)
        await owner.journal.accept(question(1), "text")
        await owner.journal.accept(question(2), "text")
        await owner.journal.ended(question(2), Ending.DONE)
        await owner.hand_over(LANE, owner)
        assert await taken(owner.journal, "slack") == [question(1)]
        assert not await owner.journal.unfinished("slack")


async def test_a_turn_accepted_while_its_lane_is_lost_comes_back_with_the_lane(database: str) -> None:
    """The database takes it in after this process has forgotten the lane's turns: nobody here works on it."""
    async with process(database) as owner, asyncio.TaskGroup() as group:
        await owner.take(LANE)
        async with uncommitted(database, question(1)):
            accepting = group.create_task(refused(owner.journal, question(1)))
            await becomes(lambda: waiting_statements(database), 1)
            await owner.lose(LANE, owner)
            await until(lambda: not owner.keeper.owns(LANE))
        assert await accepting
        await owner.take(LANE)
        assert await taken(owner.journal, "slack") == [question(1)]
        assert not await owner.journal.unfinished("slack")


async def test_an_outage_brings_nothing_back_over_the_next_owner(database: str) -> None:
    """A process that was cut off is fenced: its memory of the lane's turns is not restored."""
    async with (
        process(database) as survivor,
        faulty_link(database) as (url, link),
        process(url, **QUICK_ENGINE) as cut,
    ):
        await cut.take(LANE)
        await cut.journal.accept(question(1), "text")
        await cut.journal.accept(question(2), "text")
        link.refuse()
        await cut.journal.ended(question(1), Ending.DONE)
        assert await taken(survivor.journal, "slack", least=2) == [question(1), question(2)]
        await survivor.journal.ended(question(2), Ending.FAILED)
        before = cut.keeper.process
        link.heal()
        await until(lambda: cut.keeper.process != before and not cut.journal.degraded)
        rows = await read_rows(database, "SELECT message, ending, crashes FROM tickertape.turns ORDER BY id")
        assert [tuple(row) for row in rows] == [("1", None, 1), ("2", "failed", 1)]


async def test_turns_of_a_server_follow_its_shard(database: str) -> None:
    """The shard follows from the server's id, and direct messages belong to the first, whatever their number."""
    async with process(database) as first, process(database) as second:
        await first.take(Lane("discord", "0/1"))
        for number, server in enumerate((*SERVERS, "")):
            assert await first.journal.accept(question(number, server, "discord"), "text")
        await first.ownership.add_lanes("discord", [f"{shard}/{SHARDS}" for shard in range(SHARDS)], replace=True)
        for shard, owner in enumerate((first, second, first)):
            await first.hand_over(Lane("discord", f"{shard}/{SHARDS}"), owner)
        assert await taken(second.journal) == [question(1, SERVERS[1], "discord")]
        with pytest.raises(ServiceError):
            await second.journal.accept(question(9, SERVERS[2], "discord"), "text")
        assert await second.journal.accept(question(9, SERVERS[1], "discord"), "text")
        await first.hand_over(Lane("discord", f"0/{SHARDS}"), second)
        assert await taken(second.journal, least=2) == [question(0, SERVERS[0], "discord"), question(3, "", "discord")]


# ------------------------------------------------------------------------------------------------------ rolling deploys

# The statements of the version before lanes, with its process "old".
OLD_BEAT = """
WITH mine AS (
    INSERT INTO tickertape.processes (id, until) VALUES ('old', clock_timestamp() + make_interval(secs => 5))
    ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE NOT processes.dead
    RETURNING id
), silent AS (
    SELECT id FROM tickertape.processes WHERE NOT dead AND until < clock_timestamp() AND id <> 'old'
    FOR UPDATE SKIP LOCKED
), reaped AS (
    UPDATE tickertape.processes SET dead = true FROM silent WHERE processes.id = silent.id RETURNING processes.id
)
SELECT EXISTS (SELECT FROM mine) AS lives, (SELECT count(*) FROM reaped) AS dead
"""
OLD_ACCEPT = """
INSERT INTO tickertape.turns (platform, workspace, channel, message, event, owner)
SELECT 'slack', 'T1', 'C1', 'old', 'text', id FROM tickertape.processes WHERE id = 'old' AND NOT dead
"""
OLD_CLAIM = """
WITH free AS (
    SELECT id FROM tickertape.turns
    WHERE platform = 'slack' AND event IS NOT NULL AND owner <> 'old' AND (
        ending = 'interrupted'
        OR NOT EXISTS (SELECT FROM tickertape.processes WHERE processes.id = turns.owner AND NOT dead)
    )
    FOR UPDATE SKIP LOCKED
)
UPDATE tickertape.turns SET owner = 'old' FROM free WHERE turns.id = free.id RETURNING message
"""


async def test_a_process_of_the_version_before_keeps_its_turns_while_it_lives(database: str) -> None:
    """The lane's owner takes them once the old one is silent for a lease, or has interrupted them."""
    async with process(database) as new:
        await new.take(LANE)
        await run_script(database, OLD_BEAT, OLD_ACCEPT)
        for _ in range(5):
            assert not await new.journal.unfinished("slack")
        await run_script(database, "UPDATE tickertape.turns SET ending = 'interrupted'")
        assert await taken(new.journal, "slack") == [replace(question(0), message="old")]


@pytest.mark.quick
async def test_a_silent_process_of_the_version_before_is_dead(database: str) -> None:
    """Nobody of its own version may be left to say so. Back again, it is refused."""
    async with process(database) as new:
        await new.take(LANE)
        await run_script(database, OLD_BEAT, OLD_ACCEPT)
        await run_script(database, "UPDATE tickertape.processes SET until = clock_timestamp() WHERE id = 'old'")
        assert [key.message for key in await taken(new.journal, "slack")] == ["old"]
        (row,) = await read_rows(database, OLD_BEAT)
        assert not row["lives"]


@pytest.mark.quick
async def test_the_version_before_leaves_the_turns_of_the_living_alone(database: str) -> None:
    """Each heartbeat of ours counts for it too; after our end, it continues what is left."""
    async with process(database) as new:
        await new.take(LANE)
        await new.journal.accept(question(1), "text")
        await asyncio.sleep(QUICK * 1.2)
        await run_script(database, OLD_BEAT)
        assert await read_rows(database, OLD_CLAIM) == []
        assert new.keeper.is_valid
    assert [row["message"] for row in await read_rows(database, OLD_CLAIM)] == ["1"]


async def test_whoever_the_version_before_declares_dead_begins_anew(database: str) -> None:
    """Its turns are taken then, so it is fenced, as by another of its own version."""
    async with faulty_link(database) as (url, link), process(url, **QUICK_ENGINE) as cut:
        await cut.take(LANE)
        await cut.journal.accept(question(1), "text")
        before = cut.keeper.process
        link.refuse()
        await until(lambda: cut.journal.away)
        while not await read_rows(database, OLD_CLAIM):
            await read_rows(database, OLD_BEAT)
            await asyncio.sleep(0.05)
        link.heal()
        await until(lambda: cut.keeper.process != before and cut.keeper.is_ready)
        await cut.take(LANE)
        assert not await cut.journal.unfinished("slack")


async def test_many_turns_of_others_cost_a_look_little(database: str) -> None:
    """Turns of other lanes are skipped by the plan of the statement, not one by one by the process."""
    async with process(database, PATIENT) as owner:
        await run_script(
            database,
            "INSERT INTO tickertape.lanes (platform, name, owner) SELECT 'slack', 'T' || n, 'other' "
            "FROM generate_series(1, 300) AS n",
            "INSERT INTO tickertape.turns (platform, workspace, channel, message, event, owner) "
            "SELECT 'slack', 'T' || n % 300 + 1, 'C', n::text, 'text', 'other' FROM generate_series(1, 3000) AS n",
            f"UPDATE tickertape.lanes SET owner = '{owner.keeper.process}' WHERE name = 'T7'",
        )
        assert len(await owner.journal.unfinished("slack")) == 10
