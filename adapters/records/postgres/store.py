"""The records in PostgreSQL: scripts, quotas as functions of the database, and the deletion of old rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Self

from typing_extensions import override

from adapters.postgres import Engine
from adapters.records import personal
from adapters.records.options import RecordsOptions
from adapters.records.postgres import quotas
from adapters.records.postgres.script_engine import PREFIX, PostgresScripts
from adapters.records.preferences import get_value
from adapters.records.retention import purge
from adapters.records.store import ScriptedRecords
from adapters.records.values import SALT_KEY
from bot.conversation import TurnKey
from bot.ledger import CounterKey, CounterState, LedgerEntry, Refusal, Reservation
from bot.records import RecordsUnavailable, Subject

log = logging.getLogger(__name__)

# Time between two purges of all processes together, and the pause of one with rows left. Seconds.
PURGE_SECONDS, PURGE_AGAIN_SECONDS = 3_600.0, 10.0

# Time between two looks whether to purge: a process may have ended in the middle of its purge. Seconds.
LOOK_SECONDS = 300.0

# The longest export or erasure of one person: a hundred thousand calls take some seconds. Nobody else waits for it.
PERSON_SECONDS = 60.0

# One process purges in a period. A clock that was ahead must not stop all purges until its time comes.
_CLAIM_PURGE = f"""
INSERT INTO {PREFIX}key_values AS v (key, value) VALUES ('purged.at', $1::double precision::text)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
WHERE abs($1::double precision - v.value::double precision) >= $2::double precision
RETURNING 1
"""  # noqa: S608 (constants)


class PostgresRecords(ScriptedRecords):
    """The records in the database of an open engine. An async context manager of the running loop."""

    def __init__(
        self, engine: Engine, wall_clock: Callable[[], datetime], options: RecordsOptions | None = None
    ) -> None:
        self._scripts = PostgresScripts(engine)
        self._options = options or RecordsOptions()
        self._salt = ""
        self._group = asyncio.TaskGroup()
        self._purging: asyncio.Task[None] | None = None
        super().__init__(self._scripts, wall_clock)

    async def __aenter__(self) -> Self:
        """Delete old rows from now on."""
        await self._group.__aenter__()
        self._purging = self._group.create_task(self._purge_regularly(), name="purge of records")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._purging is not None
        self._purging.cancel()
        await self._group.__aexit__(None, None, None)

    @property
    @override
    def durable(self) -> bool:
        return True

    @override
    async def reserve(self, reservation: Reservation) -> Refusal | None:
        wanted = quotas.to_reserve(reservation, await self._read_salt())
        return quotas.to_refusal((await self._scripts.fetch(quotas.RESERVE, wanted))[0], reservation)

    @override
    async def settle(
        self, key: TurnKey, entries: Sequence[LedgerEntry], *, refund: bool, ended: bool, repeated: bool = False
    ) -> None:
        settled = quotas.to_settle(key, entries, refund=refund, ended=ended, repeated=repeated)
        await self._scripts.fetch(quotas.SETTLE, settled)

    @override
    async def counters(self, keys: Sequence[CounterKey]) -> Mapping[CounterKey, CounterState]:
        salt = await self._read_salt()
        rows = await self._scripts.fetch(quotas.READ_COUNTERS, quotas.to_read(keys, salt))
        return quotas.to_states(rows, keys, salt)

    @override
    async def rows_of(self, user: Subject) -> Mapping[str, Sequence[Mapping[str, object]]]:
        return await self._scripts.run(personal.rows_of(user), PERSON_SECONDS)

    @override
    async def questions_of(self, user: Subject) -> Sequence[TurnKey]:
        return await self._scripts.run(personal.questions_of(user), PERSON_SECONDS)

    @override
    async def erase(self, user: Subject) -> str:
        return await self._scripts.transact(personal.erase(user, self._now()), PERSON_SECONDS)

    async def _read_salt(self) -> str:
        """The secret of the hashes, which never changes."""
        if not self._salt:
            self._salt = await self._scripts.run(get_value(SALT_KEY))
        return self._salt

    async def _purge_regularly(self) -> None:
        while True:
            try:
                await self._purge()
            except RecordsUnavailable as failure:
                log.debug("old records were not deleted: %s", failure)
            except Exception:
                log.exception("old records were not deleted")
            await asyncio.sleep(LOOK_SECONDS)

    async def _purge(self) -> None:
        """Delete old rows, unless a process did within the hour.

        Each statement is a transaction of its own: none holds locks while it waits for those of an erasure.
        """
        if not await self._scripts.fetch(_CLAIM_PURGE, self._now(), PURGE_SECONDS):
            return
        while await self._scripts.run(purge(self._options, self._wall_clock())):
            await asyncio.sleep(PURGE_AGAIN_SECONDS)
