"""The composition root's part for the operator's page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.admin.history import History
from adapters.admin.page import AdminPage, Sources
from adapters.admin.routes import AdminRoutes
from bot.bootstrap_records import make_quota_rules
from bot.quota_book import QuotaBook
from bot.record_store import RecordStore
from bot.turns.manager import TurnManager
from config.settings import Settings

if TYPE_CHECKING:
    from bot.ownership.keeper import Keeper


def make_admin_page(
    settings: Settings,
    turns: TurnManager,
    history: History,
    records: RecordStore,
    *,
    wall_clock: Callable[[], datetime],
    keeper: Keeper | None,
) -> AdminRoutes | None:
    """The page; None without a token, so that every path is 404."""
    token = settings.site.admin_token
    if token is None:
        return None
    sources = Sources(
        live_turns=turns.live_turns,
        ownership=lambda: keeper.status() if keeper is not None else None,
        history=history,
        ledger=records,
        votes=records,
        audit=records,
        preferences=records,
        quotas=QuotaBook(make_quota_rules(settings), records, wall_clock),
        models=tuple(filter(None, (settings.model.name, *(each.label or each.name for each in settings.models)))),
        wall_clock=wall_clock,
    )
    return AdminRoutes(token.get_secret_value(), frozenset(settings.site.allowed_hosts), AdminPage(sources))
