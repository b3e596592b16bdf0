"""The clairvoyant bound: the least mean character delay of any scheduler with full knowledge of the future.

Pure arithmetic on whole ticks. `benchmarks/README.md` explains it at more length.

A *scheduler* posts a message and edits it, or starts a native stream, appends to it and stops it. It continues in a new
message when one is full and not before, shows the beginning of the answer at any time (never a later part before an
earlier one), ends with all of it shown, and keeps all limits together. It may know every arrival beforehand. A write
shows all arrived text at once.

**Ticks.** Chunks arrive on ticks, and limits are whole ticks long. Take any schedule in continuous time and move each
write back to the tick at or before it: it shows the same characters, no later. The moved writes keep the limits of
`benchmarks.latency.limits`: two writes W apart stay at least W apart; a window with writes less than W after its opener
has moved writes at most W after it (both ends included). So the best schedule on ticks is at most as late as the best
one of all.

**A price.** Let each write of kind k at tick t cost p(k, t) >= 0 of delay, and stop counting writes. Each reply alone
then has a cheapest schedule (`benchmarks.latency.cheapest`). No legal sequence of writes of kind k, of any number of
replies, can pay more than `Limit.most` in all. Hence, for each p: delays of the replies >= sum of their cheapest
(delay + price) - sum of most(p(k)) over the kinds. `bound` raises this by choosing p well (subgradients); a badly
chosen p gives a lower figure, never a wrong one. This is Lagrangian relaxation of the limits.

**One reply in fixed windows** needs no prices: `benchmarks.latency.dynamic_programming` is the exact optimum, by
dynamic programming over the opening ticks of windows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.latency.arrivals import Answer
from benchmarks.latency.cheapest import Schedule, cheapest
from benchmarks.latency.limits import Limit
from bot.ports import Verb

# The limits of all kinds of writes, felt together.
Limits = Mapping[Verb, Limit]

# Prices, or their slopes, by kind of write and bin.
_ByBin = Mapping[Verb, list[float]]


@dataclass(frozen=True, slots=True)
class Bound:
    """The bound in ticks, and the cheapest schedule of each different reply at its prices."""

    ticks: float
    schedules: tuple[Schedule, ...]


def bound(answers: Sequence[Answer], limits: Limits, *, rounds: int = 300) -> Bound:
    """A mean delay below every scheduler's: the mean over replies of each one's mean over its characters.

    A kind of write without a limit is free: it is not shared, or plentiful. `rounds` are those of the search for
    prices: more of them raise the figure, and the figure of each is valid.
    """
    return _Prices(answers, limits).raised(rounds)


class _Prices:
    """Looks for the prices of the highest bound: uphill along subgradients. Constant in bins of some ticks."""

    # The target of a round is this much above the best so far (Polyak's step). After each PATIENCE rounds without
    # success, the search goes back to the best prices with a target half as far.
    AMBITION = 0.05
    PATIENCE = 10
    # The search for a first price: the ends of so many windows are tried, up to this price in ticks, and the span of
    # prices shrinks by a third so many times.
    STARTS = 4
    DEAREST = 1e5
    HALVINGS = 10

    def __init__(self, answers: Sequence[Answer], limits: Limits) -> None:
        self._answers = Counter(answers)
        self._limits = limits
        end = max(answer.at + answer.arrivals[-1][0] for answer in answers) + 1
        late = max(limit.lateness(len(answers)) for limit in limits.values())
        self._bin = limits[Verb.EDIT].bin
        self._bins = -(-(end + late) // self._bin) + 1
        self._best = Bound(0.0, ())

    def raised(self, rounds: int) -> Bound:
        """Start from the best constant prices of updates, then go uphill."""
        best = prices = self._constant()
        patience, ambition = self.PATIENCE, self.AMBITION
        for _ in range(rounds):
            before = self._best.ticks
            value, uphill = self._try(prices)
            steepness = _square(uphill)
            if not steepness:
                break
            if self._best.ticks > before:
                best = prices
            patience = self.PATIENCE if self._best.ticks > before * (1 + ambition / 20) else patience - 1
            if not patience:
                patience, ambition = self.PATIENCE, ambition / 2
                value, uphill = self._try(best)
                steepness = _square(uphill) or 1.0
                prices = best
            step = (self._best.ticks * (1 + ambition) - value) / steepness
            prices = {
                verb: [max(price + step * slope, 0.0) for price, slope in zip(line, uphill[verb], strict=True)]
                for verb, line in prices.items()
            }
        return self._best

    def _constant(self) -> _ByBin:
        """One price for all updates of a kind until some window's end, and all other writes free."""
        prices: _ByBin = {verb: [0.0] * self._bins for verb in self._limits}
        # Where answers share both kinds of updates, the price of one depends on that of the other.
        for verb in (Verb.EDIT, Verb.APPEND, Verb.EDIT) if Verb.APPEND in self._limits else (Verb.EDIT,):
            window = max(self._limits[verb].ticks // self._bin, 1)
            ends = [*range(window, self._bins - 1, window), self._bins - 1]
            levels = (self._level(verb, until, prices) for until in ends[: self.STARTS])
            prices = max(levels, key=lambda prices: self._try(prices)[0])
        return prices

    def _level(self, verb: Verb, until: int, others: _ByBin) -> _ByBin:
        """The best price of a kind of write, the same in all bins before `until`. The bound is concave in it."""

        def at(price: float) -> _ByBin:
            return {**others, verb: [price] * until + [0.0] * (self._bins - until)}

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

    def _try(self, prices: _ByBin) -> tuple[float, _ByBin]:
        """The bound at these prices, in ticks, and its slope in each of them."""
        by_tick = {verb: [price for price in line for _ in range(self._bin)] for verb, line in prices.items()}
        slopes: _ByBin = {verb: [0.0] * self._bins for verb in prices}
        value, schedules, count = 0.0, list[Schedule](), self._answers.total()
        for answer, times in self._answers.items():
            schedule = cheapest(answer, by_tick)
            schedules.append(schedule)
            value += schedule.cost * times / count
            for verb, tick in schedule.writes:
                if verb in slopes:
                    slopes[verb][tick // self._bin] += times / count
        for verb, limit in self._limits.items():
            paid, spent = limit.most(by_tick[verb])
            value -= paid / count
            for tick, writes in spent:
                slopes[verb][tick // self._bin] -= writes / count
            slopes[verb][-1] = 0.0  # stays free, since it stands for all later ticks
        if value > self._best.ticks:
            self._best = Bound(value, tuple(schedules))
        return value, slopes


def _square(slopes: _ByBin) -> float:
    return sum(slope * slope for line in slopes.values() for slope in line)
