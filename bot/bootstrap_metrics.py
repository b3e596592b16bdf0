"""The composition root's part for metrics: the bot's present state, read at each scrape."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping

from adapters.http_server import ComponentStatus
from adapters.prometheus_state import BotState
from bot.turns.manager import TurnManager
from config.settings import Settings


def bot_state(
    settings: Settings, turns: TurnManager, platforms: Mapping[str, bool], components: Mapping[str, ComponentStatus]
) -> BotState:
    """The state by the words of ``/readyz``, and the turns in progress."""
    live = turns.live_turns()
    return BotState(
        ready=all(platforms.values()) and all(status.healthy for status in components.values()),
        platforms=platforms,
        degraded={name: status.label == "degraded" or not status.healthy for name, status in components.items()},
        running=Counter(turn.key.platform for turn in live if turn.phase is not None),
        waiting=Counter(turn.key.platform for turn in live if turn.phase is None),
        free_bytes=free_bytes(settings),
    )


def free_bytes(settings: Settings) -> int | None:
    """The free space on the journal's disk for this user, in bytes; None without a file or its folder."""
    if settings.journal_file is None:
        return None
    try:
        return shutil.disk_usage(settings.journal_file.parent).free
    except OSError:
        return None
