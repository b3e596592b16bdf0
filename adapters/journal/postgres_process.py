"""This process among those on one database: its heartbeat, and the rule for the dead.

Times are the database's, so clocks of machines do not matter. A process that was declared dead gets a new name.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass

from adapters.journal import postgres_statements as sql
from adapters.postgres import Engine

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessTimings:
    """Intervals of heartbeats, in seconds."""

    # Others notice a death within `dead_after`, and each heartbeat is one small statement.
    beat: float = 1.0
    # A process is dead after this silence: some heartbeats may be late, and readers wait as long.
    dead_after: float = 5.0


class ProcessHeartbeat:
    """The row of this process. `beat` it once per interval; raises as `Engine` does."""

    def __init__(self, engine: Engine, timings: ProcessTimings) -> None:
        self._engine = engine
        self._timings = timings
        self.id = _new_id()
        self._next_id = _new_id()
        # The loop's time since which no heartbeat has failed.
        self._unbroken_since: float | None = None

    async def beat(self) -> bool:
        """Extend this process's life; False if it was declared dead, and has a new name from now on.

        Declares others dead only after `dead_after` of own unbroken heartbeats: after an outage of the database all
        seem silent, and each gets the time to say otherwise.
        """
        now = asyncio.get_running_loop().time()
        unbroken_since = now if self._unbroken_since is None else self._unbroken_since
        may_judge = now - unbroken_since >= self._timings.dead_after
        self._unbroken_since = None  # until this one has succeeded
        row = await self._engine.fetch_row(sql.BEAT, self.id, self._timings.dead_after, may_judge, urgent=True)
        assert row is not None
        if not row["lives"]:
            await self._rename()
            return False
        self._unbroken_since = unbroken_since
        if row["dead"]:
            log.warning("processes have been silent for too long; others continue their answers: %d", row["dead"])
        return True

    async def release(self) -> None:
        """Leave the unfinished turns to any process, and remove the row."""
        await self._engine.fetch(sql.RELEASE, self.id)

    async def _rename(self) -> None:
        # The same name until it has succeeded: an attempt may have reached the database.
        await self._engine.fetch(sql.RENAME, self.id, self._next_id, self._timings.dead_after, urgent=True)
        self.id, self._next_id = self._next_id, _new_id()
        log.warning("this process was silent for so long that others took its unfinished answers")


def _new_id() -> str:
    return secrets.token_hex(8)
