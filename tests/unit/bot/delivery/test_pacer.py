"""The order of replies, on virtual time, as transcripts of writes.

The rule is a few lines asking every reply each time (`LooksAtAll`). Random scenarios check that the scheduler, looking
at few, makes the same writes at the same times.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.conversation import Ending, Text
from bot.delivery.pacer import Pacer
from bot.delivery.policy import WritePolicy
from bot.delivery.reply import Reply
from bot.delivery.scheduler import RollOver, Send, WriteScheduler
from bot.errors import Failure, RateLimited, ServiceError
from bot.ports import Verb
from bot.rate_limits import Budget, FixedWindow, LeakyBucket, RollingWindow
from bot.strings import Strings
from bot.telemetry import Figures, NoRecorder
from tests.support.clock import VirtualLoop
from tests.support.fakes import FakeChannel, Server, turn

# No spacing of a reply's own, so that only the choice among replies shows.
POLICY = WritePolicy(first_seconds=0.0, gap_seconds=0.0)


@asynccontextmanager
async def pacing() -> AsyncIterator[tuple[Pacer, ExitStack]]:
    """A running pacer, and a stack for admitted replies."""
    pacer = Pacer(POLICY, NoRecorder(), random.Random(1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(pacer.run())
        with ExitStack() as admitted:
            yield pacer, admitted
        running.cancel()


def replies(count: int, *, seconds: float = 10.0) -> list[Reply]:
    """Replies sharing one budget of one write per `seconds` for all verbs."""
    budget, server = LeakyBucket(seconds), Server(limit=1000)
    channels = [FakeChannel(server, edits=budget, posts=budget, deletes=budget) for _ in range(count)]
    return [Reply(turn(str(n)).key, channel, Strings(), figures()) for n, channel in enumerate(channels)]


def figures() -> Figures:
    return Figures(asyncio.get_running_loop().time())


def feed(reply: Reply, text: str) -> None:
    reply.feed(Text(text), asyncio.get_running_loop().time(), POLICY)


def written(reply: Reply) -> list[tuple[int, str]]:
    """A reply's writes, with seconds since the clock's start."""
    assert isinstance(reply.channel, FakeChannel)
    return [(round(wrote.at - 1000), wrote.text) for wrote in reply.channel.log]


async def test_many_due_writes_leave_the_loop_to_others_in_between() -> None:
    """Of forty writes that become due at once, a few begin in each iteration of the loop, and all at that time."""
    budget, server = RollingWindow(200, 1.0, paced=False), Server(limit=1000)
    async with pacing() as (pacer, admitted):
        live: list[Reply] = []
        for number in range(40):
            channel = FakeChannel(server, edits=budget, posts=budget, deletes=budget)
            live.append(Reply(turn(str(number)).key, channel, Strings(), figures()))
            admitted.enter_context(pacer.admitted(live[-1]))
            feed(live[-1], "a")
        now, begun = asyncio.get_running_loop().time(), [0]
        for _ in range(60):  # the clock stands still
            await asyncio.sleep(0)
            begun.append(sum(reply.in_flight or bool(reply.figures.writes) for reply in live))
        assert asyncio.get_running_loop().time() < now + 1e-5
    assert begun[-1] == len(live)
    assert max(after - before for before, after in itertools.pairwise(begun)) <= 3


async def test_a_final_goes_before_a_first_and_a_first_before_more() -> None:
    """Final writes come first, then first posts, then the largest backlog."""
    async with pacing() as (pacer, admitted):
        ending, new, growing = replies(3)
        for reply in (growing, ending):
            admitted.enter_context(pacer.admitted(reply))
            feed(reply, "a")
            await asyncio.sleep(10)
        # The budget is spent until 1020: all three want it then.
        admitted.enter_context(pacer.admitted(new))
        feed(growing, "b" * 1000)
        feed(new, "c")
        ending.finish(Ending.STOPPED, asyncio.get_running_loop().time())
        await asyncio.sleep(40)
    assert [at for at, _ in written(ending)] == [10, 20]
    assert written(new) == [(30, "c")]
    assert [at for at, _ in written(growing)] == [0, 40]


async def test_the_text_that_waited_longest_in_total_goes_next() -> None:
    """A little text for long may weigh more than much text for a moment."""
    async with pacing() as (pacer, admitted):
        early, late = replies(2)
        for reply in (early, late):
            admitted.enter_context(pacer.admitted(reply))
            feed(reply, "a")
            await asyncio.sleep(10)
        early_text = "b" * 10
        feed(early, early_text)  # written at once, at 1020
        await asyncio.sleep(1)
        feed(early, "c" * 10)
        await asyncio.sleep(8)
        feed(late, "d" * 50)
        await asyncio.sleep(20)
    assert [at for at, _ in written(early)] == [0, 20, 30]
    assert [at for at, _ in written(late)] == [10, 40]


async def test_what_is_written_is_the_newest_text() -> None:
    """Text is rendered when the permit is there, not when it was wanted."""
    async with pacing() as (pacer, admitted):
        (reply,) = replies(1, seconds=9.3)
        admitted.enter_context(pacer.admitted(reply))
        for number in range(25):
            feed(reply, f"{number} ")
            await asyncio.sleep(1)
    assert [text.split()[-1] for _, text in written(reply)] == ["0", "9", "18"]


@pytest.mark.parametrize(("live", "opened"), [(5, 0.2), (6, 0.0)])
async def test_windows_with_fewer_permits_than_replies_open_with_the_first_word(live: int, opened: float) -> None:
    """The first reply posts at once, so that the windows of all others open sooner; the next collect a few words."""
    loop, policy, server = asyncio.get_running_loop(), WritePolicy(), Server()
    posts, began = FixedWindow(5, 5.0, paced=False), loop.time()
    async with pacing() as (pacer, admitted):
        channels = [FakeChannel(server, posts=posts) for _ in range(live)]
        answers = [Reply(turn(str(n)).key, channel, Strings(), Figures(began)) for n, channel in enumerate(channels)]
        for reply in answers:
            admitted.enter_context(pacer.admitted(reply))
        for reply in answers:
            reply.feed(Text("Hello "), loop.time(), policy)
        await asyncio.sleep(10.0)
    first = [channel.log[0].at - began for channel in channels]
    assert first[0] == pytest.approx(opened, abs=0.001)
    assert first[1:5] == pytest.approx([policy.first_seconds] * 4, abs=0.001)
    assert first[5:] == pytest.approx([opened + 5.0] * (live - 5), abs=0.05)
    assert server.limited == 0


async def test_one_write_of_a_reply_at_a_time() -> None:
    """While a write is on its way, the same reply sends no other, so edits never race."""
    server = Server(limit=1000, latency=3.0)
    channel = FakeChannel(server, edits=LeakyBucket(0.01), posts=LeakyBucket(0.01))
    async with pacing() as (pacer, admitted):
        reply = Reply(turn().key, channel, Strings(), figures())
        admitted.enter_context(pacer.admitted(reply))
        for number in range(100):
            feed(reply, f"{number} ")
            await asyncio.sleep(0.1)
    gaps = [after.at - before.at for before, after in zip(channel.log, channel.log[1:], strict=False)]
    assert gaps
    assert min(gaps) >= 2.99


async def test_a_429_holds_its_budget_for_everybody_and_no_longer() -> None:
    """All replies of the budget wait for the server's time, and continue with the newest text."""
    limits = [RateLimited("429", retry_after=7.0)]
    async with pacing() as (pacer, admitted):
        one, other = replies(2, seconds=0.1)
        assert isinstance(one.channel, FakeChannel)
        one.channel.fault = lambda verb: limits.pop() if limits else None
        for reply in (one, other):
            admitted.enter_context(pacer.admitted(reply))
        feed(one, "a")
        await asyncio.sleep(1)
        feed(one, "b")
        feed(other, "c")
        await asyncio.sleep(10)
    assert [text for _, text in written(one)] == ["a", "ab"]  # the first was refused
    assert min(at for at, _ in written(one)[1:] + written(other)) == 7


