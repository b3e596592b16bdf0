"""The bound is one: brute force over all legal schedules of tiny cases finds nothing below it, and little above."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.latency.arrivals import INFINITE, Answer
from benchmarks.latency.bound import Limits, bound
from benchmarks.latency.cheapest import Prices, Schedule, cheapest
from benchmarks.latency.dynamic_programming import in_windows
from benchmarks.latency.limits import Fixed, Leaky, Limit, Rolling
from benchmarks.latency.traces import TICK, bursty, pausing, regular
from bot.ports import Verb

# Brute force is played on thirds of a tick, so that schedules between ticks are tried too.
FINE = 3

# ------------------------------------------------------------------------------------- limits, as a platform has them

History = tuple[int, ...]  # the moments, in thirds of a tick, of the writes so far


def is_legal(limit: Limit, past: History, moment: int) -> bool:
    """Whether a platform counts a further write instead of refusing it."""
    match limit:
        case Fixed(allowed, ticks):
            opener, used = -(10**9), 0
            for at in past:
                opener, used = (opener, used + 1) if at < opener + ticks * FINE else (at, 1)
            return moment >= opener + ticks * FINE or used < allowed
        case Rolling(allowed, ticks):
            return sum(at > moment - ticks * FINE for at in past) < allowed
        case Leaky(burst, ticks):
            level, last = float(burst), 0
            for at in past:
                level, last = min(level + (at - last) / (ticks * FINE), burst) - 1, at
            return min(level + (moment - last) / (ticks * FINE), burst) >= 1 - 1e-9
    raise TypeError(limit)


LIMITS: tuple[Limit, ...] = (Fixed(2, 3), Fixed(1, 2), Rolling(2, 3), Rolling(1, 2), Leaky(2, 2), Leaky(1, 3))


def sequences(limit: Limit, writes: int, end: int) -> Iterator[History]:
    """All legal sequences of at most so many writes, on thirds of a tick before tick `end`."""

    def longer(past: History) -> Iterator[History]:
        yield past
        if len(past) < writes:
            for moment in range(past[-1] if past else 0, end * FINE):
                if is_legal(limit, past, moment):
                    yield from longer((*past, moment))

    return longer(())


# ------------------------------------------------------------------------------------------------------- brute force


@dataclass(frozen=True)
class Showing:
    """The state of one reply: characters shown, its messages, and whether the last one is an open stream."""

    shown: int = 0
    messages: int = 0
    streaming: bool = False


Histories = tuple[tuple[Verb, History], ...]  # the writes so far by kind, of limited kinds


class Brute:
    """The least total of the mean delays over every schedule there is, moment by moment."""

    def __init__(self, answers: Sequence[Answer], limits: Limits, end: int) -> None:
        self.answers, self.limits, self.end = answers, limits, end * FINE
        self.least = cache(self._least)

    def solve(self) -> float:
        histories: Histories = tuple((verb, ()) for verb in self.limits)
        return self.least(0, tuple(Showing() for _ in self.answers), histories) / len(self.answers) / FINE

    def _least(self, moment: int, state: tuple[Showing, ...], past: Histories) -> float:
        if all(self._is_over(answer, each) for answer, each in zip(self.answers, state, strict=True)):
            return 0.0
        if moment >= self.end:
            return INFINITE
        best = self._waiting(moment, state) + self.least(moment + 1, state, past)
        for index, (answer, each) in enumerate(zip(self.answers, state, strict=True)):
            for verb, then in self._writes(answer, each, moment):
                others = (*state[:index], then, *state[index + 1 :])
                if all(is_legal(self.limits[kind], times, moment) for kind, times in past if kind is verb):
                    counted = tuple((kind, (*times, moment) if kind is verb else times) for kind, times in past)
                    best = min(best, self.least(moment, others, counted))
        return best

    def _writes(self, answer: Answer, each: Showing, moment: int) -> Iterator[tuple[Verb, Showing]]:
        """A write to the last message, or the next one once that is complete."""
        there = _arrived(answer, moment)
        ends = [*(_until(answer, cut) for cut in answer.cuts), _until(answer, 10**9)]
        end = ends[each.messages - 1] if each.messages else 0
        if each.messages and each.shown < min(there, end):
            grown = Showing(min(there, end), each.messages, each.streaming)
            yield (Verb.APPEND if each.streaming else Verb.EDIT), grown
        if each.streaming and each.shown < end:
            yield Verb.STOP, Showing(min(there, end), each.messages)
        if each.messages < len(ends) and each.shown == end and there > end:
            begun = Showing(min(there, ends[each.messages]), each.messages + 1)
            yield Verb.POST, begun
            if answer.streams:
                yield Verb.START, replace(begun, streaming=True)

    def _waiting(self, moment: int, state: tuple[Showing, ...]) -> float:
        """The cost of one moment: the share of each answer that has arrived and is not shown."""
        return sum(
            (_arrived(answer, moment) - each.shown) / _until(answer, 10**9)
            for answer, each in zip(self.answers, state, strict=True)
        )

    def _is_over(self, answer: Answer, each: Showing) -> bool:
        return each.shown == _until(answer, 10**9)


def _until(answer: Answer, tick: int) -> int:
    return sum(characters for at, characters in answer.arrivals if at <= tick)


def _arrived(answer: Answer, moment: int) -> int:
    return _until(answer, moment // FINE - answer.at)


def answers(ticks: int, *, at: int = 0, streams: bool = False) -> st.SearchStrategy[Answer]:
    """Tiny answers, some of them in two messages, and some with streams."""
    chunks = st.lists(st.tuples(st.integers(0, ticks - 1), st.integers(1, 5)), min_size=1, max_size=4)

    def answer(chunks: list[tuple[int, int]], cut: int, at: int, streamed: bool) -> Answer:
        arrivals = tuple(sorted(dict(chunks).items()))
        cuts = (arrivals[cut][0],) if cut < len(arrivals) - 1 else ()
        return Answer(arrivals, cuts, at, streams=streamed)

    return st.builds(
        answer, chunks, st.integers(0, 5), st.integers(0, at), st.booleans() if streams else st.just(False)
    )


# ------------------------------------------------------------------------------------------------------------ the DP


@settings(deadline=None, max_examples=60)
@given(answers(5), st.sampled_from([Fixed(2, 3), Fixed(1, 2), Fixed(3, 3), Fixed(1, 4)]))
def test_one_reply_in_windows_is_bounded_exactly(answer: Answer, limit: Fixed) -> None:
    """No legal schedule is below the bound, and the best on thirds of a tick is above it by those thirds alone."""
    least, brute = in_windows(answer, limit), Brute([answer], {Verb.EDIT: limit}, end=12).solve()
    assert least <= brute + 1e-9
    assert brute <= least + len(answer.arrivals) / FINE + 1e-9


@settings(deadline=None, max_examples=12)
@given(st.tuples(answers(4), answers(3, at=1)), st.sampled_from(LIMITS), st.sampled_from([None, Fixed(2, 3)]))
def test_replies_that_share_a_limit_are_never_below_their_bound(
    shared: tuple[Answer, Answer], edits: Limit, posts: Limit | None
) -> None:
    """Whatever the prices come to, brute force over both replies finds nothing below."""
    limits = {Verb.EDIT: edits} | ({} if posts is None else {Verb.POST: posts})
    assert bound(shared, limits, rounds=15).ticks <= Brute(shared, limits, end=10).solve() + 1e-9


# Of edits, starts, appends and stops: small ones, so that brute force feels all of them.
TOGETHER: Limits = {
    Verb.EDIT: Rolling(1, 3),
    Verb.START: Rolling(1, 4),
    Verb.APPEND: Rolling(1, 2),
    Verb.STOP: Leaky(1, 3),
}


@settings(deadline=None, max_examples=6)
@given(st.tuples(answers(3, streams=True), answers(2, at=1, streams=True)), st.sets(st.sampled_from(list(TOGETHER))))
def test_no_schedule_under_all_limits_together_is_below_the_bound(
    shared: tuple[Answer, Answer], felt: set[Verb]
) -> None:
    """Edits and native streams side by side, under any of the limits: brute force finds nothing below."""
    limits = {verb: TOGETHER[verb] for verb in TOGETHER if verb in felt or verb is Verb.EDIT}
    assert bound(shared, limits, rounds=10).ticks <= Brute(shared, limits, end=7).solve() + 1e-9


@settings(deadline=None, max_examples=60)
@given(answers(5, streams=True), st.data())
def test_the_cheapest_schedule_costs_what_it_says_and_none_is_cheaper(answer: Answer, data: st.DataObject) -> None:
    """Among all schedules on ticks, with a price for each write."""
    numbers = st.lists(st.integers(0, 3), min_size=7, max_size=7)
    kinds = [Verb.EDIT, Verb.POST, Verb.START, Verb.APPEND, Verb.STOP]
    prices = {verb: [*map(float, data.draw(numbers)), 0.0] for verb in kinds}
    found = cheapest(answer, prices)
    assert found.cost == pytest.approx(_priced(answer, prices))
    assert len(found.of(Verb.POST, Verb.START)) == len(answer.cuts) + 1
    assert found.cost == pytest.approx(_cost_of(answer, found, prices))


def _cost_of(answer: Answer, schedule: Schedule, prices: Prices) -> float:
    """The delay of a schedule's writes, and their prices."""
    total, shown, cost, message = _until(answer, 10**9), 0, 0.0, 0
    ends = [*(_until(answer, cut) for cut in answer.cuts), total]
    for verb, tick in schedule.writes:
        message += verb in {Verb.POST, Verb.START}
        seen = min(_until(answer, tick), ends[message - 1])
        cost += prices[verb][tick] + _delay(answer, shown, seen, tick)
        shown = seen
    assert shown == total
    return cost


