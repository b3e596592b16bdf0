"""Whether the bot is in a channel: a command may come from any channel, with or without it."""

from __future__ import annotations

import asyncio
import logging

from adapters.shared.cache import TTLCache, expiring
from adapters.shared.json_fields import object_field
from adapters.shared.keyed_lock import KeyedLock
from adapters.slack.errors import code_of
from adapters.slack.rate_limits import spending
from adapters.slack.web_api import WebApi
from bot.errors import Failure
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# Channels known to have the bot, and the seconds before Slack is asked again.
CHANNELS = 5_000
FRESH_SECONDS = 600.0
# Longest wait for Slack's answer, in seconds: the first post shows it too, only later.
PATIENCE = 5.0
# Pause after a 429 without a time, in seconds.
PAUSE = 30.0

# Slack knows the channel, or hides it, and the bot is not in it.
_OUTSIDE = frozenset(["channel_not_found", "not_in_channel", "is_archived"])


class ChannelMembership:
    """Asks conversations.info, within the budget that names of channels share."""

    def __init__(self, web: WebApi, infos: ReadLimiter) -> None:
        self._web = web
        self._reads = infos
        self._members: TTLCache[str, bool] = expiring(CHANNELS, FRESH_SECONDS)
        self._locks = KeyedLock()  # by channel, so that many commands at once cost one call

    def left(self, channel: str) -> None:
        """Slack refused a post there."""
        self._members.pop(channel, None)

    async def may_post(self, channel: str) -> bool:
        """Whether the bot may post, as far as Slack tells: true if it does not. Never raises.

        Direct messages need a scope of their own (im:read), so only a post tells about them.
        """
        if channel.startswith("D") or channel in self._members:
            return True
        try:
            async with asyncio.timeout(PATIENCE), self._locks.hold(channel):
                is_outside = channel not in self._members and await self._is_outside(channel)
        except (Failure, TimeoutError) as failure:
            log.debug("Slack: nothing is known about channel %s (%r)", channel, failure)
            return True
        if not is_outside:
            self._members[channel] = True
        return not is_outside

    async def _is_outside(self, channel: str) -> bool:
        try:
            async with spending(self._reads, pause=PAUSE):
                answer = await self._web.read("conversations.info", {"channel": channel})
        except Failure as failure:
            if code_of(failure) in _OUTSIDE:
                return True
            raise
        about = object_field(answer.data, "channel")
        return about.get("is_member") is False or about.get("is_archived") is True