async def test_a_reply_that_has_left_writes_no_more() -> None:
    """After its turn a reply writes nothing, and its reserved permit is free."""
    async with pacing() as (pacer, _):
        (reply,) = replies(1)
        with pacer.admitted(reply):
            feed(reply, "a")
            await asyncio.sleep(1)
            feed(reply, "b")
            assert reply.channel.budgets(Verb.EDIT)[0].live == 1
        await asyncio.sleep(100)
        assert reply.channel.budgets(Verb.EDIT)[0].live == 0
    assert written(reply) == [(0, "a")]


# ------------------------------------------------------------------------------------------------- the rule, in random


class LooksAtAll(WriteScheduler[Reply]):
    """The rule itself: asks every budget of every reply, each time."""

    def __init__(self, rollover_after_seconds: float) -> None:
        super().__init__(rollover_after_seconds)
        self.live: list[Reply] = []

    def add(self, reply: Reply) -> None:
        self.live.append(reply)

    def reschedule(self, reply: Reply) -> None:
        pass

    def remove(self, reply: Reply) -> None:
        self.live.remove(reply)

    def ready(self, now: float, most: int = sys.maxsize) -> Iterator[Send[Reply] | RollOver[Reply]]:
        for _ in range(most):
            ready = [reply for at, reply in self.due(now) if at <= now + 1e-6]
            if not ready:
                return
            yield Send(min(ready, key=lambda reply: self.urgency(reply, now)))

    def next_at(self, now: float) -> float | None:
        return min((at for at, _ in self.due(now)), default=None)

    def due(self, now: float) -> Iterator[tuple[float, Reply]]:
        for reply in self.live:
            if reply.verb is not None and not reply.in_flight:
                urgent = reply.is_final or reply.shows_nothing
                budgets = reply.budgets[reply.verb]
                times = [budget.ready_at(now, final=urgent) for budget in budgets]
                if not urgent:
                    times += [budget.paced_at(now, began=reply.began, wrote=reply.wrote) for budget in budgets]
                yield max(reply.due_at, *times), reply

    def urgency(self, reply: Reply, now: float) -> tuple[int, float]:
        if reply.is_final:
            return 0, -reply.mean_wait(now)
        return 1 if reply.shows_nothing else 2, -reply.backlog(now)


