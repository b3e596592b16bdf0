"""A limit in time is one more condition of every write, beside any other limit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from bot.conversation import Ending, Text
from bot.delivery.pacer import Pacer
from bot.delivery.policy import WritePolicy
from bot.delivery.reply import Reply
from bot.ports import StreamCapabilities, Verb
from bot.rate_limits import AdaptiveLimit, Budget, FixedWindow, LeakyBucket, RenewableLimit, RollingWindow
from bot.strings import Strings
from bot.telemetry import Figures, NoRecorder
from tests.support.fakes import STREAM_LIMITS, FakeChannel, Server, Wrote, stream_budgets, turn

POLICY = WritePolicy()

LIMITS: dict[str, Callable[[], Budget]] = {
    "fixed window": lambda: FixedWindow(5, 5.0, paced=True),
    "rolling window": lambda: RollingWindow(50, 60.0),
    "leaky bucket": lambda: LeakyBucket(1.2, burst=5, paced=True),
    "adaptive": lambda: AdaptiveLimit(RollingWindow(50, 60.0), LeakyBucket(1.2, burst=5, paced=True), 600.0),
}


@dataclass
class LeasedChannel(FakeChannel):
    """Every write has one more condition."""

    lease: RenewableLimit = field(default_factory=RenewableLimit)

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        return (*super().budgets(verb), self.lease)


async def answered(
    channels: Sequence[LeasedChannel], steps: Sequence[tuple[float, Callable[[], object]]], words: int = 120
) -> list[list[Wrote]]:
    """Answers of ten words a second; at each step's time (from the start) something happens. Their writes."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    pacer = Pacer(POLICY, NoRecorder(), random.Random(1))
    replies = [
        Reply(turn(str(number)).key, channel, Strings(), Figures(began)) for number, channel in enumerate(channels)
    ]

    async def write(reply: Reply) -> None:
        with pacer.admitted(reply):
            for number in range(words):
                reply.feed(Text(f"word{number} "), loop.time(), POLICY)
                await asyncio.sleep(0.1)
            reply.finish(Ending.DONE, loop.time())
            await reply.done

    async with asyncio.TaskGroup() as group:
        running = group.create_task(pacer.run())
        for at, happens in steps:
            loop.call_at(began + at, happens)
        writing = [group.create_task(write(reply)) for reply in replies]
        await asyncio.wait(writing)
        running.cancel()
    return [channel.writes() for channel in channels]


@pytest.mark.parametrize("kind", LIMITS)
async def test_nothing_is_sent_after_it_expires_and_all_at_once_when_renewed(kind: str) -> None:
    """Beside every kind of limit: silence while it is expired, a write at the moment of its renewal, the whole text."""
    began = asyncio.get_running_loop().time()
    lease = RenewableLimit(began + 4.0)
    channel = LeasedChannel(Server(limit=10_000), edits=LIMITS[kind](), lease=lease)
    steps = [(31.5, lambda: lease.renew(began + 1000.0))]
    (writes,) = await answered([channel], steps)
    times = [wrote.at - began for wrote in writes]
    assert [at for at in times if at < 4.0]
    assert not [at for at in times if 4.0 <= at < 31.5]
    assert next(at for at in times if at >= 4.0) == pytest.approx(31.5, abs=0.01)
    assert channel.text.split() == [f"word{number}" for number in range(120)]
    assert len(channel.shown) == 1  # waiting for it splits no answer
    assert channel.server.limited == 0


async def test_every_connection_wakes_when_it_is_renewed() -> None:
    """One limit of the process serves many replies: each writes at the renewal, and none before."""
    began = asyncio.get_running_loop().time()
    lease = RenewableLimit()
    channels = [LeasedChannel(Server(), lease=lease) for _ in range(40)]
    for writes in await answered(channels, [(7.25, lambda: lease.renew(began + 1000.0))], words=10):
        assert writes[0].at - began == pytest.approx(7.25, abs=0.01)


async def test_a_native_stream_waits_for_it_as_a_post_does() -> None:
    """Closed at the beginning, it delays a start and does not turn the answer to edits; so in the middle."""
    began = asyncio.get_running_loop().time()
    lease = RenewableLimit()
    stream = StreamCapabilities(9_000, len, 280.0)
    server = Server(counts_posts=False, streams=STREAM_LIMITS)
    channel = LeasedChannel(server, stream=stream, streams=stream_budgets(), lease=lease)
    steps = [(2.25, lambda: lease.renew(began + 4.0)), (7.5, lambda: lease.renew(began + 1000.0))]
    (writes,) = await answered([channel], steps)
    assert writes[0].at - began == pytest.approx(2.25, abs=0.01)
    assert not [wrote for wrote in writes if 4.0 <= wrote.at - began < 7.5]
    assert {wrote.verb for wrote in writes} == {Verb.START, Verb.APPEND, Verb.STOP}
    assert channel.text.split() == [f"word{number}" for number in range(120)]


async def test_a_shorter_renewal_closes_it_sooner() -> None:
    """Its owner may give it up: nothing is sent from then on."""
    began = asyncio.get_running_loop().time()
    lease = RenewableLimit(began + 1000.0)
    steps = [(3.0, lambda: lease.renew(began)), (60.0, lambda: lease.renew(began + 1000.0))]
    channel = LeasedChannel(Server(), lease=lease)
    (writes,) = await answered([channel], steps)
    assert not [wrote for wrote in writes if 3.0 < wrote.at - began < 60.0]


def test_a_servers_hold_does_not_close_it() -> None:
    """A 429 for one connection holds that one's limits; this one is shared by all."""
    lease = RenewableLimit(10.0)
    lease.hold(0.0, 60.0)
    assert lease.ready_at(1.0, final=False) == 1.0
    assert lease.ready_at(10.0, final=True) == float("inf")
