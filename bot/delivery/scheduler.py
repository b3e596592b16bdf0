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
line the first few are kept for a moment (`_Line`): what has waited for half a minute is not overtaken in a quarter of a
second, and who joins in that time is compared with them.

A reply is looked at when it says that something about it changed (`woke`), when its own pause is over (its budget's
rhythm is one), and when the budget it waits for is free. A budget may move to and fro at any time, by what other
replies, reads and answers do to it: it is asked anew at each look, and nothing is remembered of what it said.

A line of a model's thinking comes after all text, and only where edits are left for it that nobody's text or end will
want: it takes none that is kept back, and keeps to a pause of its own (`Reply.due_at`).

Two looks may change what is written. An edit that is far off is not waited for: the text goes on in a new message
(`Reply.can_go_on`). And the first words wait for a while where showing them would take the write that is kept for the
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
_LOOK_AGAIN = 1.0

# An end is not kept waiting as long as text that is followed by more: no longer than this part of it, and a little more
# than Discord's window of five seconds, where waiting is always the better choice.
_ENDS_WAIT = 0.5

# Of a longer line only so many are put in order, and kept so for so long: some more than the writes of that time, of
# which a bot has fifty a second. Replies; seconds.
_SHORT = 32
_KEPT_SECONDS = 0.25

# Times closer than this are the same: a timer may fire a rounding error early. Seconds.
_SAME_TIME = 1e-6


class _Gate(NamedTuple):
    """What a line waits for: a budget may be free for a final write and not yet for another."""

    budget: Budget
    final: bool

    def opens_at(self, now: float) -> float:
        return self.budget.ready_at(now, final=self.final)


class _Line:
    """Replies that wait for the same thing; the first of a long line are found once for several looks."""

    def __init__(self) -> None:
        self.members: dict[Reply, None] = {}
        self._first: dict[Reply, None] = {}  # the first when they were last found, and those who came since
        self._found_at = -math.inf

    def __len__(self) -> int:
        return len(self.members)

    def first(self, now: float) -> list[Reply]:
        """Those among whom the most urgent is; all, where they are few."""
        if len(self.members) <= _SHORT:
            return list(self.members)
        if not self._first or now - self._found_at > _KEPT_SECONDS:
            self._first = dict.fromkeys(heapq.nsmallest(_SHORT, self.members, key=partial(_urgency, now=now)))
            self._found_at = now
        return list(self._first)

    def add(self, reply: Reply) -> None:
        self.members[reply] = self._first[reply] = None

    def remove(self, reply: Reply) -> None:
        del self.members[reply]
        self._first.pop(reply, None)


