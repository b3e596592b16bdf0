"""One process among others: its lease, its lanes and its shares, as a state machine over given times.

`Membership` learns from responses and says what to send next. It does no I/O; `bot.ownership.keeper` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.ownership.lanes import (
    TRANSITIONS,
    Grant,
    IllegalTransition,
    Lane,
    LaneCounts,
    LaneState,
    lanes_to_give_up,
    lanes_to_take,
)
from bot.ownership.late_responses import LateResponses
from bot.ownership.lease import EngineTime, Lease, LeaseTimes
from bot.ownership.ports import Caller, Heartbeat, HeartbeatResponse, TakenLane
from bot.ownership.shares import Share, ShareReport
from bot.ownership.write_history import WriteReport

# How long after the end of another's lease to look: it must be over by the engine's clock. Seconds.
_LAPSE_SECONDS = 0.02

# Each process looks for free lanes at each heartbeat. Who has not taken its part after so many may be dead.
_LEFT_OVER_HEARTBEATS = 0.9


@dataclass(frozen=True, slots=True)
class Load:
    """A process's use of a shared limit: the writes of it that count still or are in flight, and its demand."""

    spent: int = 0
    demand: int = 0


@dataclass(frozen=True, slots=True)
class SentHeartbeat:
    """A heartbeat, and when it was sent."""

    heartbeat: Heartbeat
    at: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What a response changed: lanes won and lost, and those to be released once more, as their release failed.

    `unknown` lanes are to be released as they are: no response to `take` told of their earlier owner's calls.
    `has_new_settings`: other tables of settings differ from those of other processes than before.
    """

    won: tuple[TakenLane, ...] = ()
    lost: tuple[Grant, ...] = ()
    unreleased: tuple[Grant, ...] = ()
    unknown: tuple[Grant, ...] = ()
    is_fenced: bool = False
    has_new_settings: bool = False


@dataclass(frozen=True, slots=True)
class _Held:
    """A lane in our hands: not LOST. `since` is when we learned of it."""

    grant: Grant
    state: LaneState
    since: float


class Membership:
    """The state of one process id, from its first heartbeat to its end."""

    def __init__(
        self,
        process: str,
        times: LeaseTimes = LeaseTimes(),  # noqa: B008 (a frozen value)
        platforms: Sequence[str] = (),
        limits: Sequence[str] = (),
    ) -> None:
        """`limits` names the shared limits of which this process wants a share."""
        self.process = process
        self.times = times
        self.lease = Lease(times)
        self.shares: dict[str, Share] = {limit: Share() for limit in limits}
        self.counts: Mapping[str, LaneCounts] = {}
        self.is_stopping = False  # it takes nothing more
        self.next_heartbeat_at = -math.inf
        self._heard = HeartbeatResponse(EngineTime("", 0.0))  # the last good one
        self._looks_again = False  # the next heartbeat follows a death at once
        self._left_over_since: dict[str, float] = {}  # by platform: free lanes, none of them our part
        self._platforms = tuple(platforms)
        self._awaited: SentHeartbeat | None = None
        self._held: dict[Lane, _Held] = {}
        self._let_go: set[Grant] = set()  # given up, or lost
        self._late = LateResponses(times.timeout_seconds)

    # ------------------------------------------------------------------------------------------------------ questions

    @property
    def has_events(self) -> bool:
        """Whether the inbox holds events of our lanes."""
        return self._heard.has_events

    @property
    def different_settings(self) -> frozenset[str]:
        """The tables of settings in which another process differs."""
        return self._heard.different_settings

    @property
    def lanes(self) -> frozenset[Grant]:
        """The lanes in our hands, if the lease is valid."""
        return frozenset(held.grant for held in self._held.values())

    def owned(self, lane: Lane) -> Grant | None:
        """Our grant of a lane, if it is in our hands."""
        held = self._held.get(lane)
        return held.grant if held is not None else None

    def may_write(self, lane: Lane, now: float) -> bool:
        """Whether a write in the lane may be sent."""
        return lane in self._held and self.lease.is_valid(now)

    def is_releasing(self, lane: Lane) -> bool:
        """Whether the lane is ours for its live answers alone."""
        held = self._held.get(lane)
        return held is not None and held.state is LaneState.RELEASING

    def may_begin(self, lane: Lane, now: float) -> bool:
        """Whether a new turn may begin in the lane."""
        held = self._held.get(lane)
        return held is not None and held.state is LaneState.OWNED and self.lease.is_valid(now)

    def may_take(self, now: float) -> bool:
        """Whether this process may take lanes."""
        return self.lease.may_take(now) and not self.is_stopping

    def caller(self) -> Caller:
        """For calls of the engine; only after a first good heartbeat."""
        heard = self.lease.last.engine if self.lease.last is not None else EngineTime("", 0.0)
        return Caller(self.process, heard)

    def takes(self, now: float) -> Mapping[str, int]:
        """How many free lanes of each platform to take, by the last response."""
        if not self.may_take(now):
            return {}
        owned = {
            platform: lanes_to_take(
                counts, self._owned(platform), is_left_over=self._is_left_over(platform, counts, now)
            )
            for platform, counts in self.counts.items()
        }
        return {platform: most for platform, most in owned.items() if most}

    def _is_left_over(self, platform: str, counts: LaneCounts, now: float) -> bool:
        """Whether those who should take free lanes had time to: a grace period, or a heartbeat if all are past it."""
        since = self._left_over_since.get(platform)
        if since is None:
            return False
        if counts.takers >= counts.members:
            return now - since >= _LEFT_OVER_HEARTBEATS * self.times.heartbeat_seconds
        return counts.is_overdue and now - since >= self.times.lease_seconds

    def excess(self, now: float) -> Mapping[str, int]:
        """How many lanes of each platform to give up, since others own far fewer."""
        if not self.may_take(now):
            return {}
        found = {each: lanes_to_give_up(counts, self._owned(each)) for each, counts in self.counts.items()}
        return {platform: most for platform, most in found.items() if most}

    # ------------------------------------------------------------------------------------------------------ heartbeats

    def heartbeat(self, now: float, writes: Mapping[Grant, WriteReport], loads: Mapping[str, Load]) -> SentHeartbeat:
        """The heartbeat to send now. The response to an earlier one counts no more, except for a refusal."""
        number = self._awaited.heartbeat.number + 1 if self._awaited is not None else 1
        self.next_heartbeat_at = now + self.times.heartbeat_seconds
        last = self.lease.last
        heartbeat = Heartbeat(
            self.process,
            number,
            self.times.lease_seconds,
            self._platforms,
            may_take=self.may_take(now),
            epoch=last.engine.epoch if last is not None else "",
            shares={
                limit: ShareReport(share.in_use(now, load.spent), load.demand)
                for limit, share in self.shares.items()
                for load in (loads.get(limit, Load()),)
            },
            writes=writes,
            is_stopping=self.is_stopping,
            owned={platform: self._owned(platform) for platform in self._platforms},
        )
        self._awaited = SentHeartbeat(heartbeat, now)
        return self._awaited

    def answered(self, sent: SentHeartbeat, response: HeartbeatResponse | None, now: float) -> Changes:
        """The response to a heartbeat came; None is a refusal."""
        if response is None:
            self.lease = self.lease.fenced()
            return Changes(lost=self._lose(self._held), is_fenced=True)
        lease = self.lease.confirmed(sent.at, now, response.engine, is_settled=response.is_settled)
        if sent is not self._awaited or lease is self.lease:
            return Changes()
        is_resuming = lease.resumes_at != self.lease.resumes_at
        has_new_settings = response.different_settings != self.different_settings
        self.lease, self.counts, self._heard = lease, response.counts, response
        self._looks_again = self._looks_again and response.lapses_in < 0
        self._schedule(sent, now)
        self._look_at_leftovers(now)
        for limit, share in self.shares.items():
            # Our share may be another's by commits that this engine lacks. So nothing grows in the grace period.
            most = 0 if is_resuming else response.shares.get(limit, 0)
            self.shares[limit] = share.granted(most if lease.may_take(now) else min(most, share.limit), now)
        return replace(self._compare(response.lanes, sent.at, now), has_new_settings=has_new_settings)

    def _schedule(self, sent: SentHeartbeat, now: float) -> None:
        """The next heartbeat comes earlier if something is to be done then."""
        at = [self.next_heartbeat_at]
        if self.lease.may_reap(now) and not self.is_stopping and self._heard.lapses_in >= 0:
            at.append(now + self._heard.lapses_in + _LAPSE_SECONDS)
        if self.may_take(now) and not sent.heartbeat.may_take:
            at.append(now)  # others count us from then on
        if self.lease.grace_until > now:
            at.append(self.lease.grace_until)
        self.next_heartbeat_at = min(at)

    def _look_at_leftovers(self, now: float) -> None:
        for platform, counts in self.counts.items():
            if self.may_take(now) and counts.free and not lanes_to_take(counts, self._owned(platform)):
                self._left_over_since.setdefault(platform, now)
            else:
                self._left_over_since.pop(platform, None)

    def failed(self, now: float) -> None:
        """A heartbeat has no response in time, or no engine."""
        self.next_heartbeat_at = min(self.next_heartbeat_at, now + self.times.retry_seconds)

    def finds_dead(self, now: float) -> bool:
        """Whether to reap now."""
        return self.lease.may_reap(now) and not self.is_stopping and self._heard.lapses_in < 0

    def reaped(self, now: float) -> None:
        """Somebody is dead, declared by us or by another: look at once for lanes that are free now."""
        if not self._looks_again:
            self.next_heartbeat_at = now
            self._looks_again = True

    def _compare(self, lanes: frozenset[Grant], sent: float, now: float) -> Changes:
        """Follow the engine's list. It may be older than a lane just taken, or one just given up."""
        gone = [lane for lane, held in self._held.items() if held.since <= sent and held.grant not in lanes]
        lost = self._lose(gone)
        unreleased = tuple(lanes & self._let_go)
        won = self._win(self._late.confirm(lanes, sent), now)
        unknown = self._late.overdue((each for each in lanes - self._let_go if self.owned(each.lane) != each), now)
        self._let_go.update(unknown)
        return Changes(won, lost, unreleased, unknown)

    # ----------------------------------------------------------------------------------------------------------- lanes

    def taken(self, lanes: Iterable[TakenLane], asked: float, now: float) -> Sequence[TakenLane]:
        """The response to a call made at `asked` came. Returns the lanes that are new in our hands.

        After a later heartbeat the engine's list says more: these are left to the next one.
        """
        if self.lease.last is None or self.lease.last.sent > asked or not self.lease.is_valid(now):
            self._late.add(lanes, now)
            return ()
        return self._win(lanes, now)

    def begin_release(self, lane: Lane) -> None:
        """Begin no new turns in the lane."""
        if self.is_releasing(lane):
            return
        self._held[lane] = _moved(self._held[lane], LaneState.RELEASING)

    def let_go(self, lanes: Iterable[Lane]) -> Sequence[Grant]:
        """Give lanes up: from now on nothing is written there. Returns the grants to release."""
        return self._lose([lane for lane in lanes if lane in self._held])

    def _win(self, lanes: Iterable[TakenLane], now: float) -> tuple[TakenLane, ...]:
        won: list[TakenLane] = []
        for taken in lanes:
            lane, held = taken.grant.lane, self._held.get(taken.grant.lane)
            if taken.grant not in self._let_go and (held is None or held.grant != taken.grant):
                self._held[lane] = _Held(taken.grant, LaneState.OWNED, now)
                won.append(taken)
        return tuple(won)

    def _lose(self, lanes: Iterable[Lane]) -> tuple[Grant, ...]:
        lost = [_moved(self._held.pop(lane), LaneState.LOST).grant for lane in list(lanes)]
        self._let_go.update(lost)
        return tuple(lost)

    def _owned(self, platform: str) -> int:
        return sum(lane.platform == platform for lane in self._held)


def _moved(held: _Held, state: LaneState) -> _Held:
    if state not in TRANSITIONS[held.state]:
        raise IllegalTransition(f"{held.grant.lane} cannot be {state.value} after {held.state.value}")
    return _Held(held.grant, state, held.since)
