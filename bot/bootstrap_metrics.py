"""The composition root's part for metrics and health: the bot's present state, read at each scrape or probe."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from adapters.http_server import ComponentStatus
from adapters.prometheus_state import BotState
from bot.turns.manager import TurnManager
from config.settings import Settings

if TYPE_CHECKING:
    from bot.ownership.keeper import Keeper

# Names in ``/readyz`` of what a process among others has.
LEASE, LANES, SETTINGS = "lease", "lanes", "settings"


def lane_statuses(keeper: Keeper | None) -> Mapping[str, ComponentStatus]:
    """The lease, the lanes by platform, and whether settings differ; nothing for a process without others."""
    if keeper is None:
        return {}
    status = keeper.status()
    lanes = ", ".join(f"{count} {platform}" for platform, count in status.owned.items())
    lease = ComponentStatus("valid" if status.is_valid else "lapsed", healthy=status.is_valid)
    different = ", ".join(sorted(status.different_settings))
    settings = ComponentStatus(f"different: {different}" if different else "same")
    return {LEASE: lease, LANES: ComponentStatus(lanes), SETTINGS: settings}


def bot_state(
    settings: Settings, turns: TurnManager, platforms: Mapping[str, bool], components: Mapping[str, ComponentStatus]
) -> BotState:
    """The state by the words of ``/readyz``, and the turns in progress."""
    live = turns.live_turns()
    return BotState(
        ready=all(platforms.values()) and all(status.healthy for status in components.values()),
        platforms=platforms,
        degraded={
            name: status.label == "degraded" or not status.healthy
            for name, status in components.items()
            if name not in (LEASE, LANES, SETTINGS)  # they have metrics of their own
        },
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
