"""Storm test: thousands of events, some delivered twice, over breaking connections; each gets one reply.

The whole program runs as a process. `tests/stress/test_soak.py` sends a few events, `make storm` 10,000.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.servers.slack_deliveries import Envelope
from tests.support.process import Running, bot
from tests.support.slack import OVER_HTTP, for_program, program_ready, transport_of
from tests.support.transport import Transport

PLATFORMS = ("discord", "slack", OVER_HTTP)

ANSWER = "Yes, it is."

# Pauses of Slack before it repeats an event, over HTTP: its own are a minute and more.
RETRY_SECONDS = (0.0, 1.0, 5.0)

# Authors. Few, because Slack allows a hundred user look-ups a minute, and this test is not about those.
_ASKERS = 20

# Unanswered questions at a time: fewer than the bot accepts (2,000), so it rejects none.
_OPEN = 150

# Seconds without an answer until the missing ones count as lost.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """The number of events; every `twice`-th is delivered twice, and all connections break after every `breaks`."""

    events: int
    channels: int
    twice: int = 10
    breaks: int = 500


@dataclass
class Outcome:
    """The result."""

    events: int
    answered: int = 0  # once, with the whole answer
    wrong: list[str] = field(default_factory=list)
    asked: int = 0  # requests to the model
    connections: int = 0
    limited: int = 0  # 429s
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.events} events: {self.answered} answered once, {len(self.wrong)} not; {self.asked} requests to the "
            f"model, {self.connections} connections, {self.limited} answers of 429, {self.seconds:.0f} s"
        )


class Place(Protocol):
    """A platform's test server with channels and authors."""

    environment: dict[str, str]

    async def ask(self, channel: int, *, twice: bool = False) -> int:
        """Ask in a channel, and return the question's number."""
        ...

    def answer(self, number: int) -> list[str]:
        """The bot's messages to one question."""
        ...

    async def break_(self, number: int) -> None:
        """Break all connections; odd and even numbers break them differently."""
        ...

    async def deliver_again(self) -> None:
        """Deliver what nobody acknowledged, as the platform does after a connection is lost."""
        ...

    async def connected(self) -> None: ...

    def answers(self) -> list[list[str]]:
        """For each question, the bot's messages."""
        ...

    @property
    def connections(self) -> int: ...

    @property
    def live(self) -> int:
        """The number of connections receiving events."""
        ...

    @property
    def limited(self) -> int: ...


class DiscordPlace:
    """Mentions in a guild's channels."""

    def __init__(self, double: DiscordDouble, channels: int) -> None:
        self._double = double
        guild = double.world.guild()
        self._channels = [double.world.channel(guild, f"c{number}") for number in range(channels)]
        self._askers = [double.world.user(f"U{number}") for number in range(_ASKERS)]
        self._asked: list[tuple[str, str]] = []
        self.environment = double.environment

    async def ask(self, channel: int, *, twice: bool = False) -> int:
        where, text = self._channels[channel], f"<@{self._double.world.bot}> is it?"
        question = self._double.say(where, text, author=self._askers[channel % _ASKERS], times=2 if twice else 1)
        self._asked.append((where, question))
        return len(self._asked) - 1

    def answer(self, number: int) -> list[str]:
        channel, question = self._asked[number]
        return [each.text for each in self._double.shown(channel) if each.reply_to == question]

    async def break_(self, number: int) -> None:
        if number % 2:
            self._double.gateway.abort_all()
        else:
            with suppress(ConnectionError):  # it may be closing
                await self._double.gateway.reconnect()

    async def deliver_again(self) -> None:
        return  # whoever resumes the session is told

    async def connected(self) -> None:
        await self._double.until(lambda: self._double.gateway.connected > 0)

    def answers(self) -> list[list[str]]:
        found: dict[str | None, list[str]] = {}
        for channel in self._channels:
            for each in self._double.shown(channel):
                if each.reply_to is not None:
                    found.setdefault(each.reply_to, []).append(each.text)
        return [found.get(question, []) for _, question in self._asked]

    @property
    def connections(self) -> int:
        return self._double.gateway.connections

    @property
    def live(self) -> int:
        return self._double.gateway.connected

    @property
    def limited(self) -> int:
        return len(self._double.limited)


