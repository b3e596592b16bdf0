"""The contract of `bot.ownership.ports.Ownership`: an implementation's test file subclasses `OwnershipContract`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

import pytest

from bot.errors import Retryable
from bot.ownership.lanes import Grant, Lane, LaneCounts
from bot.ownership.lease import EngineTime
from bot.ownership.ports import Caller, Heartbeat, HeartbeatResponse, Ownership, Route, RoutedEvent
from bot.ownership.shares import WINDOW_SECONDS, ShareReport
from bot.ownership.write_history import WriteReport
from tests.support.waiting import until

PLATFORM = "slack"
LANES = tuple(Lane(PLATFORM, f"T{number}") for number in range(8))
LIMIT = "discord"
SHARED = 45  # of the shared limit
LEASE = 1.0  # seconds of the engine's clock
# The engine in memory has a latency, so that its clock goes on during a few calls. Seconds.
SOON = 0.1


def event(lane: Lane, number: int = 1) -> RoutedEvent:
    return RoutedEvent(lane, f"Ev{number}", f'{{"n": {number}}}'.encode())


@dataclass
class Process:
    """A process that sends heartbeats when told to."""

    ownership: Ownership
    name: str
    lease: float = LEASE
    number: int = 0
    last: HeartbeatResponse | None = field(default=None)

    @property
    def caller(self) -> Caller:
        assert self.last is not None
        return Caller(self.name, self.last.engine)

    async def beat(
        self,
        *,
        may_take: bool = True,
        share: ShareReport | None = None,
        writes: dict[Grant, WriteReport] | None = None,
        is_stopping: bool = False,
        owned: int = 0,
    ) -> HeartbeatResponse | None:
        self.number += 1
        beat = Heartbeat(
            self.name,
            self.number,
            self.lease,
            (PLATFORM,),
            may_take=may_take,
            epoch=self.last.engine.epoch if self.last is not None else "",
            shares={LIMIT: share} if share is not None else {},
            writes=writes or {},
            is_stopping=is_stopping,
            owned={PLATFORM: owned},
        )
        response = await self.ownership.heartbeat(beat)
        self.last = response or self.last
        return response

    async def counts(self, *, may_take: bool, is_stopping: bool = False) -> LaneCounts:
        response = await self.beat(may_take=may_take, is_stopping=is_stopping)
        assert response is not None
        return response.counts[PLATFORM]

    async def is_settled(self, *, may_take: bool) -> bool:
        response = await self.beat(may_take=may_take)
        assert response is not None
        return response.is_settled

    async def listed(self) -> frozenset[Grant]:
        response = await self.beat()
        assert response is not None
        return response.lanes

    async def take(self, most: int = 100) -> list[Grant]:
        return [taken.grant for taken in await self.ownership.take(self.caller, PLATFORM, most)]

    async def route(self, routed: RoutedEvent, *, may_take: bool = True, may_keep: bool = True) -> Route:
        result = await self.ownership.route(self.caller, routed, may_take=may_take, may_keep=may_keep)
        return result.route

    async def inbox(self) -> list[str]:
        return [each.event.id for each in await self.ownership.events(self.name, 100)]


async def begin(ownership: Ownership, name: str, lease: float = LEASE) -> Process:
    process = Process(ownership, name, lease)
    await process.beat()
    return process


class OwnershipContract(ABC):
    """The tests of every implementation; a subclass opens an empty engine with a shared limit."""

    @abstractmethod
    def ownership(self) -> AbstractAsyncContextManager[Ownership]:
        """Open an empty engine."""

    @abstractmethod
    def with_settings(self, settings: Mapping[str, str]) -> Ownership:
        """The engine opened last, for a process with these digests of settings."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let the engine's clock go on. Nothing else does, but for a latency: no test depends on a machine's speed."""

    async def test_a_process_is_heard(self) -> None:
        """The engine's clock goes on within one epoch, and a new process owns nothing."""
        async with self.ownership() as engine:
            process = await begin(engine, "a")
            first = process.last
            await self.pass_time(0.05)
            second = await process.beat()
            assert first is not None
            assert second is not None
            assert first.engine.epoch == second.engine.epoch
            assert 0.05 <= second.engine.seconds - first.engine.seconds + 1e-6 < 0.05 + SOON
            assert second.lanes == frozenset()
            assert second.counts[PLATFORM].takers == 1

    async def test_an_older_heartbeat_is_not_applied_after_a_newer_one(self) -> None:
        """It was delayed on its way; what it reports is over."""
        async with self.ownership() as engine:
            process = await begin(engine, "a")
            await process.beat(share=ShareReport(0, 10))
            await process.beat(share=ShareReport(45, 10))
            process.number = 1
            with pytest.raises(Retryable):
                await process.beat(share=ShareReport(0, 10))
            other = await begin(engine, "b")
            response = await other.beat(share=ShareReport(0, 10))
            assert response is not None
            assert response.shares[LIMIT] == 0

    async def test_the_first_event_of_a_lane_gives_it_to_whoever_received_it(self) -> None:
        """Both the response and the next heartbeat say so; later events are handled there."""
        async with self.ownership() as engine:
            process = await begin(engine, "a")
            routed = await engine.route(process.caller, event(LANES[0]), may_take=True, may_keep=True)
            assert routed.route is Route.MINE
            assert routed.lane is not None
            assert await process.listed() == {routed.lane.grant}
            assert await process.route(event(LANES[0], 2), may_take=False) is Route.MINE
            assert await process.inbox() == []

    async def test_an_event_of_anothers_lane_goes_to_its_owner(self) -> None:
        """In the order of arrival, until it is handled; a repeated delivery is stored once."""
        async with self.ownership() as engine:
            owner, other = await begin(engine, "a"), await begin(engine, "b")
            await owner.route(event(LANES[0]))
            for number in (2, 3, 2):
                assert await other.route(event(LANES[0], number)) is Route.QUEUED
            assert await other.inbox() == []
            found = await engine.events("a", 100)
            assert [each.event for each in found] == [event(LANES[0], 2), event(LANES[0], 3)]
            assert len(await engine.events("a", 1)) == 1
            response = await owner.beat()
            assert response is not None
            assert response.has_events
            await engine.handled([each.number for each in found])
            assert await owner.inbox() == []
            response = await owner.beat()
            assert response is not None
            assert not response.has_events

    async def test_events_of_some_lanes_may_be_left_out(self) -> None:
        """Those of a lane that cannot take them now."""
        async with self.ownership() as engine:
            owner, other = await begin(engine, "a"), await begin(engine, "b")
            for lane in LANES[:2]:
                await owner.route(event(lane))
                await other.route(event(lane, 2), may_take=False)
            found = await engine.events("a", 10, {LANES[0], Lane("another", LANES[1].name)})
            assert [each.event.lane for each in found] == [LANES[1]]

    async def test_one_event_at_several_processes_at_once_is_stored_once(self) -> None:
        """Platforms repeat events, to any process."""
        async with self.ownership() as engine:
            processes = [await begin(engine, name) for name in "abcd"]
            await processes[0].route(event(LANES[0]))
            routes = await asyncio.gather(*(each.route(event(LANES[0], 2)) for each in processes[1:] * 3))
            assert set(routes) == {Route.QUEUED}
            assert await processes[0].inbox() == ["Ev2"]

    async def test_a_stopping_owner_keeps_no_event(self) -> None:
        """It waits in the inbox for the lane's next owner."""
        async with self.ownership() as engine:
            old, new = await begin(engine, "a"), await begin(engine, "b")
            await old.route(event(LANES[0]))
            assert await old.route(event(LANES[0], 2), may_take=False, may_keep=False) is Route.QUEUED
            await engine.release("a", dict.fromkeys(await old.listed(), WriteReport()))
            await new.take()
            assert await new.inbox() == ["Ev2"]

    async def test_without_permission_a_free_lane_stays_free(self) -> None:
        """Its event waits for whoever takes it, within its grace period or not."""
        async with self.ownership() as engine:
            process = await begin(engine, "a")
            assert await process.route(event(LANES[0]), may_take=False) is Route.QUEUED
            assert await process.listed() == frozenset()
            response = await process.beat()
            assert response is not None
            assert response.counts[PLATFORM].free == 1
            await process.take()
            assert await process.inbox() == ["Ev1"]

    async def test_a_free_lane_has_one_taker_of_many(self) -> None:
        """Eight processes route and take at once: each lane has one owner, by everybody's list."""
        async with self.ownership() as engine:
            processes = [await begin(engine, name, 30.0) for name in "abcdefgh"]
            await asyncio.gather(*(each.route(event(lane)) for each in processes for lane in LANES[:4]))
            await asyncio.gather(*(processes[0].route(event(lane), may_take=False) for lane in LANES[4:]))
            taken = await asyncio.gather(*(each.take(2) for each in processes))
            assert all(len(each) <= 2 for each in taken)
            lists = [await each.listed() for each in processes]
            owned = [grant.lane for each in lists for grant in each]
            assert sorted(owned) == sorted(LANES)

    async def test_fences_grow_with_every_owner(self) -> None:
        """Also if a lane goes back and forth within a moment."""
        async with self.ownership() as engine:
            processes = [await begin(engine, name, 30.0) for name in "ab"]
            await processes[0].route(event(LANES[0]))
            (grant,) = await processes[0].listed()
            for number in range(1, 7):
                await engine.release(processes[(number - 1) % 2].name, {grant: WriteReport()})
                (newer,) = await processes[number % 2].take()
                assert newer.fence > grant.fence
                grant = newer

    async def test_a_release_with_an_old_fence_does_nothing(self) -> None:
        """It was delayed, and the lane has come back since. Another process's lane stays as well."""
        async with self.ownership() as engine:
            process, other = await begin(engine, "a"), await begin(engine, "b")
            await process.route(event(LANES[0]))
            (old,) = await process.listed()
            await engine.release("a", {old: WriteReport()})
            (new,) = await process.take()
            await engine.release("a", {old: WriteReport()})
            await engine.release("b", {new: WriteReport()})
            assert await process.listed() == {new}
            assert await other.listed() == frozenset()

    async def test_the_dead_are_reaped_and_nobody_else(self) -> None:
        """The lanes of a silent process are free; it is refused from then on, and nothing is done for it."""
        async with self.ownership() as engine:
            silent, well, other = [await begin(engine, name) for name in "abc"]
            await silent.route(event(LANES[0]))
            assert await well.beat() is not None
            assert await engine.reap(well.caller) == []
            await self.pass_time(LEASE * 0.8)
            await well.beat()
            await self.pass_time(LEASE * 0.4)
            assert await engine.reap(well.caller) == []  # the caller has not heard of so late a time
            response = await well.beat()
            assert response is not None
            assert response.lapses_in < 0
            await other.beat()
            assert await engine.reap(well.caller) == ["a"]
            assert await engine.reap(other.caller) == []
            assert await silent.beat() is None
            assert await silent.take() == []
            assert await engine.events("a", 10) == []
            assert await silent.route(event(LANES[1])) is Route.QUEUED
            assert [grant.lane for grant in await well.take()] == [LANES[0], LANES[1]]

    async def test_another_epoch_does_nothing_for_its_callers(self) -> None:
        """A stand-by server may lack what they know. Events are stored all the same."""
        async with self.ownership() as engine:
            silent, process = await begin(engine, "a"), await begin(engine, "b")
            await silent.route(event(LANES[0]))
            await process.route(event(LANES[1]), may_take=False)
            await self.pass_time(LEASE * 1.2)
            assert await process.beat() is not None
            stale = Caller("b", type(process.caller.heard)("another", process.caller.heard.seconds))
            assert await engine.reap(stale) == []
            assert await engine.take(stale, PLATFORM, 10) == []
            routed = await engine.route(stale, event(LANES[2]), may_take=True, may_keep=True)
            assert routed.route is Route.QUEUED
            assert await engine.reap(process.caller) == ["a"]

    async def test_reports_go_to_the_next_owner(self) -> None:
        """With the time since: of the last heartbeat if the owner died, or of the release."""
        async with self.ownership() as engine:
            owner, next_owner = await begin(engine, "a"), await begin(engine, "b", 30.0)
            await owner.route(event(LANES[0]))
            (grant,) = await owner.listed()
            report = WriteReport({"chat.update": [0.5, 12.25]}, 8)
            await owner.beat(writes={grant: report, Grant(LANES[0], grant.fence - 1): WriteReport()})
            await self.pass_time(LEASE * 1.2)
            await next_owner.beat()
            await engine.reap(next_owner.caller)
            (taken,) = await engine.take(next_owner.caller, PLATFORM, 1)
            assert taken.writes is not None
            assert taken.writes.report == report
            assert LEASE * 1.2 <= taken.writes.age + 1e-6 < LEASE * 1.2 + SOON  # since the last heartbeat of the dead
            await engine.release("b", {taken.grant: WriteReport({"chat.update": [1.0]}, 0)})
            (again,) = await engine.take(next_owner.caller, PLATFORM, 1)
            assert again.writes is not None
            assert again.writes.report.allowance == 0
            assert again.writes.age < SOON

    async def test_a_lane_released_as_it_is_keeps_its_report(self) -> None:
        """Its owner wrote nothing, since the response to `take` was lost; `route` tells the report once more."""
        async with self.ownership() as engine:
            owner, next_owner = await begin(engine, "a"), await begin(engine, "b")
            await owner.route(event(LANES[0]))
            (grant,) = await owner.listed()
            report = WriteReport({"chat.update": [0.5]}, 8, session="s")
            await owner.beat(writes={grant: report})
            routed = await engine.route(owner.caller, event(LANES[0]), may_take=True, may_keep=True)
            assert routed.lane is not None
            assert routed.lane.writes is not None
            assert routed.lane.writes.report == report
            await self.pass_time(LEASE * 0.5)
            await engine.release("a", {grant: None})
            (taken,) = await engine.take(next_owner.caller, PLATFORM, 1)
            assert taken.writes is not None
            assert taken.writes.report == report
            assert LEASE * 0.5 <= taken.writes.age + 1e-6 < LEASE * 0.5 + SOON

    async def test_the_report_of_a_quiet_lane_holds_until_the_owners_last_heartbeat(self) -> None:
        """It is sent once; its allowance may be used as late as that."""
        async with self.ownership() as engine:
            owner, next_owner = await begin(engine, "a"), await begin(engine, "b", 30.0)
            await owner.route(event(LANES[0]))
            (grant,) = await owner.listed()
            await owner.beat(writes={grant: WriteReport({}, 8)})
            await self.pass_time(LEASE / 2)
            await owner.beat()
            await self.pass_time(LEASE * 1.2)
            await next_owner.beat()
            await engine.reap(next_owner.caller)
            (taken,) = await engine.take(next_owner.caller, PLATFORM, 1)
            assert taken.writes is not None
            assert LEASE * 1.2 <= taken.writes.age + 1e-6 < LEASE * 1.2 + SOON

    async def test_a_list_of_lanes_that_changes_back_is_followed(self) -> None:
        """Each heartbeat has the present lanes, however they came."""
        async with self.ownership() as engine:
            process = await begin(engine, "a", 30.0)
            for number in (1, 2, 3):
                await process.route(event(LANES[number]))
                assert {grant.lane for grant in await process.listed()} == {*LANES[1 : number + 1]}
                assert {grant.lane for grant in await process.listed()} == {*LANES[1 : number + 1]}
            before = await process.listed()
            await engine.release("a", dict.fromkeys(before, WriteReport()))
            assert await process.listed() == frozenset()
            await process.take()
            assert len(await process.listed() - before) == 3

    async def test_shares_add_up_to_the_limit(self) -> None:
        """One process uses all of it; another gets a part once the first has given back."""
        async with self.ownership() as engine:
            first, second = await begin(engine, "a", 30.0), await begin(engine, "b", 30.0)
            assert (await _share(first, ShareReport(0, 10), may_take=False)) == 0  # in its grace period
            assert (await _share(first, ShareReport(0, 10))) == SHARED
            assert (await _share(second, ShareReport(0, 10))) == 0
            assert (await _share(first, ShareReport(SHARED, 10))) in {22, 23}  # and shrinks at once
            assert (await _share(second, ShareReport(0, 10))) == 0  # its writes of the last second count still
            kept = await _share(first, ShareReport(23, 10))
            assert (await _share(second, ShareReport(0, 10))) == SHARED - kept if kept == 23 else 22

    async def test_a_share_grows_only_past_the_grace_period_and_in_a_known_epoch(self) -> None:
        """An engine that lacks the last commits may not know what others hold."""
        async with self.ownership() as engine:
            process = await begin(engine, "a", 30.0)
            assert await _share(process, ShareReport(1, 10), may_take=False) == 1
            assert process.last is not None
            process.last = replace(process.last, engine=EngineTime("another", 0.0))
            assert await _share(process, ShareReport(1, 10)) == 1
            assert await _share(process, ShareReport(1, 10)) == SHARED

    async def test_a_share_follows_demand_by_largest_remainders(self) -> None:
        """Three processes with demands of 0, 0 and 100 writes."""
        async with self.ownership() as engine:
            processes = [await begin(engine, name, 30.0) for name in "abc"]
            for each, demand in zip(processes, (0, 0, 100), strict=True):
                await each.beat(share=ShareReport(0, demand))
            for each, demand in zip(processes, (0, 0, 100), strict=True):
                await each.beat(share=ShareReport(0, demand))
            shares = [
                await _share(each, ShareReport(0, demand)) for each, demand in zip(processes, (0, 0, 100), strict=True)
            ]
            assert shares == [3, 2, 40]

    async def test_a_process_that_leaves_owns_nothing(self) -> None:
        """Its lanes are free at once, its share a window later, and its heartbeats are refused."""
        async with self.ownership() as engine:
            leaver, other = await begin(engine, "a", 30.0), await begin(engine, "b", 30.0)
            await leaver.route(event(LANES[0]))
            await leaver.beat(share=ShareReport(SHARED, 10))
            await engine.leave("a")
            assert await leaver.beat() is None
            assert [grant.lane for grant in await other.take()] == [LANES[0]]
            assert await _share(other, ShareReport(0, 10)) == 0
            await self.pass_time(WINDOW_SECONDS + 0.05)
            assert await _share(other, ShareReport(0, 10)) == SHARED

    async def test_poisoned_lanes_are_taken_last(self) -> None:
        """Three owners died with it: others come first."""
        async with self.ownership() as engine:
            survivor = await begin(engine, "s", 30.0)
            await survivor.route(event(LANES[0]), may_take=False)
            for number in range(3):
                victim = await begin(engine, f"v{number}", 0.1)
                assert len(await victim.take(1)) == 1
                await self.pass_time(0.15)
                await survivor.beat()
                assert await engine.reap(survivor.caller) == [f"v{number}"]
            await survivor.route(event(LANES[1]), may_take=False)
            assert [grant.lane for grant in await survivor.take(1)] == [LANES[1]]
            assert [grant.lane for grant in await survivor.take(1)] == [LANES[0]]

    async def test_lanes_free_for_a_whole_lease_are_overdue(self) -> None:
        """Then others take them too."""
        async with self.ownership() as engine:
            process = await begin(engine, "a")
            await process.route(event(LANES[0]), may_take=False)
            response = await process.beat()
            assert response is not None
            assert not response.counts[PLATFORM].is_overdue
            await self.pass_time(LEASE * 1.1)
            response = await process.beat()
            assert response is not None
            assert response.counts[PLATFORM].is_overdue

    async def test_members_have_ranks_and_know_the_fewest_lanes(self) -> None:
        """Whoever does not stop counts, also in its first seconds; each has a rank of its own."""
        async with self.ownership() as engine:
            a, b = await begin(engine, "a", 30.0), await begin(engine, "b", 30.0)
            newcomer, stopping = Process(engine, "n", 30.0), Process(engine, "s", 30.0)
            await newcomer.beat(may_take=False)
            await stopping.beat(may_take=False, is_stopping=True)
            for process, owned in ((a, 4), (b, 2)):
                await process.beat(owned=owned)
            found = [await each.counts(may_take=each is not newcomer) for each in (a, b, newcomer)]
            assert [(each.takers, each.members) for each in found] == [(2, 3)] * 3
            assert sorted(each.rank for each in found) == [0, 1, 2]
            assert found[2].least == 0  # as told by the heartbeats before
            assert (await stopping.counts(may_take=False, is_stopping=True)).members == 3

    async def test_a_run_of_the_engine_is_settled_once_a_live_process_may_take(self) -> None:
        """And knows this run. Its own word is not enough, nor that of a dead one."""
        async with self.ownership() as engine:
            old, new = Process(engine, "a"), Process(engine, "b", 30.0)
            for _ in range(2):
                assert not await old.is_settled(may_take=False)
            assert not await new.is_settled(may_take=False)
            assert not await old.is_settled(may_take=True)
            assert await new.is_settled(may_take=False)
            await engine.leave("a")
            assert not await new.is_settled(may_take=False)

    async def test_a_process_that_has_not_heard_of_this_run_settles_nothing(self) -> None:
        """It was past its grace period at another engine."""
        async with self.ownership() as engine:
            old, new = Process(engine, "a"), Process(engine, "b")
            await old.beat(may_take=True)
            assert not await new.is_settled(may_take=False)
            await old.beat(may_take=True)
            assert await new.is_settled(may_take=False)

    async def test_hints_tell_of_an_event_and_of_free_lanes(self) -> None:
        """Soon, though not for certain: whoever waits looks at each heartbeat as well."""
        async with self.ownership() as engine:
            owner, other = await begin(engine, "a", 30.0), await begin(engine, "b", 30.0)
            await owner.route(event(LANES[0]))
            hints: list[str] = []
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(engine.listen(hints.append))
                await until(lambda: hints == [""])
                await other.route(event(LANES[0], 2))
                await until(lambda: hints == ["", "a"])
                await engine.release("a", dict.fromkeys(await owner.listed(), WriteReport()))
                await until(lambda: hints == ["", "a", ""])
                await engine.leave("b")
                await until(lambda: hints == ["", "a", "", ""])
                listening.cancel()

    async def test_a_death_is_a_hint_that_lanes_are_free(self) -> None:
        """Each process takes its part of them."""
        async with self.ownership() as engine:
            survivor, _ = await begin(engine, "a", 30.0), await begin(engine, "b", 0.1)
            hints: list[str] = []
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(engine.listen(hints.append))
                await until(lambda: hints == [""])
                assert await engine.reap(survivor.caller) == []
                await self.pass_time(0.15)
                await survivor.beat()
                assert await engine.reap(survivor.caller) == ["b"]
                await until(lambda: hints == ["", ""])
                listening.cancel()

    async def test_announced_lanes_are_free_until_they_are_taken(self) -> None:
        """An owner keeps an announced lane."""
        async with self.ownership() as engine:
            process = await begin(engine, "a", 30.0)
            await engine.add_lanes(PLATFORM, ["T1", "T0"], replace=False)
            assert {grant.lane for grant in await process.take()} == {*LANES[:2]}
            owned = await process.listed()
            await engine.add_lanes(PLATFORM, ["T1", "T2"], replace=False)
            await engine.add_lanes("discord", ["0/1"], replace=True)
            assert await process.listed() == owned
            assert [grant.lane for grant in await process.take()] == [LANES[2]]

    async def test_replaced_lanes_are_lost_with_their_events(self) -> None:
        """Nobody has them any more; the platform's new ones are free, and other platforms keep theirs."""
        async with self.ownership() as engine:
            process = await begin(engine, "a", 30.0)
            for number in (0, 1):
                await process.route(event(LANES[number]))
                await process.route(event(LANES[number], 2), may_keep=False)
            await engine.add_lanes("discord", ["0/1"], replace=False)
            await engine.add_lanes(PLATFORM, ["T1", "T2"], replace=True)
            assert {grant.lane for grant in await process.listed()} == {LANES[1]}
            assert await process.inbox() == ["Ev2"]
            await engine.remove_lanes(PLATFORM, ["T1", "unknown"])
            assert await process.listed() == frozenset()
            assert await process.inbox() == []
            assert [grant.lane for grant in await process.take()] == [LANES[2]]
            assert len(await engine.take(process.caller, "discord", 9)) == 1

    async def test_a_session_goes_to_the_next_owner(self) -> None:
        """From a heartbeat or a release, whatever it holds."""
        async with self.ownership() as engine:
            owner = await begin(engine, "a", 30.0)
            await owner.route(event(LANES[0]))
            (grant,) = await owner.listed()
            await owner.beat(writes={grant: WriteReport({}, 1, "{1}")})
            assert await owner.listed()
            await engine.release("a", {grant: WriteReport(session='a "2" \N{SNOWMAN}')})
            (taken,) = await engine.take(owner.caller, PLATFORM, 1)
            assert taken.writes is not None
            assert taken.writes.report.session == 'a "2" \N{SNOWMAN}'
            await owner.beat(writes={taken.grant: WriteReport({}, 1, "3")})
            await engine.leave("a")
            other = await begin(engine, "b", 30.0)
            routed = await engine.route(other.caller, event(LANES[0], 3), may_take=True, may_keep=True)
            assert routed.lane is not None
            assert routed.lane.writes is not None
            assert routed.lane.writes.report.session == "3"

    async def test_a_process_is_told_which_settings_differ_from_another_live_ones(self) -> None:
        """Of the tables that both have, until the other one is gone or has the same."""
        async with self.ownership() as engine:
            first = await begin(self.with_settings({"slack": "1", "turns": "1", "discord": "1"}), "a", 30.0)
            second = await begin(self.with_settings({"slack": "2", "turns": "1", "site": "1"}), "b", 30.0)
            silent = await begin(engine, "c", 30.0)
            assert await _different(first) == await _different(second) == {"slack"}
            assert await _different(silent) == set()
            second.ownership = self.with_settings({"slack": "1", "turns": "2"})
            assert await _different(second) == {"turns"}
            assert await _different(first) == {"turns"}
            await engine.leave("b")
            assert await _different(first) == set()

    async def test_slots_of_a_series_follow_each_other(self) -> None:
        """Each caller has its own, whoever asks; another series has others."""
        async with self.ownership() as engine:
            waits = [await engine.reserve("log-in 0", 50.0) for _ in range(3)]
            assert waits[0] == 0.0
            assert 30.0 < waits[1] <= 50.0
            assert 80.0 < waits[2] <= 100.0
            assert await engine.reserve("log-in 1", 5.0) < 0.1
            await self.pass_time(120.0)
            assert 29.0 < await engine.reserve("log-in 0", 50.0) <= 30.0
            await self.pass_time(120.0)
            assert await engine.reserve("log-in 0", 50.0) == 0.0


async def _different(process: Process) -> frozenset[str]:
    response = await process.beat()
    assert response is not None
    return response.different_settings


async def _share(process: Process, report: ShareReport, *, may_take: bool = True) -> int:
    response = await process.beat(share=report, may_take=may_take)
    assert response is not None
    return response.shares[LIMIT]
