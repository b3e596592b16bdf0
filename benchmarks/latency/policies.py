"""Other pacing policies on the same core, for comparison with ours (`bot.rate_limits`).

Budgets count as a platform does and pace writes as other bots do, or reserve more or fewer permits for final writes;
our reserves were chosen from these. All know and keep the limits, unlike most of the bots they stand for, so only the
pacing differs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bot.rate_limits import EDGE_SECONDS, Budget


class Counter(Protocol):
    """A limit of a platform without latency. Times in seconds."""

    most: int

    def free_at(self, now: float, permits: int) -> float:
        """When there will be so many permits, if nothing is spent meanwhile."""
        ...

    def count(self, now: float) -> None:
        """One is spent."""
        ...


class FixedCounter:
    """So many in a window; the first one after a close opens the next."""

    def __init__(self, limit: int, period: float) -> None:
        self.most = limit
        self._period = period + EDGE_SECONDS
        self._closes_at = float("-inf")
        self._used = 0

    def free_at(self, now: float, permits: int) -> float:
        """See `Counter`."""
        return now if now >= self._closes_at or self._used + permits <= self.most else self._closes_at

    def count(self, now: float) -> None:
        """See `Counter`."""
        if now >= self._closes_at:
            self._closes_at, self._used = now + self._period, 0
        self._used += 1


class RollingCounter:
    """So many in any stretch of a period."""

    def __init__(self, limit: int, period: float) -> None:
        self.most = limit
        self._period = period + EDGE_SECONDS
        self._log: deque[float] = deque()

    def free_at(self, now: float, permits: int) -> float:
        """See `Counter`."""
        while self._log and self._log[0] + self._period <= now:
            self._log.popleft()
        over = len(self._log) + permits - self.most
        return now if over <= 0 else self._log[over - 1] + self._period

    def count(self, now: float) -> None:
        """See `Counter`."""
        self._log.append(now)


class LeakCounter:
    """One each interval, and up to `burst` at once after a rest."""

    def __init__(self, interval: float, burst: int) -> None:
        self.most = burst
        self._interval = interval + EDGE_SECONDS / burst
        self._full_at = float("-inf")

    def free_at(self, now: float, permits: int) -> float:
        """See `Counter`."""
        return max(now, self._full_at - (self.most - permits) * self._interval)

    def count(self, now: float) -> None:
        """See `Counter`."""
        self._full_at = max(self._full_at, now) + self._interval


# The wait of a reply after so many writes. Seconds.
Gap = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Policy:
    """How a bot paces the edits of its replies: `gap` for each by itself, `shared` for all of a budget.

    `keep` permits are left for final writes; None: one for each live reply.
    """

    name: str
    gap: Gap = lambda _: 0.0
    shared: float = 0.0
    keep: int | None = 0

    def budgets(self, counter: Counter, replies: int) -> list[Budget]:
        """One for each reply; all spend the same counter."""
        shared = _Shared(counter, self)
        return [_OfOneReply(shared) for _ in range(replies)]


class _Shared:
    """What the replies of one counter have in common."""

    def __init__(self, counter: Counter, policy: Policy) -> None:
        self.counter = counter
        self.policy = policy
        self.spent_at = float("-inf")
        self.live = 0

    @property
    def kept(self) -> int:
        """Permits for final writes alone."""
        keep = self.live if self.policy.keep is None else self.policy.keep
        return min(keep, self.counter.most - 1)


class _OfOneReply:
    """A budget as one reply sees it: the shared counter, and the reply's own gap."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._live = 0
        self._writes = 0
        self._spent_at = float("-inf")
        self._not_before = 0.0
        self.reserved_finals = 0

    @property
    def live(self) -> int:
        """See `Budget`; kept by the pacer."""
        return self._live

    @live.setter
    def live(self, live: int) -> None:
        self._shared.live += live - self._live
        self._live = live

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        """See `Budget`."""
        shared = self._shared
        if final:
            return max(shared.counter.free_at(now, 1 + ahead), self._not_before)
        gap = shared.policy.gap(self._writes)
        spaced = max(self._spent_at + gap, shared.spent_at + shared.policy.shared)
        return max(shared.counter.free_at(now, 1 + shared.kept), spaced, self._not_before)

    def paced_at(self, now: float, *, began: float, wrote: float) -> float:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`. All spacing is in `ready_at`."""
        return wrote

    def first_post_at(self, now: float) -> float:
        """See `Budget`. These promise nothing."""
        return now

    def should_open(self, now: float) -> bool:  # noqa: ARG002 (a protocol's signature)
        """See `Budget`."""
        return False

    def spend(self, now: float) -> None:
        """See `Budget`."""
        self._shared.counter.count(now)
        self._writes += 1
        self._spent_at = self._shared.spent_at = now

    def record_response(self, now: float, *, sent: float | None = None) -> None:
        """Counted when it was spent: in the benchmark answers come at once."""

    def hold(self, now: float, seconds: float) -> None:
        """See `Budget`."""
        self._not_before = max(self._not_before, now + seconds)

    def watch(self, changed: Callable[[], object]) -> None:
        """See `Budget`: nothing changes by itself."""

    def unwatch(self, changed: Callable[[], object]) -> None:
        """See `Budget`."""


# What widespread bots do: an edit each second or so, whatever there is to spend.
EVERY = (Policy("every 1 s", lambda _: 1.0), Policy("every 1.2 s", lambda _: 1.2), Policy("every 1.5 s", lambda _: 1.5))
# Steps that grow with the answer: twice the length costs at most twice the delay.
GEOMETRIC = Policy("growing by 1.3", lambda writes: min(0.25 * 1.3**writes, 20.0))
# Whoever has waited longest in total writes whenever a permit is there.
GREEDY = Policy("whenever permitted", lambda _: 0.0)

OTHERS = (*EVERY, GEOMETRIC, GREEDY)


def keeping(shared: float) -> tuple[Policy, ...]:
    """The simulation of the reserve for final writes: nothing, one, or one for each live reply."""
    kept = ((0, "none kept"), (1, "one kept"), (None, "one kept for each"))
    return tuple(Policy(name, shared=shared, keep=keep) for keep, name in kept)
