"""A meter on records in memory, for tests of the core under quotas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from typing_extensions import override

from adapters.records.sqlite import SqliteRecords
from bot.conversation import Usage
from bot.ledger import LedgerEntry
from bot.metering import LedgerMeter, MeteringOptions
from bot.pricing import Cost, CostSource, Pricing
from bot.quota_book import QuotaBook
from bot.quotas import LimitName
from bot.records_backlog import RecordsBacklog
from bot.strings import Strings
from bot.telemetry import NoRecorder
from bot.turns.hooks import NoChoices, TurnHooks

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


class FlatPricing(Pricing):
    """A cent for a thousand tokens, from the operator's table."""

    @override
    def cost(self, model: str, usage: Usage) -> Cost:
        if usage.cost is not None:
            return Cost(usage.cost, CostSource.SERVER)
        return Cost(Decimal(usage.input_tokens + usage.output_tokens) / 100_000, CostSource.OPERATOR)


class Spent(NoRecorder):
    """Remembers the recorded calls."""

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []

    @override
    def spent(self, entry: LedgerEntry) -> None:
        self.entries.append(entry)


@dataclass
class Metered:
    """A store, a meter on it, and a wall clock to be set."""

    records: SqliteRecords
    quotas: QuotaBook
    meter: LedgerMeter
    spent: Spent
    now: datetime = NOON
    hooks: TurnHooks = field(default_factory=TurnHooks)


@asynccontextmanager
async def metered(
    limits: Mapping[str, int | str],
    *,
    file: Path | None = None,
    pricing: Pricing | None = None,
    answer_tokens: Callable[[str], int | None] = lambda _: 50,
    expiry_seconds: float = 3_600.0,
) -> AsyncIterator[Metered]:
    """A meter with these limits (``user.day.questions``); prompts have no system prompt."""
    rules = {name: Decimal(amount) for text, amount in limits.items() if (name := LimitName.parse(text))}
    assert len(rules) == len(limits)
    clock: list[Metered] = []

    def now() -> datetime:
        return clock[0].now if clock else NOON

    async with SqliteRecords(file, now) as records, RecordsBacklog() as backlog:
        quotas, spent = QuotaBook(rules, records, now), Spent()
        meter = LedgerMeter(
            records,
            backlog=backlog,
            quotas=quotas,
            pricing=pricing or FlatPricing(),
            choices=NoChoices(),
            recorder=spent,
            strings=Strings(),
            options=MeteringOptions(0, answer_tokens, expiry_seconds),
            wall_clock=now,
        )
        clock.append(Metered(records, quotas, meter, spent, hooks=TurnHooks(NoChoices(), meter)))
        yield clock[0]
