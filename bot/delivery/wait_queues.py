"""Queues of replies that wait for the same budget, and the times at which these budgets open.

Choosing takes O(log n) steps per write, amortised over n waiting replies:

- *Which reply.* A short queue is compared as a whole. Of a long one, the most urgent quarter, its *head*, is sorted.
  Each choice compares the first 16 of the head by their present backlogs. Urgent newcomers are sorted into it. It is
  sorted anew after half as many as it held have left: n comparisons of log n steps per n / 8 replies that left.
- *Which queue.* A heap has the opening time of each queue. A budget is asked when its time comes, when its queue
  begins, and when the pacer has changed it. A few others are asked in turn at each look, because responses to other
  requests may open a budget early.

`steps` counts budgets asked, replies looked at and comparisons, for the benchmarks.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from bot.callbacks import no_op
from bot.rate_limits import Budget

R = TypeVar("R")

# How urgently a reply wants to write at a time; the greatest is the most urgent.
Claim: TypeAlias = tuple[int, float]

# Replies compared for each choice. A server's budget opens with at most a few permits at once. Replies.
COMPARED = 16
# The head of a long queue: one in so many of its members, and at least so many.
HEAD_SHARE = 4
SHORTEST_HEAD = 32
# Budgets asked in turn at each look. With no more queues than this, all of them are asked.
ASKED_IN_TURN = 4

# Times closer than this are equal: a timer may fire a rounding error early. Seconds.
SAME_TIME = 1e-6


class WaitKey(NamedTuple):
    """A reason to wait: a budget may have a permit for a final write and none for others."""

    budget: Budget
    final: bool

    def opens_at(self, now: float) -> float:
        """When the budget has a permit."""
        return self.budget.ready_at(now, final=self.final)


class _Place(Generic[R]):
    """A reply's place in the sorted head of a queue."""

    __slots__ = ("claim", "order", "reply")

    def __init__(self, claim: Claim, order: int, reply: R) -> None:
        self.claim = claim
        self.order = order
        self.reply: R | None = reply  # None: it has left

    def __lt__(self, other: _Place[R]) -> bool:
        return (self.claim, self.order) < (other.claim, other.order)


