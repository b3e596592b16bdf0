"""Statements for the ledger: one row for each call of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields, replace
from typing import Any

from adapters.records.database import Connection
from adapters.records.quotas import REFUNDED, from_units, to_units
from bot.ledger import GroupBy, LedgerEntry, UsageFilter, UsageTotals
from bot.pricing import CostSource

_NAMES = tuple(field.name for field in fields(LedgerEntry))
_COLUMNS = ", ".join(_NAMES)
_SUMS = """
count(*), coalesce(sum(input_tokens), 0), coalesce(sum(cached_tokens), 0), coalesce(sum(output_tokens), 0),
coalesce(sum(reasoning_tokens), 0), coalesce(sum(cost), 0), count(*) - count(cost), coalesce(sum(estimated), 0)
"""


def insert(connection: Connection, entries: Sequence[LedgerEntry], *, user: str | None = None) -> None:
    """Add rows for a `user`, if given; an empty one was forgotten in the meantime, and leaves anonymous rows."""
    rows = []
    for each in entries:
        entry = each if user is None else replace(each, user=user)
        if user == "":
            entry = replace(entry, channel="", turn="")
        *values, cost, source, estimated = astuple(entry)
        rows.append((*values, None if cost is None else to_units(cost), source.value, int(estimated)))
    connection.executemany(f"INSERT INTO calls ({_COLUMNS}) VALUES ({', '.join('?' * 14)})", rows)  # noqa: S608 (constants)


def read(connection: Connection, chosen: UsageFilter, limit: int) -> list[LedgerEntry]:
    """The newest chosen rows, the newest first."""
    where, values = _where(chosen)
    select = f"SELECT {_COLUMNS} FROM calls WHERE {where} ORDER BY at DESC, id DESC LIMIT ?"  # noqa: S608 (constants)
    return [_to_entry(row) for row in connection.execute(select, (*values, limit))]


def totals(connection: Connection, chosen: UsageFilter, by: GroupBy, limit: int) -> list[UsageTotals]:
    """Sums by group, the most expensive first."""
    where, values = _where(chosen)
    column = by.value or "''"
    sums = f"""
        SELECT {column}, {_SUMS} FROM calls WHERE {where} GROUP BY 1
        ORDER BY coalesce(sum(cost), 0) DESC, sum(input_tokens + output_tokens) DESC, 1
    """  # noqa: S608 (the column is one of `GroupBy`)
    found = {str(row[0]): row[1:] for row in connection.execute(sums, values)}
    questions: dict[str, int] = {}
    if by is not GroupBy.MODEL:
        count = f"SELECT {column}, count(*) FROM questions WHERE {where} AND state != ? GROUP BY 1"  # noqa: S608 (as above)
        questions = {str(key): number for key, number in connection.execute(count, (*values, REFUNDED))}
    keys = dict.fromkeys([*found, *questions] or ([""] if by is GroupBy.NOTHING else []))
    return [_to_totals(key, questions.get(key, 0), found.get(key, (0,) * 8)) for key in list(keys)[:limit]]


def _to_entry(row: Sequence[Any]) -> LedgerEntry:
    values = dict(zip(_NAMES, row, strict=True))
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
    conditions = ["at >= ?", "at < ?", *(f"{name} = ?" for name, _ in given)]
    return " AND ".join(conditions), [chosen.since, chosen.until, *(value for _, value in given)]
