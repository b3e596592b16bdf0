"""Scheduling is a query: asking changes nothing, and the pacer applies the decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation import Ending, Text
from bot.delivery.policy import WritePolicy
from bot.delivery.reply import Reply
from bot.delivery.scheduler import RollOver, Send, WriteScheduler
from bot.ports import Verb
from bot.rate_limits import Budget, FixedWindow, LeakyBucket
from bot.strings import Strings
from bot.telemetry import Figures
from tests.support.clock import VirtualLoop
from tests.support.fakes import FakeChannel, turn

POLICY = WritePolicy()


@dataclass(eq=False)
class FakeReply:
    """The scheduler's view of a reply, as plain values."""

    verb: Verb | None = Verb.EDIT
    budgets: dict[Verb, Sequence[Budget]] = field(default_factory=dict)
    due_at: float = 0.0
    in_flight: bool = False
    is_closing: bool = False
    is_preview: bool = False
    shows_nothing: bool = False
    can_roll_over: bool = False
    overflows: bool = False
    is_tidying: bool = False
    began: float = 0.0
    wrote: float = 0.0
    characters: int = 0
    length: int = 1

    @property
    def final_budgets(self) -> Sequence[Budget]:
        return self.budgets[Verb.EDIT]

    def backlog(self, now: float) -> float:
        return self.characters * now

    def mean_wait(self, now: float) -> float:
        return self.backlog(now) / self.length


def held(seconds: float) -> LeakyBucket:
    """A budget without permits for a while."""
    budget = LeakyBucket(1.0)
    budget.hold(0.0, seconds)
    return budget


replies = st.builds(
    FakeReply,
    verb=st.sampled_from(Verb),
    budgets=st.floats(0, 60).map(lambda seconds: dict.fromkeys(Verb, (held(seconds),))),
    due_at=st.floats(0, 60),
    is_closing=st.booleans(),
    is_preview=st.booleans(),
    shows_nothing=st.booleans(),
    can_roll_over=st.booleans(),
    overflows=st.booleans(),
    characters=st.integers(0, 1000),
)


@given(replies, st.floats(0, 60))
def test_asking_twice_changes_nothing(reply: FakeReply, now: float) -> None:
    """The same question has the same answer, and the reply is as it was."""
    scheduler = WriteScheduler[FakeReply](POLICY.rollover_after_seconds)
    before = dict(vars(reply))
    assert scheduler.blocked_by(reply, now) == scheduler.blocked_by(reply, now)
    assert vars(reply) == before


@given(st.lists(replies, max_size=6), st.floats(0, 60))
def test_decisions_change_no_reply(live: list[FakeReply], now: float) -> None:
    """Each reply gets at most one decision to send, and none is changed by its scheduler."""
    scheduler = WriteScheduler[FakeReply](POLICY.rollover_after_seconds)
    for reply in live:
        scheduler.add(reply)
    before = [dict(vars(reply)) for reply in live]
    sent = []
    for decision in scheduler.ready(now):
        if isinstance(decision, RollOver):
            decision.reply.can_roll_over = False  # the pacer applies it
            continue
        sent.append(decision.reply)
    assert len(sent) == len(set(sent))
    for reply, state in zip(live, before, strict=True):
        assert {**vars(reply), "can_roll_over": None} == {**state, "can_roll_over": None}


@given(st.lists(replies, max_size=12), st.floats(0, 60), st.integers(1, 4))
def test_sends_in_parts_are_those_of_one_look(live: list[FakeReply], now: float, most: int) -> None:
    """A limit of sends in one look leaves the others due at once, in the same order."""
    in_parts = sends(live, now, most, looks=len(live) + 1)
    assert in_parts == sends(live, now, len(live) + 1, looks=1)


def sends(live: list[FakeReply], now: float, most: int, *, looks: int) -> list[int]:
    """The replies that send, by number, in as many looks as are due at once."""
    scheduler, sent = WriteScheduler[FakeReply](POLICY.rollover_after_seconds), list[int]()
    copies = [replace(reply) for reply in live]
    for reply in copies:
        scheduler.add(reply)
    for _ in range(looks):
        before = len(sent)
        for decision in scheduler.ready(now, most):
            if isinstance(decision, Send):
                sent.append(copies.index(decision.reply))
            else:
                decision.reply.can_roll_over = False
        assert len(sent) - before <= most
        if (at := scheduler.next_at(now)) is None or at > now:
            break
    return sent


def test_a_distant_edit_is_answered_by_a_rollover() -> None:
    """The decision is a value; the scheduler asks the reply again once the pacer has applied it."""
    budget = held(60.0)
    reply = FakeReply(budgets={Verb.EDIT: (budget,), Verb.POST: (LeakyBucket(1.0),)}, can_roll_over=True)
    scheduler = WriteScheduler[FakeReply](POLICY.rollover_after_seconds)
    scheduler.add(reply)
    decisions = []
    for decision in scheduler.ready(20.0):
        decisions.append(decision)
        if isinstance(decision, RollOver):
            reply.can_roll_over, reply.verb = False, Verb.POST
    assert decisions == [RollOver(reply), Send(reply)]


