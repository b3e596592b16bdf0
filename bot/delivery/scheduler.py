"""Chooses the reply that writes next. Queries only: the pacer applies the decisions.

Order among replies waiting for the same budget: final writes; then replies without visible text; then the reply with
the largest backlog (characters x seconds). The last is the online rule for the least total delay. It starves no reply,
because a backlog only grows. Reasoning previews come last: they take no reserved permit, and wait for a gap of their
own.

With 1,500 live answers nearly all wait for one budget with some fifty permits a second. So replies queue by the budget
they wait for longest (`bot.delivery.wait_queues`): a busy budget is asked once per queue, its replies are not looked
at, and a write takes O(log n) steps. When it has a permit, only the first reply's other budgets are asked.

A reply is looked at when it calls `reschedule`, when its own pause ends, and when its budget has a permit. Budgets
change at any time (other replies, reads, responses), so each is asked again before a write.

Three rules change what is written. If an edit is far off, the text continues in a new message (`RollOver`); a stream
without a permit goes on by edits in the same way. Stops are final writes: no stream may outlive its time. And a first
post waits for a while if it would take the permit reserved for another reply's final write (`Budget.first_post_at`):
the answer may be complete by then, and go up whole.
"""

from __future__ import annotations

import heapq
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from bot.delivery.mode import SOON_SECONDS, start_at, starts_in_time
from bot.delivery.wait_queues import SAME_TIME, WaitKey, WaitQueues
from bot.ports import Verb
from bot.rate_limits import Budget

# A reply waiting for a time of its own is looked at after this at the latest: pacing changes with the writes of others.
# Seconds.
_RECHECK_SECONDS = 1.0

# A final write waits for an edit at most this share of the rollover time. That is a little longer than Discord's window
# of five seconds, where waiting is always better.
_FINAL_WAIT_SHARE = 0.6

# The text of an ended answer stands still for at most this share in all, also before its end. Otherwise a few answers
# wait far longer than the rest where Slack's edits are used up (benchmarks/latency/crowd.py).
_FINAL_STILL_SHARE = 0.7


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
    def final_budgets(self) -> Sequence[Budget]:
        """The budgets of the final write."""
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
    def is_tidying(self) -> bool:
        """The due write shows no text: it only takes the buttons from an earlier message."""
        ...

    @property
    def overflows(self) -> bool:
        """The due edit only fills up a message: the text needs another one."""
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

    def mean_wait(self, now: float) -> float:
        """The same per character of the answer: its part in the answer's mean delay, in seconds."""
        ...


R = TypeVar("R", bound=ScheduledReply)


class Send(NamedTuple, Generic[R]):
    """The reply may send its due write now."""

    reply: R


class RollOver(NamedTuple, Generic[R]):
    """The reply's text should continue in a new message; afterwards it is scheduled again."""

    reply: R