def _delay(answer: Answer, shown: int, seen: int, tick: int) -> float:
    characters = [at for at, count in answer.arrivals for _ in range(count)]
    return sum(tick - at for at in characters[shown:seen]) / len(characters)


def _priced(answer: Answer, prices: Prices) -> float:
    """The least cost over every schedule on ticks. A message may begin with nothing in it, at the tick of a cut."""
    total, size = _until(answer, 10**9), len(prices[Verb.EDIT])
    ends = [*(_until(answer, cut) for cut in answer.cuts), total]

    @cache
    def least(tick: int, each: Showing) -> float:
        if each.shown == total:
            return 0.0
        if tick == size:
            return INFINITE
        there = _until(answer, tick)
        then = [(there - each.shown) / total + least(tick + 1, each)]
        end = ends[each.messages - 1] if each.messages else 0
        grown = Showing(min(there, end), each.messages, each.streaming)
        if each.messages and each.shown < min(there, end):
            verb = Verb.APPEND if each.streaming else Verb.EDIT
            then.append(prices[verb][tick] + least(tick, grown))
        if each.streaming and each.shown < end:
            then.append(prices[Verb.STOP][tick] + least(tick, replace(grown, streaming=False)))
        if each.messages < len(ends) and there and each.shown == end:
            begun = Showing(min(there, ends[each.messages]), each.messages + 1)
            then.append(prices[Verb.POST][tick] + least(tick, begun))
            if answer.streams:
                then.append(prices[Verb.START][tick] + least(tick, replace(begun, streaming=True)))
        return min(then)

    return least(0, Showing())


