"""The exact least mean delay of one reply with edits in fixed windows, by dynamic programming.

For shared limits and other kinds, `benchmarks.latency.bound` gives a lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.latency.arrivals import INFINITE, Answer, Envelope, Sums
from benchmarks.latency.limits import Fixed


def in_windows(answer: Answer, limit: Fixed) -> float:
    """The least mean delay in ticks of one reply: edits spend a `Fixed` limit, posts spend nothing."""
    return _Windows(answer, limit).solve()


@dataclass(frozen=True, slots=True)
class _Following:
    """The least cost of what follows an edit, by tick since `since`.

    `growing`: the edit shows all arrived text; `complete` (by message): it completes a message.
    """

    since: int
    growing: Sequence[float]
    complete: Sequence[Sequence[float]]


class _Windows:
    """Dynamic programming over the ticks at which windows of edits are opened, from the last tick backwards.

    `opened[tick]` is the least cost after an edit at `tick` with all arrived text, the opener of a window;
    `opened_late[message][tick]` the same if the edit completes `message` after its end. `growing[tick]` (a message
    shows the text of `tick`) and `complete[message][tick]` (the message is complete, the next one is
    not posted) are the least costs while no window is open.
    """

    def __init__(self, answer: Answer, limit: Fixed) -> None:
        self._limit = limit
        # An open window at the end has closed by then, and the next one has room for the rest.
        self._size = size = answer.arrivals[-1][0] + limit.ticks + 1
        self._sums = Sums(answer, size)
        self._ends = self._sums.ends
        self._last = len(self._ends) - 1  # the last message; they count from 1
        self._opened = [INFINITE] * size
        self._opened_late = [[INFINITE] * size for _ in self._ends]
        self._growing = [INFINITE] * size
        self._complete = [[INFINITE] * (size + 1) for _ in self._ends]
        self._complete[self._last] = [0.0] * (size + 1)
        self._openers = [Envelope() for _ in self._ends]  # for each message, the possible openers of a window

    def solve(self) -> float:
        """The least cost from nothing shown and no window open."""
        for tick in range(self._size - 1, -1, -1):
            self._open_at(tick)
            self._idle_at(tick)
        return self._complete[0][0]

    def _open_at(self, opener: int) -> None:
        """The window of an opening edit at this tick, edit by edit from its last one."""
        close = min(opener + self._limit.ticks, self._size - 1)
        inside = range(opener, close + 1)
        growing = [INFINITE] * len(inside)
        growing = self._edited(
            inside, range(close, self._size), growing, _Following(0, self._opened, self._opened_late)
        )
        complete = self._posted(inside, growing)
        for _ in range(self._limit.limit - 1):
            growing = self._edited(inside, range(opener + 1, close + 1), growing, _Following(opener, growing, complete))
            complete = self._posted(inside, growing)
        self._opened[opener] = growing[0]
        for message, end in enumerate(self._ends):
            if 0 <= end <= opener:
                self._opened_late[message][opener] = complete[message][0]

    def _edited(self, inside: range, at: range, growing: Sequence[float], following: _Following) -> list[float]:
        """For each shown tick `inside`: the least of `growing` and of the cost after one edit in `at`."""
        least = list(growing)
        for message in range(1, self._last + 1):
            begin, end = max(self._ends[message - 1], inside.start), min(self._ends[message], inside.stop)
            if begin < end:
                costs = _next_edit(self._sums, message, range(begin, end), at, following)
                offset = begin - inside.start
                least[offset : offset + len(costs)] = map(min, costs, least[offset:])
        return least

    def _posted(self, inside: range, growing: Sequence[float]) -> list[list[float]]:
        """For each complete message at a tick `inside`: the least cost, if the next is posted then or later."""
        complete = [[INFINITE] * len(inside) for _ in self._ends]
        complete[self._last] = [0.0] * len(inside)
        for message in range(self._last - 1, 0, -1):
            value = self._complete[message][inside.stop]
            for tick in range(inside.stop - 1, max(self._ends[message], inside.start) - 1, -1):
                offset = tick - inside.start
                value = min(value, self._post(message, tick, growing[offset], complete[message + 1][offset]))
                complete[message][offset] = value
        return complete

    def _post(self, message: int, tick: int, growing: float, complete: float) -> float:
        """Of posting the text after `message` at `tick`."""
        end = self._ends[message + 1]
        then = growing if tick < end else complete
        return then + self._sums.delay(self._ends[message], min(tick, end), tick)

    def _idle_at(self, tick: int) -> None:
        """At this tick while no window is open."""
        arrived, moments = self._sums.arrived, self._sums.moments
        for message in range(1, self._last + 1):
            begin, end = self._ends[message - 1], self._ends[message]
            if begin <= tick < end:
                self._growing[tick] = self._openers[message].least(arrived[tick])[0] + moments[tick]
            if tick >= begin:
                then = self._opened[tick] if tick < end else self._opened_late[message][tick]
                until = min(tick, end)
                self._openers[message].add(tick, tick * arrived[until] - moments[until] + then)
        for message in range(self._last - 1, -1, -1):
            if tick >= max(self._ends[message], self._sums.first):
                posted = self._post(message, tick, self._growing[tick], self._complete[message + 1][tick])
                self._complete[message][tick] = min(self._complete[message][tick + 1], posted)
            elif message == 0:
                self._complete[0][tick] = self._complete[0][tick + 1]


def _next_edit(sums: Sums, message: int, shown: range, at: range, following: _Following) -> list[float]:
    """For each tick in `shown`, the least cost with the next edit at a later tick in `at`."""
    then, late, base = following.growing, following.complete[message], following.since
    arrived, moments, end = sums.arrived, sums.moments, sums.ends[message]
    lines, least = Envelope(), [INFINITE] * len(shown)
    tick = at.stop - 1
    for index in range(len(shown) - 1, -1, -1):
        while tick >= at.start and tick > shown[index]:
            until = min(tick, end)
            cost = then[tick - base] if tick < end else late[tick - base]
            lines.add(tick, tick * arrived[until] - moments[until] + cost)
            tick -= 1
        least[index] = lines.least(arrived[shown[index]])[0] + moments[shown[index]]
    return least
