"""The quotas on the operator's page: rows for the table, and the form to change one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bot.quota_book import QuotaBook
from bot.quotas import ROLE_PREFIX, LimitName, QuotaRules
from bot.records import RecordsUnavailable

_UNITS = MappingProxyType({"questions": "questions", "tokens": "tokens", "money": "US dollars"})

# Who changes a limit here, as the audit log names it.
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """One limit in plain words."""

    scope: str
    period: str
    amount: str
    unit: str
    source: str


def quota_rows(rules: QuotaRules, overrides: Mapping[str, str]) -> Sequence[QuotaRow]:
    """The limits in force, and those switched off at run time."""
    rows = []
    for name in sorted(rules, key=str):
        amount, is_changed = rules[name], str(name) in overrides
        if amount or is_changed:
            words = f"{amount.normalize():,f}" if amount else "no limit"
            source = "changed here" if is_changed else "configured"
            rows.append(QuotaRow(_scope(name), name.period.value, words, _UNITS[name.unit.value], source))
    return rows


def _scope(name: LimitName) -> str:
    if name.scope.startswith(ROLE_PREFIX):
        return f"person with the role {name.scope.removeprefix(ROLE_PREFIX)}"
    return "person" if name.scope == "user" else name.scope


async def change_quota(book: QuotaBook, fields: Mapping[str, str]) -> str:
    """Change a limit by the form's fields; returns a line for the operator."""
    scope = fields.get("scope", "")
    if scope == "role":
        scope = f"{ROLE_PREFIX}{fields.get('role', '').strip()}"
    name = f"{scope}.{fields.get('period', '')}.{fields.get('unit', '')}"
    try:
        if await book.change(name, fields.get("amount", "").strip(), by=OPERATOR):
            return "Saved."
    except RecordsUnavailable:
        return "The records cannot be written now, so nothing changed; the log says why."
    if LimitName.parse(name) is None:
        return "Nothing changed: give the role's id, or choose another kind of limit."
    return "Nothing changed: the amount must be a number from 0 on."
