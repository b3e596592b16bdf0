"""The figures of use for chat: `bot.records.UsageReader` on the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from typing_extensions import override

from bot.conversation import Author
from bot.interactions.values import Place
from bot.ledger import GroupBy, LedgerStore, UsageFilter, UsageTotals
from bot.quota_book import QuotaBook
from bot.quotas import PeriodKind, asker_at, limits_of, period_of
from bot.records import Period, Subject, SubjectKind, UsageFigures, UsageLimit, UsageReader


class LedgerUsage(UsageReader):
    """Sums up the ledger by calendar days and months. `wall_clock` returns the time in the operator's time zone."""

    def __init__(self, store: LedgerStore, quotas: QuotaBook, wall_clock: Callable[[], datetime]) -> None:
        self._store = store
        self._quotas = quotas
        self._wall_clock = wall_clock

    @override
    async def usage(self, user: Subject) -> Period:
        return await self._period(UsageFilter(platform=user.platform, user=user.id))

    @override
    async def limits(self, user: Subject, place: Place, author: Author) -> Sequence[UsageLimit]:
        asker = asker_at(place.platform, place.workspace, place.parent or place.channel, user.id, author.roles)
        limits = limits_of(await self._quotas.rules(), asker, self._wall_clock())
        states = await self._store.counters([limit.counter for limit in limits])
        return [
            UsageLimit(
                limit.counter.scope,
                limit.unit.value,
                period_of(limit.counter).value,
                states[limit.counter].spent(limit.unit),
                limit.amount,
            )
            for limit in limits
        ]

    @override
    async def total(self, platform: str, workspace: str) -> Period:
        return await self._period(UsageFilter(platform=platform, workspace=workspace))

    @override
    async def top(
        self, platform: str, workspace: str, kind: SubjectKind, limit: int
    ) -> Sequence[tuple[str, UsageFigures]]:
        chosen = UsageFilter(platform=platform, workspace=workspace, since=self._start(PeriodKind.MONTH))
        by = GroupBy.USER if kind is SubjectKind.USER else GroupBy.CHANNEL
        # One more, since people who left ("forget me") form a group without a name.
        rows = await self._store.totals(chosen, by, limit + 1)
        return [(row.key, _figures(row)) for row in rows if row.key][:limit]

    async def _period(self, chosen: UsageFilter) -> Period:
        sums = [
            await self._store.totals(replace(chosen, since=self._start(kind)))
            for kind in (PeriodKind.DAY, PeriodKind.MONTH)
        ]
        return Period(*(_figures(rows[0]) for rows in sums))

    def _start(self, kind: PeriodKind) -> float:
        return kind.start(self._wall_clock()).timestamp()


def _figures(row: UsageTotals) -> UsageFigures:
    return UsageFigures(row.questions, row.input_tokens, row.cached_tokens, row.output_tokens, row.cost, row.unpriced)
