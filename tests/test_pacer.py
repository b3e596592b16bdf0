"""Which reply writes next, on virtual time, as transcripts of who wrote when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from bot.budget import Leak
from bot.conversation import Ending, Text
from bot.errors import Limited
from bot.pacer import Pacer
from bot.ports import Verb
from bot.reply import Reply, WritingPolicy
from bot.telemetry import Figures, NoRecorder
from bot.words import Words
from tests.memory import MemoryChannel, Server, turn

# No spacing of a reply's own, so that only the choice among replies shows.
POLICY = WritingPolicy(first_seconds=0.0, gap_seconds=0.0)


@asynccontextmanager
async def pacing() -> AsyncIterator[tuple[Pacer, ExitStack]]:
    """A pacer that runs, and a stack for the replies that it admits."""
    pacer = Pacer(POLICY, NoRecorder(), random.Random(1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(pacer.run())
        with ExitStack() as admitted:
            yield pacer, admitted
        running.cancel()


def replies(count: int, *, seconds: float = 10.0) -> list[Reply]:
    """Replies that share one budget of one write each `seconds`, of whatever verb."""
    budget, server = Leak(seconds), Server(limit=1000)
    channels = [MemoryChannel(server, edits=budget, posts=budget, deletes=budget) for _ in range(count)]
    return [Reply(turn(str(n)).key, channel, Words(), figures()) for n, channel in enumerate(channels)]


def figures() -> Figures:
    return Figures(asyncio.get_running_loop().time())


def feed(reply: Reply, text: str) -> None:
    reply.feed(Text(text), asyncio.get_running_loop().time(), POLICY)


def written(reply: Reply) -> list[tuple[int, str]]:
    """When, in seconds since the clock's start, and what a reply wrote."""
    assert isinstance(reply.channel, MemoryChannel)
    return [(round(wrote.at - 1000), wrote.text) for wrote in reply.channel.log]


async def test_a_final_goes_before_a_first_and_a_first_before_more() -> None:
    """Whoever waits for an end comes first, then whoever sees nothing, then the one with more unseen text."""
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


async def test_one_write_of_a_reply_at_a_time() -> None:
    """While a write is on its way, the same reply sends no other, so edits never race."""
    server = Server(limit=1000, latency=3.0)
    channel = MemoryChannel(server, edits=Leak(0.01), posts=Leak(0.01))
    async with pacing() as (pacer, admitted):
        reply = Reply(turn().key, channel, Words(), figures())
        admitted.enter_context(pacer.admitted(reply))
        for number in range(100):
            feed(reply, f"{number} ")
            await asyncio.sleep(0.1)
    gaps = [after.at - before.at for before, after in zip(channel.log, channel.log[1:], strict=False)]
    assert gaps
    assert min(gaps) >= 2.99


async def test_a_429_holds_its_budget_for_everybody_and_no_longer() -> None:
    """Whoever shares the budget waits as long as the server said; then all goes on with the newest text."""
    limits = [Limited("429", retry_after=7.0)]
    async with pacing() as (pacer, admitted):
        one, other = replies(2, seconds=0.1)
        assert isinstance(one.channel, MemoryChannel)
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
    """After its turn is over nothing of it is written, and what was kept back for it is free."""
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
