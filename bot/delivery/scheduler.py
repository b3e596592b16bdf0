"""Chooses the reply that writes next. Queries only: the pacer applies the decisions.

Order among replies waiting for the same budget: final writes; then replies without visible text; then the reply with
the largest backlog (characters x seconds). The last is the online rule for the least total delay. It starves no reply,
because a backlog only grows. Reasoning previews come last: they take no reserved permit, and wait for a gap of their
own.

With 1,500 live answers nearly all wait for one budget with some fifty permits a second. So replies queue by the budget
they wait for longest. A busy budget is asked once per queue, and its replies are not looked at. When it has a permit,
the head of the queue is found (two numbers per reply, since backlogs grow linearly), and only the first reply's other
budgets are asked. The head of a long queue is cached for a moment: a lead of half a minute does not change in a quarter
of a second, and new arrivals are compared with it.

A reply is looked at when it calls `reschedule`, when its own pause ends, and when its budget has a permit. Budgets
change at any time (other replies, reads, responses), so their answers are never cached.

Two rules change what is written. If an edit is far off, the text continues in a new message (`RollOver`). And a first
post waits for a while if it would take the permit reserved for another reply's final write (`Budget.first_post_at`):
the answer may be complete by then, and go up whole.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from bot.ports import Verb
from bot.rate_limits import Budget

# A reply waiting for a time of its own is looked at after this at the latest: pacing changes with the writes of others.
# Seconds.
_RECHECK_SECONDS = 1.0

# A final write waits for an edit at most this share of the rollover time. That is a little longer than Discord's window
# of five seconds, where waiting is always better.
_FINAL_WAIT_SHARE = 0.5

# Size and lifetime of a long queue's cached head: a little more than the writes of that time, some fifty a second.
# Replies; seconds.
_QUEUE_HEAD = 32
_HEAD_SECONDS = 0.25

# Times closer than this are equal: a timer may fire a rounding error early. Seconds.
_SAME_TIME = 1e-6


class ScheduledReply(Protocol):
    """The scheduler's view of a reply, read-only. Times in seconds of the event loop."""

    @property
    def verb(self) -> Verb | None:
        """The kind of the due write; None if none is due."""
        ...

    @property
    def budgets(self) -> Mapping[Verb, Sequence[Budget]]:
        """All budgets spent by each kind of write."""
        ...

    @property
    def due_at(self) -> float:
        """Earliest time of the due write."""
        ...

    @property
    def in_flight(self) -> bool:
        """A write is on its way."""
        ...

    @property
    def is_closing(self) -> bool:
        """No more text follows, as far as the server says."""
        ...

    @property
    def is_preview(self) -> bool:
        """The due write shows a reasoning preview and nothing else."""
        ...

    @property
    def shows_nothing(self) -> bool:
        """No text of the answer is posted yet."""
        ...

    @property
    def can_roll_over(self) -> bool:
        """The text may continue in a new message instead of the due edit."""
        ...

    @property
    def began(self) -> float:
        """When the first text arrived."""
        ...

    @property
    def wrote(self) -> float:
        """When visible text last changed."""
        ...

    def backlog(self, now: float) -> float:
        """Total waiting time of unwritten text, in character-seconds."""
        ...


R = TypeVar("R", bound=ScheduledReply)


class Send(NamedTuple, Generic[R]):
    """The reply may send its due write now."""

    reply: R


class RollOver(NamedTuple, Generic[R]):
    """The reply's text should continue in a new message; afterwards it is scheduled again."""

    reply: R


class _WaitKey(NamedTuple):
    """A reason to wait: a budget may have a permit for a final write and none for others."""

    budget: Budget
    final: bool

    def opens_at(self, now: float) -> float:
        return self.budget.ready_at(now, final=self.final)


