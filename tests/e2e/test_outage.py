"""The network is down: neither the model nor the platform can be reached, and then both can be again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import pytest

from bot.completion import CompletionPolicy
from bot.conversation import Delta, Ending, Finish, FinishReason, Prompt, Text
from bot.delivery.reachability import REMEMBERED_SECONDS, Reachability
from bot.errors import ConnectFailed, Failure, OutcomeUnknown, ServiceError
from bot.ports import NextWriteAt, Verb, at_once
from bot.telemetry import TurnRecord
from tests.e2e.test_program import DiscordPlace, SlackPlace
from tests.servers.discord import DiscordDouble
from tests.servers.network import network
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.support.core import TurnRecords, make_turns, running
from tests.support.fakes import FakeChannel, Server, turn
from tests.support.process import bot

# The whole program's outage in real time: six times as long as it waits for a model that is away alone.
OUTAGE_SECONDS = 6.0

ANSWER = " ".join(f"word{number}" for number in range(600))


@dataclass(frozen=True)
class Outage:
    """When something is away, by the loop's seconds after the question; `kind` is how that shows."""

    begins: float = float("inf")
    seconds: float = 0.0
    kind: str = "refused"

    def __contains__(self, at: float) -> bool:
        return self.begins <= at < self.begins + self.seconds


class Networked:
    """A model that writes 40 words a second, while it can be reached."""

    def __init__(self, outage: Outage, *, streams: bool = True) -> None:
        self.outage, self.streams = outage, streams
        self.calls: list[bool] = []

    async def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        loop = asyncio.get_running_loop()
        self.calls.append(stream)
        if loop.time() - BEGAN in self.outage:
            if self.outage.kind == "half-open":
                await asyncio.sleep(5)  # until connecting is given up
            raise ConnectFailed("nobody is there")
        if stream and not self.streams:
            raise ServiceError("it does not stream")
        for word in ANSWER.split(" "):
            await asyncio.sleep(1 / 40 if stream else 0)
            if loop.time() - BEGAN in self.outage:
                if self.outage.kind == "half-open":
                    await asyncio.sleep(1_000)
                raise ServiceError("the connection was reset")
            yield Text(word + " ")
        yield Finish(FinishReason.STOP)


BEGAN = 1_000.0  # the virtual clock's beginning


class FarChannel(FakeChannel):
    """A channel behind a network: in a half-open one, a write gets no answer until it is given up."""

    away = Outage()

    async def _write(self, verb: Verb, message: str, *rest: object) -> str:
        if self.away.kind == "half-open" and asyncio.get_running_loop().time() - BEGAN in self.away:
            await asyncio.sleep(10)
            raise OutcomeUnknown("no answer in time")
        return await super()._write(verb, message, *rest)  # type: ignore[arg-type]


async def asked(
    model: Networked,
    platform: Outage,
    *,
    ready: Callable[[str], bool] | None = None,
    policy: CompletionPolicy | None = None,
    lost: bool = False,
) -> tuple[FarChannel, TurnRecord]:
    """One question at second 0, answered while the model and the platform are away at times.

    `lost` says that writes into the outage's first second were applied, and only their answers lost.
    """
    loop, recorder = asyncio.get_running_loop(), TurnRecords()
    assert loop.time() == pytest.approx(BEGAN)
    channel = FarChannel(Server())
    channel.away = platform

    def fault(verb: Verb) -> Failure | None:
        at = loop.time() - BEGAN
        channel.applied_first = lost and at < platform.begins + 1
        if at in platform:
            return OutcomeUnknown("the answer was lost") if channel.applied_first else ConnectFailed("nobody is there")
        return None

    channel.fault = fault
    turns = make_turns(
        model,
        recorder=recorder,
        completion=policy or CompletionPolicy(),
        ready=ready or (lambda _: loop.time() - BEGAN not in platform),
    )
    async with running(turns):
        turns.accept(turn("1"), channel)
        await turns.idle()
    return channel, recorder.of("1")


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("kind", ["refused", "half-open"])
@pytest.mark.parametrize("begins", [0.0, 0.3, 5.0, 14.9])
@pytest.mark.parametrize("seconds", [45.0, 290.0, 300.0])
async def test_both_away_for_five_minutes(seconds: float, begins: float, kind: str, *, lost: bool) -> None:
    """Whether the answer has begun or not, it is complete soon after the network is back, and shows once."""
    away = Outage(begins, seconds, kind)
    channel, record = await asked(Networked(away), away, lost=lost)
    assert (record.ending, channel.text.split()) == (Ending.DONE, ANSWER.split())
    assert len(channel.shown) == len(channel.keys)  # none was posted twice and taken away
    assert record.seconds < begins + seconds + 60


@pytest.mark.parametrize("seen", ["by its events", "by writes"])
async def test_either_sign_of_the_platform_counts(seen: str) -> None:
    """A platform is known to be away by its own connection, or by writes that meet nobody."""
    loop, away = asyncio.get_running_loop(), Outage(5.0, 200.0)
    writes = away if seen == "by writes" else Outage()
    events = away if seen == "by its events" else Outage()
    channel, record = await asked(Networked(away), writes, ready=lambda _: loop.time() - BEGAN not in events)
    assert (record.ending, channel.text.split()) == (Ending.DONE, ANSWER.split())


