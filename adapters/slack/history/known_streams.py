"""Native streams of one workspace, as far as this process knows: their messages, and starts with an unknown outcome."""

from __future__ import annotations

from collections.abc import Callable

from adapters.shared.cache import LRUCache, TTLCache, expiring
from adapters.slack.events.parse import StopRequested
from bot.callbacks import no_op

# Streamed messages remembered as ours: those of hours.
MESSAGES = 5_000
# Starts with an unknown outcome, one in a thread, and the longest life of their streams in seconds.
STARTS = 1_000
LIFE_SECONDS = 300.0


class KnownStreams:
    """Shared by all channels of a workspace. `on_stopped` gets the stop of a reader told by the answer to an append."""

    def __init__(self) -> None:
        self._owned: LRUCache[tuple[str, str], bool] = LRUCache(MESSAGES)  # by channel and ts
        self._starts: TTLCache[tuple[str, str], str] = expiring(STARTS, LIFE_SECONDS)  # keys, by conversation
        self.on_stopped: Callable[[StopRequested], object] = no_op

    def own(self, channel: str, ts: str, *, repeats_text: bool = False) -> None:
        """A message belongs to a known answer, though its metadata may have no key.

        `repeats_text`: Slack shows its streamed text beside the blocks of an edit.
        """
        self._owned[channel, ts] = repeats_text

    def is_owned(self, channel: str, ts: str) -> bool:
        """Whether a message belongs to a known answer."""
        return (channel, ts) in self._owned

    def repeats_text(self, channel: str, ts: str) -> bool:
        """Whether Slack shows a message's streamed text beside the blocks of an edit."""
        return self._owned.get((channel, ts), False)

    def begin_start(self, conversation: tuple[str, str], key: str) -> bool:
        """Reserve a thread for a start; False while another start there has an unknown outcome."""
        if self._starts.get(conversation, key) != key:
            return False
        self._starts[conversation] = key
        return True

    def end_start(self, conversation: tuple[str, str], key: str) -> None:
        """The outcome of a start is known."""
        if self._starts.get(conversation) == key:
            del self._starts[conversation]
