"""Threads for answers: a question by mention opens one, where its answer and all follow-ups live.

https://docs.discord.com/developers/resources/channel#start-thread-from-message: such a thread has its message's id.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from discord.http import Route

from adapters.discord.errors import code_of, map_errors
from adapters.discord.events.message import ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import MessagePosted
from adapters.discord.rate_limits import spending
from adapters.discord.state import BotState
from adapters.shared.cache import LRUCache, TTLCache, expiring
from adapters.shared.json_fields import string_at
from bot.errors import Failure, Permanent
from bot.markdown import single_line

log = logging.getLogger(__name__)

# Longest name of a thread, in characters; source above.
NAME_LENGTH = 100

# Minutes until Discord hides a thread without new messages: a day.
ARCHIVE_MINUTES = 1440

# Timeout for starting a thread. Readers wait meanwhile; then the answer goes into the channel. Seconds.
START_SECONDS = 5.0

# After a refusal (a missing permission), time without further attempts in the channel. Seconds.
REFUSED_SECONDS = 600.0

# Remembered threads and refusals. Each forgotten one costs a look into guild data, or a request too many.
MAX_REMEMBERED = 3_000

# "A thread has already been created for this message"
# (https://docs.discord.com/developers/topics/opcodes-and-status-codes#json).
_EXISTS = 160004


class AnswerThreads:
    """Starts threads and finds them."""

    def __init__(self, state: BotState) -> None:
        self._state = state
        self._started: LRUCache[str, bool] = LRUCache(MAX_REMEMBERED)
        self._refused: TTLCache[str, bool] = expiring(MAX_REMEMBERED, REFUSED_SECONDS)

    def locate(self, event: MessagePosted) -> MessagePosted:
        """The event as if asked in the thread of its answer; unchanged if the answer has none."""
        message, channel = event.message, event.channel
        if channel.kind is not ChannelKind.CHANNEL or not self._has_thread(event):
            return event
        thread = ChannelInfo(message.id, ChannelKind.THREAD, channel.id, channel.category)
        return replace(event, message=replace(message, channel=message.id), channel=thread)

    def _has_thread(self, event: MessagePosted) -> bool:
        """Whether we started a thread for a question. A message read again names it, also an archived one."""
        message = event.message.id
        owner = string_at(event.source, "thread", "owner_id")
        return message in self._started or self._state.owns_thread(message) or (owner != "" and owner == event.bot.id)

    def may_start(self, event: MessagePosted) -> bool:
        """Whether Discord permits a thread for a question, as far as known; a reply gets none."""
        message, channel = event.message, event.channel
        if not message.guild or message.reply_to:
            return False
        return channel.kind is ChannelKind.CHANNEL and channel.id not in self._refused

    async def start(self, event: MessagePosted) -> None:
        """Start the thread of a question. Never fails."""
        message, channel, cache = event.message, event.channel, self._state.cache
        gaps = cache.gaps
        try:
            async with asyncio.timeout(START_SECONDS):
                is_new = await self._create(message)
        except Permanent as refusal:
            self._refused[channel.id] = True
            log.warning("answers in channel %s have no threads for a while: %s", channel.id, refusal)
        except (Failure, TimeoutError) as failure:
            log.info("no thread for the answer to message %s: %r", message.id, failure)
        else:
            self._started[message.id] = True
            cache.set_participation(message.id, message.id)
            if is_new and gaps == cache.gaps:  # the gateway delivers all its messages
                cache.set_complete_from(message.id, 0)

    async def _create(self, message: DiscordMessage) -> bool:
        """Whether the thread is new; an earlier process may have created it."""
        budgets = self._state.budgets
        path = "/channels/{channel_id}/messages/{message_id}/threads"
        route = Route("POST", path, channel_id=int(message.channel), message_id=int(message.id))
        payload: dict[str, Any] = {"name": name_of(message), "auto_archive_duration": ARCHIVE_MINUTES}
        window, last_limits = budgets.channel(message.channel).threads, self._state.last_limits
        async with spending(window, budgets.global_limit, *last_limits):
            try:
                with map_errors("starting a thread"):
                    await self._state.client.http.request(route, json=payload)
            except Failure as failure:
                if code_of(failure) != _EXISTS:
                    raise
                return False
        return True


def name_of(message: DiscordMessage) -> str:
    """A thread's name: the question as one line of plain text."""
    text = message.question_text or ", ".join(file.name for file in message.attachments)
    return single_line(text, NAME_LENGTH) if text.strip() else "Question"
