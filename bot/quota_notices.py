"""The words about limits: for a refused question, and for figures in chat. Pure."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from bot.ledger import Limit, Unit
from bot.quotas import PeriodKind, period_of
from bot.strings import Strings


def describe_refusal(limit: Limit, now: datetime, strings: Strings) -> str:
    """The notice to a person whose question is refused. `now` is in the operator's time zone."""
    period = period_of(limit.counter)
    end = period.end(now)
    zone = end.tzname() or ""
    sentence = {
        "user": strings.quota_user,
        "channel": strings.quota_channel,
        "workspace": strings.quota_workspace,
    }[limit.counter.scope]
    amount, until = describe_amount(limit.unit, limit.amount, period), f"{end:%Y-%m-%d %H:%M} {zone}".strip()
    return sentence.format(limit=amount, until=until)


def describe_amount(unit: Unit, amount: Decimal, period: PeriodKind) -> str:
    """An amount in a period: "4 questions a day", "$2.50 a month"."""
    return f"{format_amount(unit, amount)} a {period.value}"


def format_amount(unit: Unit, amount: Decimal) -> str:
    """An amount with its unit."""
    if unit is Unit.MONEY:
        return f"${amount:,.2f}"
    noun = unit.value.removesuffix("s") if amount == 1 else unit.value
    return f"{amount.normalize():,f} {noun}"  # tables of the settings hold 100 as 100.0
