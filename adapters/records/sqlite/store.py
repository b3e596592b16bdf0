"""The records in SQLite: scripts, and quotas with the write lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from typing_extensions import override

from adapters.records.options import RecordsOptions
from adapters.records.retention import purge
from adapters.records.sqlite import quotas
from adapters.records.sqlite.database import RESPONSE_SECONDS, Connect, Connection, Database, connect, perform
from adapters.records.store import ScriptedRecords
from bot.conversation import TurnKey
from bot.ledger import CounterKey, CounterState, LedgerEntry, Refusal, Reservation
from bot.records import RecordsUnavailable, Subject


class SqliteRecords(ScriptedRecords):
    """The records in an SQLite file, or in memory without a `file`. An async context manager of the running loop."""

    def __init__(
        self,
        file: Path | None,
        wall_clock: Callable[[], datetime],
        options: RecordsOptions | None = None,
        *,
        connect: Connect = connect,
        response_seconds: float = RESPONSE_SECONDS,
    ) -> None:
        """Tests pass their own `connect`."""
        chosen = options or RecordsOptions()
        self._database = Database(
            file,
            connect=connect,
            purge=lambda connection: perform(connection, purge(chosen, wall_clock())),
            response_seconds=response_seconds,
        )
        self._is_file = file is not None
        super().__init__(self._database, wall_clock)

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._database.__aexit__()

    @property
    @override
    def durable(self) -> bool:
        return self._is_file

    @override
    async def reserve(self, reservation: Reservation) -> Refusal | None:
        return await self._database.transaction(lambda each: quotas.reserve(each, reservation))

    @override
    async def settle(
        self, key: TurnKey, entries: Sequence[LedgerEntry], *, refund: bool, ended: bool, repeated: bool = False
    ) -> None:
        def action(connection: Connection) -> None:
            quotas.settle(connection, key, entries, refund=refund, ended=ended, repeated=repeated)

        await self._database.transaction(action)

    @override
    async def counters(self, keys: Sequence[CounterKey]) -> Mapping[CounterKey, CounterState]:
        return await self._database.transaction(lambda each: quotas.read_counters(each, keys))

    @override
    async def erase(self, user: Subject) -> str:
        random_id = await super().erase(user)
        with suppress(RecordsUnavailable):  # the rows are gone already
            await self._database.maintain(_wipe)
        return random_id


def _wipe(connection: Connection) -> None:
    """Rewrite the file without free space, and empty its log: deleted rows leave no trace. Not in a transaction."""
    with suppress(sqlite3.OperationalError):  # another process is reading: later writes overwrite the traces
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