@dataclass
class SpendingChannel(FakeChannel):
    """A channel with given budgets."""

    spends: Sequence[Budget] = ()

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        return self.spends


@dataclass(frozen=True)
class Event:
    """An event of one reply after a while: text, its end, or a failure of its next write."""

    after: float
    reply: int
    what: str
    size: int


@dataclass(frozen=True)
class Plan:
    """One random scenario, each answer in one message.

    Its budgets have no pacing, since paced writes depend on the times of looking.
    """

    limits: str  # which platform's way of counting
    places: list[int]  # the channel of each reply
    latency: float
    pause: float  # of a reply's own, between two of its writes
    events: list[Event]

    @property
    def gap(self) -> float:
        return 0.0 if self.limits == "slack" else self.pause


plans = st.builds(
    Plan,
    st.sampled_from(["discord", "leak", "slack"]),
    st.lists(st.integers(0, 2), min_size=2, max_size=6),
    st.sampled_from([0.0, 0.05, 1.5]),
    st.sampled_from([0.0, 0.6]),
    st.lists(
        st.builds(
            Event,
            st.sampled_from([0.0, 0.0, 0.01, 0.1, 0.3, 1.7]),
            st.integers(0, 5),
            st.sampled_from([*["feed"] * 12, "finish", "limited", "broken"]),
            st.integers(1, 400),
        ),
        min_size=30,
        max_size=80,
    ),
)


