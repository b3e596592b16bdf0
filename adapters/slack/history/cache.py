"""Conversations as known from events, so that Slack need not be asked again: messages, and the bot's participation.

A conversation is a channel and a thread in it (empty: the direct messages outside threads). The cache is *complete* for
a conversation if every message since its first one, or since a read, has arrived as an event. That needs an unbroken
socket, no other connection of the app (Slack sends each event to one of them, and counts them at the start of each),
and a subscription to the channel's messages, not only to mentions.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from adapters.shared.cache import LRUCache
from adapters.shared.json_fields import Json, object_field, string_field
from adapters.slack.events.codec import dump
from adapters.slack.events.mentions import AddressedMessage
from adapters.slack.events.parse import Event, MessageChanged, MessageDeleted, SlackMessage, order
from adapters.slack.history.known_streams import KnownStreams

Conversation = tuple[str, str]

# Channels known to send us their messages.
CHANNELS = 5_000
# Threads with known participation, about 300 bytes each; for an older one, Slack is asked again.
THREADS = 5_000
# Deletions remembered: our own until Slack's event about them, seconds later; people's for a button pressed meanwhile.
DELETED = 1_000
# Threads of questions being answered again: a question's id does not name its thread.
QUESTIONS = 1_000
# Questions remembered with their content, and characters of each at most: 8 MB at worst, some 200 kB in practice.
KNOWN_QUESTIONS = 500
LONGEST_QUESTION = 16_000
# Lifetime of a "no", in seconds: a thread may become ours through another process's events.
NO_SECONDS = 900.0


def conversation_of(channel: str, ts: str, thread: str) -> Conversation:
    """The conversation of message `ts`: its thread, or the one it may begin; in direct messages, the channel."""
    return (channel, thread if thread or channel.startswith("D") else ts)


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Bounds of the cache: conversations, newest messages of each, and characters of all (tens of MB at worst).

    A model gets far fewer messages of a conversation than the cache keeps.
    """

    conversations: int = 2_000
    messages: int = 200
    characters: int = 8_000_000


@dataclass(slots=True)
class _CachedConversation:
    messages: dict[str, SlackMessage] = field(default_factory=dict)
    complete_at: int | None = None  # value of `MessageCache.gaps` at the last moment of completeness
    has_earlier: bool = False  # older messages exist outside the cache
    characters: int = 0
    read_up_to: str = ""  # end of a long thread's beginning, read page by page: a ts