class _Queue(Generic[R]):
    """Replies waiting for the same budget."""

    def __init__(self, claim: Callable[[R, float], Claim]) -> None:
        self.members: dict[R, None] = {}
        self.asked_at: float | None = None  # its entry in the heap; None if it has none
        self.steps = 0
        self._claim = claim
        self._order = itertools.count(0, -1)  # of equal claims the earlier one is first
        self._head: list[_Place[R]] = []  # the most urgent last
        self._places: dict[R, _Place[R]] = {}  # of those in the head that have not left
        self._leaves = 0  # after so many more have left it, the head is sorted anew

    def head(self, now: float) -> list[R]:
        """Candidates for the most urgent; all members of a short queue."""
        if len(self.members) <= COMPARED:
            self._head, self._places, self._leaves = [], {}, 0
            return list(self.members)
        if self._leaves <= 0:
            self._sort(now)
        first: list[_Place[R]] = []
        while self._head and len(first) < COMPARED:
            place = self._head.pop()
            self.steps += 1
            if place.reply is not None:
                first.append(place)
        self._head += reversed(first)
        return [place.reply for place in first if place.reply is not None]

    def add(self, reply: R, now: float) -> None:
        is_covered = len(self._places) == len(self.members)
        self.members[reply] = None
        if not self._places:
            return
        place = _Place(self._claim(reply, now), next(self._order), reply)
        self.steps += 1 + len(self._head).bit_length()
        if is_covered or self._head[0] < place:
            bisect.insort(self._head, place)
            self._places[reply] = place

    def remove(self, reply: R) -> None:
        del self.members[reply]
        if (place := self._places.pop(reply, None)) is not None:
            place.reply = None
            self._leaves -= 1

    def _sort(self, now: float) -> None:
        size = max(SHORTEST_HEAD, len(self.members) // HEAD_SHARE)
        places = [_Place(self._claim(reply, now), next(self._order), reply) for reply in self.members]
        self._head = heapq.nlargest(size, places)[::-1]
        self.steps += len(places) * size.bit_length()
        self._places = {place.reply: place for place in self._head if place.reply is not None}
        self._leaves = len(self._head) // 2


class WaitQueues(Generic[R]):
    """All queues of one connection. None is empty."""

    def __init__(self, claim: Callable[[R, float], Claim]) -> None:
        """`claim` tells how urgently a reply wants to write."""
        self.on_change: Callable[[], object] = no_op  # a budget changed by itself
        self._claim = claim
        self._queues: dict[WaitKey, _Queue[R]] = {}  # the next to be asked in turn first
        self._to_ask: dict[WaitKey, None] = {}
        self._openings: list[tuple[float, int, WaitKey]] = []  # a heap; stale entries are skipped
        self._order = itertools.count()
        self._watched: dict[WaitKey, Callable[[], object]] = {}
        self._steps = 0

    @property
    def steps(self) -> int:
        """All steps so far."""
        return self._steps + sum(queue.steps for queue in self._queues.values())

    def length(self, key: WaitKey) -> int:
        """How many replies wait for it."""
        queue = self._queues.get(key)
        return 0 if queue is None else len(queue.members)

    def has_others(self, budgets: Iterable[Budget], reply: R) -> bool:
        """Whether a reply other than this one waits for one of the budgets."""
        for budget in budgets:
            for final in (False, True):
                queue = self._queues.get(WaitKey(budget, final))
                if queue is not None and len(queue.members) > (reply in queue.members):
                    return True
        return False

    def add(self, key: WaitKey, reply: R, now: float) -> None:
        """Let a reply wait."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(self._claim)
            self._to_ask[key] = None
            changed = self._watched[key] = partial(self._changed_by_itself, key)
            key.budget.watch(changed)
        queue.add(reply, now)

    def remove(self, key: WaitKey, reply: R) -> None:
        """Let a reply wait no longer."""
        queue = self._queues[key]
        queue.remove(reply)
        if not queue.members:
            self._steps += queue.steps
            del self._queues[key]
            self._to_ask.pop(key, None)
            key.budget.unwatch(self._watched.pop(key))

    def changed(self, budgets: Iterable[Budget]) -> None:
        """The budgets may open earlier than they told."""
        for budget in budgets:
            for key in (WaitKey(budget, final=False), WaitKey(budget, final=True)):
                if key in self._queues:
                    self._to_ask[key] = None

    def open_heads(self, now: float) -> list[R]:
        """The candidates of all queues with a permit."""
        for key in list(itertools.islice(self._queues, ASKED_IN_TURN)):
            self._queues[key] = self._queues.pop(key)
            self._to_ask[key] = None
        self._ask(now)
        found: list[R] = []
        while self._openings and self._openings[0][0] <= now + SAME_TIME:
            entry = heapq.heappop(self._openings)
            self._steps += len(self._openings).bit_length()
            if not self._is_current(entry):
                continue
            key = entry[2]
            queue = self._queues[key]
            queue.asked_at = None
            self._to_ask[key] = None  # once the decisions are applied
            self._steps += 1
            if key.opens_at(now) <= now + SAME_TIME:
                found += queue.head(now)
        return found

    def next_at(self, now: float) -> float:
        """When the next budget opens, as far as known; infinite if none does by itself."""
        self._ask(now)
        while self._openings and not self._is_current(self._openings[0]):
            heapq.heappop(self._openings)
            self._steps += len(self._openings).bit_length()
        return self._openings[0][0] if self._openings else math.inf

    def _ask(self, now: float) -> None:
        while self._to_ask:
            key, _ = self._to_ask.popitem()
            queue, at = self._queues[key], key.opens_at(now)
            self._steps += 1
            if queue.asked_at == at:
                continue
            queue.asked_at = at
            if at < math.inf:
                heapq.heappush(self._openings, (at, next(self._order), key))
                self._steps += len(self._openings).bit_length()

    def _is_current(self, entry: tuple[float, int, WaitKey]) -> bool:
        queue = self._queues.get(entry[2])
        return queue is not None and queue.asked_at == entry[0]

    def _changed_by_itself(self, key: WaitKey) -> None:
        self._to_ask[key] = None
        self.on_change()