def budgets_of(plan: Plan) -> list[Sequence[Budget]]:
    """The budgets of each reply's writes."""
    shared: Budget = LeakyBucket(1.3, burst=2) if plan.limits == "leak" else RollingWindow(3, 1.0, paced=False)
    if plan.limits == "slack":
        return [(RollingWindow(12, 20.0, paced=False),)] * len(plan.places)
    own = {place: FixedWindow(5, 5.0, paced=True) for place in plan.places}
    return [(own[place], shared) for place in plan.places]


def played(plan: Plan, scheduler: WriteScheduler[Reply]) -> list[tuple[float, str, str]]:
    """All writes, with their times."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(play(plan, scheduler))


def fault_of(pending: list[Failure], verb: Verb) -> Failure | None:
    return pending.pop() if pending else None


async def play(plan: Plan, scheduler: WriteScheduler[Reply]) -> list[tuple[float, str, str]]:
    policy = WritePolicy(first_seconds=plan.gap / 3, gap_seconds=plan.gap)
    server, loop = Server(limit=10_000, latency=plan.latency), asyncio.get_running_loop()
    faults: dict[int, list[Failure]] = {number: [] for number in range(len(plan.places))}
    live = []
    for number, spent in enumerate(budgets_of(plan)):
        channel = SpendingChannel(server, limit=100_000, spends=spent, fault=partial(fault_of, faults[number]))
        live.append(Reply(turn(str(number)).key, channel, Strings(), figures()))
    pacer = Pacer(policy, NoRecorder(), random.Random(1), scheduler)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(pacer.run())
        with ExitStack() as admitted:
            for reply in live:
                admitted.enter_context(pacer.admitted(reply))
            for event in plan.events:
                await asyncio.sleep(event.after)
                number = event.reply % len(live)
                match event.what:
                    case "feed":
                        live[number].feed(Text("x" * event.size), loop.time(), policy)
                    case "finish":
                        live[number].finish(Ending.DONE, loop.time())
                    case "limited" | "broken" if event.what == "limited" or plan.limits == "slack":
                        faults[number].append(RateLimited("429", retry_after=event.size / 100))
                    case _:
                        faults[number].append(ServiceError("503"))
            await asyncio.sleep(200)
        running.cancel()
    logs = [(reply.key.message, reply.channel.log) for reply in live if isinstance(reply.channel, FakeChannel)]
    return sorted((round(wrote.at, 3), name, wrote.text + wrote.failure) for name, log in logs for wrote in log)


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(plans)
def test_looking_at_few_writes_what_looking_at_all_would(plan: Plan) -> None:
    """With any budgets, ends and failures: the same writes at the same times as the plain rule."""
    never = float("inf")
    assert played(plan, WriteScheduler(never)) == played(plan, LooksAtAll(never))


class Counted(RollingWindow):
    """Counts how often it is asked and spent."""

    asked = 0
    spent = 0

    def spend(self, now: float) -> None:
        self.spent += 1
        super().spend(now)

    def ready_at(self, now: float, *, final: bool, ahead: int = 0) -> float:
        self.asked += 1
        return super().ready_at(now, final=final, ahead=ahead)


@pytest.mark.slow
async def test_what_all_wait_for_is_not_asked_once_for_each() -> None:
    """With 500 replies sharing one budget, each write asks it a handful of times."""
    count, server, everything = 500, Server(limit=10_000), Counted(10, 1.0, paced=False)
    async with pacing() as (pacer, admitted):
        for number in range(count):
            spends = (FixedWindow(5, 5.0, paced=True), everything)
            channel = SpendingChannel(server, spends=spends)
            reply = Reply(turn(str(number)).key, channel, Strings(), figures())
            admitted.enter_context(pacer.admitted(reply))
            feed(reply, "a")
        await asyncio.sleep(0.5)
        everything.asked = everything.spent = 0
        await asyncio.sleep(40)
    assert everything.spent > 350
    assert everything.asked < 10 * everything.spent