class _Queue(Generic[R]):
    """Replies waiting for the same budget. The head of a long queue is cached."""

    def __init__(self) -> None:
        self.members: dict[R, None] = {}
        self._head: dict[R, None] = {}  # the most urgent when last found, and later arrivals
        self._found_at = -math.inf

    def __len__(self) -> int:
        return len(self.members)

    def head(self, now: float) -> list[R]:
        """Candidates for the most urgent; all members of a short queue."""
        if len(self.members) <= _QUEUE_HEAD:
            return list(self.members)
        if not self._head or now - self._found_at > _HEAD_SECONDS:
            self._head = dict.fromkeys(heapq.nsmallest(_QUEUE_HEAD, self.members, key=partial(_urgency, now=now)))
            self._found_at = now
        return list(self._head)

    def add(self, reply: R) -> None:
        self.members[reply] = self._head[reply] = None

    def remove(self, reply: R) -> None:
        del self.members[reply]
        self._head.pop(reply, None)


class WriteScheduler(Generic[R]):
    """The replies of one connection, and the reasons why they wait."""

    def __init__(self, rollover_after_seconds: float) -> None:
        """`rollover_after_seconds`: see `bot.delivery.policy.WritePolicy`."""
        self._rollover_after_seconds = rollover_after_seconds
        self._order = itertools.count()
        self._order_of: dict[R, int] = {}  # order of arrival breaks ties
        self._pending: dict[R, None] = {}  # to be looked at; these wait for nothing
        self._waits: dict[R, _WaitKey | float] = {}  # for a budget, or until a time
        self._queues: dict[_WaitKey, _Queue[R]] = {}  # none is empty
        self._timers: list[tuple[float, int, R]] = []  # a heap; stale entries are skipped

    def add(self, reply: R) -> None:
        """Schedule the reply's writes."""
        self._order_of[reply] = next(self._order)
        self.reschedule(reply)

    def reschedule(self, reply: R) -> None:
        """The reply's due write changed: its existence, kind or time."""
        if reply in self._order_of:
            self._dequeue(reply)
            self._pending[reply] = None

    def remove(self, reply: R) -> None:
        """Schedule no more writes of the reply."""
        self._dequeue(reply)
        self._pending.pop(reply, None)
        del self._order_of[reply]

    def others_wait(self, reply: R) -> bool:
        """Whether another reply waits for one of this one's edit budgets."""
        budgets = reply.budgets[Verb.EDIT]
        queues = [queue for key, queue in self._queues.items() if any(key.budget is budget for budget in budgets)]
        return any(member is not reply for queue in queues for member in queue.members)

    def ready(self, now: float) -> Iterator[Send[R] | RollOver[R]]:
        """Decisions that are due now, the most urgent first.

        The caller applies each before it asks for the next one, so permits spent on one count for those behind it. A
        sending reply is dequeued. Replies rescheduled meanwhile are looked at once more.
        """
        candidates = self._candidates(now)
        while candidates:
            closed: set[_WaitKey] = set()
            for reply in sorted(candidates, key=lambda reply: (*_urgency(reply, now), self._order_of[reply])):
                if self._waits.get(reply) in closed:
                    continue
                self._dequeue(reply)
                if reply.in_flight or reply.verb is None:
                    continue
                wait = self.blocked_by(reply, now)
                if isinstance(wait, RollOver):
                    yield wait
                    wait = self._wait_after_rollover(reply, now)
                if wait is None:
                    yield Send(reply)
                    continue
                self._enqueue(reply, wait)
                if isinstance(wait, _WaitKey):
                    closed.add(wait)
            candidates, self._pending = list(self._pending), {}

    def next_at(self, now: float) -> float | None:
        """When a decision may be due unless something changes; None if no reply waits."""
        while self._timers and not self._is_current(self._timers[0]):
            heapq.heappop(self._timers)
        timer_at = [self._timers[0][0]] if self._timers else []
        return min((*timer_at, *(key.opens_at(now) for key in self._queues)), default=None)

    def blocked_by(self, reply: R, now: float) -> RollOver[R] | _WaitKey | float | None:
        """The longest wait of a due write: for a budget or until a time; None if it may be sent.

        `RollOver` if the wait is so long that a new message is better.
        """
        key, at = _longest_wait(reply, now)
        if at <= now + _SAME_TIME:
            if not reply.shows_nothing or reply.is_closing:
                return None
            at = min(_first_post_at(reply, now), reply.began + self._rollover_after_seconds)
            return None if at <= now + _SAME_TIME else min(at, now + _RECHECK_SECONDS)
        roll_over_at = self._roll_over_at(reply, key, at, now)
        if roll_over_at is None:
            return key or min(at, now + _RECHECK_SECONDS)
        if roll_over_at > now + _SAME_TIME:
            return min(at, roll_over_at, now + _RECHECK_SECONDS)  # until then the budget may get a permit
        return RollOver(reply)

    def _roll_over_at(self, reply: R, key: _WaitKey | None, at: float, now: float) -> float | None:
        """When the text continues in a new message; None if the edit comes first."""
        if not reply.can_roll_over:
            return None
        if not reply.is_closing:
            roll_over_at = reply.wrote + self._rollover_after_seconds
            return roll_over_at if at > roll_over_at else None
        if key is not None and (queue := self._queues.get(key)) is not None:  # equally urgent replies go first
            at = max(at, key.budget.ready_at(now, final=True, ahead=len(queue)))
        return now if at > now + self._rollover_after_seconds * _FINAL_WAIT_SHARE else None

    def _wait_after_rollover(self, reply: R, now: float) -> _WaitKey | float | None:
        if reply.verb is None:  # finding the due write takes another step
            return now + _RECHECK_SECONDS
        wait = self.blocked_by(reply, now)
        assert not isinstance(wait, RollOver)  # there is no edit left to roll over from
        return wait

    def _candidates(self, now: float) -> list[R]:
        """Replies to look at: rescheduled ones, ended pauses, and the heads of queues with a permit."""
        found, self._pending = list(self._pending), {}
        while self._timers and self._timers[0][0] <= now + _SAME_TIME:
            entry = heapq.heappop(self._timers)
            if self._is_current(entry):
                found.append(entry[2])
        for key, queue in self._queues.items():
            if key.opens_at(now) <= now + _SAME_TIME:
                found += queue.head(now)
        return found

    def _is_current(self, entry: tuple[float, int, R]) -> bool:
        return self._waits.get(entry[2]) == entry[0]

    def _enqueue(self, reply: R, wait: _WaitKey | float) -> None:
        self._waits[reply] = wait
        if isinstance(wait, _WaitKey):
            self._queues.setdefault(wait, _Queue()).add(reply)
        else:
            heapq.heappush(self._timers, (wait, self._order_of[reply], reply))

    def _dequeue(self, reply: R) -> None:
        wait = self._waits.pop(reply, None)
        if isinstance(wait, _WaitKey):
            queue = self._queues[wait]
            queue.remove(reply)
            if not queue.members:
                del self._queues[wait]


def _longest_wait(reply: ScheduledReply, now: float) -> tuple[_WaitKey | None, float]:
    """The time until which a reply must wait, and the budget it waits for, if any."""
    assert reply.verb is not None
    key, latest, budgets = None, reply.due_at, reply.budgets[reply.verb]
    # Never delay a reply's first post for pacing.
    urgent = reply.is_closing or (reply.shows_nothing and not reply.is_preview)
    if not (urgent or reply.is_preview):
        latest = max(latest, *(budget.paced_at(now, began=reply.began, wrote=reply.wrote) for budget in budgets))
    for budget in budgets:
        at = budget.ready_at(now, final=urgent)
        if at > latest:
            key, latest = _WaitKey(budget, urgent), at
    return key, latest


def _first_post_at(reply: ScheduledReply, now: float) -> float:
    """When a first post leaves a permit for each final write."""
    return max(budget.first_post_at(now) for budget in reply.budgets[Verb.EDIT])


def _urgency(reply: ScheduledReply, now: float) -> tuple[int, float]:
    """The least is the most urgent: see the module's docstring."""
    rank = 0 if reply.is_closing else 3 if reply.is_preview else 1 if reply.shows_nothing else 2
    return rank, -reply.backlog(now)
