"""Quotas: the rules for limits, and the counters of a question. Pure.

A limit is named by its scope, period and unit: ``user.day.questions``. The scope ``role R1`` replaces the user's limit
for people with that role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Self

from bot.ledger import CounterKey, Limit, Unit

# Begins the scope of a role; its id follows.
ROLE_PREFIX = "role "

SCOPES = ("user", "channel", "workspace")

# Largest amount of a limit: beyond it nothing is limited, and 64 bits hold it as money.
MAX_AMOUNT = Decimal(1_000_000_000)


class PeriodKind(StrEnum):
    """The length of a period: a calendar day or month in the operator's time zone."""

    DAY = "day"
    MONTH = "month"

    def name_at(self, now: datetime) -> str:
        """The period's name: ``2026-11-28`` or ``2026-11``."""
        return now.strftime("%Y-%m-%d" if self is PeriodKind.DAY else "%Y-%m")

    def start(self, now: datetime) -> datetime:
        """The beginning of the period: midnight in the time zone of `now`."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return midnight if self is PeriodKind.DAY else midnight.replace(day=1)

    def end(self, now: datetime) -> datetime:
        """The beginning of the next period."""
        # Arithmetic on the local calendar: a day of 23 or 25 hours ends at midnight too.
        days = 1 if self is PeriodKind.DAY else 32
        return self.start(self.start(now) + timedelta(days=days))


@dataclass(frozen=True, slots=True)
class LimitName:
    """The name of a limit."""

    scope: str  # one of `SCOPES`, or ROLE_PREFIX and a role's id
    period: PeriodKind
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The name in a text such as ``user.day.questions``; None if there is none."""
        try:
            scope, period, unit = text.rsplit(".", 2)  # a role's id may contain dots
            name = cls(scope, PeriodKind(period), Unit(unit))
        except ValueError:
            return None
        is_role = scope.startswith(ROLE_PREFIX) and scope != ROLE_PREFIX
        return name if is_role or scope in SCOPES else None

    def __str__(self) -> str:
        return f"{self.scope}.{self.period.value}.{self.unit.value}"


QuotaRules = Mapping[LimitName, Decimal]  # the amount of each limit; 0 is no limit


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks and where, as the owners of counters."""

    user: str
    channel: str
    workspace: str
    roles: frozenset[str] = frozenset()

    def owner(self, scope: str) -> str:
        """The owner of the counter of one of `SCOPES`."""
        return {"user": self.user, "channel": self.channel, "workspace": self.workspace}[scope]

    def counter(self, scope: str, period: PeriodKind, now: datetime) -> CounterKey:
        """The counter of one of `SCOPES`."""
        return CounterKey(scope, self.owner(scope), period.name_at(now))

    def counters(self, now: datetime) -> tuple[CounterKey, ...]:
        """All counters of a question, limited or not: a limit set later counts from the beginning of its period."""
        names = [period.name_at(now) for period in PeriodKind]
        return tuple(CounterKey(scope, self.owner(scope), name) for scope in SCOPES for name in names)


def asker_at(platform: str, workspace: str, channel: str, user: str, roles: frozenset[str]) -> Asker:
    """The owners of the counters of a question. A person has one counter in all workspaces of a platform."""
    place = f"{platform}/{workspace}"
    return Asker(f"{platform}/{user}", f"{place}/{channel}", place, roles)


def period_of(counter: CounterKey) -> PeriodKind:
    """The kind of a counter's period."""
    return PeriodKind.MONTH if len(counter.period) == len("2026-11") else PeriodKind.DAY


def limits_of(rules: QuotaRules, asker: Asker, now: datetime) -> tuple[Limit, ...]:
    """All limits of a question; those of its author first."""
    found: list[Limit] = []
    for scope in SCOPES if rules else ():
        for period in PeriodKind:
            for unit in Unit:
                amount = _amount(rules, asker, LimitName(scope, period, unit))
                if amount > 0:
                    found.append(Limit(asker.counter(scope, period, now), unit, amount))
    return tuple(found)


def _amount(rules: QuotaRules, asker: Asker, name: LimitName) -> Decimal:
    """The amount of a limit, 0 without one. Of several roles, the most generous counts."""
    if name.scope == "user":
        scopes = (f"{ROLE_PREFIX}{role}" for role in asker.roles)
        amounts = [rules[each] for scope in scopes if (each := LimitName(scope, name.period, name.unit)) in rules]
        if amounts:
            return Decimal(0) if 0 in amounts else max(amounts)
    return rules.get(name, Decimal(0))


def parse_amount(text: str) -> Decimal | None:
    """The amount in a text; None if it is no number from 0 to `MAX_AMOUNT`."""
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= MAX_AMOUNT else None


def merged(configured: QuotaRules, overrides: Iterable[tuple[str, str]]) -> QuotaRules:
    """The configured rules with the stored overrides; malformed ones are ignored."""
    rules = dict(configured)
    for text, value in overrides:
        name, amount = LimitName.parse(text), parse_amount(value)
        if name is not None and amount is not None:
            rules[name] = amount
    return rules
