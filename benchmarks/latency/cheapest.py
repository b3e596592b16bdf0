"""The cheapest schedule of one reply where each write has a price: dynamic programming, backwards in time.

A message begins with a post and grows by edits. Or it begins with the start of a native stream, and grows by appends. A
stop may carry text as well; edits may follow it. A stop after the last text is free, since no reader waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from benchmarks.latency.arrivals import INFINITE, Answer, Envelope, Sums
from bot.ports import Verb

# By verb and by tick since time 0, all of the same length. A verb without prices is free.
Prices = Mapping[Verb, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Writes in order, each with its tick, and their cost: the mean delay in ticks plus prices."""

    cost: float
    writes: tuple[tuple[Verb, int], ...]

    def of(self, *verbs: Verb) -> list[int]:
        """The ticks of some kinds of writes."""
        return [tick for verb, tick in self.writes if verb in verbs]


def cheapest(answer: Answer, prices: Prices) -> Schedule:
    """The schedule of least delay plus price, without limits.

    A write after the last tick is never better than one at it, if its price there is 0.
    """
    return _Reply(answer, prices).solved()


@dataclass(slots=True)
class _Growing:
    """A message that shows the text of tick u: the least cost by u, and the next write."""

    least: list[float]
    then: list[tuple[Verb, int]]


@dataclass(slots=True)
class _Message:
    """The choices for one message: later writes by mode, and the first by the tick since it is possible."""

    edited: _Growing
    streamed: _Growing | None = None
    first: list[tuple[Verb, int]] = field(default_factory=list)


class _Reply:
    """The dynamic programming of one answer."""

    def __init__(self, answer: Answer, prices: Prices) -> None:
        self._answer = answer
        size = len(next(iter(prices.values()))) - answer.at
        free = [0.0] * size
        self._prices = {verb: prices[verb][answer.at :] if verb in prices else free for verb in Verb}
        self._sums = Sums(answer, size)
        self._size = size

    def solved(self) -> Schedule:
        """Message by message from the last one, then forwards along the choices."""
        after = [0.0] * self._size  # by tick, once a message is complete: the least cost of all later messages
        messages: list[_Message] = []
        for number in range(len(self._sums.ends) - 1, 0, -1):
            message = _Message(self._grow(number, {Verb.EDIT: None}, after))
            if self._answer.streams:
                message.streamed = self._grow(number, {Verb.APPEND: None, Verb.STOP: message.edited}, after)
            after = self._begin(number, message, after)
            messages.append(message)
        return Schedule(after[0], tuple(self._traced(messages[::-1])))

    def _grow(self, number: int, then: Mapping[Verb, _Growing | None], after: Sequence[float]) -> _Growing:
        """A begun message. `then` has the state after each kind of write; None is the same state."""
        sums = self._sums
        begin, end = max(sums.ends[number - 1], 0), sums.ends[number]
        arrived, moments = sums.arrived, sums.moments
        found = _Growing([INFINITE] * end, [(Verb.EDIT, -1)] * end)
        lines, verbs = Envelope(), [Verb.EDIT] * self._size
        for tick in range(self._size - 1, end - 1, -1):
            price, verbs[tick] = self._least(tick, then)
            if tick == end or price != self._least(tick - 1, then)[0]:  # else a tick earlier is better
                lines.add(tick, price + tick * arrived[end] - moments[end] + after[tick])
        for tick in range(end - 1, begin - 1, -1):
            value, at = lines.least(arrived[tick])
            found.least[tick], found.then[tick] = value + moments[tick], (verbs[at], at)
            if (edited := then.get(Verb.STOP)) and (ended := self._prices[Verb.STOP][tick] + edited.least[tick]) < (
                found.least[tick]
            ):  # a stop without text, since edits are cheaper
                found.least[tick], found.then[tick] = ended, (Verb.STOP, tick)
            cost = INFINITE
            for verb, state in then.items():
                following = self._prices[verb][tick] + (state or found).least[tick]
                if following < cost:
                    cost, verbs[tick] = following, verb
            lines.add(tick, cost + tick * arrived[tick] - moments[tick])
        return found

    def _least(self, tick: int, verbs: Iterable[Verb]) -> tuple[float, Verb]:
        """The lowest price at a tick, and its kind of write."""
        return min(((self._prices[verb][tick], verb) for verb in verbs), key=itemgetter(0))

    def _begin(self, number: int, message: _Message, after: Sequence[float]) -> list[float]:
        """While all earlier messages are complete, by tick: the least cost, and the first write of this one."""
        sums = self._sums
        before, end = sums.ends[number - 1], sums.ends[number]
        last, earliest = self._size - 1, max(before, sums.first)
        if number == 1 and self._answer.first_by is not None:
            last = sums.first + self._answer.first_by
        least, value, chosen = [INFINITE] * self._size, INFINITE, (Verb.POST, -1)
        message.first = [chosen] * self._size
        begun = {Verb.POST: message.edited} | ({Verb.START: message.streamed} if message.streamed else {})
        for tick in range(self._size - 1, -1, -1):
            if earliest <= tick <= last:
                delay = sums.delay(before, min(tick, end), tick)
                for verb, growing in begun.items():
                    then = growing.least[tick] if tick < end else after[tick]
                    cost = self._prices[verb][tick] + delay + then
                    if cost <= value:
                        value, chosen = cost, (verb, tick)
            least[tick], message.first[tick] = value, chosen
        return least

    def _traced(self, messages: Sequence[_Message]) -> Iterator[tuple[Verb, int]]:
        """All writes along the choices from the first one on."""
        tick = 0
        for message, end in zip(messages, self._sums.ends[1:], strict=True):
            verb, tick = message.first[tick]
            yield verb, self._answer.at + tick
            growing = message.edited if verb is Verb.POST else message.streamed
            while tick < end:
                assert growing is not None
                verb, tick = growing.then[tick]
                yield verb, self._answer.at + tick
                growing = message.edited if verb is Verb.STOP else growing