class MessageCache:
    """Messages of the conversations the bot takes part in."""

    def __init__(self, limits: CacheLimits | None = None) -> None:
        self._limits = limits or CacheLimits()
        self._conversations: LRUCache[Conversation, _CachedConversation] = LRUCache(self._limits.conversations)
        self._subscribed: LRUCache[str, bool] = LRUCache(CHANNELS)
        self._mention_only: LRUCache[str, bool] = LRUCache(CHANNELS)
        self._characters = 0
        self.gaps = 0  # times events may have been missed; a read begun before a gap is incomplete
        self.sole_connection = True  # whether all connections of the app are this process's
        self.deleted_by_us: LRUCache[tuple[str, str], bool] = LRUCache(DELETED)  # by channel and ts
        self.deleted_by_people: LRUCache[tuple[str, str], bool] = LRUCache(DELETED)  # by channel and ts
        self.threads: LRUCache[tuple[str, str], str] = LRUCache(QUESTIONS)  # of questions, by channel and ts
        self.questions = KnownQuestions()
        self.streams = KnownStreams()

    @property
    def characters(self) -> int:
        """Characters of all cached messages."""
        return self._characters

    def open(self, conversation: Conversation, *, from_start: bool) -> None:
        """Start caching a conversation; `from_start` if its first message is arriving now."""
        if conversation in self._conversations:
            return
        if len(self._conversations) >= self._limits.conversations:
            self._evict()
        self._conversations[conversation] = _CachedConversation(complete_at=self.gaps if from_start else None)

    def set_subscribed(self, channel: str) -> None:
        """A plain message of the channel arrived, so all its messages do."""
        self._subscribed[channel] = True
        self._mention_only.pop(channel, None)

    def is_subscribed(self, channel: str) -> bool:
        """Whether the channel's plain messages are known to arrive."""
        return channel in self._subscribed

    def set_mention_only(self, channel: str) -> None:
        """A mention came without its plain message."""
        self._mention_only[channel] = True

    def is_mention_only(self, channel: str) -> bool:
        """Whether mentions seem to come alone, because the app has no events of the channel's messages."""
        return channel in self._mention_only

    def put(self, conversation: Conversation, message: SlackMessage) -> None:
        """Add or update a message; ignored if the conversation is not open."""
        cached = self._conversations.get(conversation)
        if cached is None:
            return
        old = cached.messages.get(message.ts)
        if old is not None:  # the newer copy may carry less: an edit has no key, a mention event no files
            message = replace(
                message,
                key=message.key or old.key,
                extra_text=message.extra_text or old.extra_text,
                files=message.files or old.files,
                uploads=message.uploads or old.uploads,
            )
        self._count(cached, len(message.shown) - (len(old.shown) if old else 0))
        cached.messages[message.ts] = message
        if len(cached.messages) > self._limits.messages:
            self._remove(cached, min(cached.messages, key=order))
            cached.has_earlier = True
        while self._characters > self._limits.characters and self._conversations:
            self._evict()

    def get(self, conversation: Conversation, ts: str) -> SlackMessage | None:
        """A cached message."""
        cached = self._conversations.get(conversation)
        return cached.messages.get(ts) if cached is not None else None

    def find_key(self, conversation: Conversation, key: str) -> str | None:
        """The ts of our cached post with `key`."""
        return next((each.ts for each in self.messages(conversation) if each.ours and each.key == key), None)

    def with_keys(self, conversation: Conversation) -> frozenset[str]:
        """The ts of our cached posts of known answers."""
        owned = partial(self.streams.is_owned, conversation[0])
        return frozenset(each.ts for each in self.messages(conversation) if each.ours and (each.key or owned(each.ts)))

    def remove(self, conversation: Conversation, ts: str) -> None:
        """Forget a deleted message."""
        cached = self._conversations.get(conversation)
        if cached is not None and ts in cached.messages:
            self._remove(cached, ts)

    def drop(self, conversation: Conversation) -> None:
        """Forget a conversation without the bot."""
        cached = self._conversations.pop(conversation, None)
        self._characters -= cached.characters if cached is not None else 0

    def mark_gap(self) -> None:
        """Events may have been missed: no conversation is complete until its next read."""
        self.gaps += 1

    def complete(self, conversation: Conversation) -> tuple[list[SlackMessage], bool] | None:
        """All messages, oldest first, and whether older ones exist; None if the cache is not complete."""
        cached = self._conversations.get(conversation)
        if cached is None or cached.complete_at != self.gaps:
            return None
        if not self.sole_connection or conversation[0] not in self._subscribed:
            return None
        return self.messages(conversation), cached.has_earlier

    def messages(self, conversation: Conversation) -> list[SlackMessage]:
        """All cached messages of a conversation, complete or not, oldest first."""
        cached = self._conversations.get(conversation)
        return sorted(cached.messages.values(), key=lambda each: order(each.ts)) if cached is not None else []

    def read_up_to(self, conversation: Conversation) -> str:
        """The ts of the last message read by `extend`; empty if there is none."""
        cached = self._conversations.get(conversation)
        return cached.read_up_to if cached is not None else ""

    def extend(self, conversation: Conversation, read: Sequence[SlackMessage]) -> None:
        """Add the next page of a long thread, without its end, oldest first."""
        self._put_read(conversation, read)
        cached = self._conversations.get(conversation)
        if cached is not None and read:
            cached.read_up_to = read[-1].ts

    def merge(
        self, conversation: Conversation, read: Iterable[SlackMessage], *, has_earlier: bool, gaps_before: int
    ) -> None:
        """Add messages read from Slack; `gaps_before` is the value of `gaps` before the read."""
        self.open(conversation, from_start=False)
        read = list(read)
        self._remove_deleted(conversation, read)
        self._put_read(conversation, read)
        cached = self._conversations.get(conversation)
        if cached is not None and gaps_before == self.gaps:
            cached.complete_at, cached.has_earlier = self.gaps, cached.has_earlier or has_earlier

    def _put_read(self, conversation: Conversation, read: Iterable[SlackMessage]) -> None:
        for message in read:
            if not (message.ours and self.get(conversation, message.ts)):  # our own record is never older
                self.put(conversation, message)

    def _remove_deleted(self, conversation: Conversation, read: list[SlackMessage]) -> None:
        """Forget cached messages missing from the time range of a read."""
        cached = self._conversations.get(conversation)
        if cached is None or not read:
            return
        existing = {message.ts for message in read}
        times = sorted(order(ts) for ts in existing)
        for message in list(cached.messages.values()):
            if message.ts not in existing and times[0] <= order(message.ts) <= times[-1]:
                self._remove(cached, message.ts)

    def _remove(self, cached: _CachedConversation, ts: str) -> None:
        self._count(cached, -len(cached.messages.pop(ts).shown))

    def _evict(self) -> None:
        _, cached = self._conversations.popitem()
        self._characters -= cached.characters

    def _count(self, cached: _CachedConversation, characters: int) -> None:
        cached.characters += characters
        self._characters += characters


