"""The `Budget` protocol, shared by all rate limits, and its contract.

A budget counts what a platform counts. It is asked `ready_at(now, final=...)`, then told `spend(now)` when a write is
sent and `record_response(now)` when its response arrives or is given up. The server counts a write at some instant
between the two; each class assumes the worse one, so latency and jitter never provoke a 429. `hold(now, seconds)` is
the server's order and overrides everything. `live` counts the replies at work that may spend the budget, and
`reserved_finals` those that show text and need a final write. Pacers update both; pacing reads them.

All times are seconds of the event loop. Only `ReadLimiter` waits or reads the clock. The pacing curves are derived in
``docs/adr/0003-pacing-curves.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import override

# Longest accepted hold: a nonsensical header (days) must not silence a bot until its restart.
LONGEST_HOLD_SECONDS = 3600.0

# Added to the end of each window, since clocks differ. Seconds.
EDGE_SECONDS = 0.02

# Longest time between an earlier process sending a call and the server counting it. Seconds.
ANSWERED_SECONDS = 2.0


def count_times(now: float, ages: Iterable[float]) -> Iterator[float]:
    """When the server counted an earlier process's calls at the latest; `ages`: the seconds since each was sent."""
    return (now - max(age - ANSWERED_SECONDS, 0.0) for age in ages)


class Budget(Protocol):
    """A counted resource. The module's docstring gives the order of calls."""

    live: int
    reserved_finals: int

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        """The earliest time for a write, the same for all replies; `now` or earlier means at once.

        A `final` write may take reserved permits and ignores pacing. `ahead` others are sent first; the result is an
        estimate of the time after them.
        """
        ...

    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        """The best time for a growing reply's next write, considering its later writes and other replies.

        `began` is when its text began, `wrote` the time of its last write. The result changes as permits are spent.
        """
        ...

    def first_post_at(self, now: float) -> float:
        """When another reply may post its first text, leaving a permit for each final write.

        Posted text promises a final edit. A reply without text needs no edit: its whole answer goes up in one post.
        """
        ...

    def should_open(self, now: float) -> bool:  # noqa: ARG002 (no windows)
        """Whether the next window should open without delay: replies wait for those after it, which open later too."""
        return False

    def spend(self, now: float) -> None:
        """Count a write being sent."""
        ...

    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """The response to the write spent at `sent` arrived, or is given up."""
        ...

    def hold(self, now: float, seconds: float) -> None:
        """Send nothing for this long, by the server's order."""
        ...

    def watch(self, changed: Callable[[], object]) -> None:  # noqa: ARG002 (nothing to watch)
        """Call `changed` whenever a permit may come earlier than told, for a reason unknown to the pacer.

        By default nothing is watched: responses and ends of replies, known to the pacer, are the only reasons.
        """
        return

    def unwatch(self, changed: Callable[[], object]) -> None:  # noqa: ARG002 (see above)
        """Call it no more."""
        return


class RateLimitBase(Budget):
    """Common state: live replies, writes in flight, and holds."""

    def __init__(self) -> None:
        self.live = 0
        self.reserved_finals = 0
        self._in_flight = 0
        self._not_before = 0.0

    @override
    def paced_at(self, now: float, *, began: float, wrote: float) -> float:
        """No pacing: write whenever there is a permit."""
        return wrote

    @override
    def first_post_at(self, now: float) -> float:
        """No reserve: permits return soon."""
        return now

    @override
    def hold(self, now: float, seconds: float) -> None:
        """Send nothing for `seconds`; a shorter hold never shortens a longer one."""
        self._not_before = max(self._not_before, now + min(seconds, LONGEST_HOLD_SECONDS))


@dataclass(frozen=True, slots=True)
class WindowReport:
    """A response's report on a fixed window (Discord: ``X-RateLimit-Limit``, ``-Remaining``, ``-Reset-After``)."""

    limit: int
    remaining: int
    reset_after: float
