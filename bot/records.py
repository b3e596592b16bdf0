"""Ports of the store of records: settings made in chat, resets, usage and personal data.

Frozen values and protocols only. A store that cannot read or write raises `RecordsUnavailable`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from bot.conversation import Author, Turn, TurnKey
from bot.interactions.values import Place, Vote


class RecordsUnavailable(Exception):
    """The store could not read or write."""


class SubjectKind(StrEnum):
    """What a setting or a figure belongs to."""

    USER = "user"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True)
class Subject:
    """A person or a channel on a platform.

    `workspace` is empty for a person: one person has the same settings in all servers of Discord and in DMs.
    """

    kind: SubjectKind
    platform: str
    workspace: str
    id: str


def person(platform: str, id_: str) -> Subject:
    """The subject of a person by the platform's id."""
    return Subject(SubjectKind.USER, platform, "", id_)


def user_subject(where: Turn | Place, author: Author) -> Subject:
    """The subject of the person acting in a turn or at a place."""
    return person(where.key.platform if isinstance(where, Turn) else where.platform, author.id)


def channel_subjects(where: Turn | Place) -> tuple[Subject, ...]:
    """The subjects of the channels around a turn or a place, the narrowest first; none in a DM."""
    if where.direct:
        return ()
    at = where.key if isinstance(where, Turn) else where
    ids = dict.fromkeys((at.channel, *where.channel_ids))
    return tuple(Subject(SubjectKind.CHANNEL, at.platform, at.workspace, id_) for id_ in ids if id_)


Preferences = Mapping[str, str]  # by the names in `bot.preferences`


class PreferenceStore(Protocol):
    """Stores the settings made in chat, the reset markers and the first contacts."""

    async def read(self, subjects: Sequence[Subject]) -> Mapping[Subject, Preferences]:
        """The settings of several subjects in one query. A subject without settings may be missing."""
        ...

    async def write(self, subject: Subject, changes: Mapping[str, str | None], *, by: Subject) -> None:
        """Set settings, or unset those with None. The last write wins.

        The same transaction adds an entry to the audit log for each setting that really changes: who, when, the old
        and the new value.
        """
        ...

    async def reset_position(self, platform: str, conversation: str) -> str:
        """The position of a conversation's newest reset marker; empty without one."""
        ...

    async def reset(self, platform: str, conversation: str, position: str, *, by: Subject) -> None:
        """Set the reset marker of a conversation: messages up to `position` belong to an earlier one."""
        ...

    async def first_contact(self, user: Subject) -> bool:
        """Whether this is the first contact of a person. True once, also after a restart."""
        ...


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """Sums over a period. `cost` is in US dollars; `unpriced` counts the model calls without a known price."""

    questions: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Period:
    """Figures of today and of this month, in the operator's time zone."""

    today: UsageFigures = UsageFigures()
    month: UsageFigures = UsageFigures()


@dataclass(frozen=True, slots=True)
class UsageLimit:
    """A limit that applies to a person.

    `scope` is ``user``, ``channel`` or ``workspace``; `unit` is ``questions``, ``tokens`` or ``money``; `period` is
    ``day`` or ``month``.
    """

    scope: str
    unit: str
    period: str
    used: Decimal
    limit: Decimal


class UsageReader(Protocol):
    """Reads the ledger."""

    async def usage(self, user: Subject) -> Period:
        """The figures of one person."""
        ...

    async def limits(self, user: Subject, place: Place, author: Author) -> Sequence[UsageLimit]:
        """The limits that apply to a person here, with their use so far."""
        ...

    async def total(self, platform: str, workspace: str) -> Period:
        """The figures of everyone in a workspace."""
        ...

    async def top(
        self, platform: str, workspace: str, kind: SubjectKind, limit: int
    ) -> Sequence[tuple[str, UsageFigures]]:
        """The ids of a workspace's people or channels with the largest use this month, the largest first."""
        ...


@dataclass(frozen=True, slots=True)
class Retention:
    """One kind of stored data, and its period in days; 0 keeps it until "forget me"."""

    kind: str  # journal, ledger, feedback, answers, settings, audit
    days: int


