"""The search for a thread's newest messages in few reads, by times alone. Pure.

conversations.replies returns the oldest messages of a range first, without their number. So the search for the end of a
long thread varies `oldest`; the pace of messages in the last read tells how far back to start.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

# Share of a page a read aims at: a smaller one gains little, and an overflowing page only excludes a range.
TARGET_FILL = 0.5
# Largest expected share of a page for reading a gap from its start.
MAX_FILL = 0.8
# Messages for the estimate of the pace, the last ones read: a thread speeds up and slows down.
PACE_SAMPLE = 24
# Least divisor of the distance to the end after each overflowing read: a burst is faster than the messages before it.
NARROWING = 16


class ThreadTail:
    """The ranges read of a thread, and the start of the next read. Times in microseconds.

    `wanted` is a number of messages, the newest before `until`, the question's time.
    """

    def __init__(self, until: int, wanted: int) -> None:
        self._until = until
        self._wanted = wanted
        self._page = 1  # messages of the fullest page
        self._read: list[tuple[int, float]] = []  # ranges: after the first time, up to the second
        self._times: list[int] = []  # of messages, ascending
        self._pace: float | None = None  # messages per microsecond, in the last read
        self._overflows = 0  # in a row
        self._was_empty = False  # the last read reached a known range and found nothing

    def add(self, after: int, times: Iterable[int], *, more: bool) -> None:
        """A read after `after` returned messages of these `times`; `more` exist."""
        new, found = sorted(time for time in times if time > after), self.found
        follows = any(upto == after for _, upto in self._read) or not after
        if more and not new:
            return  # its end is unknown
        self._read.append((after, new[-1] if more else math.inf))
        self._times = sorted({*self._times, *new})
        self._page = max(self._page, len(new))
        last = new[-PACE_SAMPLE:]
        if more and len(last) > 1 and last[-1] > last[0]:
            self._pace = (len(last) - 1) / (last[-1] - last[0])
        self._was_empty = self.start is not None and self.found == found
        self._overflows = 0 if self.start is not None else self._overflows + (not follows)

    @property
    def start(self) -> int | None:
        """Everything between this and the question was read; None if no read has reached the question."""
        start, before = math.inf, float(self._until - 1)
        while found := [after for after, upto in self._read if upto >= before and after < start]:
            start = min(found)
            before = start
        return None if start == math.inf else int(start)

    @property
    def found(self) -> int:
        """The number of messages known to be the last before the question."""
        if (start := self.start) is None:
            return 0
        return bisect_left(self._times, self._until) - bisect_right(self._times, start)

    @property
    def newest(self) -> int:
        """Start of the last known range with a message; later ones may exist if the end was not found."""
        start = self.start
        if start is not None and self.found:
            return start
        edge = self._until if start is None else start
        return max(((upto, after) for after, upto in self._read if upto <= edge), default=(0, 0))[1]

    def next(self) -> int | None:
        """Start of the next read; None if enough was found, or everything was read."""
        start = self.start
        edge = self._until if start is None else start
        if start is not None and self.found >= self._wanted:
            return None
        far = int(max((upto for _, upto in self._read if upto < edge), default=0))
        gap = edge - far
        if gap < 1 or start == 0:
            return None
        return edge - min(max(self._distance(gap, edge), 1), gap)

    def _distance(self, gap: int, edge: int) -> int:
        """Distance of the next read from the known range, at most `gap`."""
        aim = max(self._page * TARGET_FILL, 1.0)
        guesses = []
        if self._pace:
            if self._pace * gap <= self._page * MAX_FILL:
                return gap
            guesses.append(aim / self._pace)
        known = self._until - edge
        if self._was_empty or not (guesses or self.found):  # an empty range, whatever the pace before
            guesses = [math.sqrt(max(known, 1) * gap)]
        elif self.found:
            guesses.append(known * aim / self.found)
        distance = math.exp(sum(map(math.log, guesses)) / len(guesses))
        return int(min(distance, gap / NARROWING**self._overflows))
