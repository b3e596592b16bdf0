"""Many replies wait for few budgets: the order stays the documented one, and a write takes few steps."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bot.delivery.scheduler import Send, WriteScheduler
from bot.delivery.wait_queues import COMPARED, WaitKey, WaitQueues
from bot.ports import Verb
from bot.rate_limits import Budget, LeakyBucket, RenewableLimit, RollingWindow


@dataclass(eq=False)
class Growing:
    """A growing reply with an even stream of text, in the scheduler's view."""

    budget: Budget
    rate: float  # characters a second
    wrote: float = -1.0
    verb: Verb | None = Verb.EDIT
    due_at: float = 0.0
    in_flight: bool = False
    is_closing: bool = False
    is_preview: bool = False
    shows_nothing: bool = False
    can_roll_over: bool = False
    overflows: bool = False
    is_tidying: bool = False
    began: float = 0.0

    @property
    def budgets(self) -> dict[Verb, tuple[Budget, ...]]:
        return dict.fromkeys(Verb, (self.budget,))

    @property
    def final_budgets(self) -> tuple[Budget, ...]:
        return (self.budget,)

    def backlog(self, now: float) -> float:
        return self.rate * (now - self.wrote) ** 2 / 2

    def mean_wait(self, now: float) -> float:
        return self.backlog(now)


def write_all(scheduler: WriteScheduler[Growing], writes: int) -> Iterator[tuple[float, Growing]]:
    """Play so many writes on a clock of numbers; each is yielded before the reply's backlog starts anew."""
    now, made = 0.0, 0
    while made < writes:
        for decision in scheduler.ready(now):
            assert isinstance(decision, Send)
            reply = decision.reply
            yield now, reply
            made += 1
            reply.budget.spend(now)
            reply.budget.record_response(now)
            reply.wrote = now
            scheduler.reschedule(reply)
            scheduler.budgets_changed((reply.budget,))
        at = scheduler.next_at(now)
        assert at is not None
        now = max(at, now)


def many(
    count: int, budget: Budget, rate: random.Random | None = None
) -> tuple[WriteScheduler[Growing], list[Growing]]:
    """Replies that share a budget; their streams are equally fast, or a tenth to ten times as fast."""
    scheduler = WriteScheduler[Growing](12.0)
    replies = [Growing(budget, 200.0 * (10.0 ** rate.uniform(-1, 1) if rate else 1.0)) for _ in range(count)]
    for reply in replies:
        scheduler.add(reply)
    return scheduler, replies


def test_equally_fast_replies_take_turns() -> None:
    """Among 300 equal streams each writes once before any writes twice, again and again."""
    count = 300
    scheduler, replies = many(count, LeakyBucket(0.5))
    order = [reply for _, reply in write_all(scheduler, 4 * count)]
    for start in range(0, len(order), count):
        assert set(order[start : start + count]) == set(replies)


def test_a_long_queue_writes_its_largest_backlog() -> None:
    """With a hundredfold difference in speed, a choice among 200 has nearly the largest backlog of all."""
    scheduler, replies = many(200, LeakyBucket(0.5), random.Random(7))
    shares = [
        reply.backlog(now) / max(each.backlog(now) for each in replies) for now, reply in write_all(scheduler, 1000)
    ]
    assert min(shares) > 0.75
    assert sum(shares) / len(shares) > 0.97


def test_a_final_write_is_first_in_a_long_queue() -> None:
    """An answer that ends while a thousand wait is written with the next permit."""
    scheduler, replies = many(1000, LeakyBucket(0.5))
    playing = write_all(scheduler, 3000)
    for _ in range(700):
        next(playing)
    for reply in (replies[900], replies[3], replies[500]):
        reply.is_closing = True
        scheduler.reschedule(reply)
        soon = [next(playing)[1] for _ in range(2)]
        assert reply in soon
        reply.is_closing = False


def steps_per_write(count: int) -> float:
    """The steps of one write among so many replies, once all have written."""
    scheduler, _ = many(count, LeakyBucket(0.5), random.Random(1))
    playing = write_all(scheduler, 3 * count)
    for _ in range(count):
        next(playing)
    before = scheduler.steps
    written = sum(1 for _ in playing)
    return (scheduler.steps - before) / written


def test_a_write_takes_logarithmic_steps() -> None:
    """Each fourfold number of replies adds about as many steps to a write as the one before, not four times as many."""
    few, more, most = (steps_per_write(count) for count in (100, 400, 1600))
    assert most < 1.5 * few
    assert most - more < 1.5 * (more - few)


def steps_in(channels: int) -> float:
    """The steps of one write with three replies in each of many channels, each with a budget of its own."""
    scheduler = WriteScheduler[Growing](12.0)
    for _ in range(channels):
        budget = RollingWindow(5, 5.0, paced=False)
        for _ in range(3):
            scheduler.add(Growing(budget, 200.0))
    playing = write_all(scheduler, 20 * channels)
    for _ in range(10 * channels):
        next(playing)
    before = scheduler.steps
    written = sum(1 for _ in playing)
    return (scheduler.steps - before) / written


def test_a_write_in_one_of_many_queues_asks_few_budgets() -> None:
    """Ten times as many channels hardly add to a write's steps."""
    assert steps_in(300) < 1.5 * steps_in(30)


def test_the_head_of_a_queue_does_not_pile_up() -> None:
    """A reply that joins and leaves a short queue ten thousand times leaves no trace in its steps."""
    budget = RenewableLimit(1e9)
    queues = WaitQueues[int](lambda number, now: (0, number + now))
    key = WaitKey(budget, final=False)
    for number in range(COMPARED + 4):
        queues.add(key, number, 0.0)
    queues.open_heads(0.0)
    for round_ in range(10_000):
        queues.remove(key, 7)
        queues.add(key, 7, float(round_))
        if round_ % 10 == 0:
            assert 7 in queues.open_heads(float(round_))
    before = queues.steps
    queues.open_heads(1e4)
    assert queues.steps - before < 500


@pytest.mark.parametrize("size", [1, COMPARED, COMPARED + 1, 100, 1000])
def test_candidates_hold_the_most_urgent(size: int) -> None:
    """In a queue of any size the greatest claim is among the candidates."""
    seeded = random.Random(size)
    claims = {number: seeded.random() for number in range(size)}
    queues = WaitQueues[int](lambda number, _: (0, claims[number]))
    key = WaitKey(RenewableLimit(1e9), final=False)
    for number in claims:
        queues.add(key, number, 0.0)
    expected = heapq.nlargest(size, claims, key=claims.__getitem__)
    for number in expected:
        assert number in queues.open_heads(0.0)
        queues.remove(key, number)
        assert queues.length(key) == size - 1 - expected.index(number)
    assert queues.next_at(0.0) == float("inf")