class PersonalData(Protocol):
    """Lists, exports and deletes the stored data of one person."""

    @property
    def retentions(self) -> Sequence[Retention]:
        """All kinds of stored data."""
        ...

    async def export(self, user: Subject) -> bytes:
        """Everything stored about a person, as a JSON document. The audit log records the export."""
        ...

    async def forget(self, user: Subject) -> None:
        """Delete or anonymize everything stored about a person, whose answers are stopped first.

        Counters remain until their period ends.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredPreference:
    """One setting made in chat. `at` is in seconds since 1970."""

    subject: Subject
    name: str
    value: str
    by: str
    at: float


class PreferenceList(Protocol):
    """Lists the settings made in chat, for the operator."""

    async def preferences(self, limit: int = 1_000) -> Sequence[StoredPreference]:
        """The newest settings, the newest first."""
        ...


class KeyValueStore(Protocol):
    """A few values of the program itself, such as the hash of the registered commands."""

    async def get(self, key: str) -> str:
        """The value; empty if there is none."""
        ...

    async def put(self, key: str, value: str) -> None:
        """Store a value, or delete it if it is empty."""
        ...

    async def replace(self, key: str, value: str, *, expected: str, audit: AuditEntry) -> bool:
        """Store a value if the present one is as expected. The same transaction appends `audit` to the audit log."""
        ...


@dataclass(frozen=True, slots=True)
class VoteRecord:
    """A person's last vote on an answer.

    `turn` is the digest of the question's key of generation 0; `message` is the answer's last message. `answer` is its
    text if the operator stores texts. `at` is in seconds since 1970.
    """

    platform: str
    workspace: str
    channel: str
    message: str
    user: str
    vote: Vote
    at: float
    turn: str
    reason: str = ""
    answer: str = ""


class VoteStore(Protocol):
    """Votes on answers."""

    async def record_vote(self, vote: VoteRecord) -> None:
        """Store a vote, in place of the person's earlier one on this answer."""
        ...

    async def add_reason(self, turn: str, user: str, reason: str) -> bool:
        """Add a reason to a person's thumbs down; False if there is none now."""
        ...

    async def votes(self, since: float = 0.0, limit: int = 1_000) -> Sequence[VoteRecord]:
        """The newest votes, the newest first."""
        ...

    async def keep_answer(self, turn: str, text: str, at: float) -> None:
        """Store the text of an answer, in place of one from before `at`. Its question must be counted in the ledger."""
        ...


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change: `actor` did `action` to `subject`. `at` is in seconds since 1970.

    `actor` is a user's id, or ``operator`` for the operator page. `detail` holds the old and the new value.
    """

    at: float
    platform: str
    workspace: str
    actor: str
    action: str
    subject: str = ""
    detail: str = ""


class AuditLog(Protocol):
    """An append-only log of changed settings and quotas, exports and deletions."""

    async def append(self, entry: AuditEntry) -> None:
        """Append an entry."""
        ...

    async def audit(self, limit: int = 1_000) -> Sequence[AuditEntry]:
        """The newest entries, the newest first."""
        ...


class PersonalRecords(Protocol):
    """One person's rows in the store; `PersonalData` uses it."""

    async def rows_of(self, user: Subject) -> Mapping[str, Sequence[Mapping[str, object]]]:
        """All rows about a person by table, as JSON values."""
        ...

    async def questions_of(self, user: Subject) -> Sequence[TurnKey]:
        """The keys of a person's stored questions."""
        ...

    async def erasures(self, after: int) -> Collection[int]:
        """The numbers of erasures in the audit log after this number. Concurrent ones may appear out of order."""
        ...

    async def forgotten(self, turns: Sequence[str]) -> Collection[str]:
        """Which of these questions, by digest, were asked by people forgotten since."""
        ...

    async def erase(self, user: Subject) -> str:
        """Delete or anonymize all rows about a person. Returns the random id in their place in the audit log.

        The same transaction adds an entry to the audit log: it tells of the deletion even if the caller fails now.
        """
        ...
