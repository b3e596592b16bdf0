"""Ownership under every fault in any order: hypothesis drives several processes and their engine."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from tests.support.cluster import PLATFORM, Cluster, Host, Loss, Network

# Clocks of real machines differ by far less; pauses of a virtual machine are what this stands for.
RATES = st.sampled_from([0.92, 1.0, 1.08])
HOSTS = ("a", "b", "c", "d")
# Of the engine's clock, at a restart. Seconds.
STEPS = st.sampled_from([0.0, 0.0, 0.0, -2.5, 2.5, 40.0])
LANES = tuple(Lane(PLATFORM, f"T{number}") for number in range(5))
# From calm to an owner for each lane: a time-out, a retry, a grace period by the slowest clock, two looks. Seconds.
CALM_SECONDS = 9.5


class Ownership(RuleBasedStateMachine):
    """Rules are faults, deploys and events; the cluster asserts at every instant what must always hold."""

    @initialize(rate=RATES, rates=st.tuples(RATES, RATES, RATES))
    def begin(self, rate: float, rates: tuple[float, ...]) -> None:
        self.cluster = Cluster(rate)
        self.events = 0
        for number, each in enumerate(rates):
            self.cluster.start(HOSTS[number], each, 37.0 * number)
        self.cluster.advance(7.0)
        for number, lane in enumerate(LANES):
            self._deliver(lane, number)
        self.cluster.advance(2.0)

    def _deliver(self, lane: Lane, host: int) -> None:
        hosts = list(self.cluster.hosts.values())
        self.events += 1
        event = RoutedEvent(lane, f"event {self.events}", b"")
        for each in {host % len(hosts), host // 7 % len(hosts)} if hosts else ():  # at two processes, sometimes
            self.cluster.deliver(event, hosts[each])

    def _host(self, number: int) -> Host | None:
        hosts = list(self.cluster.hosts.values())
        return hosts[number % len(hosts)] if hosts else None

    # Times around those of the lease: its heartbeats, its end, the grace period.
    SECONDS = st.sampled_from([0.003, 0.05, 0.4, 1.0, 1.7, 2.6, 3.1, 4.9, 5.3, 8.0])
    NUMBER = st.integers(0, 20)

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.cluster.advance(seconds)

    @rule(lane=st.sampled_from(LANES), host=NUMBER, seconds=st.sampled_from([0.0, 0.001, 0.01]))
    def event(self, lane: Lane, host: int, seconds: float) -> None:
        self._deliver(lane, host)
        self.cluster.advance(seconds)

    @rule(number=NUMBER, lane=st.sampled_from(LANES), count=st.sampled_from([0, 1, 5]))
    def answer(self, number: int, lane: Lane, count: int) -> None:
        """So many answers are live in a lane from now on, as long as it is this process's."""
        if (host := self._host(number)) is not None:
            host.live[lane] = count

    @rule(number=NUMBER)
    def kill(self, number: int) -> None:
        if (host := self._host(number)) is not None:
            self.cluster.kill(host)

    @rule(name=st.sampled_from(HOSTS), rate=RATES)
    def start(self, name: str, rate: float) -> None:
        if name not in self.cluster.hosts:
            self.cluster.start(name, rate, self.cluster.now / 3)

    @rule(number=NUMBER)
    def pause(self, number: int) -> None:
        if (host := self._host(number)) is not None and not host.is_paused:
            self.cluster.pause(host)

    @rule(number=NUMBER)
    def resume(self, number: int) -> None:
        if (host := self._host(number)) is not None and host.is_paused:
            self.cluster.resume(host)

    @rule(
        number=NUMBER,
        there=st.sampled_from([0.001, 0.3, 1.2, 4.0, 7.0]),
        back=st.sampled_from([0.001, 0.3, 1.4, 2.9, 6.0]),
        loses=st.sampled_from(Loss),
    )
    def connect_badly(self, number: int, there: float, back: float, loses: Loss) -> None:
        if (host := self._host(number)) is not None:
            self.cluster.connect(host, Network(there, back, loses))

    @rule(number=NUMBER)
    def connect_well(self, number: int) -> None:
        if (host := self._host(number)) is not None:
            self.cluster.connect(host, Network())

    @rule(seconds=st.sampled_from([0.5, 1.8, 2.4, 4.0, 9.0, 30.0]), swallows=st.booleans(), step=STEPS)
    def engine_is_away(self, seconds: float, swallows: bool, step: float) -> None:
        self.cluster.stop_engine(swallows=swallows)
        self.cluster.advance(seconds)
        self.cluster.start_engine(clock_step=step)

    @rule()
    def lag(self) -> None:
        """From now on, a stand-by server receives nothing more."""
        self.cluster.lag()

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.6, 4.0, 9.0]), swallows=st.booleans(), step=STEPS)
    def fail_over(self, seconds: float, swallows: bool, step: float) -> None:
        if seconds:
            self.cluster.stop_engine(swallows=swallows)
            self.cluster.advance(seconds)
        self.cluster.start_engine(lost=True, clock_step=step)

    @rule(number=NUMBER, seconds=st.sampled_from([1.0, 2.9, 4.0, 5.6, 7.0, 11.0]), loses=st.sampled_from(Loss))
    def cut_off(self, number: int, seconds: float, loses: Loss) -> None:
        """One process alone cannot reach the engine, or not hear it; `NOTHING` is a pause of the process."""
        host = self._host(number)
        if host is None or host.is_paused:
            return
        pauses = loses is Loss.NOTHING
        if pauses:
            self.cluster.pause(host)
        else:
            self.cluster.connect(host, Network(loses=loses))
        self.cluster.advance(seconds)
        if pauses:
            self.cluster.resume(host)
        self.cluster.connect(host, Network())

    @rule(number=NUMBER, seconds=st.sampled_from([5.6, 7.0]), waits=st.sampled_from([0.0, 1.0]), pauses=st.booleans())
    def lose_a_death(self, number: int, seconds: float, waits: float, pauses: bool) -> None:
        """A process is declared dead, its lanes are taken, and a fail-over loses both."""
        self.cluster.lag()
        host = self._host(number)
        if host is None:
            return
        was_paused = host.is_paused
        if pauses:
            self.cluster.pause(host)
        else:
            self.cluster.connect(host, Network(loses=Loss.REQUEST))
        self.cluster.advance(seconds)
        self.cluster.start_engine(lost=True)
        self.cluster.advance(waits)
        self.cluster.connect(host, Network())
        if pauses and not was_paused:
            self.cluster.resume(host)
        self.cluster.advance(0.5)

    @rule(number=NUMBER)
    def begin_stop(self, number: int) -> None:
        host = self._host(number)
        if host is not None and not (host.is_paused or host.membership.is_stopping):
            self.cluster.begin_stop(host)

    @rule(number=NUMBER, leaves=st.booleans())
    def release(self, number: int, leaves: bool) -> None:
        host = self._host(number)
        if host is None or host.is_paused or not host.membership.is_stopping:
            return
        if leaves:
            self.cluster.leave(host)
        elif host.membership.lanes:
            self.cluster.release_lane(host, min(grant.lane for grant in host.membership.lanes))

    @rule(number=NUMBER, demand=st.sampled_from([0, 3, 30, 200]))
    def demand(self, number: int, demand: int) -> None:
        if (host := self._host(number)) is not None:
            host.demand = demand

    @rule()
    def deploy(self) -> None:
        """A new process, then the end of the longest running one."""
        spare = [name for name in HOSTS if name not in self.cluster.hosts]
        old = next((host for host in self.cluster.hosts.values() if not host.is_paused), None)
        if spare:
            self.cluster.start(spare[0])
            self.cluster.advance(6.0)
        if old is not None and old.name in self.cluster.hosts and not old.membership.is_stopping:
            self.cluster.begin_stop(old)
            self.cluster.advance(0.3)
            self.cluster.leave(old)

    @invariant()
    def every_lane_has_an_owner_after_calm(self) -> None:
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        works = any(
            host.network.is_well and not (host.is_paused or host.membership.is_stopping)
            for host in cluster.hosts.values()
        )
        for lane, since in cluster.unowned_since.items():
            unowned = cluster.now - max(since, cluster.calm_since)
            assert not works or unowned <= CALM_SECONDS, f"{lane} had no owner for {unowned} s"

    def teardown(self) -> None:
        """All is mended: every acknowledged event is handled, once."""
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        for host in list(cluster.hosts.values()):
            cluster.connect(host, Network())
            if host.is_paused:
                cluster.resume(host)
            host.live.clear()
            if host.membership.is_stopping:
                cluster.leave(host)
        if not cluster.hosts:
            cluster.start("z")
        cluster.advance(30.0)
        assert not cluster.unowned_since
        assert {event: cluster.handled[event] for event in cluster.acknowledged if cluster.handled[event] != 1} == {}


Ownership.TestCase.settings = settings(max_examples=80, stateful_step_count=40)
TestOwnership = Ownership.TestCase
