"""The engine on a real PostgreSQL: statements, time limits, outages, lost connections and poolers."""

from __future__ import annotations

import asyncio
import signal

import pytest

from adapters.postgres import Engine, PostgresOptions, Priority
from adapters.postgres.listener import listen
from bot.backoff import Backoff
from bot.errors import ConnectFailed, OutcomeUnknown, Permanent, ServiceError
from tests.servers.faulty_link import faulty_link
from tests.servers.ports import free_port
from tests.servers.postgres import GUARDED_PASSWORD, GUARDED_USER
from tests.servers.postgres_pooler import pooler
from tests.support.postgres import engine, own_server, read_rows, require_postgres, run_script
from tests.support.waiting import POLL_SECONDS, until

pytestmark = pytest.mark.sockets(seconds=30)

QUICK_BACKOFF = Backoff(0.01, 0.05)
SETTINGS = """
SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
    current_setting('idle_in_transaction_session_timeout')
"""
LIMITS = ("5s", "2s", "3s")
TABLE = "CREATE TABLE notes (id integer PRIMARY KEY, words text)"


@pytest.mark.quick
async def test_statements_have_arguments_rows_and_values(bare_database: str) -> None:
    """Each form of a call returns what it says."""
    async with engine(bare_database) as opened:
        await opened.fetch(TABLE)
        assert await opened.fetch("INSERT INTO notes VALUES ($1, $2)", 1, "it's") == []
        (row,) = await opened.fetch("SELECT id, words FROM notes")
        assert (row["id"], row["words"]) == (1, "it's")
        assert await opened.fetch_row("SELECT * FROM notes WHERE id = $1", 2) is None
        assert await opened.fetch_value("SELECT words FROM notes WHERE id = $1", 1) == "it's"
        assert await opened.fetch_value("SELECT words FROM notes WHERE id = $1", 2) is None


@pytest.mark.quick
async def test_a_transaction_is_whole_or_not_at_all(bare_database: str) -> None:
    """An error within the block undoes it, and the connection works on."""
    async with engine(bare_database, connections=1) as opened:
        await opened.fetch(TABLE)
        async with opened.transaction() as session:
            await session.execute("INSERT INTO notes VALUES (1, 'a'); INSERT INTO notes VALUES (2, 'b')")
            assert tuple((await session.fetch(SETTINGS))[0].values()) == LIMITS
        with pytest.raises(ServiceError):
            await _write_twice(opened, 1)
        with pytest.raises(KeyError):
            await _write_twice(opened, 4, KeyError())
        assert await opened.fetch_value("SELECT count(*) FROM notes") == 2


async def _write_twice(opened: Engine, second: int, error: Exception | None = None) -> None:
    async with opened.transaction() as session:
        await session.fetch("INSERT INTO notes VALUES (3, 'c')")
        await session.fetch("INSERT INTO notes VALUES ($1, 'd')", second)
        if error is not None:
            raise error


@pytest.mark.quick
async def test_every_session_has_time_limits(bare_database: str) -> None:
    """The server itself ends a long statement, a long wait for a lock and a silent transaction."""
    async with engine(bare_database) as opened:
        row = await opened.fetch_row(SETTINGS)
        assert row is not None
        assert tuple(row.values()) == LIMITS


async def test_few_connections_serve_many_calls(bare_database: str) -> None:
    """A hundred calls at once share the pool, and the server never sees more."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tickertape' AND datname = current_database()"
    )
    async with engine(bare_database) as opened:
        found = await asyncio.gather(*(opened.fetch_value(query) for _ in range(100)))
    assert max(found) <= 3
    assert max(found) > 1


async def test_a_call_has_a_time_limit(bare_database: str) -> None:
    """A slow statement has an unknown outcome, and the next call works."""
    async with engine(bare_database, connections=1) as opened:
        assert await opened.fetch_value("SELECT 1") == 1
        with pytest.raises(OutcomeUnknown, match="no answer in time"):
            await opened.fetch("SELECT pg_sleep(20)", seconds=0.3)
        assert await opened.fetch_value("SELECT 1") == 1


async def test_a_wait_for_a_connection_has_a_certain_outcome(bare_database: str) -> None:
    """Nothing was asked, so the caller may do it otherwise."""
    async with engine(bare_database, connections=1) as opened, asyncio.TaskGroup() as group:
        slow = group.create_task(opened.fetch("SELECT pg_sleep(20)"))
        await until(lambda: opened.busy == 1)
        with pytest.raises(ConnectFailed):
            await opened.fetch("SELECT 1", seconds=0.1)
        assert not slow.done()
        slow.cancel()


async def test_a_held_lock_is_given_up(bare_database: str) -> None:
    """The server answers before the caller's time is over, so the outcome is certain."""
    async with engine(bare_database, lock_seconds=0.2) as opened:
        await opened.fetch(TABLE)
        async with opened.transaction() as session:
            await session.execute("LOCK TABLE notes")
            with pytest.raises(ServiceError, match="a lock is held for too long") as failed:
                await opened.fetch("SELECT * FROM notes")
        assert not isinstance(failed.value, OutcomeUnknown)