@dataclass(frozen=True, slots=True)
class _Participation:
    """`since` is the first message known to prove a yes; it proves nothing about earlier ones."""

    participates: bool
    since: str = ""
    expires_at: float = math.inf


class Participation:
    """Threads with a mention or an answer of the bot, as far as events or a read have shown."""

    def __init__(self) -> None:
        self._known: LRUCache[Conversation, _Participation] = LRUCache(THREADS)

    def join(self, thread: Conversation, since: str = "") -> None:
        """The bot takes part. `since` names the message proving it; empty if the whole thread does."""
        known = self._known.get(thread)
        if known is not None and known.participates:
            since = min(known.since, since, key=order) if known.since and since else ""
        self._known[thread] = _Participation(participates=True, since=since)

    def decline(self, thread: Conversation) -> None:
        """The bot does not take part."""
        self._known[thread] = _Participation(
            participates=False, expires_at=asyncio.get_running_loop().time() + NO_SECONDS
        )

    def participates(self, thread: Conversation, at: str = "") -> bool | None:
        """Whether the bot takes part, or did at the time of message `at`; None if unknown."""
        known = self._known.get(thread)
        if known is None or asyncio.get_running_loop().time() >= known.expires_at:
            return None
        if known.participates and at and known.since and order(at) < order(known.since):
            return None
        return known.participates


class KnownQuestions:
    """The journal's text of recent questions and edited messages, by channel and ts, for an app that may hardly read.

    Nothing outlives the process.
    """

    def __init__(self) -> None:
        self._stored: LRUCache[tuple[str, str], str] = LRUCache(KNOWN_QUESTIONS)

    def note(self, payload: Json, event: Event | None, addressed: AddressedMessage | None, stored: str) -> None:
        """Note an event; `stored` is the journal's text of an `addressed` message."""
        match event:
            case MessageDeleted(channel, ts):
                self._stored.pop((channel, ts), None)
            case MessageChanged(channel, message) if not message.ours:
                kind = string_field(payload, "channel_type")
                changed = object_field(payload, "message")
                self._keep(
                    (channel, message.ts),
                    dump({**changed, "type": "message", "channel": channel, "channel_type": kind}),
                )
            case _ if addressed is not None:
                # Of a mention's two copies, the plain message has more.
                if not addressed.is_mention_event or addressed.id not in self._stored:
                    self._keep(addressed.id, stored)

    def get(self, channel: str, ts: str) -> str | None:
        """A question as it is now, as far as events tell."""
        return self._stored.get((channel, ts))

    def _keep(self, id_: tuple[str, str], stored: str) -> None:
        if len(stored) <= LONGEST_QUESTION:
            self._stored[id_] = stored
        else:
            self._stored.pop(id_, None)
