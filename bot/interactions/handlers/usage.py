"""The command `usage`: one's own figures and limits, and everyone's for admins."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from bot.interactions.handlers.context import Caller, bullets
from bot.interactions.values import Notice, Response
from bot.records import Period, SubjectKind, UsageFigures, UsageLimit, UsageReader
from bot.strings import Strings

# Lines of the people and of the channels with the largest use: the rest is in the CSV file.
_TOP = 10

# Costs below a dollar are shown in hundredths of a cent.
_SMALL = Decimal(1)


class UsageHandler:
    """Shows the ledger's figures."""

    def __init__(self, usage: UsageReader, strings: Strings) -> None:
        self._usage = usage
        self._strings = strings

    async def usage(self, caller: Caller, _words: str) -> Response:
        """Own figures, and everyone's for admins."""
        strings, place = self._strings, caller.place
        names: list[str] = []
        parts = [f"**{strings.usage_own}**\n{bullets(await self.own_lines(caller))}"]
        if caller.is_admin:
            total = await self._usage.total(place.platform, place.workspace)
            parts.append(f"**{strings.usage_everyone}**\n{bullets(_period(total, strings))}")
            for kind, title in (
                (SubjectKind.USER, strings.usage_people),
                (SubjectKind.CHANNEL, strings.usage_channels),
            ):
                if top := await self._usage.top(place.platform, place.workspace, kind, _TOP):
                    lines = [_figures(caller.named(kind, id_), figures, strings) for id_, figures in top]
                    parts.append(f"**{title}**\n{bullets(lines)}")
                    names += [id_ for id_, _ in top]
        return Notice("\n\n".join(parts), names=tuple(names))

    async def own_lines(self, caller: Caller) -> list[str]:
        """Figures of today and of this month, then the limits."""
        lines = _period(await self._usage.usage(caller.user), self._strings)
        limits = await self._usage.limits(caller.user, caller.place, caller.author)
        return [*lines, *_limits(limits, self._strings)]


def _period(period: Period, strings: Strings) -> list[str]:
    lines = [
        _figures(strings.usage_today, period.today, strings),
        _figures(strings.usage_month, period.month, strings),
    ]
    if period.month.unpriced:
        lines.append(strings.usage_unpriced.format(count=f"{period.month.unpriced:,}"))
    return lines


def _figures(subject: str, figures: UsageFigures, strings: Strings) -> str:
    return strings.usage_figures.format(
        subject=subject,
        questions=f"{figures.questions:,}",
        tokens=f"{figures.input_tokens + figures.output_tokens:,}",
        cost=money(figures.cost),
    )


def _limits(limits: Sequence[UsageLimit], strings: Strings) -> list[str]:
    units = {"questions": strings.unit_questions, "tokens": strings.unit_tokens, "money": strings.unit_money}
    periods = {"day": strings.period_day, "month": strings.period_month}
    scopes = {"user": strings.scope_user, "channel": strings.scope_channel, "workspace": strings.scope_workspace}
    return [
        strings.usage_limit.format(
            scope=scopes.get(each.scope, each.scope),
            period=periods.get(each.period, each.period),
            used=_amount(each.used, each.unit),
            limit=_amount(each.limit, each.unit),
            unit=units.get(each.unit, each.unit),
        )
        for each in limits
    ]


def _amount(amount: Decimal, unit: str) -> str:
    return money(amount).removeprefix("$") if unit == "money" else f"{amount:,.0f}"


def money(cost: Decimal) -> str:
    """US dollars as people read them."""
    return f"${cost:,.2f}" if cost >= _SMALL or not cost else f"${cost:.4f}"
