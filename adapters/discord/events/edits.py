"""Tell edits of a question's words from other changes of its message: previews, pins, a reopened thread."""

from __future__ import annotations

from dataclasses import replace

from adapters.discord.events.message import DiscordMessage
from adapters.discord.events.parse import MessageRevised
from adapters.shared.cache import LRUCache

# An edit of an unknown message is news for this long; later changes repeat its time. Clocks may differ. Seconds.
FRESH_SECONDS = 60.0

# Remembered times of edits, about 200 bytes each: some hours of a busy server.
MAX_REMEMBERED = 3_000


class Revisions:
    """Remembers the newest edit of each message."""

    def __init__(self) -> None:
        self._edited_at: LRUCache[str, float] = LRUCache(MAX_REMEMBERED)

    def is_news(self, revised: MessageRevised, before: DiscordMessage | None, *, now: float) -> bool:
        """Whether the words just changed. `before` is the cached message, `now` the wall clock in Unix seconds.

        Every later change of a message repeats the time of its last edit.
        """
        message = revised.posted.message
        is_repeated = self._edited_at.get(message.id) == revised.at
        self._edited_at[message.id] = revised.at
        if is_repeated:
            return False
        return before.text != message.text if before is not None else now - revised.at < FRESH_SECONDS


def completed(revised: MessageRevised, before: DiscordMessage | None) -> MessageRevised | None:
    """The revision with its author, who may be missing in the event; None if unknown."""
    message = revised.posted.message
    if message.author:
        return revised
    if before is None:
        return None
    whole = replace(
        before,
        text=message.text,
        question_text=message.question_text,
        mentions=message.mentions or before.mentions,
    )
    return replace(revised, posted=replace(revised.posted, message=whole))
