"""The store of records in memory and in a file: the contract of its ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from adapters.records import RecordsOptions
from adapters.records.sqlite import SqliteRecords
from bot.record_store import RecordStore
from tests.contracts.records import NOON, DurableRecordsContract, RecordsContract


class TestMemoryRecords(RecordsContract):
    """The contract, in memory."""

    @asynccontextmanager
    async def records(self) -> AsyncIterator[RecordStore]:
        async with SqliteRecords(None, lambda: NOON) as records:
            yield records


@pytest.mark.sockets  # a thread, so in real time
@pytest.mark.quick
class TestFileRecords(DurableRecordsContract):
    """The contract, in a file."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.file = tmp_path / "records.db"

    @asynccontextmanager
    async def opened(self, now: datetime, options: RecordsOptions | None = None) -> AsyncIterator[RecordStore]:
        async with SqliteRecords(self.file, lambda: now, options) as records:
            yield records
