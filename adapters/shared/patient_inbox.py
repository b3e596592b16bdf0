"""The wait for a journal that does not answer, for events delivered only once, such as Discord's."""

from __future__ import annotations

import asyncio
import logging

from bot.conversation import TurnKey
from bot.errors import Failure
from bot.ports import Inbox

log = logging.getLogger(__name__)

# Seconds between two attempts, and the longest wait: nobody expects an answer after a quarter of an hour.
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 900.0


async def receive_patiently(inbox: Inbox, key: TurnKey, event: str) -> bool:
    """Journal an event as `Inbox.receive` does; raises its last `Failure` after `PATIENCE_SECONDS`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_SECONDS
    while True:
        try:
            return await inbox.receive(key, event)
        except Failure as failure:
            if loop.time() >= until:
                log.error("%s: a message is not answered: %s", key.platform.capitalize(), failure)  # noqa: TRY400 (one line says it)
                raise
        await asyncio.sleep(RETRY_SECONDS)
