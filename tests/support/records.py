"""The store of records in memory, for tests of the core; it fails when told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from bot.conversation import Author
from bot.interactions.values import Place
from bot.records import (
    Period,
    PersonalData,
    Preferences,
    PreferenceStore,
    RecordsUnavailable,
    Retention,
    Subject,
    SubjectKind,
    UsageFigures,
    UsageLimit,
    UsageReader,
)


@dataclass
class FakePreferences(PreferenceStore):
    """Settings made in chat. `broken` makes every call fail, with `failure`; `audit` lists who changed what."""

    values: dict[Subject, dict[str, str]] = field(default_factory=dict)
    positions: dict[tuple[str, str], str] = field(default_factory=dict)
    contacts: set[Subject] = field(default_factory=set)
    audit: list[tuple[Subject, Subject, str, str | None]] = field(default_factory=list)
    broken: bool = False
    failure: Exception = field(default_factory=lambda: RecordsUnavailable("the disk is full"))
    reads: int = 0

    @override
    async def read(self, subjects: Sequence[Subject]) -> Mapping[Subject, Preferences]:
        self._check()
        self.reads += 1
        return {each: dict(self.values[each]) for each in subjects if each in self.values}

    @override
    async def write(self, subject: Subject, changes: Mapping[str, str | None], *, by: Subject) -> None:
        self._check()
        stored = self.values.setdefault(subject, {})
        for name, value in changes.items():
            if stored.get(name) == value:
                continue
            self.audit.append((by, subject, name, value))
            if value is None:
                del stored[name]
            else:
                stored[name] = value

    @override
    async def reset_position(self, platform: str, conversation: str) -> str:
        self._check()
        return self.positions.get((platform, conversation), "")

    @override
    async def reset(self, platform: str, conversation: str, position: str, *, by: Subject) -> None:
        self._check()
        self.positions[platform, conversation] = position

    @override
    async def first_contact(self, user: Subject) -> bool:
        self._check()
        is_first = user not in self.contacts
        self.contacts.add(user)
        return is_first

    def _check(self) -> None:
        if self.broken:
            raise self.failure


@dataclass
class FakeUsage(UsageReader):
    """A ledger with given figures."""

    own: Period = field(default_factory=Period)
    everyone: Period = field(default_factory=Period)
    quotas: tuple[UsageLimit, ...] = ()
    tops: dict[SubjectKind, tuple[tuple[str, UsageFigures], ...]] = field(default_factory=dict)
    broken: bool = False

    @override
    async def usage(self, user: Subject) -> Period:
        if self.broken:
            raise RecordsUnavailable("the disk is full")
        return self.own

    @override
    async def limits(self, user: Subject, place: Place, author: Author) -> Sequence[UsageLimit]:
        return self.quotas

    @override
    async def total(self, platform: str, workspace: str) -> Period:
        return self.everyone

    @override
    async def top(
        self, platform: str, workspace: str, kind: SubjectKind, limit: int
    ) -> Sequence[tuple[str, UsageFigures]]:
        return self.tops.get(kind, ())[:limit]


@dataclass
class FakePersonalData(PersonalData):
    """Stored data of people, by subject."""

    data: dict[Subject, bytes] = field(default_factory=dict)
    kept: tuple[Retention, ...] = ()
    forgotten: list[Subject] = field(default_factory=list)
    broken: bool = False

    @property
    @override
    def retentions(self) -> Sequence[Retention]:
        return self.kept

    @override
    async def export(self, user: Subject) -> bytes:
        if self.broken:
            raise RecordsUnavailable("the disk is full")
        return self.data.get(user, b"{}")

    @override
    async def forget(self, user: Subject) -> None:
        if self.broken:
            raise RecordsUnavailable("the disk is full")
        self.data.pop(user, None)
        self.forgotten.append(user)
