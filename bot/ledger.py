"""The ledger of model calls and the counters of quotas: frozen values, and the port of their store.

Rules for limits are in `bot.quotas`. Times named `at`, `since` and `until` are in seconds since 1970, money is in US
dollars. The store raises `bot.records.RecordsUnavailable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from bot.conversation import TurnKey
from bot.pricing import CostSource


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One call of a model.

    `turn` is the digest of the turn's key, `model` the name in the server's response, else the requested one. `cost` is
    None if it is unknown. With `estimated`, the tokens are computed from the length of the texts.
    """

    at: float
    platform: str
    workspace: str
    channel: str
    user: str
    turn: str
    model: str
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    cost_source: CostSource = CostSource.UNKNOWN
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """Input and output: cached tokens are part of the input, reasoning of the output."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Chooses usage by these values, from `since` to before `until`. None chooses every value."""

    platform: str | None = None
    workspace: str | None = None
    channel: str | None = None
    user: str | None = None
    since: float = 0.0
    until: float = float("inf")


class GroupBy(StrEnum):
    """A column to sum up usage by."""

    NOTHING = ""
    USER = "user"
    CHANNEL = "channel"
    WORKSPACE = "workspace"
    PLATFORM = "platform"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """Sums of one group. `key` is its value of the column; empty for the sum of everything.

    `cost` sums the known costs; `unpriced` counts the calls without one, `estimated` those with estimated tokens.
    Groups of a model have no `questions`.
    """

    key: str = ""
    questions: int = 0
    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    estimated: int = 0


class Unit(StrEnum):
    """A counted unit."""

    QUESTIONS = "questions"
    TOKENS = "tokens"
    MONEY = "money"


@dataclass(frozen=True, slots=True)
class CounterKey:
    """One counter. `scope` is ``user``, ``channel`` or ``workspace``; `period` is ``2026-11-28`` or ``2026-11``.

    `owner` names a person, a channel or a workspace; the store keeps only a hash of it.
    """

    scope: str
    owner: str
    period: str


@dataclass(frozen=True, slots=True)
class Limit:
    """The most a counter may reach in a unit."""

    counter: CounterKey
    unit: Unit
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room for one question, its prompt and its answer.

    `answer_tokens` is the most the answer can take. If it is only a guess (`answer_is_guess`), less room suffices.
    `money` is the price of both. `counters` are all counters to be increased. `expires_at` frees the room of a turn
    without an end.
    """

    key: TurnKey
    user: str
    at: float
    prompt_tokens: int
    answer_tokens: int
    answer_is_guess: bool
    money: Decimal
    expires_at: float
    counters: tuple[CounterKey, ...] = field(repr=False)
    limits: tuple[Limit, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reached limit. Without `notify`, the person was told within the last hour."""

    limit: Limit
    notify: bool


@dataclass(frozen=True, slots=True)
class CounterState:
    """Spent and reserved amounts."""

    questions: int = 0
    tokens: int = 0
    money: Decimal = Decimal(0)
    reserved_tokens: int = 0
    reserved_money: Decimal = Decimal(0)

    def spent(self, unit: Unit) -> Decimal:
        """The spent amount of a unit."""
        return {
            Unit.QUESTIONS: Decimal(self.questions),
            Unit.TOKENS: Decimal(self.tokens),
            Unit.MONEY: self.money,
        }[unit]


class LedgerStore(Protocol):
    """Stores questions, calls and counters. Each method is one transaction among all processes."""

    async def reserve(self, reservation: Reservation) -> Refusal | None:
        """Count a question and reserve its room; a refusal if a limit would be exceeded.

        A counted question is not counted again; a refunded one is.
        """
        ...

    async def settle(
        self, key: TurnKey, entries: Sequence[LedgerEntry], *, refund: bool, ended: bool, repeated: bool = False
    ) -> None:
        """Store the calls of a turn, and count their tokens and cost. `ended` frees the room.

        With `refund` the question does not count. With `repeated`, these calls may be stored already: an earlier
        attempt had an unknown outcome.
        """
        ...

    async def counters(self, keys: Sequence[CounterKey]) -> Mapping[CounterKey, CounterState]:
        """The state of each counter; zero for an unused one."""
        ...

    async def totals(
        self, chosen: UsageFilter, by: GroupBy = GroupBy.NOTHING, limit: int = 100
    ) -> Sequence[UsageTotals]:
        """Sums of the chosen usage by group, the most expensive first. One row without a group."""
        ...

    async def entries(self, chosen: UsageFilter, limit: int = 1_000) -> Sequence[LedgerEntry]:
        """The newest chosen calls, the newest first."""
        ...