async def test_a_heartbeat_does_not_queue_behind_a_flood(bare_database: str) -> None:
    """Otherwise the busiest process would miss its heartbeats, and be declared dead."""
    async with engine(bare_database) as opened, asyncio.TaskGroup() as group:
        flood = [group.create_task(opened.fetch("SELECT pg_sleep(20)")) for _ in range(100)]
        await until(lambda: opened.busy == 2)
        assert await opened.fetch("SELECT 1", priority=Priority.LEASE)
        assert not any(each.done() for each in flood)
        for each in flood:
            each.cancel()


async def test_an_acknowledgement_comes_before_the_calls_that_wait(bare_database: str) -> None:
    """Ordinary calls wait for the next free connection, in order of arrival."""
    done: list[str] = []
    async with engine(bare_database, connections=1) as opened, asyncio.TaskGroup() as group:

        async def ask(name: str, priority: Priority) -> None:
            await opened.fetch("SELECT pg_sleep(0.1)", priority=priority)
            done.append(name)

        for name in ("running", "second", "third"):
            group.create_task(ask(name, Priority.ORDINARY))
        await until(lambda: opened.busy == 1)
        group.create_task(ask("first", Priority.FIRST))
    assert done == ["running", "first", "second", "third"]


async def test_a_cancelled_call_leaves_a_working_pool(bare_database: str) -> None:
    """A caller that gives up does not keep the only connection."""
    async with engine(bare_database, connections=1) as opened:
        task = asyncio.Task(opened.fetch("SELECT pg_sleep(20)"))
        await until(lambda: opened.busy == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await opened.fetch_value("SELECT 1") == 1


# ------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("tickertape@127.0.0.1", f"{GUARDED_USER}:wrong@127.0.0.1"), "check the user and the password"),
        (("tickertape@127.0.0.1", "nobody@127.0.0.1"), "check the user and the password"),
        (("/test_", "/missing_"), "no such database"),
    ],
)
async def test_a_wrong_address_is_one_line_for_the_operator(
    bare_database: str, change: tuple[str, str], words: str
) -> None:
    """It is permanent, names the server, and does not hold the password."""
    async with engine(bare_database.replace(*change)) as opened:
        with pytest.raises(Permanent, match=words) as failed:
            await opened.fetch("SELECT 1")
    assert str(failed.value).startswith("PostgreSQL at 127.0.0.1:")
    assert "wrong" not in str(failed.value)


async def test_a_password_with_signs_is_understood(bare_database: str) -> None:
    """It is written with percent signs in the address."""
    await run_script(
        bare_database,
        f"DO $$ BEGIN CREATE USER {GUARDED_USER} PASSWORD '{GUARDED_PASSWORD}'; "
        "EXCEPTION WHEN duplicate_object THEN END $$",
    )
    guarded = bare_database.replace("tickertape@", f"{GUARDED_USER}:s3cret%2Fw%C3%B6rd@")
    async with engine(guarded) as opened:
        assert await opened.fetch_value("SELECT current_user::text") == GUARDED_USER


async def test_a_closed_port_is_told_at_once_and_tried_later() -> None:
    """Calls within the pause fail without another attempt."""
    require_postgres()
    async with Engine(PostgresOptions(f"postgresql://a@127.0.0.1:{free_port()}/b", backoff=Backoff(60, 60))) as opened:
        with pytest.raises(ConnectFailed, match="no connection"):
            await opened.fetch("SELECT 1")
        assert opened.away
        with pytest.raises(ConnectFailed):
            await opened.fetch("SELECT 1")


# ------------------------------------------------------------------------------------------------- outages and networks


async def test_it_connects_again_after_a_crash_of_the_server() -> None:
    """Calls fail while the server is away, and work again without a restart of the bot."""
    with own_server() as server:
        async with engine(server.url, backoff=QUICK_BACKOFF) as opened:
            assert await opened.fetch_value("SELECT 1") == 1
            server.stop(signal.SIGQUIT)
            for _ in range(3):
                with pytest.raises((ServiceError, OutcomeUnknown)):
                    await opened.fetch("SELECT 1")
            server.start()
            await _works_again(opened)


async def _works_again(opened: Engine) -> None:
    while not await _answers(opened):
        await asyncio.sleep(0.01)


async def _answers(opened: Engine) -> bool:
    try:
        return bool(await opened.fetch_value("SELECT true"))
    except (ServiceError, OutcomeUnknown):
        return False


async def test_a_network_that_swallows_everything_ends_calls_in_time(bare_database: str) -> None:
    """Open connections and new ones are given up, and the engine recovers once the network does."""
    options = {"call_seconds": 2.0, "connect_seconds": 2.0, "backoff": QUICK_BACKOFF}
    async with faulty_link(bare_database) as (url, link), engine(url, **options) as opened:
        assert await opened.fetch_value("SELECT 1") == 1
        link.swallow()
        with pytest.raises(OutcomeUnknown):
            await opened.fetch("SELECT 1")
        with pytest.raises(ConnectFailed):
            await opened.fetch("SELECT 1")
        link.heal()
        await _works_again(opened)


