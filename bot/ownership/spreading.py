"""Which lanes an owner of too many gives up: idle ones at once, busy ones one after the other.

A busy lane is the one with the fewest live answers. Without any, it moves at once. Else it is *closed*: new questions
go to its next owner, and it moves when its answers have ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bot.ownership.lanes import IDLE_SECONDS, Lane
from bot.ownership.membership import Membership

# Longest wait for the answers of a closed lane, since new questions there wait too. Then the next owner goes on with
# them in the same messages. Seconds.
CLOSED_SECONDS = 20.0

# Heartbeats between two busy lanes: the first one has an owner by then, and all know who owns how many.
_PAUSE_HEARTBEATS = 3


@dataclass(frozen=True, slots=True)
class Move:
    """What to do now: lanes to give up, and a lane to close."""

    give_up: Sequence[Lane] = ()
    close: Lane | None = None


class Spreading:
    """Decides for one process. It remembers when each lane last had a live answer."""

    def __init__(self) -> None:
        self._busy_at: dict[Lane, float] = {}
        self._closed: tuple[Lane, float] | None = None  # since when
        self._moved_at = float("-inf")  # when the last busy lane was given up

    def saw(self, lanes: Collection[Lane], now: float) -> None:
        """These lanes have live answers, or are new."""
        self._busy_at |= dict.fromkeys(lanes, now)

    def next_move(self, member: Membership, live: Mapping[Lane, int], now: float) -> Move:
        """What to do after a good heartbeat; `live` are the live answers of each lane."""
        if self._closed is not None:
            lane, since = self._closed
            if member.owned(lane) is None or not member.is_releasing(lane):
                self._closed = None  # it is lost
            elif live.get(lane) and now < since + CLOSED_SECONDS:
                return Move()
            else:
                self._closed, self._moved_at = None, now
                return Move((lane,))
        idle: list[Lane] = []
        busy: list[Lane] = []
        for platform, most in member.excess(now).items():
            owned = [grant.lane for grant in member.lanes if grant.lane.platform == platform]
            found = [lane for lane in sorted(owned) if self._is_idle(lane, live, now)]
            idle += found[:most]
            busy += owned if not found else ()
        if idle or not busy or now < self._moved_at + _PAUSE_HEARTBEATS * member.times.heartbeat_seconds:
            return Move(tuple(idle))
        return self._move_busy(
            min(busy, key=lambda lane: (live.get(lane, 0), self._busy_at.get(lane, 0.0), lane)), live, now
        )

    def _move_busy(self, lane: Lane, live: Mapping[Lane, int], now: float) -> Move:
        if not live.get(lane):
            self._moved_at = now
            return Move((lane,))
        self._closed = lane, now
        return Move(close=lane)

    def _is_idle(self, lane: Lane, live: Mapping[Lane, int], now: float) -> bool:
        return not live.get(lane) and self._busy_at.get(lane, float("-inf")) <= now - IDLE_SECONDS
