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
    """The arrivals of an answer's characters, and the ends of its messages. All times in ticks.

    `cuts` has the tick of the last chunk of each message but the last. `first_by`: the first write comes within so many
    ticks of the first arrival (the product's promise); None promises nothing, as the bound proper does. `streams`: a
    message may be a native stream.
    """

    arrivals: tuple[tuple[int, int], ...]
    cuts: tuple[int, ...] = ()
    at: int = 0  # when the question is asked
    first_by: int | None = None
    streams: bool = False


class Envelope:
    """The lower envelope of lines ``intercept - slope * x``, added by falling slope and queried at falling x."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: deque[tuple[int, float]] = deque()

    def add(self, slope: int, intercept: float) -> None:
        """Add a line with a lower slope than all before."""
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
        """The least value at x, and the slope of its line."""
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
    """Running sums of an answer's characters over the ticks since its question; a write's delay is one term of them.

    All characters together weigh 1, so a sum of delays is a mean.
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
        # The end of each message in ticks, after one for no message.
        self.ends = [-1, *answer.cuts, answer.arrivals[-1][0]]
        self.first = answer.arrivals[0][0]

    def delay(self, shown: int, until: int, at: int) -> float:
        """The delay of the text after `shown` until `until`, for a write at tick `at`."""
        arrived, moments = self.arrived, self.moments
        return at * (arrived[until] - arrived[shown]) - (moments[until] - moments[shown])
