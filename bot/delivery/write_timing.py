"""When a reply's next write is due, and how often writes failed before. Pure; time is given."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from bot.delivery.policy import WritePolicy
from bot.errors import ConnectFailed, RateLimited, Retryable
from bot.ports import Verb


@dataclass(slots=True)
class WriteTiming:
    """The due write of a reply and its times, in seconds of the event loop."""

    verb: Verb | None = None  # of the next write; None: none is due
    not_before: float = 0.0
    collects_until: float = 0.0  # the first post waits for a few words, unless it opens a window others wait for
    is_preview: bool = False  # the next write shows a reasoning preview and nothing else
    is_tidying: bool = False  # the next write only takes the buttons from an earlier message
    preview_not_before: float = 0.0
    in_flight: bool = False
    began: float = float("inf")  # when the first text arrived
    wrote: float = float("-inf")  # when visible text last changed
    recheck: asyncio.Handle | None = None  # set while finding the due write takes another step
    look: asyncio.TimerHandle | None = None  # set until the open message is looked at for stable text
    stream_until: float = float("inf")  # when the open stream is stopped
    stream_end: asyncio.TimerHandle | None = None  # at that time

    @property
    def due_at(self) -> float:
        """Earliest time of the next write."""
        return max(self.not_before, self.preview_not_before) if self.is_preview else self.not_before

    def forget_stream(self) -> None:
        """No stream is open."""
        for timer in (self.look, self.stream_end):
            if timer is not None:
                timer.cancel()
        self.look, self.stream_end, self.stream_until = None, None, float("inf")

    def hasten(self, now: float) -> None:
        """Drop the gap before the next write."""
        self.not_before = min(self.not_before, now)
        self.collects_until = min(self.collects_until, now)

    def delay_until(self, at: float) -> None:
        """Send the next write no earlier than `at`."""
        self.not_before = max(self.not_before, at)


@dataclass(slots=True)
class FailureStreak:
    """Failed writes since the last success."""

    count: int = 0  # 429s are not counted: they hold their budget instead
    answered: int = 0  # of these, the ones that reached a server, or may have
    since: float | None = None  # time of the first failure, 429s included

    def record(self, failure: Retryable, now: float) -> None:
        """Count a failed write."""
        if self.since is None:
            self.since = now
        if not isinstance(failure, RateLimited):
            self.count += 1
            self.answered += not isinstance(failure, ConnectFailed)

    def retry_at(self, failure: Retryable, now: float, policy: WritePolicy, random_: random.Random) -> float | None:
        """When to retry; None after a 429, since its budget knows."""
        return None if isinstance(failure, RateLimited) else now + policy.delay(self.count, failure, random_)

    def is_exhausted(self, now: float, policy: WritePolicy) -> bool:
        """Whether the policy gives the channel up now."""
        waited = 0.0 if self.since is None else now - self.since
        return self.answered >= policy.failures or waited > policy.patience_seconds

    def clear(self) -> None:
        """A write succeeded."""
        self.count, self.answered, self.since = 0, 0, None
