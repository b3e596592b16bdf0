"""Several processes and their engine on one global time, with clocks of their own and a network that fails.

The processes are `bot.ownership.membership.Membership`, driven as `bot.ownership.keeper` does. A paused process does
nothing until it resumes; then it does all that came meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from bot.callbacks import no_op
from bot.ownership.lanes import Grant, Lane
from bot.ownership.lease import LeaseTimes
from bot.ownership.membership import Changes, Load, Membership, SentHeartbeat
from bot.ownership.ports import HeartbeatResponse, InboxEvent, Route, Routed, RoutedEvent, TakenLane
from bot.ownership.spreading import Spreading
from bot.ownership.write_history import WriteReport
from tests.support.engine import Engine, Stale, Tables

LIMIT = "discord"
SHARED = 45
PLATFORM = "slack"
REDELIVERY_SECONDS = 3.0  # of an event without acknowledgement
HORIZON_SECONDS = 1e-6


class Loss(Enum):
    """What the network loses."""

    NOTHING = "nothing"
    REQUEST = "request"
    RESPONSE = "response"


@dataclass(frozen=True)
class Network:
    """One process's way to the engine."""

    there: float = 0.002
    back: float = 0.002
    loses: Loss = Loss.NOTHING

    @property
    def is_well(self) -> bool:
        return self.loses is Loss.NOTHING and self.there + self.back <= 0.2


@dataclass
class Host:
    """One machine with one process at a time."""

    name: str
    rate: float
    offset: float
    membership: Membership
    network: Network = field(default_factory=Network)
    is_paused: bool = False
    is_killed: bool = False
    unwell_at: float = float("-inf")
    delayed: list[Callable[[], None]] = field(default_factory=list)
    timer: int = 0
    limits: list[tuple[float, int]] = field(default_factory=list)  # of its share, as used
    demand: int = 0
    spreading: Spreading = field(default_factory=Spreading)
    live: dict[Lane, int] = field(default_factory=dict)  # live answers, as far as the lane is its own

    def local(self, now: float) -> float:
        return self.rate * now + self.offset

    def world(self, local: float) -> float:
        return (local - self.offset) / self.rate


