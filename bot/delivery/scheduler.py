"""Replies that have a write due, each in line for the one thing it must wait for longest.

What belongs here: who may write now, the most urgent first, found by looking only at what may have changed. What does
not: how a budget counts (`bot.rate_limits`), making the write (`bot.delivery.pacer`), what is due
(`bot.delivery.reply`).

The order, when several wait for the same budget: a final write first, since somebody waits for the end; then a reply
that shows nothing yet; then the one whose unseen text has waited longest in total (characters x seconds), which is the
online rule for the least total delay and starves nobody, because what is unseen only grows.

With 1,500 live answers of one bot nearly all wait for the same budget, which is free again some fifty times a second.
So a budget is asked once for the whole line that waits for it, never once for each reply in it; while it says no, the
line is not looked at. When it says yes, the first of the line are found (a comparison of two numbers for each reply,
since what has waited grows evenly with time), and only who comes first is asked what else its write spends. Of a long
line the first few are kept for a moment (`_Queue`): half a minute's wait is not overtaken in a quarter of a
second, and who joins in that time is compared with them.

A reply is looked at when it says that something about it changed (`reschedule`), when its own pause ends (its budget's
rhythm is one), and when the budget it waits for is free. A budget may move to and fro at any time, by what other
replies, reads and answers do to it: it is asked anew at each look, and nothing is remembered of what it said.

A line of a model's thinking comes after all text, and only where edits are left for it that nobody's text or end will
want: it takes none that is kept back, and keeps to a pause of its own (`Reply.due_at`).

Two looks may change what is written. An edit that is far off is not waited for: the text goes on in a new message
(`Reply.can_roll_over`). And the first words wait for a while where showing them would take the write reserved for the
end of another reply (`Budget.first_post_at`): the answer may be complete by then, and go up whole.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from bot.delivery.reply import Reply
from bot.ports import Verb
from bot.rate_limits import Budget

# What a reply waits for by itself is looked at again after so long at the latest, since rhythms change with what others
# spend. Seconds.
_RECHECK_SECONDS = 1.0

# An end is not kept waiting as long as text that is followed by more: no longer than this part of it, and a little more
# than Discord's window of five seconds, where waiting is always the better choice.
_FINAL_WAIT_SHARE = 0.5

# Of a longer line only so many are put in order, and kept so for so long: some more than the writes of that time, of
# which a bot has fifty a second. Replies; seconds.
_QUEUE_HEAD = 32
_HEAD_SECONDS = 0.25

# Times closer than this are the same: a timer may fire a rounding error early. Seconds.
_SAME_TIME = 1e-6


class _WaitKey(NamedTuple):
    """What a line waits for: a budget may be free for a final write and not yet for another."""

    budget: Budget
    final: bool

    def opens_at(self, now: float) -> float:
        return self.budget.ready_at(now, final=self.final)


class _Queue:
    """Replies that wait for the same thing; the first of a long line are found once for several looks."""

    def __init__(self) -> None:
        self.members: dict[Reply, None] = {}
        self._head: dict[Reply, None] = {}  # the first when they were last found, and those who came since
        self._found_at = -math.inf

    def __len__(self) -> int:
        return len(self.members)

    def head(self, now: float) -> list[Reply]:
        """Those among whom the most urgent is; all, where they are few."""
        if len(self.members) <= _QUEUE_HEAD:
            return list(self.members)
        if not self._head or now - self._found_at > _HEAD_SECONDS:
            self._head = dict.fromkeys(heapq.nsmallest(_QUEUE_HEAD, self.members, key=partial(_urgency, now=now)))
            self._found_at = now
        return list(self._head)

    def add(self, reply: Reply) -> None:
        self.members[reply] = self._head[reply] = None

    def remove(self, reply: Reply) -> None:
        del self.members[reply]
        self._head.pop(reply, None)


class WriteScheduler:
    """See the module's docstring. All times are the event loop's, in seconds."""

    def __init__(self, rollover_after_seconds: float) -> None:
        self._rollover_after_seconds = rollover_after_seconds  # see `bot.delivery.reply.WritePolicy`
        self._order = itertools.count()
        self._order_of: dict[Reply, int] = {}  # order of arrival breaks ties
        self._pending: dict[Reply, None] = {}  # to be looked at; they have no place meanwhile
        self._waits: dict[Reply, _WaitKey | float] = {}  # where each waits: in a line, or for a time
        self._queues: dict[_WaitKey, _Queue] = {}  # none is empty
        # Those that wait for a time: a heap. Who has another place by now is passed over.
        self._timers: list[tuple[float, int, Reply]] = []

    def add(self, reply: Reply) -> None:
        """The reply will write."""
        self._order_of[reply] = next(self._order)
        self.reschedule(reply)

    def reschedule(self, reply: Reply) -> None:
        """Something about the reply has changed: whether a write is due, of what kind, or from when on."""
        if reply in self._order_of:
            self._dequeue(reply)
            self._pending[reply] = None

    def remove(self, reply: Reply) -> None:
        """The reply writes no more."""
        self._dequeue(reply)
        self._pending.pop(reply, None)
        del self._order_of[reply]

    def ready(self, now: float) -> Iterator[Reply]:
        """Who may write now, the most urgent first.

        Each is taken out as it is given, and what the caller spends on it then counts for those that follow. One that
        wakes meanwhile is looked at once more.
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
                wait = self._blocked_by(reply, now)
                if wait is None:
                    yield reply
                    continue
                self._enqueue(reply, wait)
                if isinstance(wait, _WaitKey):
                    closed.add(wait)
            candidates, self._pending = list(self._pending), {}

    def next_at(self, now: float) -> float | None:
        """When somebody may be ready, unless something changes before; None if nobody waits."""
        while self._timers and not self._is_current(self._timers[0]):
            heapq.heappop(self._timers)
        timer_at = [self._timers[0][0]] if self._timers else []
        return min((*timer_at, *(key.opens_at(now) for key in self._queues)), default=None)

    def _blocked_by(self, reply: Reply, now: float) -> _WaitKey | float | None:
        """What the reply must wait for longest: a budget of its write or a time of its own; None if it may write."""
        key, at = _longest_wait(reply, now)
        if at <= now + _SAME_TIME:
            if not reply.shows_nothing or reply.is_closing:
                return None
            at = min(_first_post_at(reply, now), reply.began + self._rollover_after_seconds)
            return None if at <= now + _SAME_TIME else min(at, now + _RECHECK_SECONDS)
        roll_over_at = self._rolls_over_at(reply, key, at, now)
        if roll_over_at is None:
            return key or min(at, now + _RECHECK_SECONDS)
        if roll_over_at > now + _SAME_TIME:
            return min(at, roll_over_at, now + _RECHECK_SECONDS)  # looked at until then: the budget may be free before
        reply.roll_over()
        return self._blocked_by(reply, now) if reply.verb is not None else now + _RECHECK_SECONDS

    def _rolls_over_at(self, reply: Reply, key: _WaitKey | None, at: float, now: float) -> float | None:
        """From when on the text goes on in a new message; None if it is written before, where it is."""
        if not reply.can_roll_over:
            return None
        if not reply.is_closing:
            roll_over_at = reply.wrote + self._rollover_after_seconds
            return roll_over_at if at > roll_over_at else None
        if key is not None and (queue := self._queues.get(key)) is not None:  # those that are as urgent go first
            at = max(at, key.budget.ready_at(now, final=True, ahead=len(queue)))
        return now if at > now + self._rollover_after_seconds * _FINAL_WAIT_SHARE else None

    def _candidates(self, now: float) -> list[Reply]:
        """Who is to be looked at: those that woke, whose pause is over, and whose line moves."""
        found, self._pending = list(self._pending), {}
        while self._timers and self._timers[0][0] <= now + _SAME_TIME:
            entry = heapq.heappop(self._timers)
            if self._is_current(entry):
                found.append(entry[2])
        for key, queue in self._queues.items():
            if key.opens_at(now) <= now + _SAME_TIME:
                found += queue.head(now)
        return found

    def _is_current(self, entry: tuple[float, int, Reply]) -> bool:
        return self._waits.get(entry[2]) == entry[0]

    def _enqueue(self, reply: Reply, wait: _WaitKey | float) -> None:
        self._waits[reply] = wait
        if isinstance(wait, _WaitKey):
            self._queues.setdefault(wait, _Queue()).add(reply)
        else:
            heapq.heappush(self._timers, (wait, self._order_of[reply], reply))

    def _dequeue(self, reply: Reply) -> None:
        wait = self._waits.pop(reply, None)
        if isinstance(wait, _WaitKey):
            queue = self._queues[wait]
            queue.remove(reply)
            if not queue.members:
                del self._queues[wait]


def _longest_wait(reply: Reply, now: float) -> tuple[_WaitKey | None, float]:
    """Until when a reply must wait, and for which budget if it is for one."""
    assert reply.verb is not None
    key, latest, budgets = None, reply.due_at, reply.budgets[reply.verb]
    # Nobody is kept from the first words for the sake of spacing.
    urgent = reply.is_closing or (reply.shows_nothing and not reply.is_preview)
    if not (urgent or reply.is_preview):
        latest = max(latest, *(budget.paced_at(now, began=reply.began, wrote=reply.wrote) for budget in budgets))
    for budget in budgets:
        at = budget.ready_at(now, final=urgent)
        if at > latest:
            key, latest = _WaitKey(budget, urgent), at
    return key, latest


def _first_post_at(reply: Reply, now: float) -> float:
    """From when on the first words can be shown with a write left for the end."""
    return max(budget.first_post_at(now) for budget in reply.budgets[Verb.EDIT])


def _urgency(reply: Reply, now: float) -> tuple[int, float]:
    """The least is the most urgent. See the module's docstring."""
    rank = 0 if reply.is_closing else 3 if reply.is_preview else 1 if reply.shows_nothing else 2
    return rank, -reply.backlog(now)
