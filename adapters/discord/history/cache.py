"""What Discord told us already, so that it is not asked for again. Bounded; holds no more than a cache may.

What belongs here: the newest messages of the channels that speak, whether we take part in a thread, and which
conversation a message belongs to. What does not: reading anything (`history`), deciding anything (`asked`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from adapters.discord.events.mentions import ChannelInfo, ChannelKind
from adapters.discord.events.parse import DiscordMessage

# Messages kept of one channel: twice what a history of the default length asks for. About 1 kB each beside the text.
MESSAGES_PER_CHANNEL = 200

# Channels kept, those that spoke last: 40 MB at the very most with the number above, again beside the text.
CHANNELS = 200

# Characters kept of all messages: 100 for each that the numbers above allow, and 16 MB where each takes four bytes.
# Without it, messages of 4,000 characters would come to hundreds of MB.
CHARACTERS = 4_000_000

# Threads whose taking part is remembered, and messages whose conversation is: those of some hours in a busy place. Of
# what is older, Discord is asked. About 300 bytes each.
NAMES = 3_000


_V = TypeVar("_V")


class _CachedChannel:
    """One channel's messages. All of those with an id of `complete_from` or later are here; None: nobody knows."""

    def __init__(self) -> None:
        self.by_id: dict[int, DiscordMessage] = {}
        self.order: list[int] = []
        self.complete_from: int | None = None
        self.characters = 0

    def put(self, seen: DiscordMessage) -> None:
        number = int(seen.id)
        before = self.by_id.get(number)
        if before is None:
            insort(self.order, number)
        else:
            self.characters -= characters_of(before)
        self.by_id[number] = seen
        self.characters += characters_of(seen)
        while len(self.order) > MESSAGES_PER_CHANNEL:
            self.forget_oldest()

    def forget_oldest(self) -> None:
        """Give up the oldest of at least two messages, and with it the knowledge of what was then."""
        self.characters -= characters_of(self.by_id.pop(self.order.pop(0)))
        if self.complete_from is not None:
            self.complete_from = max(self.complete_from, self.order[0])

    def remove(self, number: int) -> None:
        gone = self.by_id.pop(number, None)
        if gone is not None:
            self.characters -= characters_of(gone)
            del self.order[bisect_left(self.order, number)]


def characters_of(seen: DiscordMessage) -> int:
    """What a message counts in `CHARACTERS`: all of it that may be long."""
    files = sum(len(attachment.name) + len(attachment.url) for attachment in seen.attachments)
    return len(seen.text) + len(seen.words) + len(seen.beside) + files


@dataclass(frozen=True, slots=True)
class _Thread:
    """From which message on a thread is ours (None: it is not), and whether it was looked up what was before."""

    since: int | None = None
    set_looked_up: bool = False