class Cluster:
    """The world. `check` is called after every event."""

    def __init__(self, rate: float = 1.0, times: LeaseTimes = LeaseTimes()) -> None:  # noqa: B008 (a frozen value)
        self.now = 100.0
        self.times = times
        self.engine_offset, self.engine_rate = 0.0, rate
        self.engine = Engine(lambda: self.now * self.engine_rate + self.engine_offset, {LIMIT: SHARED})
        self.is_engine_up, self.swallows = True, False
        self.hosts: dict[str, Host] = {}
        self.calm_since = self.now
        self.unowned_since: dict[Lane, float] = {}
        self.handled: Counter[str] = Counter()
        self.acknowledged: dict[str, float] = {}
        self.lost: set[str] = set()  # acknowledged by a lost commit
        self.lost_at = float("-inf")
        self.lagging: tuple[float, Tables] | None = None  # a stand-by server that receives no more
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order, self._starts = itertools.count(), itertools.count()
        self._gone: list[Host] = []
        self._checked = self._granted = 0  # deaths and grants
        self._fences: dict[Lane, int] = {}

    # ----------------------------------------------------------------------------------------------------------- time

    def at(self, when: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (max(when, self.now), next(self._order), happens))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, happens = heapq.heappop(self._queue)
            happens()
            self.check()
        self.now = end
        self.check()

    # ---------------------------------------------------------------------------------------------------------- faults

    def disturb(self, host: Host | None = None) -> None:
        self.calm_since = self.now
        if host is not None:
            host.unwell_at = self.now

    def start(self, name: str, rate: float = 1.0, offset: float = 0.0) -> Host:
        host = self.hosts[name] = Host(name, rate, offset, self._member(name))
        self.disturb()
        self._arm(host)
        return host

    def _member(self, name: str) -> Membership:
        return Membership(f"{name}.{next(self._starts)}", self.times, (PLATFORM,), (LIMIT,))

    def kill(self, host: Host) -> None:
        self.disturb(host)
        host.is_killed = True
        del self.hosts[host.name]
        self._gone.append(host)

    def pause(self, host: Host) -> None:
        self.disturb(host)
        host.is_paused = True

    def resume(self, host: Host) -> None:
        self.disturb(host)
        host.is_paused = False
        delayed, host.delayed = host.delayed, []
        for happens in delayed:
            happens()

    def connect(self, host: Host, network: Network) -> None:
        self.disturb(host)
        host.network = network

    def stop_engine(self, *, swallows: bool) -> None:
        self.disturb()
        self.is_engine_up, self.swallows = False, swallows

    def start_engine(self, *, lost: bool = False, clock_step: float = 0.0) -> None:
        """It comes back; with `lost`, as the stand-by that lags."""
        self.disturb()
        self.is_engine_up = True
        self.engine_offset += clock_step
        tables = None
        if lost and self.lagging is not None:
            since, tables = self.lagging
            self.lost_at = self.now
            for event in [event for event, at in self.acknowledged.items() if at >= since]:
                del self.acknowledged[event]  # that is why a synchronous stand-by is needed
            for event in set(self.handled) - tables.journal:
                del self.handled[event]
        self.lagging = None
        self.engine.restart(tables)

    def lag(self) -> None:
        self.lagging = (self.now, self.engine.snapshot())

    # ----------------------------------------------------------------------------------------------------- the network

    def call(
        self,
        host: Host,
        request: Callable[[], Any],
        answered: Callable[[Any], object] = no_op,
        failed: Callable[[], object] = no_op,
    ) -> None:
        """One call of the engine. A response comes even late; `failed` comes at once or after the time-out."""
        process, timeout = host.membership.process, self.times.timeout_seconds / host.rate
        is_open = [True]

        def fail() -> None:
            if is_open[0]:
                is_open[0] = False
                self.run_on(host, process, failed)

        def arrive() -> None:
            if not self.is_engine_up:
                if not self.swallows:
                    fail()
                return
            try:
                response = request()
            except Stale:
                return
            if host.network.loses is not Loss.RESPONSE:
                self.at(self.now + host.network.back, lambda: self.run_on(host, process, lambda: receive(response)))

        def receive(response: Any) -> None:
            is_open[0] = False
            answered(response)

        if host.network.loses is not Loss.REQUEST:
            self.at(self.now + host.network.there, arrive)
        self.at(self.now + timeout, fail)

    def run_on(self, host: Host, process: str, happens: Callable[[], object]) -> None:
        if host.is_killed or host.membership.process != process:
            return
        if host.is_paused:
            host.delayed.append(lambda: self.run_on(host, process, happens))
        else:
            happens()

    # -------------------------------------------------------------------------------------------------- what hosts do

    def _arm(self, host: Host) -> None:
        """Set the timer of the next heartbeat."""
        host.timer += 1
        timer, process, due = host.timer, host.membership.process, host.world(host.membership.next_heartbeat_at)

        def ring() -> None:
            if host.timer == timer:
                self._beat(host)

        self.at(due, lambda: self.run_on(host, process, ring))

    def _beat(self, host: Host) -> None:
        member = host.membership
        writes = {grant: WriteReport() for grant in member.lanes}
        sent = member.heartbeat(host.local(self.now), writes, {LIMIT: Load(0, host.demand)})
        self._arm(host)
        self.call(
            host,
            lambda: self.engine.heartbeat(sent.heartbeat),
            lambda response: self._answered(host, sent, response),
            lambda: self._failed(host),
        )

    def _failed(self, host: Host) -> None:
        host.membership.failed(host.local(self.now))
        self._arm(host)

    def _answered(self, host: Host, sent: SentHeartbeat, response: HeartbeatResponse | None) -> None:
        member = host.membership
        changes = member.answered(sent, response, host.local(self.now))
        for check_at in (member.lease.valid_until, member.lease.resumes_at):
            if abs(check_at) < float("inf"):
                self.at(host.world(check_at) + HORIZON_SECONDS, lambda: None)
        if changes.is_fenced:
            self._restart(host)
            return
        self._arm(host)
        self._follow(host, changes)

    def _restart(self, host: Host) -> None:
        host.membership, host.spreading = self._member(host.name), Spreading()
        self._arm(host)

    def _follow(self, host: Host, changes: Changes) -> None:
        member = host.membership
        local = host.local(self.now)
        again = [
            *changes.unreleased,
            *changes.unknown,
            *(member.let_go(each.grant.lane for each in changes.won) if member.is_stopping else ()),
        ]
        if again:
            self._release(host, again)
        if member.has_events:
            self.call(host, lambda: self.engine.events(member.process, 10), lambda found: self._read(host, found))
        if not member.may_take(local):
            return
        caller = member.caller()
        if member.finds_dead(local):
            self.call(host, lambda: self.engine.reap(caller), lambda dead: self._reaped(host))
        for platform, most in member.takes(local).items():
            self.call(
                host,
                lambda platform=platform, most=most: self.engine.take(caller, platform, most),  # type: ignore[misc]
                lambda taken: self._taken(host, taken, local),
            )
        self._spread(host, local)

    def _spread(self, host: Host, local: float) -> None:
        """Give up, or close, what is too much; `host.live` are its live answers."""
        member = host.membership
        live = {lane: count for lane, count in host.live.items() if member.owned(lane) is not None}
        host.spreading.saw(live, local)
        move = host.spreading.next_move(member, live, local)
        if move.close is not None:
            member.begin_release(move.close)
        if move.give_up:
            self._release(host, member.let_go(move.give_up))

    def _reaped(self, host: Host) -> None:
        host.membership.reaped(host.local(self.now))
        self._arm(host)

    def _taken(self, host: Host, taken: list[TakenLane], asked: float) -> list[TakenLane]:
        won = list(host.membership.taken(taken, asked, host.local(self.now)))
        if won and host.membership.is_stopping:
            grants = host.membership.let_go(each.grant.lane for each in won)
            self._release(host, grants)
        return won

    def _release(self, host: Host, grants: Sequence[Grant]) -> None:
        process, reports = host.membership.process, {grant: WriteReport() for grant in grants}
        if grants:
            self.call(host, lambda: self.engine.release(process, reports))

    def begin_stop(self, host: Host) -> None:
        """SIGTERM: lanes are busy until `release_lane`."""
        self.disturb(host)
        host.membership.is_stopping = True
        for grant in host.membership.lanes:
            host.membership.begin_release(grant.lane)

    def release_lane(self, host: Host, lane: Lane) -> None:
        self.disturb(host)
        grants = host.membership.let_go([lane])
        self._release(host, grants)

    def leave(self, host: Host) -> None:
        """The last act of a process."""
        process = host.membership.process
        grants = host.membership.let_go([grant.lane for grant in host.membership.lanes])
        self._release(host, grants)
        self.call(host, lambda: self.engine.leave(process))
        self.kill(host)

    # ---------------------------------------------------------------------------------------------------------- events

    def deliver(self, event: RoutedEvent, host: Host | None = None) -> None:
        """A platform delivers an event to some process, again and again until it is acknowledged."""
        if event.id in self.acknowledged or event.id in self.lost:
            return
        self.at(self.now + REDELIVERY_SECONDS, lambda: self.deliver(event, next(iter(self.hosts.values()), None)))
        if host is not None:
            self.run_on(host, host.membership.process, lambda: self._ingress(host, event))

    def _ingress(self, host: Host, event: RoutedEvent) -> None:
        member, local = host.membership, host.local(self.now)
        if member.may_begin(event.lane, local):
            self._handle(host, event, lambda _: self._acknowledge(event))
            return
        caller, may_take, may_keep = (
            member.caller(),
            member.may_take(local),
            not (member.is_stopping or member.is_releasing(event.lane)),
        )
        self.call(
            host,
            lambda: self.engine.route(caller, event, may_take=may_take, may_keep=may_keep),
            lambda routed: self._routed(host, event, routed, local),
        )

    def _routed(self, host: Host, event: RoutedEvent, routed: Routed, asked: float) -> None:
        if routed.route is Route.QUEUED:
            self._acknowledge(event)
            return
        assert routed.lane is not None
        self._taken(host, [routed.lane], asked)
        if host.membership.may_begin(event.lane, host.local(self.now)):
            self._handle(host, event, lambda _: self._acknowledge(event))

    def _read(self, host: Host, found: list[InboxEvent]) -> None:
        for each in found:
            if host.membership.may_begin(each.event.lane, host.local(self.now)):
                self._handle(host, each.event, lambda number: self._done(host, number), each.number)

    def _done(self, host: Host, number: int) -> None:
        self.call(host, lambda: self.engine.handled([number]))

    def _handle(self, host: Host, event: RoutedEvent, done: Callable[[int], None], number: int = 0) -> None:
        """Journal the event as the lane's owner; if it is new, answer it."""
        grant = host.membership.owned(event.lane)
        process = host.membership.process
        assert grant is not None

        def accept() -> bool | None:
            is_new = self.engine.accept(process, grant, event.id)
            self.handled[event.id] += is_new is True
            return is_new

        self.call(host, accept, lambda is_new: done(number) if is_new is not None else None)

    def _acknowledge(self, event: RoutedEvent) -> None:
        """Only a stored event is acknowledged, or one of a lost commit: its response may come after the fail-over."""
        stored = {each.id for each in self.engine.tables.inbox.values()} | self.engine.tables.journal
        if event.id in stored:
            self.acknowledged[event.id] = self.now
        else:
            assert self.now < self.lost_at + 2 * self.times.lease_seconds, f"{event.id} is not stored"
            self.lost.add(event.id)

    # ---------------------------------------------------------------------------------------------------------- checks

    def owners(self, lane: Lane) -> list[str]:
        return [
            host.membership.process
            for host in self.hosts.values()
            if host.membership.may_write(lane, host.local(self.now))
        ]

    def check(self) -> None:
        """Assert all that holds at every instant."""
        for lane in self.engine.tables.lanes:
            owners = self.owners(lane)
            assert len(owners) <= 1, f"{lane} has the owners {owners} at {self.now}"
            if owners:
                self.unowned_since.pop(lane, None)
            else:
                self.unowned_since.setdefault(lane, self.now)
        self._check_shares()
        for grant in self.engine.grants[self._granted :]:
            assert grant.fence > self._fences.get(grant.lane, 0), f"the fence of {grant.lane} did not grow"
            self._fences[grant.lane] = grant.fence
        self._granted = len(self.engine.grants)
        assert all(count <= 1 for count in self.handled.values())
        for _, dead in self.engine.deaths[self._checked :]:
            self._check_death(dead)
        self._checked = len(self.engine.deaths)

    def _check_shares(self) -> None:
        used = 0
        for host in [*self.hosts.values(), *self._gone]:
            runs = not (host.is_killed or host.is_paused)
            is_valid = runs and host.membership.lease.is_valid(host.local(self.now))
            limit = host.membership.shares[LIMIT].limit if is_valid else 0
            host.limits.append((self.now, limit))
            while len(host.limits) > 1 and host.limits[1][0] <= self.now - 1.0:
                host.limits.pop(0)
            used += max(each for _, each in host.limits)
        assert used <= SHARED, f"{used} of {SHARED} at {self.now}"

    def _check_death(self, process: str) -> None:
        name = process.split(".", maxsplit=1)[0]
        host = self.hosts.get(name)
        if host is None or host.membership.process != process:
            return  # it is gone, or declared dead while it restarted
        is_unwell = host.is_paused or not host.network.is_well
        assert is_unwell or host.unwell_at > self.now - 3 * self.times.lease_seconds, f"{process} was well"
