"""When a model's stream must be read for the next write, on virtual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest

from adapters.journal import MemoryJournal
from bot.conversation import Delta, Finish, FinishReason, Prompt, Reasoning, Text
from bot.ports import NextWriteAt, at_once
from bot.rate_limits import FixedWindow, LeakyBucket, RollingWindow
from tests.support.core import make_turns, running
from tests.support.fakes import FakeChannel, Server, turn

WORDS = [Text(f"word{number} ") for number in range(400)]


class Asking:
    """A model of 40 words a second that asks before each of them when it can be written."""

    def __init__(self, deltas: Sequence[Delta]) -> None:
        self._deltas = deltas
        self.told: list[tuple[float, float]] = []  # when it asked, and the answer

    async def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        loop = asyncio.get_running_loop()
        for delta in self._deltas:
            now = loop.time()
            self.told.append((now, next_write_at(now)))
            yield delta
            await asyncio.sleep(0.025)
        yield Finish(FinishReason.STOP)


async def answered(deltas: Sequence[Delta], channel: FakeChannel) -> Asking:
    model = Asking(deltas)
    async with running(make_turns(model, MemoryJournal())) as turns:
        turns.accept(turn(), channel)
        await turns.idle()
    return model


def discord() -> FakeChannel:
    return FakeChannel(Server(limit=5, period=5.0), edits=FixedWindow(5, 5.0, paced=True))


def slack() -> FakeChannel:
    server = Server(limit=50, period=60.0, rolling=True, counts_posts=False)
    return FakeChannel(server, edits=RollingWindow(50, 60.0), posts=LeakyBucket(1.05))


@pytest.mark.parametrize("channel", [discord, slack])
async def test_writes_come_when_told(channel: Callable[[], FakeChannel]) -> None:
    """The last answer before each write names its time; only the write of the end comes unannounced."""
    place = channel()
    model = await answered(WORDS, place)
    assert len(place.text.split()) == len(WORDS)
    writes = [wrote.at for wrote in place.writes()][:-1]
    assert len(writes) > 5
    for at in writes:
        told = next(told for now, told in reversed(model.told) if now < at - 0.001)
        assert told - 0.001 <= at <= told + 0.026  # at once, or with the next word


async def test_words_that_are_not_there_yet_are_awaited() -> None:
    """While a model reasons, no write is near; once its words are there, the first is 0.2 s away."""
    model = await answered([*[Reasoning("hm ")] * 40, *WORDS[:80]], discord())
    assert {told for _, told in model.told[:41]} == {math.inf}
    now, told = model.told[41]
    assert told - now == pytest.approx(0.175, abs=0.01)
