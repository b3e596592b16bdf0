"""The operator's page with its records in memory, served on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from adapters.admin.gate import FORMS
from adapters.admin.history import History
from adapters.admin.page import AdminPage, Sources
from adapters.admin.routes import AdminRoutes
from adapters.http_server import HttpServer
from adapters.records.sqlite import SqliteRecords
from bot.ownership.telemetry import OwnershipStatus
from bot.quota_book import QuotaBook
from bot.quotas import LimitName
from bot.turns.live import LiveTurn

TOKEN = "an operator's secret"
NOW = datetime(2026, 11, 28, 12, 34, tzinfo=UTC)


@dataclass
class Admin:
    """A running page, its address and its sources."""

    url: str
    records: SqliteRecords
    quotas: QuotaBook
    turns: list[LiveTurn]
    history: History
    ownership: OwnershipStatus | None = None  # None: a process without others


@asynccontextmanager
async def admin(allowed: frozenset[str] = frozenset()) -> AsyncIterator[Admin]:
    """Serve the page on a free port."""
    turns: list[LiveTurn] = []
    history = History(lambda: NOW)
    async with SqliteRecords(None, lambda: NOW) as records:
        limit = LimitName.parse("user.day.questions")
        assert limit is not None
        quotas = QuotaBook({limit: Decimal(50)}, records, lambda: NOW)
        served = Admin("", records, quotas, turns, history)
        page = AdminPage(
            Sources(
                live_turns=lambda: turns,
                ownership=lambda: served.ownership,
                history=history,
                ledger=records,
                votes=records,
                audit=records,
                preferences=records,
                quotas=quotas,
                models=("A small model",),
                wall_clock=lambda: NOW,
            )
        )
        server = HttpServer(
            host="127.0.0.1",
            port=0,
            ready=dict,
            render_metrics=lambda: (b"", "text/plain"),
            routes=AdminRoutes(TOKEN, allowed, page).routes(),
            bodies=[FORMS],
        )
        try:
            served.url = await server.start()
            yield served
        finally:
            await server.close()
