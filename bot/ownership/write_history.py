"""Which calls of a lane count still, as one owner leaves them to the next.

A heartbeat stores the times of the lane's calls in the last minute, and an *allowance*: the owner sends no more than
that until another heartbeat is stored. The next owner counts all of these. So it never exceeds a limit, and yet has
permits left if the lane was quiet.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from bot.rate_limits import RenewableLimit

# The longest window of any limit. Seconds.
HISTORY_SECONDS = 60.0

# The name of calls under an unknown limit: they count under each.
ANY_LIMIT = ""

# An allowance: writes of answers about to begin, and of each live one. A heartbeat comes every second, a live answer's
# writes hardly more often. Writes.
BASE_ALLOWANCE = 8
LIVE_ALLOWANCE = 2


@dataclass(frozen=True, slots=True)
class WriteReport:
    """A lane's calls by limit, as ages in seconds at the sending of a heartbeat, and the allowance after it.

    `session` is the text kept for the lane's next owner (`bot.ownership.access.Lanes.save_session`).
    """

    calls: Mapping[str, Sequence[float]] = field(default_factory=dict)
    allowance: int = 0
    session: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class StoredReport:
    """The last report of a lane's earlier owner, and how long ago the engine stored it, in seconds."""

    report: WriteReport
    age: float


class WriteHistory:
    """The calls of one lane by this process, and by the earlier owners within the last minute."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[float]] = {}  # by limit, when sent: ascending

    def record(self, limit: str, now: float) -> None:
        """A call was sent."""
        self._calls.setdefault(limit, deque()).append(now)

    def remember(self, now: float, stored: StoredReport, write_seconds: float) -> None:
        """Count an earlier owner's calls, and its whole allowance, as late as it can have been used.

        It wrote for `write_seconds` after its last good heartbeat at most.
        """
        for limit, ages in stored.report.calls.items():
            self._add(limit, (now - stored.age - age for age in ages))
        latest = now - max(stored.age - write_seconds, 0.0)
        self._add(ANY_LIMIT, (latest,) * stored.report.allowance)

    def ages(self, limit: str, now: float) -> Sequence[float]:
        """How long ago each call was sent that may count under a limit."""
        self._expire(now)
        return [now - sent for name in (limit, ANY_LIMIT) for sent in self._calls.get(name, ())]

    def report(self, now: float, allowance: int) -> WriteReport:
        """The report for a heartbeat sent now."""
        self._expire(now)
        return WriteReport({name: [now - sent for sent in calls] for name, calls in self._calls.items()}, allowance)

    def _add(self, limit: str, times: Iterable[float]) -> None:
        if added := list(times):
            self._calls[limit] = deque(sorted([*self._calls.get(limit, ()), *added]))

    def _expire(self, now: float) -> None:
        for limit, calls in list(self._calls.items()):
            while calls and calls[0] + HISTORY_SECONDS <= now:
                calls.popleft()
            if not calls:
                del self._calls[limit]


def allowance_for(live: int) -> int:
    """The allowance of a lane with so many live answers."""
    return BASE_ALLOWANCE + LIVE_ALLOWANCE * live


@dataclass(frozen=True, slots=True)
class _Promise:
    """A report that may be stored: at most `most` writes in all, until a later one is."""

    number: int
    most: int


class LaneLimit(RenewableLimit):
    """The last limit of each write in a lane: the lane is ours, the lease is valid, and the allowance is not used up.

    It is closed until the first report is stored.
    """

    def __init__(self) -> None:
        super().__init__()
        self._spent = 0
        self._is_stored = False
        self._promises: list[_Promise] = []  # the newest stored one first, then those perhaps stored

    @property
    def _most(self) -> int:
        return min((promise.most for promise in self._promises), default=0)

    @override
    def is_open(self, now: float) -> bool:
        return super().is_open(now) and self._is_stored and self._spent < self._most

    @override
    def spend(self, now: float) -> None:
        self._spent += 1

    def close(self) -> None:
        """The lane is ours no more."""
        self.renew(-math.inf)

    def begin(self) -> None:
        """The lane is ours anew, and closed until its first report is stored."""
        self.close()
        self._promises.clear()
        self._is_stored = False

    def promise(self, number: int, allowance: int) -> None:
        """The heartbeat with this number reports an allowance; from now on it may be stored."""
        self._promises.append(_Promise(number, self._spent + allowance))

    def differs_from(self, allowance: int) -> bool:
        """Whether the stored report, and all that may be stored, leave the lane another allowance than this."""
        return {promise.most - self._spent for promise in self._promises} != {allowance} or not self._is_stored

    def stored(self, number: int) -> None:
        """That heartbeat was good: earlier reports are replaced."""
        self._promises = [promise for promise in self._promises if promise.number >= number]
        self._is_stored = bool(self._promises)
