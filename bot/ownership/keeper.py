"""Keeps this process's lease and lanes: heartbeats, take-overs, hand-overs and the inbox.

Rules belong to `bot.ownership.membership`, storage to an adapter of `bot.ownership.ports`. Heartbeats have a task of
their own, so that no other call delays them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from bot.errors import OutcomeUnknown, Retryable, ServiceError, cause_of
from bot.ownership.holder import LaneUser
from bot.ownership.inbox_reader import InboxReader
from bot.ownership.lane_records import LaneRecords
from bot.ownership.lanes import Grant, Lane
from bot.ownership.lease import LeaseTimes
from bot.ownership.membership import Changes, Load, Membership, SentHeartbeat
from bot.ownership.ports import Ownership, Route, RoutedEvent, TakenLane
from bot.ownership.spreading import Spreading
from bot.ownership.telemetry import (
    LaneChange,
    NoOwnershipRecorder,
    OwnershipRecorder,
    OwnershipStatus,
    status_of,
    tell_settings,
)
from bot.rate_limits.shared_window import SharedWindow

log = logging.getLogger(__name__)

# How often a stopping process looks whether a busy lane has become idle. Seconds.
_IDLE_POLL_SECONDS = 0.1

# Tries to route an event. Each fails only if a heartbeat overtakes the response, once a second at most.
_ROUTE_TRIES = 3


class SharedLimit(Protocol):
    """A limit of which each process has a share."""

    window: SharedWindow

    def demand(self, live: Mapping[Lane, int]) -> int:
        """The writes that this process would send in a window if it could; `live` are the answers of its lanes."""
        ...


@dataclass(frozen=True, slots=True)
class KeeperOptions:
    """All choices. `limits` are this process's shared limits by name; `allowances` are those of `LaneRecords`."""

    platforms: tuple[str, ...]
    times: LeaseTimes = field(default_factory=LeaseTimes)
    limits: Mapping[str, SharedLimit] = field(default_factory=dict)
    recorder: OwnershipRecorder = field(default_factory=NoOwnershipRecorder)
    allowances: Mapping[str, int] = field(default_factory=dict)


