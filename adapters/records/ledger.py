"""Scripts for the ledger: one row for each call of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from operator import attrgetter

from adapters.records.script import Row, Script, select
from adapters.records.values import REFUNDED, from_units, to_units
from bot.ledger import GroupBy, LedgerEntry, UsageFilter, UsageTotals
from bot.pricing import CostSource

NAMES = tuple(field.name for field in fields(LedgerEntry))
COLUMNS = ", ".join(f'"{name}"' for name in NAMES)
_values_of = attrgetter(*NAMES)
_SUMS = """
count(*), coalesce(sum(input_tokens), 0), coalesce(sum(cached_tokens), 0), coalesce(sum(output_tokens), 0),
coalesce(sum(reasoning_tokens), 0), coalesce(sum(cost), 0), count(*) - count(cost), coalesce(sum(estimated), 0)
"""


def to_row(entry: LedgerEntry, user: str | None = None) -> Sequence[object]:
    """The values of `NAMES`, for a `user` if given; an empty one was forgotten, and leaves an anonymous row."""
    if user is not None:
        entry = replace(entry, user=user)
    if user == "":
        entry = replace(entry, channel="", turn="")
    *values, cost, source, estimated = _values_of(entry)
    return (*values, None if cost is None else to_units(cost), source.value, int(estimated))


def read(chosen: UsageFilter, limit: int) -> Script[list[LedgerEntry]]:
    """The newest chosen rows, the newest first."""
    where, values = _where(chosen)
    last = f"${len(values) + 1}"
    rows = yield from select(
        f"SELECT {COLUMNS} FROM records.calls WHERE {where} ORDER BY at DESC, id DESC LIMIT {last}",  # noqa: S608 (constants)
        *values,
        limit,
    )
    return [_to_entry(row) for row in rows]


def totals(chosen: UsageFilter, by: GroupBy, limit: int) -> Script[list[UsageTotals]]:
    """Sums by group, the most expensive first."""
    where, values = _where(chosen)
    column = f'"{by.value}"' if by.value else "''"
    rows = yield from select(
        f"""
        SELECT {column}, {_SUMS} FROM records.calls WHERE {where} GROUP BY 1
        ORDER BY coalesce(sum(cost), 0) DESC, sum(input_tokens + output_tokens) DESC, 1
        """,  # noqa: S608 (the column is one of `GroupBy`)
        *values,
    )
    found = {str(row[0]): [int(each) for each in row[1:]] for row in rows}
    questions: dict[str, int] = {}
    if by is not GroupBy.MODEL:
        last = f"${len(values) + 1}"
        counts = yield from select(
            f"SELECT {column}, count(*) FROM records.questions WHERE {where} AND state != {last} GROUP BY 1",  # noqa: S608 (as above)
            *values,
            REFUNDED,
        )
        questions = {str(key): number for key, number in counts}
    keys = dict.fromkeys([*found, *questions] or ([""] if by is GroupBy.NOTHING else []))
    return [_to_totals(key, questions.get(key, 0), found.get(key, (0,) * 8)) for key in list(keys)[:limit]]


def _to_entry(row: Row) -> LedgerEntry:
    values = dict(zip(NAMES, row, strict=True))
    cost = None if values["cost"] is None else from_units(values["cost"])
    source, estimated = CostSource(values["cost_source"]), bool(values["estimated"])
    return LedgerEntry(**{**values, "cost": cost, "cost_source": source, "estimated": estimated})


def _to_totals(key: str, questions: int, sums: Sequence[int]) -> UsageTotals:
    calls, tokens_in, cached, tokens_out, reasoning, cost, unpriced, estimated = sums
    money = from_units(cost)
    return UsageTotals(key, questions, calls, tokens_in, cached, tokens_out, reasoning, money, unpriced, estimated)


def _where(chosen: UsageFilter) -> tuple[str, list[object]]:
    """A condition for the columns common to calls and questions, and its values."""
    names = ("platform", "workspace", "channel", "user")
    given = [(name, value) for name in names if (value := getattr(chosen, name)) is not None]
    conditions = ["at >= $1", "at < $2", *(f'"{name}" = ${index}' for index, (name, _) in enumerate(given, 3))]
    return " AND ".join(conditions), [chosen.since, chosen.until, *(value for _, value in given)]