async def test_an_answer_lost_on_the_way_is_an_unknown_outcome(bare_database: str) -> None:
    """The statement ran, though its caller cannot know."""
    await run_script(bare_database, TABLE)
    async with faulty_link(bare_database) as (url, link), engine(url) as opened:
        await opened.fetch("INSERT INTO notes VALUES ($1, 'a')", 1)
        link.deaf = True
        with pytest.raises(OutcomeUnknown):
            await opened.fetch("INSERT INTO notes VALUES ($1, 'a')", 2, seconds=1.0)
    assert len(await read_rows(bare_database, "SELECT * FROM notes")) == 2


async def test_a_reset_connection_is_replaced(bare_database: str) -> None:
    """The next call takes a new one."""
    async with faulty_link(bare_database) as (url, link), engine(url, backoff=QUICK_BACKOFF) as opened:
        assert await opened.fetch_value("SELECT 1") == 1
        link.close_all()
        await _works_again(opened)
        link.refuse()
        with pytest.raises((ConnectFailed, OutcomeUnknown)):
            await opened.fetch("SELECT 1")
        link.heal()
        await _works_again(opened)


async def test_it_closes_in_time_without_a_network(bare_database: str) -> None:
    """The program's end does not wait for a server that is silent."""
    async with faulty_link(bare_database) as (url, link), engine(url, close_seconds=0.2) as opened:
        await opened.fetch("SELECT 1")
        link.swallow()  # until the engine is closed


# -------------------------------------------------------------------------------------------------------------- poolers


@pytest.mark.parametrize("refuses", [True, False])
async def test_it_works_behind_a_transaction_pooler(bare_database: str, *, refuses: bool) -> None:
    """Parameters may be refused or ignored; each transaction has its limits, though its session changes."""
    async with pooler(bare_database, refuses=refuses) as (url, between):
        async with engine(url) as opened:
            await opened.fetch(TABLE)
            assert opened.pooled
            for number in range(6):
                await opened.fetch("INSERT INTO notes VALUES ($1, $2)", number, "words")
            assert await opened.fetch_value("SELECT count(*) FROM notes") == 6
            row = await opened.fetch_row(SETTINGS)
            assert row is not None
            assert tuple(row.values()) == LIMITS
            async with opened.transaction() as session:
                await session.fetch("DELETE FROM notes WHERE id = $1", 1)
                await session.fetch("DELETE FROM notes WHERE id = $1", 2)
            with pytest.raises(ServiceError):
                await opened.fetch("INSERT INTO notes VALUES ($1, $2)", 5, "again")
            assert await opened.fetch_value("SELECT count(*) FROM notes") == 4
        assert between.refused == refuses
        (outside,) = await read_rows(url, "SELECT current_setting('statement_timeout')")
        assert outside[0] == "0"


# -------------------------------------------------------------------------------------------------------- notifications


async def test_notifications_are_hints_that_survive_an_outage(bare_database: str) -> None:
    """Each payload is told; after each connection an empty one asks to look, since some may be lost."""
    heard: list[str] = []
    async with (
        faulty_link(bare_database) as (url, link),
        engine(url, backoff=QUICK_BACKOFF) as opened,
        asyncio.TaskGroup() as group,
    ):
        listening = group.create_task(listen(opened, "news", heard.append))
        await until(lambda: heard == [""])
        await opened.fetch("SELECT pg_notify('news', $1)", "lane 1")
        await until(lambda: heard == ["", "lane 1"])
        link.close_all()
        await until(lambda: heard == ["", "lane 1", ""])
        await _works_again(opened)
        await opened.fetch("SELECT pg_notify('news', $1)", "lane 2")
        await until(lambda: heard[-1] == "lane 2")
        listening.cancel()


async def test_a_quiet_connection_is_tried_and_listens_on(bare_database: str) -> None:
    """The probe is answered, so the same connection goes on, whatever the driver makes of the answer."""
    heard: list[str] = []
    async with engine(bare_database, probe_seconds=0.05) as opened, asyncio.TaskGroup() as group:
        listening = group.create_task(listen(opened, "news", heard.append))
        await until(lambda: heard == [""])
        before = await _probes(bare_database)
        while await _probes(bare_database) <= before:
            await asyncio.sleep(POLL_SECONDS)
        await opened.fetch("SELECT pg_notify('news', $1)", "lane 1")
        await until(lambda: heard == ["", "lane 1"])
        listening.cancel()


async def _probes(url: str) -> float:
    """The time of the last probe, in seconds since 1970; 0 before the first."""
    rows = await read_rows(
        url,
        "SELECT coalesce(max(extract(epoch FROM query_start)), 0) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query = 'SELECT 1' AND pid <> pg_backend_pid()",
    )
    return float(rows[0][0])


async def test_behind_a_pooler_nothing_listens(bare_database: str) -> None:
    """It would wait for notifications that never come, and keep a session."""
    async with pooler(bare_database) as (url, _), engine(url) as opened:
        await opened.fetch("SELECT 1")
        await listen(opened, "news", pytest.fail)  # it returns
