"""The rules for quotas in force: the operator's configuration, with the changes made at run time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal

from bot.quotas import LimitName, QuotaRules, merged, parse_amount
from bot.records import AuditEntry, KeyValueStore, RecordsUnavailable

# The key of the stored changes.
QUOTAS_KEY = "quotas"

# Attempts of a change while other processes change quotas too: each lets one of them win.
CHANGE_ATTEMPTS = 10


class QuotaBook:
    """Reads and changes the rules. Every process reads a change at its next question."""

    def __init__(self, configured: QuotaRules, store: KeyValueStore, wall_clock: Callable[[], datetime]) -> None:
        self.configured = configured
        self._store = store
        self._wall_clock = wall_clock

    async def rules(self) -> QuotaRules:
        """The rules in force; the configured ones without a working store."""
        with suppress(RecordsUnavailable):
            if overrides := await self.overrides():
                return merged(self.configured, overrides.items())
        return self.configured

    async def overrides(self) -> Mapping[str, str]:
        """The changes made at run time, by the limit's name. Raises `RecordsUnavailable`."""
        return _parse(await self._store.get(QUOTAS_KEY))

    async def change(self, name: str, amount: str, *, by: str) -> bool:
        """Change a limit, or return to the configured one with an empty amount; 0 is no limit.

        False for an unknown name or a malformed amount. The audit log records the change. Raises `RecordsUnavailable`.
        """
        limit = LimitName.parse(name)
        if limit is None or (amount and parse_amount(amount) is None):
            return False
        for _ in range(CHANGE_ATTEMPTS):
            stored = await self._store.get(QUOTAS_KEY)
            changed, entry = self._changed(stored, limit, amount.strip(), by)
            if await self._store.replace(QUOTAS_KEY, changed, expected=stored, audit=entry):
                return True
        raise RecordsUnavailable("others change the quotas at the same time")

    def _changed(self, stored: str, limit: LimitName, amount: str, by: str) -> tuple[str, AuditEntry]:
        """The stored changes with one more, and its audit entry."""
        overrides = _parse(stored)
        old = overrides.pop(str(limit), None)
        if amount:
            overrides[str(limit)] = amount
        configured: Decimal | None = self.configured.get(limit)
        before = old if old is not None else None if configured is None else str(configured)
        detail = json.dumps({"name": str(limit), "old": before, "new": amount or None})
        entry = AuditEntry(self._wall_clock().timestamp(), "", "", by, "quota", str(limit), detail)
        return json.dumps(overrides), entry


def _parse(text: str) -> dict[str, str]:
    with suppress(ValueError):
        stored = json.loads(text or "{}")
        if isinstance(stored, dict):
            return {str(name): str(value) for name, value in stored.items()}
    return {}