class WriteScheduler(Generic[R]):
    """The replies of one connection, and the reasons why they wait."""

    def __init__(self, rollover_after_seconds: float) -> None:
        """`rollover_after_seconds`: see `bot.delivery.policy.WritePolicy`."""
        self._rollover_after_seconds = rollover_after_seconds
        self._order = itertools.count()
        self._order_of: dict[R, int] = {}  # order of arrival breaks ties
        self._pending: dict[R, None] = {}  # to be looked at; these wait for nothing
        self._waits: dict[R, WaitKey | float] = {}  # for a budget, or until a time
        self._queues = WaitQueues[R](_claim)
        self._rechecks: dict[R, float] = {}  # when a reply that waits for a budget may continue in a new message
        self._timers: list[tuple[float, int, R]] = []  # a heap; stale entries are skipped
        self._steps = 0

    @property
    def steps(self) -> int:
        """Work so far: budgets asked, replies looked at, and comparisons."""
        return self._steps + self._queues.steps

    def on_change(self, changed: Callable[[], object]) -> None:
        """Call `changed` when a budget with waiting replies may open earlier, other than by `budgets_changed`."""
        self._queues.on_change = changed

    def budgets_changed(self, budgets: Iterable[Budget]) -> None:
        """These may open earlier than they told: a response came, or a reply began or ended."""
        self._queues.changed(budgets)

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
        return self._queues.has_others(reply.budgets[Verb.EDIT], reply)

    def ready(self, now: float, most: int = sys.maxsize) -> Iterator[Send[R] | RollOver[R]]:
        """Decisions that are due now, the most urgent first, with at most so many `Send`; the rest is due at once.

        The caller applies each before it asks for the next one, so permits spent on one count for those behind it. A
        sending reply is dequeued. Replies rescheduled meanwhile are looked at once more.
        """
        candidates = self._candidates(now)
        while candidates:
            closed: set[WaitKey] = set()
            self._steps += len(candidates) * (1 + len(candidates).bit_length())
            candidates.sort(key=lambda reply: (*_urgency(reply, now), self._order_of[reply]), reverse=True)
            while candidates:
                reply = candidates.pop()
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
                    most -= 1
                    if not most:
                        self._put_back(candidates, now)
                        return
                    continue
                self._enqueue(reply, wait, now)
                if isinstance(wait, WaitKey):
                    closed.add(wait)
            candidates, self._pending = list(self._pending), {}

    def _put_back(self, candidates: Iterable[R], now: float) -> None:
        """Look at these the next time; the heads of queues are found again."""
        for reply in candidates:
            is_rechecked = self._rechecks.get(reply, math.inf) <= now + SAME_TIME
            if is_rechecked or not isinstance(self._waits.get(reply), WaitKey):
                self._pending[reply] = None

    def next_at(self, now: float) -> float | None:
        """When a decision may be due unless something changes; None if no reply waits."""
        if self._pending:
            return now
        while self._timers and not self._is_current(self._timers[0]):
            self._pop_timer()
        at = min(self._timers[0][0] if self._timers else math.inf, self._queues.next_at(now))
        return None if at == math.inf else at

    def blocked_by(self, reply: R, now: float) -> RollOver[R] | WaitKey | float | None:
        """The longest wait of a due write: for a budget or until a time; None if it may be sent.

        `RollOver` if the wait is so long that a new message is better.
        """
        if reply.verb is Verb.START:
            return self._start_blocked_by(reply, now)
        key, at = _longest_wait(reply, now)
        self._steps += 1 + 2 * len(reply.budgets[reply.verb or Verb.EDIT])
        if at <= now + SAME_TIME:
            if not reply.shows_nothing or reply.is_closing:
                return None
            at = min(_first_post_at(reply, now), reply.began + self._rollover_after_seconds)
            return None if at <= now + SAME_TIME else min(at, now + _RECHECK_SECONDS)
        roll_over_at = self._roll_over_at(reply, key, at, now)
        if roll_over_at is None:
            return key or min(at, now + _RECHECK_SECONDS)
        if roll_over_at > now + SAME_TIME:
            return min(at, roll_over_at, now + _RECHECK_SECONDS)  # until then the budget may get a permit
        return RollOver(reply)

    def _start_blocked_by(self, reply: R, now: float) -> RollOver[R] | WaitKey | float | None:
        """The same for the start of a stream: without one soon, the answer goes by posts and edits."""
        self._steps += 1 + len(reply.budgets[Verb.START]) + len(reply.final_budgets)
        if reply.can_roll_over and not starts_in_time(reply.budgets, now, SOON_SECONDS):
            return RollOver(reply)
        at = start_at(reply.budgets, now)
        if at == math.inf:  # a limit without a known end holds posts too
            return WaitKey(max(reply.budgets[Verb.START], key=lambda each: each.ready_at(now, final=True)), final=True)
        at = max(at, reply.due_at)
        return None if at <= now + SAME_TIME else min(at, now + _RECHECK_SECONDS)

    def _roll_over_at(self, reply: R, key: WaitKey | None, at: float, now: float) -> float | None:
        """When the text continues in a new message; None if the edit comes first."""
        if not _may_roll_over(reply, key):
            return None
        if reply.overflows and self._saves_an_edit(reply, now):
            return now
        if not reply.is_closing:
            roll_over_at = reply.wrote + self._rollover_after_seconds
            return roll_over_at if at > roll_over_at else None
        if key is not None and (ahead := self._queues.length(key)):  # equally urgent replies go first
            at = max(at, key.budget.ready_at(now, final=True, ahead=ahead))
        is_far = at > now + self._rollover_after_seconds * _FINAL_WAIT_SHARE
        is_still = at > reply.wrote + self._rollover_after_seconds * _FINAL_STILL_SHARE
        return now if is_far or is_still else None

    def _saves_an_edit(self, reply: R, now: float) -> bool:
        """Whether edits are shared, and posts suffice for all: a post shows the text now, and is needed anyway."""
        posts = reply.budgets[Verb.POST]
        self._steps += 1 + 2 * len(posts)
        is_shared = any(budget.live > 1 for budget in reply.budgets[Verb.EDIT])
        return is_shared and all(
            budget.ready_at(now, final=True) <= now + SAME_TIME
            and budget.ready_at(now, final=True, ahead=budget.live)
            <= now + self._rollover_after_seconds * _FINAL_WAIT_SHARE
            for budget in posts
        )

    def _wait_after_rollover(self, reply: R, now: float) -> WaitKey | float | None:
        if reply.verb is None:  # finding the due write takes another step
            return now + _RECHECK_SECONDS
        wait = self.blocked_by(reply, now)
        assert not isinstance(wait, RollOver)  # there is no edit left to roll over from
        return wait

    def _candidates(self, now: float) -> list[R]:
        """Replies to look at: rescheduled ones, ended pauses, and the heads of queues with a permit."""
        found, self._pending = list(self._pending), {}
        while self._timers and self._timers[0][0] <= now + SAME_TIME:
            entry = self._pop_timer()
            if self._is_current(entry):
                found.append(entry[2])
        return found + self._queues.open_heads(now)

    def _pop_timer(self) -> tuple[float, int, R]:
        self._steps += len(self._timers).bit_length()
        return heapq.heappop(self._timers)

    def _is_current(self, entry: tuple[float, int, R]) -> bool:
        return entry[0] in (self._waits.get(entry[2]), self._rechecks.get(entry[2]))

    def _enqueue(self, reply: R, wait: WaitKey | float, now: float) -> None:
        self._waits[reply] = wait
        if not isinstance(wait, WaitKey):
            at = wait
        else:
            self._queues.add(wait, reply, now)
            at = reply.wrote + self._rollover_after_seconds
            if at <= now or not _may_roll_over(reply, wait):  # for an ended reply this was decided just now
                return
            self._rechecks[reply] = at
        heapq.heappush(self._timers, (at, self._order_of[reply], reply))
        self._steps += len(self._timers).bit_length()

    def _dequeue(self, reply: R) -> None:
        wait = self._waits.pop(reply, None)
        self._rechecks.pop(reply, None)
        if isinstance(wait, WaitKey):
            self._queues.remove(wait, reply)


