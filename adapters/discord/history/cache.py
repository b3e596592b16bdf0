"""Bounded cache of Discord messages, of thread participation, and of the conversation each message belongs to.

It only stores. Reading over REST is `history.reader`'s job, and deciding is `events.mentions`'.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from adapters.discord.events.message import ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import MessageChanged
from adapters.shared.cache import LRUCache

# Messages per channel: twice the default history length. About 1 kB each plus text.
MESSAGES_PER_CHANNEL = 200

# Channels, the least recently used ones evicted first: at most 40 MB with the limit above, plus text.
MAX_CHANNELS = 200

# Characters in all messages: 100 per message allowed above, and 16 MB at four bytes per character. Without this limit,
# messages of 4,000 characters would take hundreds of MB.
MAX_CHARACTERS = 4_000_000

# Entries in each small cache (threads, conversations, starters, deletions): some hours of a busy server. Older ones are
# read from Discord. About 300 bytes each.
MAX_SMALL_CACHE = 3_000


@dataclass(slots=True)
class _CachedChannel:
    """One channel's messages. From id `complete_from` on none is missing; None: completeness is unknown."""

    by_id: dict[int, DiscordMessage] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    complete_from: int | None = None
    evicted: int = -1  # the newest evicted id
    characters: int = 0

    def put(self, message: DiscordMessage) -> None:
        number = int(message.id)
        previous = self.by_id.get(number)
        if previous is None:
            insort(self.order, number)
        else:
            self.characters -= characters_of(previous)
        self.by_id[number] = message
        self.characters += characters_of(message)
        while len(self.order) > MESSAGES_PER_CHANNEL:
            self.evict_oldest()

    def evict_oldest(self) -> None:
        """Evict the oldest of at least two messages; the channel is complete only from the next one on."""
        oldest = self.order.pop(0)
        self.evicted = max(self.evicted, oldest)
        self.characters -= characters_of(self.by_id.pop(oldest))
        if self.complete_from is not None:
            self.complete_from = max(self.complete_from, self.order[0])

    def remove(self, number: int) -> None:
        removed = self.by_id.pop(number, None)
        if removed is not None:
            self.characters -= characters_of(removed)
            del self.order[bisect_left(self.order, number)]


def characters_of(message: DiscordMessage) -> int:
    """A message's share of `MAX_CHARACTERS`: every field of variable length."""
    files = sum(len(attachment.name) + len(attachment.url) for attachment in message.attachments)
    return len(message.text) + len(message.question_text) + len(message.extra_text) + files


@dataclass(frozen=True, slots=True)
class _Thread:
    """The first message id with our participation (None: no participation), and whether older history was read."""

    since: int | None = None
    looked_up: bool = False


