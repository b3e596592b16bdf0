"""Where to read a thread next, so that its newest messages are found in few reads. Pure.

What belongs here: the search, on times alone. What does not: reading, and what is said
(`adapters.slack.history.reader`).

conversations.replies gives the oldest messages of a range first and does not say how many follow, so the end of a long
thread is looked for with `oldest`: how fast people wrote where it was read last tells how far back to begin.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

# Of a page's messages, those that a read aims at: fewer, and the search gains little; more, and a page that runs over
# says only where not to look. Read by `ThreadTail.next`.
AIM = 0.5
# Of a page's messages, those that are expected at the most where a gap is read from its beginning.
FULL = 0.8
# The pace is taken from so many messages, the last ones of what was read: a thread quickens and slows.
PACE_OF = 24
# After each read that ran over, the distance to the end is divided at least by this: a burst is quicker than its eve.
NARROWER = 16


class ThreadTail:
    """What was read of a thread, as stretches of time, and where to read next. Times in microseconds.

    The messages `wanted` are the newest before `until`, the question's own time.
    """

    def __init__(self, until: int, wanted: int) -> None:
        self._until = until
        self._wanted = wanted
        self._page = 1  # messages of the fullest page
        self._read: list[tuple[int, float]] = []  # stretches: read after the one time, and up to the other
        self._times: list[int] = []  # of the messages that were read, ascending
        self._pace: float | None = None  # messages in a microsecond, where it was read last
        self._over = 0  # reads in a row that ran over
        self._quiet = False  # the last read reached what is known, and brought nothing more

    def take(self, after: int, times: Iterable[int], *, more: bool) -> None:
        """A read from `after` on brought messages of these `times`, and there are `more`."""
        new, found = sorted(time for time in times if time > after), self.found
        follows = any(upto == after for _, upto in self._read) or not after
        if more and not new:
            return  # it says nothing of where it ends
        self._read.append((after, new[-1] if more else math.inf))
        self._times = sorted({*self._times, *new})
        self._page = max(self._page, len(new))
        last = new[-PACE_OF:]
        if more and len(last) > 1 and last[-1] > last[0]:
            self._pace = (len(last) - 1) / (last[-1] - last[0])
        self._quiet = self.start is not None and self.found == found
        self._over = 0 if self.start is not None else self._over + (not follows)

    @property
    def start(self) -> int | None:
        """Everything after this, up to the question, was read; None where the question is not reached."""
        start, before = math.inf, float(self._until - 1)
        while found := [after for after, upto in self._read if upto >= before and after < start]:
            start = min(found)
            before = start
        return None if start == math.inf else int(start)

    @property
    def found(self) -> int:
        """How many messages before the question are known to be its last."""
        if (start := self.start) is None:
            return 0
        return bisect_left(self._times, self._until) - bisect_right(self._times, start)

    @property
    def newest(self) -> int:
        """The last stretch that holds a message begins here; where the end was not found, it is not the last."""
        start = self.start
        if start is not None and self.found:
            return start
        edge = self._until if start is None else start
        return max(((upto, after) for after, upto in self._read if upto <= edge), default=(0, 0))[1]

    def next(self) -> int | None:
        """Read from here on; None where nothing more is wanted, or nothing more is there."""
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
        """How far before the edge of what is known, and at the most `gap`."""
        aim = max(self._page * AIM, 1.0)
        guesses = []
        if self._pace:
            if self._pace * gap <= self._page * FULL:
                return gap
            guesses.append(aim / self._pace)
        known = self._until - edge
        if self._quiet or not (guesses or self.found):  # nobody wrote there, whatever the pace was before
            guesses = [math.sqrt(max(known, 1) * gap)]
        elif self.found:
            guesses.append(known * aim / self.found)
        distance = math.exp(sum(map(math.log, guesses)) / len(guesses))
        return int(min(distance, gap / NARROWER**self._over))
