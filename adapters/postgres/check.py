"""Checks of the database, for ``tickertape check``."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from adapters.postgres.engine import Engine
from adapters.postgres.listener import listen
from adapters.postgres.migrations.runner import require_version, status
from adapters.postgres.options import PostgresOptions
from adapters.shared.diagnostics import CheckResult
from bot.errors import ConnectFailed, Failure

SUBJECT = "PostgreSQL"

# The longest wait for a notification of our own, in seconds; it takes milliseconds.
NOTIFICATION_SECONDS = 2.0

UNREACHABLE_FIX = "check JOURNAL_URL, and whether this machine may connect: a firewall, a list of allowed addresses"


async def check(options: PostgresOptions) -> list[CheckResult]:
    """Try the database: reachable, new enough, migrated, through a pooler or not. Changes nothing and never raises."""
    try:
        async with Engine(options) as engine:
            version = await require_version(engine)
            found = await status(engine)
            way = "through a pooler" if engine.pooled else "directly"
            results = [CheckResult(SUBJECT, ok=True, message=f"version {version} at {engine.place[14:]}, {way}")]
            results.append(
                CheckResult("migrations", ok=not found.problem, message=found.problem or "the tables fit this version")
            )
            return [*results, await _check_notifications(engine)]
    except Failure as failure:
        fix = UNREACHABLE_FIX if isinstance(failure, ConnectFailed) else ""
        return [CheckResult(SUBJECT, ok=False, message=str(failure), fix=fix)]


async def _check_notifications(engine: Engine) -> CheckResult:
    heard = not engine.pooled and await _hears_itself(engine)
    if heard:
        return CheckResult("notifications", ok=True, message="they arrive")
    text = "they do not arrive, so other processes notice a change at their next heartbeat, within a second"
    return CheckResult("notifications", ok=True, warning=True, message=text)


async def _hears_itself(engine: Engine) -> bool:
    channel = f"tickertape_check_{secrets.token_hex(4)}"
    hints: asyncio.Queue[str] = asyncio.Queue()
    with suppress(TimeoutError):
        async with asyncio.timeout(NOTIFICATION_SECONDS), asyncio.TaskGroup() as group:
            listening = group.create_task(listen(engine, channel, hints.put_nowait))
            await hints.get()  # connected
            await engine.fetch("SELECT pg_notify($1, 'heard')", channel)
            await hints.get()
            listening.cancel()
            return True
    return False
