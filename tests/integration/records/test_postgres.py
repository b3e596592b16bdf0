"""The store of records in PostgreSQL: the contract of its ports, its export, and quotas with many processes."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

import pytest

from adapters.postgres import PostgresOptions
from adapters.records import RecordsOptions
from adapters.records.export import USAGE_FIELDS, ExportFailed, to_csv
from adapters.records.postgres import PostgresRecords
from adapters.records.postgres.export import PAGE_ROWS, read_pages
from bot.interactions.values import Vote
from bot.record_store import RecordStore
from tests.contracts.records import NOON, NOW, DurableRecordsContract, entry, key, reservation, vote
from tests.support.postgres import engine, require_postgres

pytestmark = [pytest.mark.sockets, pytest.mark.quick]


class TestPostgresRecords(DurableRecordsContract):
    """The contract, with connections of its own for each process."""

    @pytest.fixture(autouse=True)
    def _database(self, database: str) -> None:
        self.url = database

    @asynccontextmanager
    async def opened(self, now: datetime, options: RecordsOptions | None = None) -> AsyncIterator[RecordStore]:
        async with engine(self.url) as opened, PostgresRecords(opened, lambda: now, options) as records:
            yield records


async def test_every_call_is_a_row_of_the_export(database: str) -> None:
    """All columns as from a file, the oldest first, within the chosen time, over several pages."""
    async with opened_at(database) as records:
        calls = [entry(1, at=NOW + number / 1_000) for number in range(PAGE_ROWS + 5)]
        await records.settle(key(1), [*calls, entry(1, at=NOW + 100)], refund=False, ended=True)
        pages = [page async for page in read_pages(PostgresOptions(database), "usage", NOW, NOW + 100)]
        assert [len(page) for page in pages] == [PAGE_ROWS, 5]
        (line,) = list(to_csv(USAGE_FIELDS, pages[0][:1], header=False))
        assert line == (
            f"2026-11-28T12:00:00+00:00,slack,T1,C1,U1,{key(1).digest},gpt-6,100,40,20,5,0.050000000,server,no\n"
        )
        assert len({row["id"] for page in pages for row in page}) == len(calls)


async def test_votes_are_rows_of_the_export(database: str) -> None:
    """With their reasons and the kept answers; without rows there is one empty page."""
    options = PostgresOptions(database)
    async with opened_at(database) as records:
        assert [page async for page in read_pages(options, "feedback", 0.0, math.inf)] == [[]]
        await records.reserve(reservation(1))
        await records.keep_answer(key(1).digest, "Forty-two", NOW)
        for user in ("U1", "U2"):
            await records.record_vote(replace(vote(1, Vote.DOWN, user=user), reason="=wrong"))
        (rows,) = [page async for page in read_pages(options, "feedback", NOW, math.inf)]
        assert [(row["user"], row["reason"], row["answer"]) for row in rows] == [
            ("U1", "=wrong", "Forty-two"),
            ("U2", "=wrong", "Forty-two"),
        ]


async def test_an_export_without_a_database_is_one_line() -> None:
    """The line names the server, and never the password."""
    require_postgres()
    options = PostgresOptions("postgresql://dana:secret@127.0.0.1:1/bot")
    with pytest.raises(ExportFailed, match=r"127\.0\.0\.1:1/bot") as failure:
        async for _ in read_pages(options, "usage", 0.0, math.inf):
            pass
    assert "secret" not in str(failure.value)
    assert "\n" not in str(failure.value)


@asynccontextmanager
async def opened_at(url: str) -> AsyncIterator[PostgresRecords]:
    """A process of its own on the database."""
    async with engine(url) as connections, PostgresRecords(connections, lambda: NOON) as records:
        yield records
