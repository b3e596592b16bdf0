"""The store of records in memory and in a file: the contract of its ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.records import SqliteRecords
from tests.contracts.records import NOON, RecordsContract


class TestMemoryRecords(RecordsContract):
    """The contract, in memory."""

    @asynccontextmanager
    async def records(self) -> AsyncIterator[SqliteRecords]:
        async with SqliteRecords(None, lambda: NOON) as records:
            yield records


@pytest.mark.sockets  # a thread, so in real time
@pytest.mark.quick
class TestFileRecords(RecordsContract):
    """The contract, in a file."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.file = tmp_path / "records.db"

    @asynccontextmanager
    async def records(self) -> AsyncIterator[SqliteRecords]:
        async with SqliteRecords(self.file, lambda: NOON) as records:
            yield records
