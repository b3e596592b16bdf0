"""The way an answer is written: by edits or by a native stream. Pure; time is given.

Both spend their own rate limits, shared with other replies. The cheaper one shows text sooner: each mode's seconds
between two writes follow from its remaining permits and its live replies. Ties go to streams, the platform's own look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum

from bot.ports import ChannelCapabilities, StreamCapabilities, Verb
from bot.rate_limits import Budget

# Writes closer than this look alike to a reader (`WritePolicy.gap_seconds`). Seconds.
COMFORTABLE_SECONDS = 0.6

# Longest wait for a start before the answer goes by posts and edits: a wait that readers do not notice. Seconds.
SOON_SECONDS = 1.0

Budgets = Mapping[Verb, Sequence[Budget]]


class Mode(Enum):
    """How an answer is written."""

    UNDECIDED = "undecided"  # until its first text
    EDITS = "edits"
    STREAM = "stream"


def choose_mode(stream: StreamCapabilities | None, budgets: Budgets, now: float) -> Mode:
    """The mode of an answer whose first write is due."""
    if stream is None:
        return Mode.EDITS
    if stream.always:
        return Mode.STREAM if starts_in_time(budgets, now, SOON_SECONDS) else Mode.EDITS
    is_cheaper = _own_seconds(budgets, Verb.APPEND, now) <= _own_seconds(budgets, Verb.EDIT, now)
    return Mode.STREAM if is_cheaper and starts_in_time(budgets, now) else Mode.EDITS


def may_preview(stream: StreamCapabilities | None, budgets: Budgets, now: float) -> bool:
    """Whether a preview of the reasoning may begin an answer. Edits replace it, so the answer does not stream then."""
    has_edit = all(budget.ready_at(now, final=False) <= now for budget in budgets[Verb.EDIT])
    return has_edit or choose_mode(stream, budgets, now) is not Mode.STREAM


def start_at(budgets: Budgets, now: float) -> float:
    """When a stream may start, leaving a permit for the stop of each open one."""
    starts = (budget.ready_at(now, final=True) for budget in budgets[Verb.START])
    return max(now, *starts, *(budget.first_post_at(now) for budget in budgets[Verb.STOP]))


def starts_in_time(budgets: Budgets, now: float, wait: float = 0.0) -> bool:
    """Whether a stream may start at most `wait` seconds after a post would.

    A limit shared by both (a lease, a global limit) delays both, so it is no reason for edits.
    """
    post_at = max(now, *(budget.ready_at(now, final=True) for budget in budgets[Verb.POST]))
    return start_at(budgets, now) <= post_at + wait


def _own_seconds(budgets: Budgets, verb: Verb, now: float) -> float:
    """`seconds_per_write` without the limits that both modes spend."""
    other = Verb.EDIT if verb is Verb.APPEND else Verb.APPEND
    return seconds_per_write([budget for budget in budgets[verb] if budget not in budgets[other]], now)


def seconds_per_write(budgets: Sequence[Budget], now: float) -> float:
    """Seconds between two writes of one more reply, as far as readers notice; at first, the wait for any permit."""
    return max((COMFORTABLE_SECONDS, *(_seconds_per_write(budget, now) for budget in budgets)))


def _seconds_per_write(budget: Budget, now: float) -> float:
    interval = budget.paced_at(now, began=now, wrote=now) - now
    shared = interval * (budget.live + 1) / max(budget.live, 1)
    return max(shared, budget.ready_at(now, final=False) - now)


def with_stream_limit(caps: ChannelCapabilities) -> ChannelCapabilities:
    """The same with messages that fit into a stream too, in the stream's unit."""
    stream = caps.stream
    if stream is None:
        return caps
    per_unit = stream.limit / caps.limit

    def measure(text: str) -> int:
        return max(stream.measure(text), math.ceil(caps.measure(text) * per_unit))

    return replace(caps, limit=stream.limit, measure=measure)
