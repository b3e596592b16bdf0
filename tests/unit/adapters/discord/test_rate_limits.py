"""What Discord counts: shared objects, headers, waiting reads, and the bounds of what waits. On virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from adapters.discord.gateway import IMMEDIATE_EVERY, ReconnectDelays
from adapters.discord.rate_limits import CHANNELS, Budgets, read_report, spending
from adapters.discord.state import Typing
from adapters.shared.keyed_queue import MAX_WAITING, KeyedQueue
from bot.errors import RateLimited
from bot.ports import Verb
from bot.rate_limits import WindowReport


class Longest(random.Random):
    """Jitter that always draws the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


ONE = "/channels/{channel_id}/messages/{message_id}"
ALL = "/channels/{channel_id}/messages"


async def test_budgets_are_the_same_for_all_who_spend_them() -> None:
    """A channel's windows are one object each, apart from other channels' and other verbs'."""
    budgets = Budgets()

    assert budgets.channel("1") is budgets.channel("1")
    assert budgets.channel("1") is not budgets.channel("2")
    assert len({id(budgets.channel("1").of(verb)) for verb in Verb}) == len(Verb)


@pytest.mark.parametrize(
    ("method", "path", "window"),
    [
        ("POST", ALL, "post"),
        ("PATCH", ONE, "edit"),
        ("DELETE", ONE, "delete"),
        ("GET", ALL, "list"),
        ("GET", ONE, "get"),
        ("PUT", ONE, None),
        ("POST", "/channels/{channel_id}/typing", None),
        ("GET", "/users/@me", None),
    ],
)
async def test_what_a_request_spends(method: str, path: str, window: str | None) -> None:
    """An answer's headers reach the window of its own route."""
    budgets = Budgets()
    expected = getattr(budgets.channel("1"), window) if window else None

    assert budgets.window(method, path, "1") is expected


async def test_requests_that_are_counted_together_spend_one_window() -> None:
    """Where Discord names the same bucket for posts and edits, both spend the edits' window, which is paced."""
    channel = Budgets().channel("1")
    edit, post, delete = channel.edit, channel.post, channel.delete
    channel.set_bucket("a", post)
    channel.set_bucket("b", delete)
    channel.set_bucket("a", edit)
    channel.set_bucket("a", edit)

    assert channel.of(Verb.POST) is channel.of(Verb.EDIT) is edit
    assert channel.of(Verb.DELETE) is delete


async def test_who_holds_a_window_that_turns_out_to_be_another_spends_that_one() -> None:
    """Answers that began before, and writes that are in flight, are counted in the one that both are."""
    channel = Budgets().channel("1")
    edit, post = channel.edit, channel.post
    post.live = edit.live = 2
    for _ in range(3):
        post.spend(0.0)
    edit.spend(0.0)
    channel.set_bucket("a", post)
    channel.set_bucket("a", edit)
    for window in (post, post, post, edit):
        window.record_response(0.1, sent=0.0)
    assert post.ready_at(0.2, final=True) <= 0.2
    post.spend(0.2)
    assert edit.ready_at(0.3, final=True) >= 5.0
    assert post.ready_at(0.3, final=True) >= 5.0
    post.record_response(0.3, sent=0.2)
    post.observe(0.4, WindowReport(5, 0, 4.7), sent=0.2)
    edit.hold(0.5, 30.0)
    assert post.ready_at(0.6, final=True) == 30.5
    assert edit.live == 4
    post.live -= 1
    assert edit.live == 3


async def test_requests_that_are_counted_apart_stay_apart() -> None:
    """Whatever the order in which their buckets come to be known."""
    channel = Budgets().channel("1")
    before = {verb: channel.of(verb) for verb in Verb}
    for _ in range(2):
        for name, verb in zip("abc", Verb, strict=True):
            channel.set_bucket(name, channel.of(verb))

    assert {verb: channel.of(verb) for verb in Verb} == before


async def test_channels_at_rest_are_forgotten_and_others_are_not() -> None:
    """The number of channels is bounded by those that rest; what is in use, or was just now, stays."""
    budgets = Budgets()
    busy = budgets.channel("busy")
    busy.edit.live = 1
    for number in range(CHANNELS):
        budgets.channel(str(number))
    assert budgets.channel("busy") is busy

    await asyncio.sleep(61.0)
    first = budgets.channel("0")
    for number in range(CHANNELS):
        budgets.channel(f"new {number}")
    assert budgets.channel("busy") is busy
    assert budgets.channel("0") is first
    assert len(budgets) <= CHANNELS + 3