class Waiting:
    """See the module's docstring. All times are the event loop's, in seconds."""

    def __init__(self, rollover_after_seconds: float) -> None:
        self._rollover_after_seconds = rollover_after_seconds  # see `bot.delivery.reply.WritePolicy`
        self._numbers = itertools.count()
        self._number: dict[Reply, int] = {}  # in the order they came; of two that are alike, the earlier one goes first
        self._woken: dict[Reply, None] = {}  # to be looked at; they have no place meanwhile
        self._places: dict[Reply, _Gate | float] = {}  # where each waits: in a line, or for a time
        self._lines: dict[_Gate, _Line] = {}  # none is empty
        # Those that wait for a time: a heap. Who has another place by now is passed over.
        self._resting: list[tuple[float, int, Reply]] = []

    def come(self, reply: Reply) -> None:
        """The reply will write."""
        self._number[reply] = next(self._numbers)
        self.woke(reply)

    def woke(self, reply: Reply) -> None:
        """Something about the reply has changed: whether a write is due, of what kind, or from when on."""
        if reply in self._number:
            self._take(reply)
            self._woken[reply] = None

    def leave(self, reply: Reply) -> None:
        """The reply writes no more."""
        self._take(reply)
        self._woken.pop(reply, None)
        del self._number[reply]

    def ready(self, now: float) -> Iterator[Reply]:
        """Who may write now, the most urgent first.

        Each is taken out as it is given, and what the caller spends on it then counts for those that follow. One that
        wakes meanwhile is looked at once more.
        """
        candidates = self._candidates(now)
        while candidates:
            closed: set[_Gate] = set()
            for reply in sorted(candidates, key=lambda reply: (*_urgency(reply, now), self._number[reply])):
                if self._places.get(reply) in closed:
                    continue
                self._take(reply)
                if reply.in_flight or reply.verb is None:
                    continue
                place = self._obstacle(reply, now)
                if place is None:
                    yield reply
                    continue
                self._put(reply, place)
                if isinstance(place, _Gate):
                    closed.add(place)
            candidates, self._woken = list(self._woken), {}

    def next_at(self, now: float) -> float | None:
        """When somebody may be ready, unless something changes before; None if nobody waits."""
        while self._resting and not self._still_rests(self._resting[0]):
            heapq.heappop(self._resting)
        rests_until = [self._resting[0][0]] if self._resting else []
        return min((*rests_until, *(gate.opens_at(now) for gate in self._lines)), default=None)

    def _obstacle(self, reply: Reply, now: float) -> _Gate | float | None:
        """What the reply must wait for longest: a budget of its write or a time of its own; None if it may write."""
        gate, at = _longest(reply, now)
        if at <= now + _SAME_TIME:
            if not reply.shows_nothing or reply.closes:
                return None
            at = min(_first_post_at(reply, now), reply.began + self._rollover_after_seconds)
            return None if at <= now + _SAME_TIME else min(at, now + _LOOK_AGAIN)
        going_on_at = self._goes_on_at(reply, gate, at, now)
        if going_on_at is None:
            return gate or min(at, now + _LOOK_AGAIN)
        if going_on_at > now + _SAME_TIME:
            return min(at, going_on_at, now + _LOOK_AGAIN)  # looked at until then: the budget may be free before
        reply.go_on()
        return self._obstacle(reply, now) if reply.verb is not None else now + _LOOK_AGAIN

    def _goes_on_at(self, reply: Reply, gate: _Gate | None, at: float, now: float) -> float | None:
        """From when on the text goes on in a new message; None if it is written before, where it is."""
        if not reply.can_go_on:
            return None
        if not reply.closes:
            goes_on_at = reply.wrote + self._rollover_after_seconds
            return goes_on_at if at > goes_on_at else None
        if gate is not None and (line := self._lines.get(gate)) is not None:  # those that are as urgent go first
            at = max(at, gate.budget.ready_at(now, final=True, ahead=len(line)))
        return now if at > now + self._rollover_after_seconds * _ENDS_WAIT else None

    def _candidates(self, now: float) -> list[Reply]:
        """Who is to be looked at: those that woke, whose pause is over, and whose line moves."""
        found, self._woken = list(self._woken), {}
        while self._resting and self._resting[0][0] <= now + _SAME_TIME:
            entry = heapq.heappop(self._resting)
            if self._still_rests(entry):
                found.append(entry[2])
        for gate, line in self._lines.items():
            if gate.opens_at(now) <= now + _SAME_TIME:
                found += line.first(now)
        return found

    def _still_rests(self, entry: tuple[float, int, Reply]) -> bool:
        return self._places.get(entry[2]) == entry[0]

    def _put(self, reply: Reply, place: _Gate | float) -> None:
        self._places[reply] = place
        if isinstance(place, _Gate):
            self._lines.setdefault(place, _Line()).add(reply)
        else:
            heapq.heappush(self._resting, (place, self._number[reply], reply))

    def _take(self, reply: Reply) -> None:
        place = self._places.pop(reply, None)
        if isinstance(place, _Gate):
            line = self._lines[place]
            line.remove(reply)
            if not line.members:
                del self._lines[place]


def _longest(reply: Reply, now: float) -> tuple[_Gate | None, float]:
    """Until when a reply must wait, and for which budget if it is for one."""
    assert reply.verb is not None
    gate, latest, budgets = None, reply.due_at, reply.budgets[reply.verb]
    # Nobody is kept from the first words for the sake of spacing.
    urgent = reply.closes or (reply.shows_nothing and not reply.thinks)
    if not (urgent or reply.thinks):
        latest = max(latest, *(budget.paced_at(now, began=reply.began, wrote=reply.wrote) for budget in budgets))
    for budget in budgets:
        at = budget.ready_at(now, final=urgent)
        if at > latest:
            gate, latest = _Gate(budget, urgent), at
    return gate, latest


def _first_post_at(reply: Reply, now: float) -> float:
    """From when on the first words can be shown with a write left for the end."""
    return max(budget.first_post_at(now) for budget in reply.budgets[Verb.EDIT])


def _urgency(reply: Reply, now: float) -> tuple[int, float]:
    """The least is the most urgent. See the module's docstring."""
    rank = 0 if reply.closes else 3 if reply.thinks else 1 if reply.shows_nothing else 2
    return rank, -reply.unseen(now)
