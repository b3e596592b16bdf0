"""Slack's rate limits of native streams."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from adapters.slack.rate_limits import RememberedLimits, spending_write
from bot.errors import RateLimited
from bot.ports import Verb

RATES = {
    Verb.START: ("chat.startStream", 20),
    Verb.APPEND: ("chat.appendStream", 100),
    Verb.STOP: ("chat.stopStream", 20),
}


class CallLog:
    """Calls by limit; each was sent ten seconds ago."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def record_call(self, limit: str) -> None:
        self.calls.append(limit)

    async def recent_calls(self, limit: str, seconds: float) -> Sequence[float]:
        return [10.0] * self.calls.count(limit)


@pytest.mark.parametrize("verb", RATES)
async def test_calls_of_streams_are_counted_by_method_over_restarts(verb: Verb) -> None:
    """20 starts, 20 stops and 100 appends fit into a minute, and the next process knows of them."""
    method, rate = RATES[verb]
    log, now = CallLog(), asyncio.get_running_loop().time()
    first = RememberedLimits("T1", log).streams()
    for _ in range(rate):
        assert first[verb].ready_at(now, final=True) <= now
        first[verb].spend(now)
        first[verb].record_response(now, sent=now)
    assert first[verb].ready_at(now, final=True) > now + 59
    assert log.calls == [f"slack/T1/{method}"] * rate
    limits = RememberedLimits("T1", log)
    second = limits.streams()
    await limits.recall()
    assert {each for each in RATES if second[each].ready_at(now, final=True) > now} == {verb}


async def test_a_write_beside_the_core_waits_and_holds() -> None:
    """It takes a permit like any other, waits for one, and a 429 holds the budget for all."""
    loop, stops = asyncio.get_running_loop(), RememberedLimits("T1", None).streams()[Verb.STOP]
    for _ in range(20):
        async with spending_write([stops]):
            pass
    began = loop.time()

    async def refused() -> None:
        async with spending_write([stops]):
            assert loop.time() - began >= 60
            raise RateLimited("429", retry_after=30.0)

    with pytest.raises(RateLimited):
        await refused()
    assert stops.ready_at(loop.time(), final=True) >= loop.time() + 30
