"""The records while PostgreSQL is away, silent or behind a pooler: answers go on, and one line tells the operator."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from adapters.records import RecordsOptions
from adapters.records.postgres import PostgresRecords
from adapters.records.postgres.script_engine import RETRY_SECONDS
from bot.ledger import Unit, UsageFilter
from bot.record_store import RecordStore
from bot.records import AuditEntry, RecordsUnavailable
from bot.records_backlog import RecordsBacklog
from tests.contracts.records import (
    COUNTER,
    DANA,
    NOON,
    NOW,
    DurableRecordsContract,
    entry,
    key,
    reservation,
)
from tests.servers.faulty_link import FaultyLink, faulty_link
from tests.servers.postgres_pooler import pooler
from tests.support.postgres import engine, read_rows, run_script
from tests.support.waiting import until

pytestmark = pytest.mark.sockets(seconds=60)


# The limit of a call whose response gets lost: longer than a busy machine stands still in the calls before it.
CALL_SECONDS = 2.0


@asynccontextmanager
async def behind_a_link(url: str, **limits: float) -> AsyncIterator[tuple[PostgresRecords, FaultyLink]]:
    """A store whose connection can be cut. Old rows were just deleted.

    Only one connection is for ordinary calls, so a later one finds its statements prepared.
    """
    await run_script(url, f"INSERT INTO tickertape.records_key_values VALUES ('purged.at', '{NOON.timestamp()}')")
    async with (
        faulty_link(url) as (address, link),
        engine(address, connections=2, **limits) as connections,
        PostgresRecords(connections, lambda: NOON) as records,
    ):
        await records.put("probe", "1")
        yield records, link


async def recovered(records: PostgresRecords) -> None:
    """Wait until the store may try again, and does."""
    async with asyncio.timeout(20):
        while records.degraded:
            await asyncio.sleep(0.05)
            try:
                await records.get("probe")
            except RecordsUnavailable:
                continue


@pytest.mark.parametrize("fault", ["refuse", "swallow"])
async def test_an_outage_delays_a_question_once(fault: str, database: str, caplog: pytest.LogCaptureFixture) -> None:
    """The first operation waits for its time limit, the others fail at once; all works again after it."""
    loop, attempts = asyncio.get_running_loop(), list[float]()
    async with behind_a_link(database, call_seconds=CALL_SECONDS, connect_seconds=CALL_SECONDS) as (records, link):
        getattr(link, fault)()
        for number in range(20):
            began = loop.time()
            with pytest.raises(RecordsUnavailable) as failed:
                await records.reserve(reservation(number))
            if "away within the last second" not in str(failed.value):
                attempts.append(began)
        pause = RETRY_SECONDS + (CALL_SECONDS if fault == "swallow" else 0.0)
        assert attempts
        assert all(later - earlier > pause - 0.01 for earlier, later in itertools.pairwise(attempts))
        assert records.degraded
        link.heal()
        await recovered(records)
        assert await records.reserve(reservation(1)) is None
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("records: PostgreSQL at 127.0.0.1:")
    assert "Answers continue" in line


async def test_a_settlement_without_a_response_counts_once(database: str) -> None:
    """The database commits while the link loses its response; the repetition finds the calls."""
    async with behind_a_link(database, call_seconds=CALL_SECONDS) as (records, link), RecordsBacklog() as backlog:
        await records.reserve(reservation(1))
        await records.settle(key(2), [], refund=False, ended=True)  # prepares the statement
        link.deaf = True
        with pytest.raises(RecordsUnavailable):
            await records.settle(key(1), [entry(1)], refund=False, ended=True)
        assert await read_rows(database, "SELECT turn FROM tickertape.records_calls") == [(key(1).digest,)]
        backlog.add(lambda: records.settle(key(1), [entry(1)], refund=False, ended=True, repeated=True))
        link.heal()
        await until(lambda: not len(backlog))
        assert [each.tokens for each in await records.entries(UsageFilter())] == [120]
        state = (await records.counters([COUNTER]))[COUNTER]
        assert (state.questions, state.tokens, state.reserved_tokens) == (1, 120, 0)


async def test_it_works_once_the_database_is_there(database: str) -> None:
    """A bot that starts without its database admits everything, and counts from its arrival on."""
    async with faulty_link(database) as (address, link):
        link.refuse()
        async with engine(address) as connections, PostgresRecords(connections, lambda: NOON) as records:
            with pytest.raises(RecordsUnavailable):
                await records.reserve(reservation(1))
            link.heal()
            await recovered(records)
            assert await records.reserve(reservation(2, (Unit.QUESTIONS, 1))) is None
            assert await records.reserve(reservation(3, (Unit.QUESTIONS, 1))) is not None


async def test_text_that_postgresql_does_not_take(database: str) -> None:
    """NUL and halves of surrogate pairs, in every text that a platform or a model may send."""
    bad = "a\0b\ud83d"
    async with behind_a_link(database) as (records, _):
        dana = reservation(1, user=bad)
        assert await records.reserve(dana) is None
        await records.settle(key(1), [entry(1, user=bad, model=bad)], refund=False, ended=True)
        await records.write(DANA, {"persona": bad}, by=DANA)
        await records.reset("slack", bad, bad, by=DANA)
        await records.keep_answer(key(1).digest, bad, NOW)
        await records.append(AuditEntry(NOW, "slack", "T1", bad, "export", bad, bad))
        assert await records.read([DANA]) == {DANA: {"persona": "ab?"}}
        assert await records.reset_position("slack", bad) == "ab?"
        assert [each.model for each in await records.entries(UsageFilter(user=bad))] == ["ab?"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM tickertape.records_audit",
        "TRUNCATE tickertape.records_audit",
        "UPDATE tickertape.records_audit SET action = 'other'",
        "UPDATE tickertape.records_audit SET actor = 'U2'",
        "UPDATE tickertape.records_audit SET detail = ''",
        "UPDATE tickertape.records_audit SET at = 0",
    ],
)
async def test_the_audit_log_is_append_only(statement: str, database: str) -> None:
    """Not even a shell changes or deletes an entry without removing the triggers first."""
    async with behind_a_link(database) as (records, _):
        await records.append(AuditEntry(NOW, "slack", "T1", "U1", "export", "user:U1", "detail"))
        with pytest.raises(Exception, match="append-only"):
            await run_script(database, statement)
        assert len(await records.audit()) == 1


class TestPooledRecords(DurableRecordsContract):
    """The contract, behind a transaction pooler."""

    @pytest.fixture(autouse=True)
    def _database(self, database: str) -> None:
        self.url = database

    @asynccontextmanager
    async def opened(self, now: datetime, options: RecordsOptions | None = None) -> AsyncIterator[RecordStore]:
        async with (
            pooler(self.url) as (address, _),
            engine(address) as opened,
            PostgresRecords(opened, lambda: now, options) as records,
        ):
            yield records
