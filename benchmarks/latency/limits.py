"""Platform limits for the bound: the most a legal sequence of writes could pay at given prices.

All times are whole ticks. Each class describes writes moved back to the tick at or before them. A window therefore
includes the tick of its close (see `benchmarks.latency.bound`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Limit(Protocol):
    """What a platform counts, for the bound: how much a legal sequence of writes can pay at the most."""

    @property
    def ticks(self) -> int:
        """The length of its window, or the interval of its leak."""
        ...

    @property
    def bin(self) -> int:
        """Ticks in which a price may well be the same."""
        ...

    def lateness(self, replies: int) -> int:
        """How many ticks after the last arrival so many replies may still be at their last writes."""
        ...

    def most(self, price: Sequence[float]) -> tuple[float, list[tuple[int, int]]]:
        """No legal sequence pays more than this; with the (tick, writes) of one that would pay it."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """`limit` writes in a window of `ticks`, which the first write after the last one's close opens (Discord)."""

    limit: int
    ticks: int

    @property
    def bin(self) -> int:
        """See `Limit`."""
        return max(self.ticks // 20, 1)

    def lateness(self, replies: int) -> int:
        """See `Limit`."""
        return self.ticks * -(-replies // self.limit)

    def most(self, price: Sequence[float]) -> tuple[float, list[tuple[int, int]]]:
        """Windows are opened where it pays most: dynamic programming over their openers, backwards."""
        size = len(price)
        paid = [0.0] * (size + self.ticks + 1)
        dearest = _dearest_ahead(price, self.ticks)
        opens = [False] * size
        for tick in range(size - 1, -1, -1):
            opened = price[tick] + (self.limit - 1) * price[dearest[tick]] + paid[tick + self.ticks]
            opens[tick] = opened > paid[tick + 1]
            paid[tick] = max(opened, paid[tick + 1])
        spent, tick = list[tuple[int, int]](), 0
        while tick < size:
            if opens[tick]:
                spent += [(tick, 1), (dearest[tick], self.limit - 1)]
            tick += self.ticks if opens[tick] else 1
        return paid[0], spent


@dataclass(frozen=True, slots=True)
class Rolling:
    """`limit` writes in any `ticks` (Slack's tiers, counted as a log)."""

    limit: int
    ticks: int

    @property
    def bin(self) -> int:
        """See `Limit`."""
        return max(self.ticks // 60, 1)

    def lateness(self, replies: int) -> int:
        """See `Limit`."""
        return self.ticks * -(-replies // self.limit)

    def most(self, price: Sequence[float]) -> tuple[float, list[tuple[int, int]]]:
        """All `limit` at moments at least `ticks` apart: the best of these is the best of all.

        "At most `limit` in each window" is a linear program whose matrix has consecutive ones, so it is solved by
        `limit` times a choice of moments no two of which lie in one window.
        """
        size = len(price)
        paid = [0.0] * (size + self.ticks + 1)
        takes = [False] * size
        for tick in range(size - 1, -1, -1):
            taken = self.limit * price[tick] + paid[tick + self.ticks]
            takes[tick] = taken > paid[tick + 1]
            paid[tick] = max(taken, paid[tick + 1])
        spent, tick = list[tuple[int, int]](), 0
        while tick < size:
            if takes[tick]:
                spent.append((tick, self.limit))
            tick += self.ticks if takes[tick] else 1
        return paid[0], spent


@dataclass(frozen=True, slots=True)
class Leaky:
    """One write each `ticks` with up to `burst` at once after a rest; full of permits at first."""

    burst: int
    ticks: int

    @property
    def bin(self) -> int:
        """See `Limit`."""
        return self.ticks

    def lateness(self, replies: int) -> int:
        """See `Limit`."""
        return self.ticks * replies

    def most(self, price: Sequence[float]) -> tuple[float, list[tuple[int, int]]]:
        """Bins of one interval, from tick 0, each with its dearest price; what is left over is carried, up to `burst`.

        With `level` permits at a bin's beginning, rounded up, fewer than level + 1 come to be within it, so at most
        `level` writes are made in it, and at most one more permit is there at its end.
        """
        bins = [
            max(range(first, min(first + self.ticks, len(price))), key=price.__getitem__)
            for first in range(0, len(price), self.ticks)
        ]
        paid = [0.0] * (self.burst + 1)
        best: list[list[int]] = []
        for tick in reversed(bins):
            choices = [
                [price[tick] * spent + paid[min(level - spent + 1, self.burst)] for spent in range(level + 1)]
                for level in range(self.burst + 1)
            ]
            paid = [max(choice) for choice in choices]
            best.append([choice.index(max(choice)) for choice in choices])
        level, taken = self.burst, list[tuple[int, int]]()
        for tick, spends in zip(bins, reversed(best), strict=True):
            taken.append((tick, spends[level]))
            level = min(level - spends[level] + 1, self.burst)
        return paid[self.burst], taken


def _dearest_ahead(price: Sequence[float], ticks: int) -> list[int]:
    """For each tick, the one with the highest price among it and the `ticks` after it."""
    dearest = [0] * len(price)
    candidates: deque[int] = deque()
    for tick in range(len(price) - 1, -1, -1):
        while candidates and price[candidates[-1]] <= price[tick]:
            candidates.pop()
        candidates.append(tick)
        if candidates[0] > tick + ticks:
            candidates.popleft()
        dearest[tick] = candidates[0]
    return dearest