async def test_a_call_without_streaming_waits_too() -> None:
    """A model that does not stream is asked again, as long as both are away, and answers whole."""
    away = Outage(0.0, 290.0)
    model = Networked(away, streams=False)
    channel, record = await asked(model, away)
    assert (record.ending, channel.text.split()) == (Ending.DONE, ANSWER.split())


async def test_the_answer_still_streams_after_an_outage() -> None:
    """The time that nobody was there is none of the time that streamed attempts may take."""
    away = Outage(0.0, 295.0)
    model = Networked(away)
    await asked(model, away)
    assert all(model.calls)


@pytest.mark.parametrize("begins", [0.0, 5.0])
async def test_a_model_that_is_away_alone_is_waited_for_as_before(begins: float) -> None:
    """While the reader can be told, he is told after half a minute."""
    _, record = await asked(Networked(Outage(begins, 3_000.0)), Outage())
    assert record.ending is Ending.FAILED
    assert begins + 30 <= record.seconds < begins + 60


async def test_a_model_that_stays_away_is_waited_for_no_longer_than_alone() -> None:
    """From the moment that the platform is back, the model has its half minute."""
    _, record = await asked(Networked(Outage(2.0, 3_000.0)), Outage(2.0, 100.0))
    assert record.ending is Ending.FAILED
    assert 120 <= record.seconds < 160


async def test_a_platform_that_is_away_alone_loses_nothing() -> None:
    """The model has long ended when the platform is back: all of its answer shows then."""
    channel, record = await asked(Networked(Outage()), Outage(3.0, 300.0))
    assert (record.ending, channel.text.split()) == (Ending.DONE, ANSWER.split())
    assert record.seconds < 303 + 20


async def test_six_minutes_end_honestly() -> None:
    """An answer is not waited for any longer, but its honest end shows as soon as somebody can see it."""
    away = Outage(5.0, 360.0)
    channel, record = await asked(Networked(away), away)
    assert record.ending is Ending.FAILED
    assert "The answer was cut here" in channel.text
    assert channel.text.split()[:20] == ANSWER.split()[:20]
    assert 365 <= record.seconds < 365 + 20


async def test_the_operator_says_how_long() -> None:
    """With a shorter outage that is waited for, the end comes sooner."""
    away = Outage(0.0, 120.0)
    channel, record = await asked(Networked(away), away, policy=CompletionPolicy(outage_seconds=60.0))
    assert record.ending is Ending.FAILED
    assert "word0" not in channel.text


def test_what_a_write_met_is_remembered_for_a_while() -> None:
    """A write that met nobody says so until one is answered, however it is, or until it is long ago."""
    reach = Reachability()
    assert not reach.is_unreachable(0.0)
    for failure in (ConnectFailed("refused"), OutcomeUnknown("no answer")):
        reach.record(failure, 100.0)
        assert reach.is_unreachable(100.0 + REMEMBERED_SECONDS - 1)
        assert not reach.is_unreachable(100.0 + REMEMBERED_SECONDS)
        reach.record(ServiceError("500"), 101.0)
        assert not reach.is_unreachable(101.0)
        reach.record(failure, 102.0)
        reach.record(None, 103.0)
        assert not reach.is_unreachable(103.0)


# The model is waited for 1 s alone, and so much longer than the outage of the tests below where nobody is there.
SHORT = {
    "TICKERTAPE_CONNECT_WAIT_SECONDS": "1",
    "TICKERTAPE_OUTAGE_SECONDS": "60",
    "TICKERTAPE_BACKOFF_LIMIT_SECONDS": "0.5",
}


@pytest.mark.sockets(seconds=90)
@pytest.mark.parametrize("model_alone", [False, True])
@pytest.mark.parametrize("platform", ["discord", "slack"])
async def test_the_whole_program_in_an_outage(platform: str, *, model_alone: bool) -> None:
    """The network goes down in mid-answer for longer than a model is waited for: then the answer is whole, once."""
    double = DiscordDouble() if platform == "discord" else SlackDouble()
    answer = Answer(ANSWER, words_per_second=100)
    async with OpenAIDouble(default=answer) as model, network() as far, network() as near, double.running():
        place = DiscordPlace(double) if isinstance(double, DiscordDouble) else SlackPlace(double)
        addresses = {name: url for name, url in place.environment.items() if "://" in url}
        environment = place.environment | {name: await far.through(url) for name, url in addresses.items()}
        named = {"OPENAI_BASE_URL": await near.through(model.url), "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
        async with bot(SHORT | named | environment) as running:
            await place.until_connected()
            question = place.ask("why?")
            while not any("word20" in text for text in place.answers(question)):
                await asyncio.sleep(0.02)
            near.down()
            if not model_alone:
                far.down()
                if isinstance(double, SlackDouble):
                    double.sockets.abort()  # its address does not lead through the network
                await asyncio.sleep(OUTAGE_SECONDS)
                await near.up()
                await far.up()
            ended = await running.says("turn ended")
            assert ("failed" in ended) is model_alone
            texts = place.answers(question)
            assert (" ".join(texts).split() == ANSWER.split()) is not model_alone
            assert len(texts) <= 4