class SlackPlace:
    """Mentions in a workspace's channels, each answered in a thread of its own."""

    def __init__(self, double: SlackDouble, channels: int) -> None:
        self._double = double
        self._channels = [double.world.channel() for _ in range(channels)]
        self._askers = [double.world.user(f"U{number}") for number in range(_ASKERS)]
        self._asked: list[tuple[str, str]] = []
        self.environment = double.environment

    async def ask(self, channel: int, *, twice: bool = False) -> int:
        where, text = self._channels[channel], f"<@{self._double.world.bot_user}> is it?"
        known = len(self._double.deliveries.envelopes)
        question = self._double.say(where, text, author=self._askers[channel % _ASKERS])
        self._asked.append((where, question))
        if twice:
            await self._double.until(lambda: bool(self._delivered(question, known)))
            for envelope in self._delivered(question, known):
                await self._double.redeliver(envelope)
        return len(self._asked) - 1

    def _delivered(self, question: str, known: int) -> list[Envelope]:
        """The deliveries of a question after the first `known` envelopes."""
        return [each for each in self._double.deliveries.envelopes[known:] if each.event.get("ts") == question]

    def answer(self, number: int) -> list[str]:
        return self._double.answers(*self._asked[number])

    async def break_(self, number: int) -> None:
        if self._double.transport is Transport.HTTP:
            self._double.requests.broken = 20
            return
        if number % 2:
            self._double.sockets.abort()
        else:
            with suppress(ConnectionError, IndexError):  # it may be closing, or closed
                await self._double.sockets.disconnect()
        await asyncio.sleep(1.0)
        await self.connected()
        await self.deliver_again()

    async def deliver_again(self) -> None:
        await self._double.redeliver_unacknowledged()

    async def connected(self) -> None:
        await program_ready(self._double)

    def answers(self) -> list[list[str]]:
        return [self._double.answers(channel, question) for channel, question in self._asked]

    @property
    def connections(self) -> int:
        return self._double.sockets.opened or self._double.requests.connections

    @property
    def live(self) -> int:
        return len(self._double.sockets.live)

    @property
    def limited(self) -> int:
        return len(self._double.limited)


@asynccontextmanager
async def place_of(platform: str, channels: int) -> AsyncIterator[Place]:
    if platform == "discord":
        async with DiscordDouble().running() as discord:
            yield DiscordPlace(discord, channels)
    else:
        async with for_program(transport_of(platform)).running() as slack:
            slack.requests.retry_seconds, slack.requests.pace_seconds = RETRY_SECONDS, 0.0
            yield SlackPlace(slack, channels)


async def storm(platform: str, load: Load, tell: Callable[[str], object] = lambda line: None) -> Outcome:
    """Send the events and wait for their answers. `tell` receives a progress line now and then."""
    loop, outcome = asyncio.get_running_loop(), Outcome(load.events)
    began = loop.time()
    with tempfile.TemporaryDirectory() as folder:
        async with OpenAIDouble(default=Answer(ANSWER)) as model, place_of(platform, load.channels) as place:
            more = {
                "OPENAI_BASE_URL": model.url,
                "OPENAI_API_KEY": "x",
                "OPENAI_MODEL": "m",
                "JOURNAL_URL": f"sqlite:///{Path(folder) / 'journal.db'}",
                "TICKERTAPE_LOG_LEVEL": "warning",
            }
            async with bot(place.environment | more) as running:
                await place.connected()
                sending = _Sending(load, place, running)
                await sending.send(tell)
                await sending.until_open(0)
                await asyncio.sleep(2.0)  # a wrong second answer would arrive now
            outcome.asked, outcome.limited = len(model.requests), place.limited
            outcome.connections = place.connections
            for number, texts in enumerate(place.answers()):
                if texts == [ANSWER]:
                    outcome.answered += 1
                else:
                    outcome.wrong.append(f"event {number}: {texts}")
    outcome.seconds = loop.time() - began
    return outcome


class _Sending:
    """Sends the events, with at most `_OPEN` unanswered."""

    def __init__(self, load: Load, place: Place, running: Running) -> None:
        self._load = load
        self._place = place
        self._running = running
        self._unanswered: dict[int, None] = {}

    async def send(self, tell: Callable[[str], object]) -> None:
        load = self._load
        for number in range(load.events):
            twice = number % load.twice == load.twice - 1
            self._unanswered[await self._place.ask(number % load.channels, twice=twice)] = None
            if number % load.breaks == load.breaks - 1:
                tell(f"{number + 1} events")
                await self._place.break_(number // load.breaks)
            if number % 25 == 0:
                await self.until_open(_OPEN)

    async def until_open(self, count: int) -> None:
        """Wait until at most `count` are unanswered, or no answer arrives for `_PATIENCE_SECONDS`."""
        loop = asyncio.get_running_loop()
        came = loop.time()
        while len(self._unanswered) > count and loop.time() - came < _PATIENCE_SECONDS:
            assert self._running.process.returncode is None, "the bot has exited"
            answered = [number for number in self._unanswered if self._place.answer(number)]
            for number in answered:
                del self._unanswered[number]
                came = loop.time()
            await asyncio.sleep(0.2)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 1 if an event was not answered exactly once."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.storm", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=400)
    parser.add_argument("--breaks", type=int, default=500, help="events between two breaks of all connections")
    parser.add_argument("--platform", choices=PLATFORMS, action="append")
    chosen = parser.parse_args(arguments)
    failed = False
    for platform in chosen.platform or PLATFORMS:
        load = Load(chosen.events, chosen.channels, breaks=chosen.breaks)
        outcome = asyncio.run(storm(platform, load, lambda line: sys.stderr.write(f"{line}\n")))
        sys.stdout.write(f"{platform}: {outcome}\n")
        for line in outcome.wrong[:5]:
            sys.stdout.write(f"  {line}\n")
        failed = failed or bool(outcome.wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