def _may_roll_over(reply: ScheduledReply, key: WaitKey | None) -> bool:
    """Whether a new message would not wait for the same budget."""
    return reply.can_roll_over and not (key is not None and key.budget in reply.budgets[Verb.POST])


def _longest_wait(reply: ScheduledReply, now: float) -> tuple[WaitKey | None, float]:
    """The time until which a reply must wait, and the budget it waits for, if any."""
    assert reply.verb is not None
    key, latest, budgets = None, reply.due_at, reply.budgets[reply.verb]
    # Never delay a reply's first post for pacing.
    is_last = _is_last(reply)
    urgent = is_last or (reply.shows_nothing and not reply.is_preview)
    if not (urgent or reply.is_preview):
        latest = max(latest, *(budget.paced_at(now, began=reply.began, wrote=reply.wrote) for budget in budgets))
    for budget in budgets:
        at = budget.ready_at(now, final=urgent)
        if at > latest:
            key, latest = WaitKey(budget, urgent), at
    return key, latest


def _is_last(reply: ScheduledReply) -> bool:
    """Whether the due write ends an answer; taking away buttons may wait until others have ended theirs."""
    return (reply.is_closing and not reply.is_tidying) or reply.verb is Verb.STOP


def _first_post_at(reply: ScheduledReply, now: float) -> float:
    """When a first post leaves a permit for each final write."""
    return max(budget.first_post_at(now) for budget in reply.final_budgets)


def _urgency(reply: ScheduledReply, now: float) -> tuple[int, float]:
    """The least is the most urgent: see the module's docstring."""
    if _is_last(reply):
        return 0, -reply.mean_wait(now)
    is_late = reply.is_preview or reply.is_tidying
    return 3 if is_late else 1 if reply.shows_nothing else 2, -reply.backlog(now)


def _claim(reply: ScheduledReply, now: float) -> tuple[int, float]:
    """The same for `WaitQueues`: the greatest is the most urgent."""
    rank, waited = _urgency(reply, now)
    return -rank, -waited
