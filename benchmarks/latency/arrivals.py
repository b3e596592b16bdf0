"""Arrivals of an answer as sums, and the minimum of many lines: shared by the computations of bounds.

All times are ticks (`benchmarks.latency.traces.TICK` seconds).
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be shown: when which characters arrive, and where messages end. All times in ticks.

    `cuts` has the tick of the chunk that ends each message but the last. `first_by`: the first post is made within so
    many ticks of the first arrival (the product's promise); None asks for nothing, as the bound proper does.
    """

    arrivals: tuple[tuple[int, int], ...]
    cuts: tuple[int, ...] = ()
    at: int = 0  # when it is asked
    first_by: int | None = None


class Envelope:
    """The least of lines ``intercept - slope * x``, added by falling slope and asked at falling x."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: deque[tuple[int, float]] = deque()

    def add(self, slope: int, intercept: float) -> None:
        """Take in a line whose slope is below those of all before."""
        if intercept == INFINITE:
            return
        lines = self._lines
        while len(lines) > 1:
            (first, at_first), (middle, at_middle) = lines[-2], lines[-1]
            if (at_first - at_middle) * (middle - slope) > (at_middle - intercept) * (first - middle):
                break
            lines.pop()
        lines.append((slope, intercept))

    def least(self, x: float) -> tuple[float, int]:
        """The value at x, and whose slope it is."""
        lines = self._lines
        if not lines:
            return INFINITE, -1
        slope, intercept = lines[0]
        value = intercept - slope * x
        while len(lines) > 1:
            slope, intercept = lines[1]
            other = intercept - slope * x
            if other > value:
                break
            value = other
            lines.popleft()
        return value, lines[0][0]


class Sums:
    """An answer's characters as running sums over the ticks since it was asked, so that a write's delay is one term.

    Characters are weighed so that all of them together are 1, which makes a sum of delays a mean.
    """

    def __init__(self, answer: Answer, horizon: int) -> None:
        total = sum(characters for _, characters in answer.arrivals)
        self.arrived = [0.0] * (horizon + 1)
        self.moments = [0.0] * (horizon + 1)  # characters x tick of arrival
        for tick, characters in answer.arrivals:
            self.arrived[tick] += characters / total
            self.moments[tick] += characters * tick / total
        self.arrived = [*itertools.accumulate(self.arrived[:-1]), 0.0]  # the last stands for tick -1: nothing yet
        self.moments = [*itertools.accumulate(self.moments[:-1]), 0.0]
        # The ticks at which messages end: none, then each message's, in order.
        self.ends = [-1, *answer.cuts, answer.arrivals[-1][0]]
        self.first = answer.arrivals[0][0]

    def delay(self, shown: int, until: int, at: int) -> float:
        """Of a write at tick `at` that shows what arrived after `shown` and not after `until`."""
        arrived, moments = self.arrived, self.moments
        return at * (arrived[until] - arrived[shown]) - (moments[until] - moments[shown])
