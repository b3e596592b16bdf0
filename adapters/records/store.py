"""The records: all store ports of the core on one database. Statements are in the modules beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

from typing_extensions import override

from adapters.records import feedback, ledger, personal, preferences, quotas
from adapters.records.database import RESPONSE_SECONDS, Connect, Connection, Database, connect
from adapters.records.options import RecordsOptions
from adapters.records.retention import purge
from bot.conversation import TurnKey
from bot.ledger import (
    CounterKey,
    CounterState,
    GroupBy,
    LedgerEntry,
    LedgerStore,
    Refusal,
    Reservation,
    UsageFilter,
    UsageTotals,
)
from bot.records import (
    AuditEntry,
    AuditLog,
    KeyValueStore,
    PersonalRecords,
    PreferenceList,
    Preferences,
    PreferenceStore,
    RecordsUnavailable,
    StoredPreference,
    Subject,
    VoteRecord,
    VoteStore,
)


class SqliteRecords(PreferenceStore, PreferenceList, KeyValueStore, LedgerStore, VoteStore, AuditLog, PersonalRecords):
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
        self._wall_clock = wall_clock
        chosen = options or RecordsOptions()
        self._database = Database(
            file,
            connect=connect,
            purge=lambda connection: purge(connection, chosen, wall_clock()),
            response_seconds=response_seconds,
        )

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._database.__aexit__()

    @property
    def degraded(self) -> bool:
        """Whether the last operation failed; for ``/readyz``."""
        return self._database.degraded

    # ------------------------------------------------------------------------------------------------------- settings

    @override
    async def read(self, subjects: Sequence[Subject]) -> Mapping[Subject, Preferences]:
        return await self._database.run(partial(preferences.read_preferences, subjects=subjects))

    @override
    async def write(self, subject: Subject, changes: Mapping[str, str | None], *, by: Subject) -> None:
        clean = {name: None if value is None else _clean(value) for name, value in changes.items()}
        await self._database.transaction(
            partial(preferences.write_preferences, subject=subject, changes=clean, by=by, at=self._now())
        )

    @override
    async def preferences(self, limit: int = 1_000) -> Sequence[StoredPreference]:
        return await self._database.run(lambda each: preferences.list_preferences(each, limit))

    @override
    async def reset_position(self, platform: str, conversation: str) -> str:
        return await self._database.run(lambda each: preferences.reset_position(each, platform, conversation))

    @override
    async def reset(self, platform: str, conversation: str, position: str, *, by: Subject) -> None:
        at = self._now()
        await self._database.transaction(
            lambda each: preferences.reset(each, platform, conversation, position, by=by, at=at)
        )

    @override
    async def first_contact(self, user: Subject) -> bool:
        at = self._now()
        return await self._database.transaction(lambda each: preferences.first_contact(each, user, at))

    @override
    async def get(self, key: str) -> str:
        return await self._database.run(lambda each: preferences.get_value(each, key))

    @override
    async def put(self, key: str, value: str, *, audit: AuditEntry | None = None) -> None:
        def action(connection: Connection) -> None:
            preferences.put_value(connection, key, value)
            if audit is not None:
                preferences.append_audit(connection, audit)

        await self._database.transaction(action)

    # --------------------------------------------------------------------------------------------------------- ledger

    @override
    async def reserve(self, reservation: Reservation) -> Refusal | None:
        return await self._database.transaction(lambda each: quotas.reserve(each, reservation))

    @override
    async def settle(self, key: TurnKey, entries: Sequence[LedgerEntry], *, refund: bool, ended: bool) -> None:
        def action(connection: Connection) -> None:
            ledger.insert(connection, entries, user=quotas.user_of(connection, key))
            quotas.settle(connection, key, entries, refund=refund, ended=ended)

        await self._database.transaction(action)

    @override
    async def counters(self, keys: Sequence[CounterKey]) -> Mapping[CounterKey, CounterState]:
        return await self._database.transaction(lambda each: quotas.read_counters(each, keys))

    @override
    async def totals(
        self, chosen: UsageFilter, by: GroupBy = GroupBy.NOTHING, limit: int = 100
    ) -> Sequence[UsageTotals]:
        return await self._database.run(lambda each: ledger.totals(each, chosen, by, limit))

    @override
    async def entries(self, chosen: UsageFilter, limit: int = 1_000) -> Sequence[LedgerEntry]:
        return await self._database.run(lambda each: ledger.read(each, chosen, limit))

    # ------------------------------------------------------------------------------------------------------- feedback

    @override
    async def record_vote(self, vote: VoteRecord) -> None:
        await self._database.transaction(lambda each: feedback.record_vote(each, vote))

    @override
    async def add_reason(self, turn: str, user: str, reason: str) -> bool:
        reason = _clean(reason)
        return await self._database.transaction(lambda each: feedback.add_reason(each, turn, user, reason))

    @override
    async def votes(self, since: float = 0.0, limit: int = 1_000) -> Sequence[VoteRecord]:
        return await self._database.run(lambda each: feedback.read_votes(each, since, limit))

    @override
    async def keep_answer(self, turn: str, text: str, at: float) -> None:
        text = _clean(text)
        await self._database.transaction(lambda each: feedback.keep_answer(each, turn, text, at))

    # --------------------------------------------------------------------------------------------- audit and privacy

    @override
    async def append(self, entry: AuditEntry) -> None:
        await self._database.transaction(lambda each: preferences.append_audit(each, entry))

    @override
    async def audit(self, limit: int = 1_000) -> Sequence[AuditEntry]:
        return await self._database.run(lambda each: preferences.read_audit(each, limit))

    @override
    async def rows_of(self, user: Subject) -> Mapping[str, Sequence[Mapping[str, object]]]:
        return await self._database.run(lambda each: personal.rows_of(each, user))

    @override
    async def questions_of(self, user: Subject) -> Sequence[TurnKey]:
        return await self._database.run(lambda each: personal.questions_of(each, user))

    @override
    async def erase(self, user: Subject) -> str:
        at = self._now()
        random_id = await self._database.transaction(lambda each: personal.erase(each, user, at))
        with suppress(RecordsUnavailable):  # the rows are gone already
            await self._database.run(personal.wipe)
        return random_id

    def _now(self) -> float:
        return self._wall_clock().timestamp()


def _clean(text: str) -> str:
    """Text without halves of surrogate pairs, as a platform may send them: SQLite takes UTF-8 only."""
    return text.encode("utf-8", "replace").decode()
