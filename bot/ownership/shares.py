"""One rate limit of many processes, in shares by demand (Discord's 50 requests a second of a whole bot).

At each instant, the shares in use add up to at most the limit, in every window:

- A process told to use less shrinks at once. What it sent before still counts for a window, so the engine counts its
  old share until a heartbeat sent a window later reports the new one.
- A process grows only by what no other process holds.
- The share of a dead one is free once it is declared dead: it stopped writing long before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

# Added to each demand before the limit is divided: whoever begins should not wait for a first permit. By simulation, 4
# to 16 processes with 75 to 190 answers. Writes.
DEMAND_OFFSET = 4

# An answer's demand, as long as it is live: an edit and a post in a second. With half of it the offset counts too much
# with many processes: their mean delay is 5 % longer with 16 (benchmarks/scale_out/pacing.py). Writes.
WRITES_PER_ANSWER = 2

# The window of shared limits, and a margin for the rates of clocks. Seconds.
WINDOW_SECONDS = 1.2


def demand_of(live: int) -> int:
    """The demand of a process with so many live answers."""
    return WRITES_PER_ANSWER * live


def divide(limit: int, demands: Mapping[str, int]) -> Mapping[str, int]:
    """The parts of a limit by demand, with largest remainders, so that nothing is left over.

    Each process gets one at least while there are enough: it may have to write at any moment.
    """
    count = len(demands)
    if limit <= count:
        first = sorted(demands, key=lambda process: (-demands[process], process))[:limit]
        return {process: int(process in first) for process in demands}
    weights = {process: max(demand, 0) + DEMAND_OFFSET for process, demand in demands.items()}
    total, spare = sum(weights.values()), limit - count
    parts = {process: 1 + spare * weight // total for process, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda process: (-(spare * weights[process] % total), process))
    for process in by_remainder[: limit - sum(parts.values())]:
        parts[process] += 1
    return parts


def grant(limit: int, reported: int, target: int, held_by_others: int) -> int:
    """The share of a process that holds `reported`: its target, or less until others have given back."""
    free = max(limit - held_by_others - reported, 0)
    return min(target, reported + free)


@dataclass(frozen=True, slots=True)
class ShareReport:
    """A process's part of a shared limit, in a heartbeat: most it may have used in a window, and its demand."""

    in_use: int = 0
    demand: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """A process's own share: `limit` writes in a window from now on, `before` until `changed_at` plus a window."""

    limit: int = 0
    before: int = 0
    changed_at: float = -math.inf

    def in_use(self, now: float, spent: int = 0) -> int:
        """The most that may count in a window; `spent` are the writes still counted or in flight."""
        return max(self.limit, spent, self.before if now < self.changed_at + WINDOW_SECONDS else 0)

    def granted(self, limit: int, now: float) -> Share:
        """Use so many from now on. Growth is at once too: the engine holds it for us already."""
        if limit >= self.limit:
            return replace(self, limit=limit)
        return Share(limit, self.in_use(now), now)
