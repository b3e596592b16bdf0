"""What events already told us of the conversations that we take part in, so that it is not asked for again.

What belongs here: keeping, bounding, and knowing whether what is kept is all there is. What does not: reading from
Slack (`history`). A conversation is named by its channel and thread (empty: the direct messages outside threads).

It is *whole* when everything since the thread's first message, or since a read, has come by. That holds while the
socket holds, while we are the only one who listens (Slack gives each event to one of an app's connections, and says how
many there are when one is opened), and where the channel's messages, not only mentions, are sent to us at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from adapters.shared.lru import Bounded
from adapters.slack.events.parse import SlackMessage, order

Conversation = tuple[str, str]

# Conversations kept, and messages of each, the newest: what a model is given of one is far less. Read by `MessageCache`.
CONVERSATIONS = 2_000
MESSAGES = 200
# All text that is kept, in characters: some tens of megabytes at the worst.
CHARACTERS = 8_000_000
# Channels of which we know that their messages are sent to us.
CHANNELS = 5_000


@dataclass(slots=True)
class _Kept:
    said: dict[str, SlackMessage] = field(default_factory=dict)
    whole: bool = False
    more: bool = False  # there was more before the oldest that is kept
    characters: int = 0


class MessageCache:
    """See the module."""

    def __init__(self) -> None:
        self._kept: Bounded[Conversation, _Kept] = Bounded(CONVERSATIONS)
        self._flowing: Bounded[str, str] = Bounded(CHANNELS)
        self._characters = 0
        self.gaps = 0  # how often something may have been missed: a read that began before a gap is not whole
        self.alone = True  # whether ours are the only connections of the app

    def open(self, conversation: Conversation, *, from_start: bool) -> None:
        """Begin to remember a conversation; `from_start` when its first message is being heard just now."""
        if conversation not in self._kept:
            dropped = self._kept.put(conversation, _Kept(whole=from_start))
            self._characters -= dropped.characters if dropped is not None else 0

    @property
    def characters(self) -> int:
        """How much text is kept."""
        return self._characters

    def flows(self, channel: str) -> None:
        """A plain message of this channel was sent to us, so all of them are."""
        self._flowing.put(channel, channel)

    def hear(self, conversation: Conversation, said: SlackMessage) -> None:
        """Something was said in a conversation; one that was not opened is none of ours."""
        kept = self._kept.get(conversation)
        if kept is None:
            return
        old = kept.said.get(said.ts)
        if old is not None:  # a second telling may say less: an edit has no key, and a mention no files
            uploads = said.uploads or old.uploads
            beside, files = said.beside or old.beside, said.files or old.files
            said = replace(said, key=said.key or old.key, beside=beside, files=files, uploads=uploads)
        self._count(kept, len(said.shown) - (len(old.shown) if old else 0))
        kept.said[said.ts] = said
        if len(kept.said) > MESSAGES:
            self._remove(kept, min(kept.said, key=order))
            kept.more = True
        while self._characters > CHARACTERS and (dropped := self._kept.drop_oldest()) is not None:
            self._characters -= dropped.characters

    def is_flowing(self, channel: str) -> bool:
        """Whether plain messages of this channel are sent to us, as far as is known."""
        return channel in self._flowing

    def told(self, conversation: Conversation, ts: str) -> SlackMessage | None:
        """A message that is kept."""
        kept = self._kept.get(conversation)
        return kept.said.get(ts) if kept is not None else None

    def holds(self, conversation: Conversation, ts: str) -> bool:
        """Whether this message is kept."""
        kept = self._kept.get(conversation)
        return kept is not None and ts in kept.said

    def posted(self, conversation: Conversation, key: str) -> str | None:
        """The message of ours that was posted with `key`, as far as it is kept."""
        return next((said.ts for said in self.part(conversation) if said.ours and said.key == key), None)

    def keyed(self, conversation: Conversation) -> frozenset[str]:
        """The messages of ours of which it is known what they were posted with."""
        return frozenset(said.ts for said in self.part(conversation) if said.ours and said.key)

    def forget(self, conversation: Conversation, ts: str) -> None:
        """A message was deleted."""
        kept = self._kept.get(conversation)
        if kept is not None and ts in kept.said:
            self._remove(kept, ts)

    def drop(self, conversation: Conversation) -> None:
        """A conversation turned out to be none of ours."""
        kept = self._kept.pop(conversation)
        self._characters -= kept.characters if kept is not None else 0

    def gap(self) -> None:
        """Something may have been missed: nothing that is kept is known to be whole any more."""
        self.gaps += 1
        for kept in self._kept.values():
            kept.whole = False

    def recall(self, conversation: Conversation) -> tuple[list[SlackMessage], bool] | None:
        """All of a conversation, oldest first, and whether there was more before it; None when it is not known."""
        kept = self._kept.get(conversation)
        if kept is None or not kept.whole or not self.alone or conversation[0] not in self._flowing:
            return None
        return sorted(kept.said.values(), key=lambda said: order(said.ts)), kept.more

    def part(self, conversation: Conversation) -> list[SlackMessage]:
        """What is kept of a conversation, whether it is all or not, oldest first."""
        kept = self._kept.get(conversation)
        return sorted(kept.said.values(), key=lambda said: order(said.ts)) if kept is not None else []

    def learn(self, conversation: Conversation, read: Iterable[SlackMessage], *, more: bool, gaps: int) -> None:
        """Keep what was read; `gaps` is `self.gaps` as it was before the read."""
        self.open(conversation, from_start=False)
        read = list(read)
        self._forget_deleted(conversation, read)
        for said in read:
            if not (said.ours and self.holds(conversation, said.ts)):  # our own record is never older
                self.hear(conversation, said)
        kept = self._kept.get(conversation)
        if kept is not None and gaps == self.gaps:
            kept.whole, kept.more = True, kept.more or more

    def _forget_deleted(self, conversation: Conversation, read: list[SlackMessage]) -> None:
        kept = self._kept.get(conversation)
        if kept is None or not read:
            return
        there = {said.ts for said in read}
        times = sorted(order(ts) for ts in there)
        for said in list(kept.said.values()):
            if said.ts not in there and times[0] <= order(said.ts) <= times[-1]:
                self._remove(kept, said.ts)

    def _remove(self, kept: _Kept, ts: str) -> None:
        self._count(kept, -len(kept.said.pop(ts).shown))

    def _count(self, kept: _Kept, characters: int) -> None:
        kept.characters += characters
        self._characters += characters
