"""Policies for writing an answer, as frozen values."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field, replace

from bot.backoff import Backoff
from bot.errors import Retryable
from bot.ports import ChannelCapabilities


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """Maximum size of an answer, in messages and in characters."""

    messages: int = sys.maxsize
    characters: int = sys.maxsize

    def within(self, caps: ChannelCapabilities) -> AnswerLimits:
        """The same within a channel's number of messages, one of them being the file with the rest."""
        if not caps.messages:
            return self
        texts = caps.messages - 1 if caps.files else caps.messages
        return replace(self, messages=min(self.messages, max(texts, 1)))


@dataclass(frozen=True, slots=True)
class ReasoningPolicy:
    """Whether and how often a preview of the model's reasoning is shown. Times in seconds."""

    # Whether a line of the model's reasoning is shown until its answer begins.
    shown: bool = False
    # Delay before the first preview. Shorter reasoning ends before anyone could read it, and first words say little.
    first_seconds: float = 1.0
    # Gap between two previews, times the number of live replies: together they spend at most one edit per gap (10 of a
    # Slack workspace's 50 a minute). Long enough to read a sentence, and longer than Discord's window of 5 s: an edit
    # at its very edge may count in two windows.
    gap_seconds: float = 6.0


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """How an answer is written. Times in seconds."""

    # From the first delta to the first post: enough for a few words in a notification, and for an answer of a few
    # tokens to be complete in a single write. Not waited for if it opens a window with fewer permits than live replies:
    # each later window then opens sooner (ten in a Discord channel end 0.2 s sooner).
    first_seconds: float = 0.2
    # Gap between two writes of a reply, except before the last. Shorter gaps flicker and show no more text. It also
    # separates the first edit from the first post if the two have separate budgets.
    gap_seconds: float = 0.6
    # Shorter gap for replies sharing a budget. The budget already spaces later edits; only the first edit matters, and
    # sending it early opens (and closes) a fixed window sooner. 10 replies in a Discord channel: the last end shows
    # 5.4 s late instead of 5.9.
    shared_gap_seconds: float = 0.1
    # If writes are this far apart, posted text ends with a whole word: it may stand for a while, and stays if the
    # answer continues in a new message. With faster writes half a word shows briefly, but sooner.
    whole_word_gap_seconds: float = 2.0
    # Longest wait for an edit, if posts have a separate budget; then the text continues in a new message. A first post
    # waits as long if it would take the permit reserved for another reply's final write: the answer may be complete by
    # then. Long enough to keep an answer from falling to pieces (360 words at 40 a second stay in one message), and
    # short enough to be fair where edits are used up: with 10 s the slowest of a workspace waited 2.2 times its average
    # (benchmarks/latency/crowd.py).
    rollover_after_seconds: float = 9.0
    # From the first failure in a row (429s included) until the channel is given up: longer than any pause ordered by a
    # known platform, short enough to free the turn's slot eventually.
    patience_seconds: float = 900.0
    # Timeout for one write; its outcome is unknown afterwards. Platforms answer within one or two seconds.
    write_seconds: float = 10.0
    # The same for a message with files: the upload takes time, and Slack shows files seconds later.
    file_seconds: float = 60.0
    # Failed writes of a message with files before the answer continues without them. Users are waiting, and some
    # servers accept messages but not files.
    file_failures: int = 4
    # Messages of an answer; the rest goes up as a file at its end, if the platform takes files. 0: no limit.
    max_messages: int = 20
    # Characters of an answer; the model's stream is closed there. A million is a novel of 500 pages.
    max_characters: int = 1_000_000
    # Timeout for looking up a post: pages of history, and mostly the wait for read permits, since a hundred recovered
    # turns share a few reads a second.
    lookup_seconds: float = 120.0
    # Failed writes in a row before the channel is given up: about four minutes with the backoff below. Failed
    # connections do not count, because they fail at once while a network is down; `patience_seconds` bounds those.
    failures: int = 40
    # Delay after failed writes. Half of it is jitter, since every live reply retries against a platform that is down.
    # Users are waiting, so the limit is low.
    backoff: Backoff = field(default=Backoff(0.5, 8.0, jitter=0.5))
    reasoning_preview: ReasoningPolicy = field(default=ReasoningPolicy())

    @property
    def limits(self) -> AnswerLimits:
        """The size limits of an answer; 0 stands for none."""
        return AnswerLimits(self.max_messages or sys.maxsize, self.max_characters or sys.maxsize)

    def with_reasoning(self, *, shown: bool | None) -> WritePolicy:
        """The same with a reasoning preview shown or hidden; None keeps the policy."""
        if shown is None or shown is self.reasoning_preview.shown:
            return self
        return replace(self, reasoning_preview=replace(self.reasoning_preview, shown=shown))

    def gap(self, *, alone: bool) -> float:
        """Seconds between two writes of a reply."""
        return self.gap_seconds if alone else self.shared_gap_seconds

    def delay(self, failures: int, failure: Retryable, random_: random.Random) -> float:
        """Seconds to wait after this many failures in a row: the server's time, or our backoff if it is longer.

        After a first failure the server's time alone counts, so a stale connection (0 s) is retried immediately.
        """
        backoff = self.backoff.delay(failures, random_)
        if failure.retry_after is None:
            return backoff
        asked = min(failure.retry_after, self.patience_seconds)
        return asked if failures == 1 else max(asked, backoff)
