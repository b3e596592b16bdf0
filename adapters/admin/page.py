"""The operator's page: reads all sources, and renders the templates."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from adapters.admin.charts import HOURS, charts
from adapters.admin.history import History
from adapters.admin.quota_form import QuotaRow, change_quota, quota_rows
from bot.interactions.handlers.usage import money
from bot.ledger import GroupBy, LedgerStore, UsageFilter, UsageTotals
from bot.ownership.telemetry import OwnershipStatus
from bot.quota_book import QuotaBook
from bot.records import (
    AuditEntry,
    AuditLog,
    PreferenceList,
    RecordsUnavailable,
    StoredPreference,
    VoteRecord,
    VoteStore,
)
from bot.turns.live import LiveTurn

T = TypeVar("T")

# Rows of one table. The command line exports everything.
MAX_ROWS = 50

# Usage of the last days.
USAGE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything shown on the page. `ownership` is None in a process without others."""

    live_turns: Callable[[], Sequence[LiveTurn]]
    ownership: Callable[[], OwnershipStatus | None]
    history: History
    ledger: LedgerStore
    votes: VoteStore
    audit: AuditLog
    preferences: PreferenceList
    quotas: QuotaBook
    models: Sequence[str]
    wall_clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Read:
    """One table: its rows, or None if the records could not be read."""

    users: Sequence[UsageTotals] | None
    channels: Sequence[UsageTotals] | None
    models: Sequence[UsageTotals] | None
    votes: Sequence[VoteRecord] | None
    audit: Sequence[AuditEntry] | None
    preferences: Sequence[StoredPreference] | None
    quotas: Sequence[QuotaRow] | None


class AdminPage:
    """Renders the page, its live part and the login form."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._style = (resources.files("adapters.admin") / "assets" / "style.css").read_text("utf-8")
        self._templates = Environment(
            loader=PackageLoader("adapters.admin", "assets"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"seconds": _seconds, "money": money, "time": self._time, "number": _number}

    @property
    def login_policy(self) -> str:
        """The content policy of the login form: its own style, and nothing else."""
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        return (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'"
        )

    def login(self, line: str) -> str:
        """The login form, with its style inside: every other path needs a session. `line` says why a login failed."""
        return self._templates.get_template("login.html").render(line=line, style=Markup(self._style))  # noqa: S704 (our own file)

    def live(self) -> str:
        """The live part alone: turns, lease and lanes."""
        return self._templates.get_template("live.html").render(self._live_values())

    def _live_values(self) -> Mapping[str, Any]:
        return {"turns": self._sources.live_turns()[:MAX_ROWS], "ownership": self._sources.ownership()}

    async def page(self, form_token: str, line: str = "") -> str:
        """The whole page. `line` is the result of a change."""
        sources, now = self._sources, self._sources.wall_clock()
        read = await self._read(now.timestamp() - USAGE_DAYS * 86_400)
        values: Mapping[str, Any] = {
            **self._live_values(),
            "charts": charts(sources.history.minutes(HOURS * 60), now),
            "hours": HOURS,
            "days": USAGE_DAYS,
            "read": read,
            "models": sources.models,
            "form_token": form_token,
            "line": line,
            "now": now,
        }
        return self._templates.get_template("page.html").render(values)

    async def _read(self, since: float) -> _Read:
        sources, chosen = self._sources, UsageFilter(since=since)
        return _Read(
            await _or_none(sources.ledger.totals(chosen, GroupBy.USER, MAX_ROWS)),
            await _or_none(sources.ledger.totals(chosen, GroupBy.CHANNEL, MAX_ROWS)),
            await _or_none(sources.ledger.totals(chosen, GroupBy.MODEL, MAX_ROWS)),
            await _or_none(sources.votes.votes(since, MAX_ROWS)),
            await _or_none(sources.audit.audit(MAX_ROWS)),
            await _or_none(sources.preferences.preferences(MAX_ROWS)),
            await _or_none(self._quotas()),
        )

    async def _quotas(self) -> Sequence[QuotaRow]:
        overrides = await self._sources.quotas.overrides()
        return quota_rows(await self._sources.quotas.rules(), overrides)

    async def change_quota(self, fields: Mapping[str, str]) -> str:
        """Change a limit by the form's fields; returns a line for the operator."""
        return await change_quota(self._sources.quotas, fields)

    def _time(self, at: float) -> str:
        zone = self._sources.wall_clock().tzinfo
        return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M}"


async def _or_none(reading: Awaitable[T]) -> T | None:
    try:
        return await reading
    except RecordsUnavailable:
        return None


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _number(value: int) -> str:
    return f"{value:,}"
