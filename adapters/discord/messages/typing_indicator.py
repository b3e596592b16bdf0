"""Show the typing indicator in a channel while an answer has no text yet."""

from __future__ import annotations

import asyncio
import logging

from adapters.discord.errors import map_errors
from adapters.discord.state import BotState
from adapters.shared.cache import loop_time
from bot.errors import Failure, Permanent, RateLimited

log = logging.getLogger(__name__)

# Between checks if the indicator is due, and the timeout of one request. Seconds.
_STEP = 1.0
_TIMEOUT = 5.0

# Without a permission to write, the indicator fails in the same way again. Seconds until the next attempt.
_REFUSED_SECONDS = 60.0

# The indicator is sent only if the whole bot could send this many requests at once, so that messages come first. With
# 1,500 live answers and any free permit used, a third of all requests were indicators.
_FREE_PERMITS = 25


async def show_typing(state: BotState, channel: str) -> None:
    """Renew the indicator until cancelled. It counts in the bot's whole budget, but never waits for a permit."""
    global_limit = state.budgets.global_limit
    while True:
        sent = loop_time()
        is_allowed = all(limit.ready_at(sent, final=True) <= sent for limit in state.last_limits)
        if is_allowed and global_limit.has_room(sent, _FREE_PERMITS) and state.typing.due(channel, sent):
            global_limit.spend(sent)
            try:
                await _send(state, channel)
            finally:
                global_limit.record_response(loop_time(), sent=sent)
        await asyncio.sleep(_STEP)


async def _send(state: BotState, channel: str) -> None:
    try:
        async with asyncio.timeout(_TIMEOUT):
            with map_errors("typing"):
                await state.client.http.send_typing(int(channel))
    except (Failure, TimeoutError) as failure:
        log.debug("the typing indicator failed: %r", failure)
        if isinstance(failure, Permanent):
            state.typing.hold(channel, loop_time() + _REFUSED_SECONDS)
        elif isinstance(failure, RateLimited):
            state.typing.hold(channel, loop_time() + (failure.retry_after or 0.0) + 1.0)