class MessageCache:
    """Messages by channel, with bounded counts and characters. Ids are snowflakes: a later message has a larger one."""

    def __init__(self) -> None:
        # Unbounded for cachetools: `_put` evicts, because it also counts characters.
        self._channels: LRUCache[str, _CachedChannel] = LRUCache(math.inf)
        self._characters = 0  # in all channels
        self._threads: LRUCache[str, _Thread] = LRUCache(MAX_SMALL_CACHE)
        self._conversations: LRUCache[str, str] = LRUCache(MAX_SMALL_CACHE)
        self._without_starter: LRUCache[str, bool] = LRUCache(MAX_SMALL_CACHE)
        self._deleting: LRUCache[str, bool] = LRUCache(MAX_SMALL_CACHE)
        self.gaps = 0  # sessions begun by the gateway; a read begun before one proves no completeness after it

    # ------------------------------------------------------------------------------------------------------- messages

    def add(self, message: DiscordMessage) -> None:
        """Store a new message from the gateway. It delivers every later one of the channel, too."""
        self.expect_events(message.channel, int(message.id))
        self._put(self._channel(message.channel), message)

    def expect_events(self, channel: str, since: int) -> None:
        """The gateway delivers every message of `channel` later than the id `since`."""
        cached = self._channel(channel)
        if cached.complete_from is None:
            cached.complete_from = since

    def add_read(self, messages: Iterable[DiscordMessage]) -> None:
        """Store messages from REST; there may be gaps between them."""
        for message in messages:
            self._put(self._channel(message.channel), message)

    def set_complete_from(self, channel: str, message: int) -> None:
        """Mark `channel` as complete from `message` on, evicted messages excepted; 0: from its beginning.

        Called before the messages of a read are added, since that may evict some.
        """
        cached = self._channel(channel)
        cached.complete_from = max(message, cached.evicted + 1)

    def has_evicted(self, channel: str) -> bool:
        """Whether messages of a channel were evicted."""
        cached = self._channels.get(channel)
        return cached is not None and cached.evicted >= 0

    def mark_gap(self) -> None:
        """The gateway began a new session: messages sent in between are missing."""
        self.gaps += 1
        for channel in self._channels.values():
            channel.complete_from = None

    def get(self, channel: str, message: str) -> DiscordMessage | None:
        """A cached message."""
        cached = self._channels.get(channel)
        return cached.by_id.get(int(message)) if cached is not None and message else None

    def set_text(self, channel: str, message: str, text: str) -> None:
        """Set the text of a cached message of ours."""
        cached = self.get(channel, message)
        if cached is not None:
            self._put(self._channels[channel], cached.with_text(text))

    def apply(self, change: MessageChanged) -> None:
        """Apply an edit to a cached message. Our own messages are already cached with their newest text."""
        cached = self.get(change.channel, change.id)
        if cached is None or cached.author == change.bot_id:
            return
        edited = cached if change.text is None else cached.with_text(change.text)
        edited = edited if change.extra_text is None else replace(edited, extra_text=change.extra_text)
        edited = edited if change.attachments is None else replace(edited, attachments=change.attachments)
        self._put(self._channels[change.channel], edited)

    def remove(self, channel: str, message: str) -> None:
        """Remove a deleted message."""
        cached = self._channels.get(channel)
        if cached is not None:
            before = cached.characters
            cached.remove(int(message))
            self._characters += cached.characters - before

    def mark_deleting(self, message: str) -> None:
        """Remember our own deletion: its event may arrive before the response."""
        self._deleting[message] = True

    def was_deleted_by_us(self, message: str) -> bool:
        """Whether we deleted a message; true once per `mark_deleting`."""
        return self._deleting.pop(message, False)

    def messages(self, channel: str) -> list[DiscordMessage]:
        """All cached messages of a channel, oldest first; there may be gaps."""
        cached = self._channels.get(channel)
        return [cached.by_id[number] for number in cached.order] if cached is not None else []

    def complete_from(self, channel: str) -> int | None:
        """The message id from which no message is missing; 0: from the beginning; None: unknown."""
        cached = self._channels.get(channel)
        return cached.complete_from if cached is not None else None

    @property
    def characters(self) -> int:
        """Characters in all cached messages."""
        return self._characters

    @property
    def channels(self) -> tuple[str, ...]:
        """Ids of the cached channels."""
        return tuple(self._channels)

    # -------------------------------------------------------------------------------------------------- conversations

    def participates(self, thread: str, message: str) -> bool | None:
        """Whether we participated in a thread before or in `message`; None if the thread's history was not read."""
        known = self._threads.get(thread, _Thread())
        if known.since is not None and known.since <= int(message):
            return True
        return False if known.looked_up else None

    def set_participation(self, thread: str, message: str) -> None:
        """Record that `message` in a thread mentions the bot or is ours."""
        known = self._threads.get(thread, _Thread())
        since = int(message) if known.since is None else min(known.since, int(message))
        self._threads[thread] = _Thread(since, looked_up=known.looked_up)

    def set_looked_up(self, thread: str, *, participates: bool) -> None:
        """Record the result of reading a thread's history."""
        known = self._threads.get(thread, _Thread())
        self._threads[thread] = _Thread(0 if participates else known.since, looked_up=True)

    def has_no_starter(self, thread: str) -> bool:
        """Whether an earlier read of the thread's starter message found none."""
        return thread in self._without_starter

    def set_no_starter(self, thread: str) -> None:
        """Record that a thread has no starter message."""
        self._without_starter[thread] = True

    def set_conversation(self, message: str, conversation: str) -> None:
        """Record a message's conversation; replies to it belong there as well."""
        self._conversations[message] = conversation

    @property
    def conversation_count(self) -> int:
        """Messages with a recorded conversation."""
        return len(self._conversations)

    def conversation(self, message: DiscordMessage, channel: ChannelInfo) -> str:
        """The conversation of `message`: its thread or DM, or its reply chain, named after the oldest known message."""
        if channel.kind is not ChannelKind.CHANNEL:
            return channel.id
        oldest, root = message, message.id
        for _ in range(MESSAGES_PER_CHANNEL):
            known = self._conversations.get(root)
            if known is not None:
                return known
            if not oldest.reply_to:
                break
            root = oldest.reply_to
            replied_to = self.get(message.channel, root)
            if replied_to is None:
                return self._conversations.get(root, f"{message.channel}/{root}")
            oldest = replied_to
        return f"{message.channel}/{root}"

    def _channel(self, channel: str) -> _CachedChannel:
        cached = self._channels.get(channel)
        if cached is None:
            cached = self._channels[channel] = _CachedChannel()
        while len(self._channels) > MAX_CHANNELS:
            self._evict_channel()
        return cached

    def _put(self, channel: _CachedChannel, message: DiscordMessage) -> None:
        """Store a message, then evict the least recently used channels, or one channel's oldest messages."""
        before = channel.characters
        channel.put(message)
        self._characters += channel.characters - before
        while self._characters > MAX_CHARACTERS and len(self._channels) > 1:
            self._evict_channel()
        while self._characters > MAX_CHARACTERS and len(channel.order) > 1:
            before = channel.characters
            channel.evict_oldest()
            self._characters += channel.characters - before

    def _evict_channel(self) -> None:
        _, evicted = self._channels.popitem()
        self._characters -= evicted.characters
