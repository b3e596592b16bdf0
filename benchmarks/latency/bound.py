"""The clairvoyant bound: the least mean character delay of any scheduler with full knowledge of the future.

Pure arithmetic on whole ticks. `benchmarks/README.md` explains it at more length.

A *scheduler* posts a message and edits it. It continues in a new message when one is full and not before, shows the
beginning of the answer at any time (never a later part before an earlier one), ends with all of it shown, and keeps the
limits. It may know every arrival beforehand. A write shows all arrived text at once.

**Ticks.** Chunks arrive on ticks, and limits are whole ticks long. Take any schedule in continuous time and move each
write back to the tick at or before it: it shows the same characters, no later. The moved writes keep the limits of
`benchmarks.latency.limits`: two writes W apart stay at least W apart; a window with writes less than W after its opener
has moved writes at most W after it (both ends included). So the best schedule on ticks is at most as late as the best
one of all.

**A price.** Let each write at tick t cost p(t) >= 0 of delay, and stop counting writes. Each reply alone then has a
cheapest schedule (`cheapest`, dynamic programming). No legal sequence of writes, of any number of replies, can pay more
than `Limit.most` in all. Hence, for each p: delays of the replies >= sum of their cheapest (delay + price) - most(p).
`bound` raises this by choosing p well (subgradients); a badly chosen p gives a lower figure, never a wrong one. Posts
have prices of their own. This is Lagrangian relaxation of the limits.

**One reply in fixed windows** needs no prices: `benchmarks.latency.dynamic_programming` is the exact optimum, by
dynamic programming over the opening ticks of windows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.latency.arrivals import INFINITE, Answer, Envelope, Sums
from benchmarks.latency.limits import Limit


@dataclass(frozen=True, slots=True)
class Schedule:
    """Writes and what they cost: the mean delay in ticks, with prices where there are some."""

    cost: float
    posts: tuple[int, ...]
    edits: tuple[int, ...]


def cheapest(answer: Answer, edit_price: Sequence[float], post_price: Sequence[float]) -> Schedule:
    """The schedule of least delay plus price of one reply that no limit binds. Prices by tick since time 0.

    A write later than the last price is never better than one at it, if that price is 0.
    """
    edit_price, post_price = edit_price[answer.at :], post_price[answer.at :]
    sums = Sums(answer, len(edit_price))
    after = [0.0] * len(edit_price)  # once a message is complete, at each tick: the least cost of what follows
    steps: list[tuple[list[int], list[int]]] = []
    for message in range(len(sums.ends) - 1, 0, -1):
        growing, edits = _grow(sums, message, edit_price, after)
        last = len(after) - 1
        if message == 1 and answer.first_by is not None:
            last = sums.first + answer.first_by
        after, posts = _post(sums, message, post_price, (growing, after), last)
        steps.append((edits, posts))
    return _traced(answer, sums, after[0], steps[::-1])


def _grow(sums: Sums, message: int, price: Sequence[float], after: Sequence[float]) -> tuple[list[float], list[int]]:
    """While a message is posted and shows what arrived by tick u: the least cost, and when it is edited next."""
    begin, end = max(sums.ends[message - 1], 0), sums.ends[message]
    arrived, moments = sums.arrived, sums.moments
    least, choice = [INFINITE] * end, [-1] * end
    lines = Envelope()
    for tick in range(len(price) - 1, end - 1, -1):
        if tick == end or price[tick] != price[tick - 1]:  # else it is better a tick before
            lines.add(tick, price[tick] + tick * arrived[end] - moments[end] + after[tick])
    for tick in range(end - 1, begin - 1, -1):
        value, choice[tick] = lines.least(arrived[tick])
        least[tick] = value + moments[tick]
        lines.add(tick, price[tick] + tick * arrived[tick] - moments[tick] + least[tick])
    return least, choice


def _post(
    sums: Sums, message: int, price: Sequence[float], following: tuple[Sequence[float], Sequence[float]], last: int
) -> tuple[list[float], list[int]]:
    """While the messages before are complete, at tick v: the least cost, and when this one is posted (by `last`)."""
    growing, after = following
    before, end = sums.ends[message - 1], sums.ends[message]
    least, choice = [INFINITE] * len(price), [-1] * len(price)
    value, chosen = INFINITE, -1
    for tick in range(len(price) - 1, -1, -1):
        if max(before, sums.first) <= tick <= last:
            then = growing[tick] if tick < end else after[tick]
            cost = price[tick] + sums.delay(before, min(tick, end), tick) + then
            if cost <= value:
                value, chosen = cost, tick
        least[tick], choice[tick] = value, chosen
    return least, choice


def _traced(answer: Answer, sums: Sums, cost: float, steps: Sequence[tuple[list[int], list[int]]]) -> Schedule:
    """Follow the choices from the first post on."""
    posts, edits, tick = list[int](), list[int](), 0
    for (next_edit, next_post), end in zip(steps, sums.ends[1:], strict=True):
        tick = next_post[tick]
        posts.append(answer.at + tick)
        while tick < end:
            tick = next_edit[tick]
            edits.append(answer.at + tick)
    return Schedule(cost, tuple(posts), tuple(edits))


# ---------------------------------------------------------------------------------------------------- several replies


@dataclass(frozen=True, slots=True)
class Bound:
    """The bound in ticks, and what is cheapest for each reply at the prices that gave it."""

    ticks: float
    schedules: tuple[Schedule, ...]


def bound(answers: Sequence[Answer], edits: Limit, posts: Limit | None, *, rounds: int = 300) -> Bound:
    """A mean delay that no scheduler can go below, the mean over replies of each one's mean over its characters.

    `posts` None: posts have a limit that is not shared and is not felt. `rounds` are those of choosing prices: more of
    them raise the figure, and each one's is valid.
    """
    return _Prices(answers, edits, posts).raised(rounds)


class _Prices:
    """Looks for the prices that give the highest bound: uphill along subgradients. Constant in bins of some ticks."""

    # The target of a round is this much above the best so far (Polyak's step); each time that PATIENCE rounds bring
    # nothing, the search goes back to the best prices with a target half as far.
    AMBITION = 0.05
    PATIENCE = 10
    # The search for a first price: so many windows' ends are tried, up to this price in ticks, and the span of prices
    # shrinks by a third so many times.
    STARTS = 4
    DEAREST = 1e5
    HALVINGS = 10

    def __init__(self, answers: Sequence[Answer], edits: Limit, posts: Limit | None) -> None:
        self._answers = Counter(answers)
        self._limits: tuple[Limit, ...] = (edits,) if posts is None else (edits, posts)
        end = max(answer.at + answer.arrivals[-1][0] for answer in answers) + 1
        late = max(limit.lateness(len(answers)) for limit in self._limits)
        self._bin = edits.bin
        self._bins = -(-(end + late) // self._bin) + 1
        self._best = Bound(0.0, ())

    def raised(self, rounds: int) -> Bound:
        """Start from the best constant price of an edit, then go uphill."""
        best = prices = self._constant()
        patience, ambition = self.PATIENCE, self.AMBITION
        for _ in range(rounds):
            before = self._best.ticks
            value, uphill = self._try(prices)
            steepness = sum(slope * slope for line in uphill for slope in line)
            if not steepness:
                break
            if self._best.ticks > before:
                best = prices
            patience = self.PATIENCE if self._best.ticks > before * (1 + ambition / 20) else patience - 1
            if not patience:
                patience, ambition = self.PATIENCE, ambition / 2
                value, uphill = self._try(best)
                steepness = sum(slope * slope for line in uphill for slope in line) or 1.0
                prices = best
            step = (self._best.ticks * (1 + ambition) - value) / steepness
            prices = tuple(
                tuple(max(price + step * slope, 0.0) for price, slope in zip(line, slopes, strict=True))
                for line, slopes in zip(prices, uphill, strict=True)
            )
        return self._best

    def _constant(self) -> tuple[tuple[float, ...], ...]:
        """One price for all edits until some window's end, and posts for nothing: a search in two numbers."""
        window = max(self._limits[0].ticks // self._bin, 1)
        ends = [*range(window, self._bins - 1, window), self._bins - 1]
        return max((self._level(until) for until in ends[: self.STARTS]), key=lambda prices: self._try(prices)[0])

    def _level(self, until: int) -> tuple[tuple[float, ...], ...]:
        """The best price that is the same in all bins before `until`. The bound is concave in it."""
        free = tuple((0.0,) * self._bins for _ in self._limits[1:])

        def at(price: float) -> tuple[tuple[float, ...], ...]:
            return ((price,) * until + (0.0,) * (self._bins - until), *free)

        low, high = 0.0, 1.0
        while self._try(at(high))[0] > self._try(at(high / 2))[0] and high < self.DEAREST:
            high *= 2
        for _ in range(self.HALVINGS):
            third = (high - low) / 3
            if self._try(at(low + third))[0] < self._try(at(high - third))[0]:
                low += third
            else:
                high -= third
        return at((low + high) / 2)

    def _try(self, prices: Sequence[Sequence[float]]) -> tuple[float, list[list[float]]]:
        """The bound that these prices give, in ticks, and how it would rise with each of them."""
        by_tick = [[price for price in line for _ in range(self._bin)] for line in prices]
        free = [0.0] * len(by_tick[0])
        slopes = [[0.0] * self._bins for _ in prices]
        value, schedules, count = 0.0, list[Schedule](), self._answers.total()
        for answer, times in self._answers.items():
            schedule = cheapest(answer, by_tick[0], by_tick[1] if len(by_tick) > 1 else free)
            schedules.append(schedule)
            value += schedule.cost * times / count
            for line, ticks in zip(slopes, (schedule.edits, schedule.posts), strict=False):
                for tick in ticks:
                    line[tick // self._bin] += times / count
        for limit, line, price in zip(self._limits, slopes, by_tick, strict=True):
            paid, spent = limit.most(price)
            value -= paid / count
            for tick, writes in spent:
                line[tick // self._bin] -= writes / count
            line[-1] = 0.0  # stays free, since whatever comes later than the last tick is counted there
        if value > self._best.ticks:
            self._best = Bound(value, tuple(schedules))
        return value, slopes