class MessageCache:
    """See the module's docstring. Ids are Discord's snowflakes as strings: a later message has a larger one."""

    def __init__(self) -> None:
        self._channels: OrderedDict[str, _CachedChannel] = OrderedDict()
        self._characters = 0  # of all lanes
        self._threads: OrderedDict[str, _Thread] = OrderedDict()
        self._conversations: OrderedDict[str, str] = OrderedDict()
        self._no_starter: OrderedDict[str, bool] = OrderedDict()
        self._deleting: OrderedDict[str, bool] = OrderedDict()

    # ------------------------------------------------------------------------------------------------------- messages

    def add(self, seen: DiscordMessage) -> None:
        """An event told of a new message: from here on we hear of all in its channel."""
        lane = self._lane(seen.channel)
        if lane.complete_from is None:
            lane.complete_from = int(seen.id)
        self._put(lane, seen)

    def read(self, seen: Iterable[DiscordMessage]) -> None:
        """REST told of messages."""
        for one in seen:
            self._put(self._lane(one.channel), one)

    def set_complete_from(self, channel: str, message: int) -> None:
        """All messages of `channel` from `message` on are held now; 0: from its beginning."""
        self._lane(channel).complete_from = message

    def gap(self) -> None:
        """The gateway began a new session: what was said meanwhile was not told."""
        for lane in self._channels.values():
            lane.complete_from = None

    def get(self, channel: str, message: str) -> DiscordMessage | None:
        """The message, if it is held."""
        lane = self._channels.get(channel)
        return lane.by_id.get(int(message)) if lane is not None and message else None

    def revise(self, channel: str, message: str, text: str) -> None:
        """The text of a message of ours has changed."""
        seen = self.get(channel, message)
        if seen is not None:
            self.update(seen.with_text(text))

    def update(self, seen: DiscordMessage) -> None:
        """A message that is held has changed, and is this now."""
        if self.get(seen.channel, seen.id) is not None:
            self._put(self._channels[seen.channel], seen)

    def remove(self, channel: str, message: str) -> None:
        """A message is gone."""
        lane = self._channels.get(channel)
        if lane is not None:
            before = lane.characters
            lane.remove(int(message))
            self._characters += lane.characters - before

    def mark_deleting(self, message: str) -> None:
        """We delete a message ourselves: the event that tells of it may come before the answer."""
        _remember(self._deleting, message, value=True)

    def was_deleted_by_us(self, message: str) -> bool:
        """Whether it was we who deleted a message; asked once."""
        return self._deleting.pop(message, False)

    def held(self, channel: str) -> list[DiscordMessage]:
        """All that is held of a channel, oldest first, with or without gaps."""
        lane = self._channels.get(channel)
        return [lane.by_id[number] for number in lane.order] if lane is not None else []

    def complete_from(self, channel: str) -> int | None:
        """From which message on everything is held; 0: from the beginning; None: not known."""
        lane = self._channels.get(channel)
        return lane.complete_from if lane is not None else None

    # -------------------------------------------------------------------------------------------------- conversations

    def participates(self, thread: str, message: str) -> bool | None:
        """Whether we took part in a thread by the time of `message`; None where nobody has looked."""
        known = self._threads.get(thread, _Thread())
        if known.since is not None and known.since <= int(message):
            return True
        return False if known.set_looked_up else None

    def joined(self, thread: str, message: str) -> None:
        """We take part in a thread from `message` on (it mentions us, or is ours), and perhaps earlier."""
        known = self._threads.get(thread, _Thread())
        since = int(message) if known.since is None else min(known.since, int(message))
        _remember(self._threads, thread, _Thread(since, set_looked_up=known.set_looked_up))

    def set_looked_up(self, thread: str, *, ours: bool) -> None:
        """It was looked up whether a thread was ours before what we were told of it."""
        known = self._threads.get(thread, _Thread())
        _remember(self._threads, thread, _Thread(0 if ours else known.since, set_looked_up=True))

    def has_no_starter(self, thread: str) -> bool:
        """Whether it was looked for, and not found, which message a thread was made from."""
        return thread in self._no_starter

    def set_no_starter(self, thread: str) -> None:
        """Remember that there is none."""
        _remember(self._no_starter, thread, value=True)

    def set_conversation(self, message: str, conversation: str) -> None:
        """Remember which conversation a message belongs to: a reply to it belongs there too."""
        _remember(self._conversations, message, conversation)

    def conversation(self, seen: DiscordMessage, channel_info: ChannelInfo) -> str:
        """What `seen` belongs to: its thread or DM, or the chain of replies, named after the oldest message known."""
        if channel_info.kind is not ChannelKind.CHANNEL:
            return channel_info.id
        at, root = seen, seen.id
        for _ in range(MESSAGES_PER_CHANNEL):
            known = self._conversations.get(root)
            if known is not None:
                return known
            if not at.reply_to:
                break
            root = at.reply_to
            older = self.get(seen.channel, root)
            if older is None:
                return self._conversations.get(root, f"{seen.channel}/{root}")
            at = older
        return f"{seen.channel}/{root}"

    def _lane(self, channel: str) -> _CachedChannel:
        lane = self._channels.setdefault(channel, _CachedChannel())
        self._channels.move_to_end(channel)
        while len(self._channels) > CHANNELS:
            self._forget_channel()
        return lane

    def _put(self, lane: _CachedChannel, seen: DiscordMessage) -> None:
        """Keep a message, and keep to `CHARACTERS`: the channels that rest longest go, then the only one's oldest."""
        before = lane.characters
        lane.put(seen)
        self._characters += lane.characters - before
        while self._characters > CHARACTERS and len(self._channels) > 1:
            self._forget_channel()
        while self._characters > CHARACTERS and len(lane.order) > 1:
            before = lane.characters
            lane.forget_oldest()
            self._characters += lane.characters - before

    def _forget_channel(self) -> None:
        _, lane = self._channels.popitem(last=False)
        self._characters -= lane.characters


def _remember(kept: OrderedDict[str, _V], key: str, value: _V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > NAMES:
        kept.popitem(last=False)