def test_a_reply_in_a_queue_continues_in_a_new_message_on_time() -> None:
    """Its edit was near when it began to wait, and is far off now: the rollover comes no later for that."""
    budget = held(5.0)
    reply = FakeReply(budgets={Verb.EDIT: (budget,), Verb.POST: (LeakyBucket(1.0),)}, can_roll_over=True)
    scheduler = WriteScheduler[FakeReply](POLICY.rollover_after_seconds)
    scheduler.add(reply)
    assert not list(scheduler.ready(0.0))
    budget.hold(1.0, 100.0)
    decided: list[tuple[float, object]] = []
    now = 1.0
    while not decided:
        at = scheduler.next_at(now)
        assert at is not None
        now = max(now, at)
        for decision in scheduler.ready(now):
            decided.append((now, decision))
            reply.can_roll_over, reply.verb = False, None
    assert decided == [(POLICY.rollover_after_seconds, RollOver(reply))]


@pytest.mark.parametrize(
    ("live", "posts", "rolls_over"),
    [
        (1, FixedWindow(5, 5.0, paced=False), False),
        (4, FixedWindow(5, 5.0, paced=False), True),
        (4, held(12.0), False),
        (16, FixedWindow(5, 5.0, paced=False), False),
    ],
)
def test_no_shared_edit_only_fills_up_a_message(live: int, posts: Budget, *, rolls_over: bool) -> None:
    """If the text needs another message anyway, it is posted at once; posts must be free, and suffice for all."""
    edits = held(11.0)
    edits.live = posts.live = live
    budgets: dict[Verb, Sequence[Budget]] = {Verb.EDIT: (edits,), Verb.POST: (posts,)}
    reply = FakeReply(budgets=budgets, can_roll_over=True, overflows=True, wrote=9.0)
    blocked = WriteScheduler[FakeReply](POLICY.rollover_after_seconds).blocked_by(reply, 10.0)
    assert isinstance(blocked, RollOver) is rolls_over


def test_taking_away_buttons_leaves_permits_to_the_ends_of_others() -> None:
    """An ended answer whose text is shown takes a paced permit, and not before one whose end is still to be shown."""
    edits = FixedWindow(5, 5.0, paced=True)
    edits.live = 2
    edits.spend(100.0)
    edits.record_response(100.0, sent=100.0)
    scheduler = WriteScheduler[FakeReply](POLICY.rollover_after_seconds)
    tidying = FakeReply(budgets={Verb.EDIT: (edits,)}, is_closing=True, is_tidying=True)
    ending = FakeReply(budgets={Verb.EDIT: (edits,)}, is_closing=True)
    assert scheduler.blocked_by(ending, 100.1) is None
    assert scheduler.blocked_by(tidying, 100.1) is not None
    assert scheduler.blocked_by(tidying, 101.1) is None


def test_an_ended_text_that_stood_still_for_long_goes_on_in_a_new_message() -> None:
    """An edit in five seconds is near enough, but not if nothing was shown for the five before."""
    for wrote, decision in ((20.0, None), (15.0, RollOver)):
        budgets: dict[Verb, Sequence[Budget]] = {Verb.EDIT: (held(25.0),), Verb.POST: (LeakyBucket(1.0),)}
        reply = FakeReply(budgets=budgets, can_roll_over=True, is_closing=True, wrote=wrote)
        blocked = WriteScheduler[FakeReply](POLICY.rollover_after_seconds).blocked_by(reply, 20.0)
        assert isinstance(blocked, RollOver) is (decision is RollOver)


def test_ends_go_up_in_the_order_of_their_mean_wait() -> None:
    """Among final writes, a short answer does not wait for longer ones with more text."""
    budget = held(5.0)
    short = FakeReply(budgets=dict.fromkeys(Verb, (budget,)), is_closing=True, characters=10, length=10)
    long = FakeReply(budgets=dict.fromkeys(Verb, (budget,)), is_closing=True, characters=30, length=60)
    scheduler = WriteScheduler[FakeReply](POLICY.rollover_after_seconds)
    for reply in (long, short):
        scheduler.add(reply)
    assert not list(scheduler.ready(0.0))
    assert [decision.reply for decision in scheduler.ready(6.0)] == [short, long]


def test_no_message_is_begun_that_would_wait_as_well() -> None:
    """A new message spends the same held budget as the edit: the text stays in one message."""
    budget = held(60.0)
    reply = FakeReply(budgets=dict.fromkeys(Verb, (budget,)), can_roll_over=True)
    scheduler = WriteScheduler[FakeReply](POLICY.rollover_after_seconds)
    scheduler.add(reply)
    assert not list(scheduler.ready(20.0))
    assert list(scheduler.ready(60.0)) == [Send(reply)]


async def roll_over_state(text: str) -> None:
    """Ask a real reply with a distant edit, twice."""
    loop = asyncio.get_running_loop()
    budget = LeakyBucket(1.0)
    channel = FakeChannel(edits=budget)
    reply = Reply(turn().key, channel, Strings(), Figures(loop.time()))
    reply.feed(Text(text), loop.time(), POLICY)
    write = reply.render()
    assert write is not None
    reply.write_started()
    await reply.perform(write, POLICY)
    reply.write_finished()
    budget.hold(loop.time(), 600.0)
    reply.feed(Text(text), loop.time(), POLICY)
    reply.finish(Ending.DONE, loop.time())
    scheduler = WriteScheduler[Reply](POLICY.rollover_after_seconds)
    for _ in range(2):
        assert scheduler.blocked_by(reply, loop.time()) == RollOver(reply)
        assert reply.verb is Verb.EDIT
        assert reply.can_roll_over


@given(st.text("ab c", min_size=1, max_size=200).filter(str.strip))
def test_asking_rolls_no_reply_over(text: str) -> None:
    """A reply continues in a new message only when its pacer says so."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(roll_over_state(text))
