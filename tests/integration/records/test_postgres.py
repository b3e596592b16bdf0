"""The store of records in PostgreSQL: the contract of its ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from adapters.records import RecordsOptions
from adapters.records.postgres import PostgresRecords
from bot.record_store import RecordStore
from tests.contracts.records import DurableRecordsContract
from tests.support.postgres import engine, make_database, require_postgres, run_script

pytestmark = [pytest.mark.sockets, pytest.mark.quick]

# A replica runs no triggers, so that the audit log can be emptied. The secret of the counters stays.
EMPTY = """
SET session_replication_role = replica;
DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'tickertape' AND tablename LIKE 'records_%' LOOP
        CONTINUE WHEN t IN ('records_key_values', 'records_audit_retention');
        EXECUTE 'DELETE FROM tickertape.' || t;
    END LOOP;
END $$;
DELETE FROM tickertape.records_key_values WHERE key <> 'counters.salt';
UPDATE tickertape.records_audit_retention SET kept_since = 0
"""


@pytest.fixture(scope="module")
def shared_database() -> Iterator[str]:
    """One database for all tests of this file: each costs a second."""
    require_postgres()
    yield from make_database()


@pytest.fixture
def empty_database(shared_database: str) -> str:
    """The database without rows."""
    asyncio.run(run_script(shared_database, EMPTY))
    return shared_database


class TestPostgresRecords(DurableRecordsContract):
    """The contract, with connections of its own for each process."""

    @pytest.fixture(autouse=True)
    def _database(self, empty_database: str) -> None:
        self.url = empty_database

    @asynccontextmanager
    async def opened(self, now: datetime, options: RecordsOptions | None = None) -> AsyncIterator[RecordStore]:
        async with engine(self.url) as opened, PostgresRecords(opened, lambda: now, options) as records:
            yield records
