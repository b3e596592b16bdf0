"""Processes among others in a database: real keepers, without platforms."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.postgres import Engine
from adapters.postgres.ownership import PostgresOwnership
from bot.ownership.keeper import Keeper, KeeperOptions
from bot.ownership.lease import LeaseTimes
from bot.turns.lane_work import LaneWork

PLATFORMS = ("slack", "discord")


@asynccontextmanager
async def member(engine: Engine, lease_seconds: float) -> AsyncIterator[tuple[Keeper, LaneWork]]:
    """A process that lives, without turns and platforms unless they are attached; it leaves at the end."""
    work = LaneWork(lambda lane: keeper.holds(lane))  # noqa: PLW0108 (the keeper comes later)
    options = KeeperOptions(PLATFORMS, times=LeaseTimes(lease_seconds))
    keeper = Keeper(PostgresOwnership(engine), work, options, lambda: secrets.token_hex(8))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(keeper.run())
        try:
            yield keeper, work
        finally:
            await keeper.leave()
            running.cancel()
