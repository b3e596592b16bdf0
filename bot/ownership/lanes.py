"""Lanes: the units of ownership, how many a process takes or gives up, and in which order.

A lane is a Slack installation and workspace, or a Discord shard. All rate limits within it are used by its owner alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from typing_extensions import override

# Owners of too many lanes give some up if one has more than this many times the mean, or another that much less: a
# smaller imbalance is worth no hand-over.
IMBALANCE = 1.25

# A lane without a live answer for this time is idle. Seconds.
IDLE_SECONDS = 60.0

# A lane is poisoned if so many of its owners died within this time: one of its turns may be what kills them. Seconds.
POISONED_DEATHS = 3
POISONED_SECONDS = 600.0


class Lane(NamedTuple):
    """The name of a lane: ``T1`` or ``E1:T1`` on Slack, ``3/16`` (shard and number of shards) on Discord."""

    platform: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.platform}/{self.name}"


@dataclass(frozen=True, slots=True)
class Grant:
    """A lane as the engine gave it to an owner. The fence is greater with every owner."""

    lane: Lane
    fence: int


class LaneState(Enum):
    """What a process does with a lane."""

    OWNED = "owned"
    RELEASING = "releasing"  # starts no new turns; live answers end
    LOST = "lost"  # another process may own it: not one more write


TRANSITIONS: Mapping[LaneState, frozenset[LaneState]] = MappingProxyType(
    {
        LaneState.OWNED: frozenset({LaneState.RELEASING, LaneState.LOST}),
        LaneState.RELEASING: frozenset({LaneState.LOST}),
        LaneState.LOST: frozenset(),
    }
)


class IllegalTransition(RuntimeError):
    """A bug: a lane cannot change in this way."""


@dataclass(frozen=True, slots=True)
class LaneCounts:
    """One platform's lanes, as the engine counts them.

    `takers` are the live processes that take lanes now, `members` those that do now or soon: all but the stopping ones.
    `rank` of the members come before the asking process. `least` is the fewest lanes of a taker, if known.
    `is_overdue`: some lane has been free for a whole lease.
    """

    lanes: int = 0
    free: int = 0
    takers: int = 0
    is_overdue: bool = False
    members: int = 0
    rank: int = 0
    least: int | None = None

    @property
    def fair_share(self) -> int:
        """The lanes of the asking process, if evenly spread: the shares of all members add up to the lanes."""
        whole, rest = divmod(self.lanes, max(self.members, self.takers, 1))
        return whole + (self.rank < rest)

    @property
    def mean(self) -> float:
        """The lanes of a taker in the mean."""
        return self.lanes / max(self.takers, 1)


def lanes_to_take(counts: LaneCounts, owned: int, *, is_left_over: bool = False) -> int:
    """How many free lanes a process takes now: up to its fair share, so that one look of each process takes all.

    Those who should take the rest may be unable to. Once they had the time for it (`is_left_over`), it takes an equal
    part of the rest each time.
    """
    most = counts.fair_share - owned
    if is_left_over:
        most = max(most, math.ceil(counts.free / max(counts.takers, 1)))
    return max(min(most, counts.free), 0)


def lanes_to_give_up(counts: LaneCounts, owned: int) -> int:
    """How many lanes an owner of too many gives up. Nothing moves while lanes are free anyway."""
    least = owned if counts.least is None else counts.least
    is_uneven = owned > IMBALANCE * counts.mean or IMBALANCE * least < counts.mean
    if counts.free or counts.takers < 2 or not is_uneven or (counts.least is not None and owned < least + 2):
        return 0
    return max(owned - counts.fair_share, 0)


@dataclass(frozen=True, slots=True)
class FreeLane:
    """A lane without an owner, since a time; `deaths` are those of its owners. Times of the engine."""

    lane: Lane
    since: float
    deaths: tuple[float, ...] = ()

    def is_poisoned(self, now: float) -> bool:
        """Whether its owners keep dying."""
        return is_poisoned(self.deaths, now)


def is_poisoned(deaths: Iterable[float], now: float) -> bool:
    """Whether a lane's owners died too often lately."""
    return sum(now - died < POISONED_SECONDS for died in deaths) >= POISONED_DEATHS


def taking_order(free: Iterable[FreeLane], now: float) -> Sequence[Lane]:
    """Poisoned lanes last: whoever they kill shall have taken the others before. Else the longest free first."""
    return [each.lane for each in sorted(free, key=lambda lane: (lane.is_poisoned(now), lane.since, lane.lane))]