class Keeper:
    """One process among others, until `leave`. A fenced one goes on with a new id."""

    def __init__(
        self, ownership: Ownership, user: LaneUser, options: KeeperOptions, new_process: Callable[[], str]
    ) -> None:
        """`new_process` makes process ids, each used once in all time."""
        self._ownership = ownership
        self._user = user
        self._options = options
        self._new_process = new_process
        self._member = self._new_member()
        self._inbox = InboxReader(ownership, user, options.recorder, self._call_limit)
        self.records = LaneRecords(options.times.write_seconds, options.allowances)
        self._unreleased: dict[Grant, bool] = {}  # given up by us, and not yet by the engine; whether we wrote there
        self._spreading = Spreading()
        self._fails = False
        self._has_left = False
        self._beat_now = asyncio.Event()
        self._work = asyncio.Event()  # there may be something to take or to release
        self._arrived = asyncio.Event()  # there may be something to read
        self._good = asyncio.Event()  # set at each good heartbeat

    # ------------------------------------------------------------------------------------------------------ questions

    @property
    def process(self) -> str:
        """The present process id."""
        return self._member.process

    @property
    def is_valid(self) -> bool:
        """Whether the lease is valid just now."""
        return self._member.lease.is_valid(_now())

    @property
    def is_ready(self) -> bool:
        """Whether this process takes lanes: the grace period is over, and it does not stop."""
        return self._member.may_take(_now())

    @property
    def lanes(self) -> frozenset[Grant]:
        """The lanes in our hands."""
        return self._member.lanes

    def owns(self, lane: Lane) -> bool:
        """Whether new turns of the lane begin here."""
        return self._member.may_begin(lane, _now())

    def status(self) -> OwnershipStatus:
        """The lease and the lanes just now, for operators."""
        return status_of(self._member, self._options.platforms, _now(), is_engine_away=self._fails)

    def holds(self, lane: Lane) -> bool:
        """Whether turns of the lane go on here, perhaps once the lease is valid again."""
        return self._member.owned(lane) is not None

    # --------------------------------------------------------------------------------------------------------- running

    async def run(self) -> None:
        """Keep the lease and the lanes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(), name="heartbeats")
            group.create_task(self._do_work(), name="lanes")
            group.create_task(self._read_inbox(), name="inbox")
            group.create_task(self._ownership.listen(self._hear), name="hints")

    async def route(self, event: RoutedEvent) -> bool:
        """Whether this process handles the event itself. If not, its lane's owner has it in the inbox.

        Raises `Retryable` if neither is certain: then the event may not be acknowledged.
        """
        for _ in range(_ROUTE_TRIES):
            if self.owns(event.lane):
                return True
            member, asked = self._member, _now()
            may_keep = not (member.is_stopping or member.is_releasing(event.lane))
            async with self._call_limit():
                routed = await self._ownership.route(
                    member.caller(), event, may_take=member.may_take(asked), may_keep=may_keep
                )
            if routed.route is Route.QUEUED:
                self._options.recorder.event_routed(event.lane.platform)
                return False
            if routed.lane is not None:
                self._take([routed.lane], member, asked)
            if not self.owns(event.lane):  # a heartbeat was answered meanwhile; the next one tells
                self._good.clear()
                async with self._call_limit():
                    await self._good.wait()
        raise ServiceError(f"the owner of {event.lane} is not certain")

    def look(self) -> None:
        """Look for free lanes at once."""
        self._beat_now.set()

    def withdraw(self, lane: Lane) -> None:
        """The lane exists no longer: nothing is written there from now on."""
        self._lose(self._member.let_go([lane]))

    async def release_all(self, seconds: float) -> None:
        """Give all lanes up: idle ones at once, busy ones after their answers, all after `seconds`."""
        self._member.is_stopping = True
        for grant in self.lanes:
            self._member.begin_release(grant.lane)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.lanes:
                    self._give_up_idle()
                    if self.lanes:
                        await asyncio.sleep(_IDLE_POLL_SECONDS)

    async def leave(self) -> None:
        """Give up what is left, after the last write. A failure is logged, since the lease ends anyway."""
        self._member.is_stopping = self._has_left = True
        self._give_up([grant.lane for grant in self.lanes])
        try:
            await self._release()
            async with self._call_limit():
                await self._ownership.leave(self.process)
        except Retryable as failure:
            log.warning("left without the engine", extra={"failure": cause_of(failure)})

    # ------------------------------------------------------------------------------------------------------ heartbeats

    async def _beat(self) -> None:
        while not self._has_left:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._member.next_heartbeat_at):
                    await self._beat_now.wait()
            self._beat_now.clear()
            member, sent = self._member, self._make_heartbeat()
            try:
                async with self._call_limit():
                    response = await self._ownership.heartbeat(sent.heartbeat)
            except Retryable as failure:
                self._tell_failure(failure)
                member.failed(_now())
                continue
            self._options.recorder.heartbeat_answered(_now() - sent.at)
            changes = member.answered(sent, response, _now())
            if changes.is_fenced:
                if not self._has_left:
                    self._begin_anew(changes)
            else:
                self._follow(sent, changes)

    def _tell_failure(self, failure: Retryable) -> None:
        """One line for an outage, however many heartbeats fail."""
        self._options.recorder.heartbeat_failed()
        if not self._fails:
            log.warning("heartbeat failed: the engine is away", extra={"failure": cause_of(failure)})
        self._fails = True

    def _make_heartbeat(self) -> SentHeartbeat:
        member, now, live = self._member, _now(), self._user.live_answers()
        self._spreading.saw(live, now)
        reports = self.records.reports(member.lanes, live, now)
        loads = {name: Load(each.window.spent(now), each.demand(live)) for name, each in self._options.limits.items()}
        sent = member.heartbeat(now, reports, loads)
        self.records.promise(sent.heartbeat.number, reports)
        return sent

    def _begin_anew(self, changes: Changes) -> None:
        log.error("declared dead by another process: its lanes are lost", extra={"process_id": self.process})
        is_stopping = self._member.is_stopping
        self._lose(changes.lost)
        self._member = self._new_member()
        self._member.is_stopping = is_stopping
        self._unreleased.clear()
        self._set_shares()

    def _new_member(self) -> Membership:
        options = self._options
        return Membership(self._new_process(), options.times, options.platforms, tuple(options.limits))

    def _follow(self, sent: SentHeartbeat, changes: Changes) -> None:
        member, now = self._member, _now()
        if self._fails:
            log.info("the engine is back")
        self._fails = False
        if changes.has_new_settings:
            tell_settings(member.different_settings)
        self._lose(changes.lost)
        self._unreleased |= dict.fromkeys(changes.unknown, False) | {
            grant: self._unreleased.get(grant, True) for grant in changes.unreleased
        }
        self._win(changes.won)
        if member.lease.is_valid(now):
            lanes = member.lanes
            self.records.stored(sent.heartbeat.number, [grant for grant in sent.heartbeat.writes if grant in lanes])
            self.records.renew(lanes, member.lease.valid_until)
        self._set_shares()
        self._good.set()
        self._work.set()
        if member.has_events:
            self._arrived.set()

    def _set_shares(self) -> None:
        for name, limit in self._options.limits.items():
            limit.window.set_limit(self._member.shares[name].limit)

    # ------------------------------------------------------------------------------------------------ lanes and inbox

    def _take(self, taken: Sequence[TakenLane], member: Membership, asked: float) -> None:
        if taken and member is self._member:
            self._win(member.taken(taken, asked, _now()))
            self._beat_now.set()  # its list confirms lanes whose response a heartbeat has overtaken

    def _win(self, taken: Sequence[TakenLane]) -> None:
        for each in taken:
            self.records.won(each, _now())
            self._tell("lane taken", each.grant, LaneChange.WON)
            if self._member.is_stopping:
                self._give_up([each.grant.lane])
                continue
            self._spreading.saw([each.grant.lane], _now())
            self._user.lane_won(each.grant.lane, each.session)
        if taken:
            self._beat_now.set()  # writes begin once the next owner would know of them

    def _lose(self, grants: Iterable[Grant]) -> None:
        for grant in grants:
            self._tell("lane lost", grant, LaneChange.LOST)
            self.records.lost(grant.lane, _now())
            self._user.lane_lost(grant.lane)

    def _give_up(self, lanes: Iterable[Lane]) -> None:
        """Release lanes without live answers: nothing is written there from now on."""
        for grant in self._member.let_go(lanes):
            self._tell("lane released", grant, LaneChange.RELEASED)
            self._user.lane_lost(grant.lane)  # its last session is part of the release
            self.records.lost(grant.lane, _now())
            self._unreleased[grant] = True
            self._work.set()

    def _tell(self, line: str, grant: Grant, change: LaneChange) -> None:
        level = logging.WARNING if change is LaneChange.LOST else logging.INFO
        log.log(level, line, extra={"lane": str(grant.lane), "fence": grant.fence})
        self._options.recorder.lane_changed(grant.lane.platform, change)

    def _give_up_idle(self) -> None:
        live = self._user.live_answers()
        self._give_up([grant.lane for grant in self.lanes if not live.get(grant.lane)])

    async def _do_work(self) -> None:
        """Whatever is to be done after a good heartbeat, one call after the other."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self._release()
                await self._take_over()
            except Retryable as failure:
                log.warning("the engine failed", extra={"failure": cause_of(failure)})

    async def _release(self) -> None:
        grants, process = dict(self._unreleased), self.process
        if not grants:
            return
        reports = {
            grant: self.records.final_report(grant.lane, _now()) if has_written else None
            for grant, has_written in grants.items()
        }
        async with self._call_limit():
            await self._ownership.release(process, reports)
        for grant in grants:
            self._unreleased.pop(grant, None)

    async def _take_over(self) -> None:
        """Declare the dead dead, take free lanes, and give up what is too much."""
        member = self._member
        if member.finds_dead(_now()):
            async with self._call_limit():
                dead = await self._ownership.reap(member.caller())
            if dead:
                log.warning("declared dead", extra={"processes": ", ".join(dead)})
            member.reaped(_now())
            self._beat_now.set()
        for platform, most in member.takes(_now()).items():
            asked = _now()
            async with self._call_limit():
                taken = await self._ownership.take(member.caller(), platform, most)
            self._take(taken, member, asked)
        move = self._spreading.next_move(member, self._user.live_answers(), _now())
        if move.close is not None:
            log.info("lane closed, to be released after its answers", extra={"lane": str(move.close)})
            member.begin_release(move.close)
            self._user.lane_closed(move.close)
        self._give_up(move.give_up)

    async def _read_inbox(self) -> None:
        """Read the inbox whenever it may have events of our lanes."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._member.is_stopping:
                continue  # they are the next owners'
            try:
                await self._inbox.read(self.process, self.owns)
            except Retryable as failure:
                log.warning("the inbox cannot be read", extra={"failure": cause_of(failure)})

    def _hear(self, hint: str) -> None:
        """A hint saves the wait for the next heartbeat."""
        if hint == self.process:
            self._arrived.set()
        elif not hint:
            self._beat_now.set()

    @asynccontextmanager
    async def _call_limit(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._options.times.timeout_seconds):
                yield
        except TimeoutError as error:
            raise OutcomeUnknown("the engine does not answer in time") from error


def _now() -> float:
    return asyncio.get_running_loop().time()
