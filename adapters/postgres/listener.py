"""Notifications of PostgreSQL as hints: something may have changed, so look now rather than at the next heartbeat.

Nothing may depend on them. A pooler swallows them, and an outage loses them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from adapters.postgres.connecting import connect
from adapters.postgres.engine import Engine
from adapters.postgres.errors import ErrorTranslator
from bot.errors import Failure

log = logging.getLogger(__name__)

# Not an empty statement: asyncpg 0.32 fails at its response.
_PROBE = "SELECT 1"


async def listen(engine: Engine, channel: str, on_hint: Callable[[str], None]) -> None:
    """Call `on_hint` with each payload on a channel, and with an empty one after each connection. Runs until cancelled.

    Returns at once behind a pooler, where no notification would arrive. It takes one connection beside the pool's.
    """
    failures, random_ = 0, random.Random()  # noqa: S311 (it spreads retries; nothing secret is drawn)
    translator = ErrorTranslator(engine.options.url)
    while not engine.pooled:
        try:
            with translator.translating(connecting=True):
                await _listen_once(engine, channel, on_hint)
            failures = 0  # it was connected until now
        except Failure as failure:
            failures += 1
            log.debug("no notifications for now: %s", failure)
        await asyncio.sleep(engine.options.backoff.delay(max(failures, 1), random_))


async def _listen_once(engine: Engine, channel: str, on_hint: Callable[[str], None]) -> None:
    """Listen until the connection is lost."""
    lost = asyncio.Event()
    async with asyncio.timeout(engine.options.connect_seconds):
        connection, _ = await connect(engine.options, {}, pooled=False)
    try:
        connection.add_termination_listener(lambda _: lost.set())

        def hear(_connection: Any, _process: int, _channel: str, payload: str) -> None:  # noqa: ANN401 (asyncpg's own)
            on_hint(payload)

        async with asyncio.timeout(engine.options.call_seconds):
            await connection.add_listener(channel, hear)
        on_hint("")  # what was said before is lost
        while not lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(engine.options.probe_seconds):
                    await lost.wait()
            if not lost.is_set():
                async with asyncio.timeout(engine.options.call_seconds):
                    await connection.execute(_PROBE)
    finally:
        connection.terminate()