async def test_reads_wait_for_their_window() -> None:
    """The sixth read of a channel waits until the window has closed."""
    budgets = Budgets()
    window, loop = budgets.channel("1").list, asyncio.get_running_loop()
    began = loop.time()
    for _ in range(6):
        async with spending(window, budgets.everything):
            pass

    assert 5.0 <= loop.time() - began < 6.0


@pytest.mark.parametrize("is_global", [False, True])
async def test_a_429_holds_what_it_was_meant_for(is_global: bool) -> None:
    """A read that is limited holds its channel's window, or the whole bot."""
    budgets, loop = Budgets(), asyncio.get_running_loop()
    window = budgets.channel("1").get
    with pytest.raises(RateLimited):
        async with spending(window, budgets.everything):
            raise RateLimited("429", retry_after=30.0, is_global=is_global)

    held = budgets.everything if is_global else window
    free = window if is_global else budgets.everything
    assert held.ready_at(loop.time(), final=True) == pytest.approx(loop.time() + 30.0)
    assert free.ready_at(loop.time(), final=True) <= loop.time()


GOOD = {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "4", "X-RateLimit-Reset-After": "4.5"}


@pytest.mark.parametrize(
    ("change", "report"),
    [
        ({}, WindowReport(5, 4, 4.5)),
        ({"X-RateLimit-Limit": "many"}, None),
        ({"X-RateLimit-Reset-After": "nan"}, None),
        ({"X-RateLimit-Reset-After": "inf"}, None),
        ({"X-RateLimit-Reset-After": "-1"}, None),
        ({"X-RateLimit-Remaining": "6"}, None),
        ({"X-RateLimit-Remaining": "-1"}, None),
    ],
)
def test_headers(change: dict[str, str], report: WindowReport | None) -> None:
    """Headers that make sense are followed; others are passed over."""
    assert read_report({**GOOD, **change}) == report
    assert read_report({}) is None


async def test_lookups_are_in_order_and_side_by_side() -> None:
    """Within a conversation one after the other, others meanwhile; at the end nothing waits."""
    done: list[str] = []
    queue = KeyedQueue()

    async def work(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        done.append(name)

    async with asyncio.TaskGroup() as group:
        queue.open(group)
        queue.put("a", work("a1", 3.0))
        queue.put("a", work("a2", 0.0))
        queue.put("b", work("b1", 1.0))

    assert done == ["b1", "a1", "a2"]


@pytest.mark.slow
async def test_what_waits_is_bounded() -> None:
    """Too many messages, in one conversation or in many, are dropped instead of kept, and later there is room again."""
    queue, made = KeyedQueue(), MAX_WAITING + 5

    async def work() -> None:
        await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as group:
        queue.open(group)
        in_one = [queue.put("a", work()) for _ in range(10)]
        in_many = [queue.put(f"c{number}", work()) for number in range(made)]
        await queue.drain(60.0)
        later = queue.put("a", work())

    assert (all(in_one), in_many.count(True), later) == (True, MAX_WAITING - 10, True)


async def test_what_waits_is_given_up_at_the_end() -> None:
    """Closing ends what is being looked up, and what waits behind it, so that the group ends."""
    done: list[str] = []
    queue = KeyedQueue()

    async def work() -> None:
        await asyncio.sleep(1000.0)
        done.append("")

    async with asyncio.TaskGroup() as group:
        queue.open(group)
        queue.put("a", work())
        queue.put("a", work())
        await asyncio.sleep(1.0)
        queue.close()
        queue.put("a", work())

    assert done == []


def test_delays_grow_and_start_over() -> None:
    """Tries to connect are farther and farther apart, up to a minute, until one works."""
    delays = ReconnectDelays(Longest())
    grown = [delays.next() for _ in range(8)]
    delays.reset()

    assert (grown, delays.next()) == ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0], 1.0)
    assert 0.5 <= ReconnectDelays().next() <= 1.0


def test_a_loss_is_made_good_at_once_but_not_again_and_again() -> None:
    """The first loss costs no delay; one that follows within seconds does, and the next after that more."""
    delays = ReconnectDelays(Longest())

    assert [delays.after_disconnect(now) for now in (0.0, 0.1, 1.2, 3.0)] == [0.0, 1.0, 2.0, 4.0]
    delays.reset()
    assert [delays.after_disconnect(now) for now in (IMMEDIATE_EVERY, IMMEDIATE_EVERY + 1)] == [0.0, 1.0]


def test_typing_is_due_once_in_a_while() -> None:
    """One indicator serves all turns of a channel, and the memory of it is bounded."""
    typing = Typing()
    due = [typing.due("1", now) for now in (0.0, 1.0, 7.9, 8.0, 9.0)]
    for number in range(5_000):
        typing.hold(str(number), 100.0)

    assert due == [True, False, False, True, False]
    assert len(typing) <= 1_000
