"""One person's stored data: listed, exported and erased. `bot.records.PersonalData` on the store and the journal."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from typing_extensions import override

from bot.conversation import TurnKey
from bot.errors import Failure
from bot.records import AuditEntry, AuditLog, PersonalData, PersonalRecords, RecordsUnavailable, Retention, Subject

log = logging.getLogger(__name__)

# Journal rows erased at once: the journal writes them in one transaction.
ROWS_AT_ONCE = 200


class PersonalStore(PersonalRecords, AuditLog, Protocol):
    """The ports of the store used here."""


class JournalRows(Protocol):
    """The journal's rows by the keys of their turns."""

    async def rows(self, keys: Sequence[TurnKey]) -> Sequence[Mapping[str, object]]:
        """What is stored about these turns, as JSON values: ids, the ending, the text of an unfinished question."""
        ...

    async def drop(self, key: TurnKey) -> None:
        """Forget a turn; an unknown one is no error."""
        ...


class Answers(Protocol):
    """The answers in progress; `bot.turns.manager` implements it."""

    async def stop_person(self, platform: str, person: str) -> int:
        """Stop the running and waiting answers to a person, and wait for their records."""
        ...


class StoredPersonalData(PersonalData):
    """Reads and erases one person's rows."""

    def __init__(
        self,
        store: PersonalStore,
        journal: JournalRows,
        answers: Answers,
        *,
        retentions: Sequence[Retention],
        wall_clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._journal = journal
        self._answers = answers
        self._retentions = tuple(retentions)
        self._wall_clock = wall_clock

    @property
    @override
    def retentions(self) -> Sequence[Retention]:
        return self._retentions

    @override
    async def export(self, user: Subject) -> bytes:
        now = self._wall_clock()
        entry = AuditEntry(now.timestamp(), user.platform, "", user.id, "export", f"user:{user.id}")
        await self._store.append(entry)
        rows = dict(await self._store.rows_of(user))
        rows["journal"] = await self._journal_rows(await self._store.questions_of(user))
        document = {
            "platform": user.platform,
            "user": user.id,
            "exported_at": now.isoformat(timespec="seconds"),
            "times": "in seconds since 1970",
            **rows,
        }
        return json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "replace")

    @override
    async def forget(self, user: Subject) -> None:
        stopped = await self._answers.stop_person(user.platform, user.id)
        keys = await self._store.questions_of(user)
        await self._drop(keys)
        random_id = await self._store.erase(user)
        log.info("forgot a person", extra={"platform": user.platform, "as": random_id, "stopped": stopped})

    async def _journal_rows(self, keys: Sequence[TurnKey]) -> Sequence[Mapping[str, object]]:
        try:
            return await self._journal.rows(keys)
        except Failure as failure:
            raise RecordsUnavailable("the journal cannot be read") from failure

    async def _drop(self, keys: Sequence[TurnKey]) -> None:
        try:
            for start in range(0, len(keys), ROWS_AT_ONCE):
                async with asyncio.TaskGroup() as group:
                    for key in keys[start : start + ROWS_AT_ONCE]:
                        group.create_task(self._journal.drop(key), name=f"forgetting {key.reference}")
        except* Failure as failures:
            raise RecordsUnavailable("the journal cannot be written") from failures
