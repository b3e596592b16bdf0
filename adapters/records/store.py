"""The store's ports on an engine for scripts: everything that needs no more than statements."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from typing_extensions import override

from adapters.records import feedback, ledger, personal, preferences
from adapters.records.script import ScriptEngine
from adapters.records.values import clean
from bot.conversation import TurnKey
from bot.ledger import GroupBy, LedgerEntry, UsageFilter, UsageTotals
from bot.record_store import RecordStore
from bot.records import AuditEntry, Preferences, StoredPreference, Subject, VoteRecord


class ScriptedRecords(RecordStore, ABC):
    """A store without its quotas: subclasses reserve and settle in the engine's own way."""

    def __init__(self, engine: ScriptEngine, wall_clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._wall_clock = wall_clock

    @property
    @override
    def degraded(self) -> bool:
        return self._engine.degraded

    # ------------------------------------------------------------------------------------------------------- settings

    @override
    async def read(self, subjects: Sequence[Subject]) -> Mapping[Subject, Preferences]:
        return await self._engine.run(preferences.read_preferences(subjects))

    @override
    async def write(self, subject: Subject, changes: Mapping[str, str | None], *, by: Subject) -> None:
        cleaned = {name: None if value is None else clean(value) for name, value in changes.items()}
        await self._engine.transact(preferences.write_preferences(subject, cleaned, by, self._now()))

    @override
    async def preferences(self, limit: int = 1_000) -> Sequence[StoredPreference]:
        return await self._engine.run(preferences.list_preferences(limit))

    @override
    async def reset_position(self, platform: str, conversation: str) -> str:
        return await self._engine.run(preferences.reset_position(platform, conversation))

    @override
    async def reset(self, platform: str, conversation: str, position: str, *, by: Subject) -> None:
        await self._engine.run(preferences.reset(platform, conversation, position, by=by, at=self._now()))

    @override
    async def first_contact(self, user: Subject) -> bool:
        return await self._engine.run(preferences.first_contact(user, self._now()))

    @override
    async def get(self, key: str) -> str:
        return await self._engine.run(preferences.get_value(key))

    @override
    async def put(self, key: str, value: str) -> None:
        await self._engine.run(preferences.put_value(key, value))

    @override
    async def replace(self, key: str, value: str, *, expected: str, audit: AuditEntry) -> bool:
        return await self._engine.transact(preferences.replace_value(key, value, expected, audit))

    # --------------------------------------------------------------------------------------------------------- ledger

    @override
    async def totals(
        self, chosen: UsageFilter, by: GroupBy = GroupBy.NOTHING, limit: int = 100
    ) -> Sequence[UsageTotals]:
        return await self._engine.run(ledger.totals(chosen, by, limit))

    @override
    async def entries(self, chosen: UsageFilter, limit: int = 1_000) -> Sequence[LedgerEntry]:
        return await self._engine.run(ledger.read(chosen, limit))

    # ------------------------------------------------------------------------------------------------------- feedback

    @override
    async def record_vote(self, vote: VoteRecord) -> None:
        await self._engine.run(feedback.record_vote(vote))

    @override
    async def add_reason(self, turn: str, user: str, reason: str) -> bool:
        return await self._engine.run(feedback.add_reason(turn, user, clean(reason)))

    @override
    async def votes(self, since: float = 0.0, limit: int = 1_000) -> Sequence[VoteRecord]:
        return await self._engine.run(feedback.read_votes(since, limit))

    @override
    async def keep_answer(self, turn: str, text: str, at: float) -> None:
        await self._engine.transact(feedback.keep_answer(turn, clean(text), at))

    # --------------------------------------------------------------------------------------------- audit and privacy

    @override
    async def append(self, entry: AuditEntry) -> None:
        await self._engine.run(preferences.append_audit(entry))

    @override
    async def audit(self, limit: int = 1_000) -> Sequence[AuditEntry]:
        return await self._engine.run(preferences.read_audit(limit))

    @override
    async def rows_of(self, user: Subject) -> Mapping[str, Sequence[Mapping[str, object]]]:
        return await self._engine.run(personal.rows_of(user))

    @override
    async def questions_of(self, user: Subject) -> Sequence[TurnKey]:
        return await self._engine.run(personal.questions_of(user))

    @override
    async def erasures(self, after: int) -> Collection[int]:
        return await self._engine.run(personal.erasures(after))

    @override
    async def forgotten(self, turns: Sequence[str]) -> Collection[str]:
        return await self._engine.run(personal.forgotten(turns))

    @override
    async def erase(self, user: Subject) -> str:
        return await self._engine.transact(personal.erase(user, self._now()))

    def _now(self) -> float:
        return self._wall_clock().timestamp()