# ------------------------------------------------------------------------------------------------------------- prices


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(LIMITS), st.lists(st.integers(0, 4), min_size=5, max_size=5))
def test_no_legal_sequence_pays_more_than_a_limit_says(limit: Limit, prices: list[int]) -> None:
    """Every sequence on thirds of a tick, each write paying its tick's price."""
    price = [*map(float, prices), 0.0]
    most, spent = limit.most(price)
    paid = max(sum(price[moment // FINE] for moment in each) for each in sequences(limit, 4, 5))
    assert paid <= most
    assert most == sum(price[tick] * writes for tick, writes in spent)


@pytest.mark.parametrize(
    "larger",
    [lambda n: Fixed(n, 200), lambda n: Rolling(10 * n, 2400), lambda n: Leaky(n, 48)],
    ids=["fixed", "rolling", "leak"],
)
@pytest.mark.parametrize("size", [3, 5, 8])
def test_a_larger_limit_never_pays_less(larger: Callable[[int], Limit], size: int) -> None:
    """So that, at the same prices, a bound never rises with what is allowed."""
    for seed in range(5):
        price = [float((tick * 7919 + seed * 104729) % 23) for tick in range(600)]
        assert larger(size).most(price)[0] <= larger(size + 1).most(price)[0]


# ------------------------------------------------------------------------------------------------------ known figures


def test_more_edits_in_a_window_never_make_the_bound_worse() -> None:
    """Monotone in the limit, and strictly better where the stream is dense."""
    answer = Answer(regular(200).arrivals)
    bounds = [in_windows(answer, Fixed(limit, 200)) for limit in range(1, 8)]
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == len(bounds)


@pytest.mark.parametrize(
    ("words", "limit", "seconds"),
    [(200, 2000, 0.399), (1000, 10**6, 0.470), (1000, 2000, 0.422)],
    ids=["200", "1000 in one message", "1000 in messages of 2,000 characters"],
)
def test_one_reply_on_discord_has_the_known_bound(words: int, limit: int, seconds: float) -> None:
    """Other computations agree for one message; posts of further messages are updates without an edit."""
    trace = regular(words)
    answer = Answer(trace.arrivals, trace.cuts(limit))
    assert in_windows(answer, Fixed(5, 200)) * TICK == pytest.approx(seconds, abs=0.001)


def test_what_prices_say_of_one_reply_is_below_the_exact_bound() -> None:
    """Two ways to compute it: one exact, the other only ever lower, and by little."""
    for trace in (regular(200), bursty(200, seed=1), pausing(200, seed=1)):
        answer = Answer(trace.arrivals)
        exact, priced = in_windows(answer, Fixed(5, 200)), bound([answer], {Verb.EDIT: Fixed(5, 200)}, rounds=100).ticks
        assert 0.75 * exact <= priced <= exact + 1e-9


@pytest.mark.parametrize(("replies", "seconds"), [(1, 0.047), (12, 0.950)])
def test_replies_within_one_rolling_window_have_the_known_bound(replies: int, seconds: float) -> None:
    """50 edits and a post each, spread evenly: the words of a step wait for half of it in the mean."""
    answer = Answer(regular(200 if replies == 1 else 400).arrivals)
    found = bound([answer] * replies, {Verb.EDIT: Rolling(50, 2400)}, rounds=100).ticks * TICK
    assert found == pytest.approx(seconds, rel=0.25 if replies == 1 else 0.01)
