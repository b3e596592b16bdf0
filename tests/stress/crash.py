"""Crash test: many live answers while the process is killed, is terminated, or loses its model. Real processes.

`tests/stress/test_crash.py` runs a few answers, `make crash` a hundred.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.support.process import Running, bot
from tests.support.slack import OVER_HTTP, for_program, program_ready, transport_of

# The mishaps of a process.
KILLED, STOPPED, MODEL_LOST = "kill -9", "SIGTERM", "the model's server lost"
MISHAPS = (KILLED, STOPPED, MODEL_LOST)

# Slack's agent view, in place of a platform.
AGENT_VIEW = "slack-agent"

# The longest wait for whole answers.
_PATIENCE_SECONDS = 120.0

# Pauses of Slack before it repeats an event, over HTTP: shorter than its own, but still longer than a start.
RETRY_SECONDS = (0.0, 3.0, 15.0)

# The wait for surplus messages after all answers are whole.
_SETTLE_SECONDS = 0.6


@dataclass(frozen=True, slots=True)
class Load:
    """The number of live answers, and their length: `words` at `rate` a second."""

    replies: int
    words: int = 300
    rate: float = 100.0
    seed: int = 1
    streams: int = 0  # open ones at the mishap, at least


@dataclass
class Outcome:
    """The result, as readers see it."""

    replies: int
    live: int = 0  # half-written answers at the mishap
    whole: int = 0
    wrong: list[str] = field(default_factory=list)  # the texts of answers not whole, or posted twice
    limited: int = 0  # 429s
    streamed: int = 0  # answers that were open native streams at the mishap
    spinners: int = 0  # signs of progress at the end
    seconds: float = 0.0  # from the mishap until all answers were whole

    def __str__(self) -> str:
        return (
            f"{self.replies} answers, {self.live} of them half written: {self.whole} whole, {len(self.wrong)} not, "
            f"{self.limited} answers of 429, {self.streamed} open streams and then {self.spinners} signs of progress, "
            f"{self.seconds:.1f} s until all were whole"
        )


class Places(Protocol):
    """A platform's test server with a channel for each question."""

    environment: dict[str, str]

    def ask(self, number: int) -> None: ...

    def shown(self, number: int) -> list[str]:
        """The bot's messages in a channel, from top to bottom."""
        ...

    @property
    def limited(self) -> int: ...

    @property
    def spinners(self) -> int:
        """Messages with a sign of progress of the platform's own."""
        ...

    async def connected(self) -> None: ...


class DiscordPlaces:
    """Mentions in a guild's channels."""

    spinners = 0

    def __init__(self, double: DiscordDouble, count: int) -> None:
        self._double = double
        guild = double.world.guild()
        self._channels = [double.world.channel(guild, f"c{number}") for number in range(count)]
        self._askers = [double.world.user(f"U{number}") for number in range(count)]
        self.environment = double.environment

    def ask(self, number: int) -> None:
        self._double.say(self._channels[number], f"<@{self._double.world.bot}> why?", author=self._askers[number])

    def shown(self, number: int) -> list[str]:
        return self._double.answers(self._channels[number])

    @property
    def limited(self) -> int:
        return len(self._double.limited)

    async def connected(self) -> None:
        await self._double.until(lambda: self._double.gateway.connected > 0)


class SlackPlaces:
    """Mentions in a workspace's channels, answered in threads."""

    def __init__(self, double: SlackDouble, count: int) -> None:
        self._double = double
        self._channels = [double.world.channel() for _ in range(count)]
        self._askers = [double.world.user(f"U{number}") for number in range(count)]
        self._questions: dict[int, str] = {}
        self.environment = double.environment

    def ask(self, number: int) -> None:
        text = f"<@{self._double.world.bot_user}> why?"
        self._questions[number] = self._double.say(self._channels[number], text, author=self._askers[number])

    def shown(self, number: int) -> list[str]:
        return self._double.answers(self._channels[number], self._questions[number])

    @property
    def limited(self) -> int:
        return len(self._double.limited)

    @property
    def spinners(self) -> int:
        return len(self._double.streams.spinners)

    async def connected(self) -> None:
        await program_ready(self._double)


class AgentPlaces(SlackPlaces):
    """Questions of as many people in the agent view, all answered by native streams: `auto` edits some of twenty."""

    def __init__(self, double: SlackDouble, count: int) -> None:
        super().__init__(double, count)
        self.environment = double.environment | {"TICKERTAPE_SLACK_STREAMS": "always"}
        self._channels = [double.direct_with(asker) for asker in self._askers]

    def ask(self, number: int) -> None:
        self._questions[number] = self._double.ask_agent(self._askers[number], "why?")


class BothPlaces:
    """Discord and Slack in one bot, question by question."""

    def __init__(self, *kinds: Places) -> None:
        self._kinds = kinds
        self.environment = {name: value for kind in kinds for name, value in kind.environment.items()}

    def ask(self, number: int) -> None:
        which, number = number % len(self._kinds), number // len(self._kinds)
        self._kinds[which].ask(number)

    def shown(self, number: int) -> list[str]:
        which, number = number % len(self._kinds), number // len(self._kinds)
        return self._kinds[which].shown(number)

    @property
    def limited(self) -> int:
        return sum(kind.limited for kind in self._kinds)

    @property
    def spinners(self) -> int:
        return sum(kind.spinners for kind in self._kinds)

    async def connected(self) -> None:
        for kind in self._kinds:
            await kind.connected()


@asynccontextmanager
async def places(platform: str, count: int) -> AsyncIterator[Places]:
    if platform == "discord":
        async with DiscordDouble().running() as discord:
            yield DiscordPlaces(discord, count)
    elif platform == "both":
        async with places("discord", count) as one, places("slack", count) as other:
            yield BothPlaces(one, other)
    else:
        async with for_program(transport_of(platform)).running() as slack:
            slack.requests.retry_seconds = RETRY_SECONDS
            yield (AgentPlaces if platform == AGENT_VIEW else SlackPlaces)(slack, count)


def words_of(count: int) -> list[str]:
    return [f"word{number}" for number in range(count)]


class Run:
    """One run: start answers, let the mishap happen, and check every answer at the end."""

    def __init__(self, load: Load, where: Places, model: OpenAIDouble, journal: str) -> None:
        self._load = load
        self._where = where
        self._model = model
        self._whole = words_of(load.words)
        self._random = random.Random(load.seed)
        self.outcome = Outcome(load.replies)
        self._environment = where.environment | {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "x",
            "OPENAI_MODEL": "m",
            "JOURNAL_URL": journal,
            "TICKERTAPE_DRAIN_SECONDS": "0.3",
        }

    async def play(self, mishap: str) -> Outcome:
        """Run it, and return the result."""
        async with bot(self._environment) as running:
            await self._where.connected()
            await self._begin()
            self.outcome.live = self._live
            self.outcome.streamed = self._where.spinners
            happened = asyncio.get_running_loop().time()
            if mishap == MODEL_LOST:
                async with self._model.refused():
                    await asyncio.sleep(1.0)
                await self._until_whole(running)
            else:
                await running.stop(signal.SIGKILL if mishap == KILLED else signal.SIGTERM)
        if mishap != MODEL_LOST:
            async with bot(self._environment) as running:
                await self._until_whole(running)
        self.outcome.seconds = asyncio.get_running_loop().time() - happened - _SETTLE_SECONDS
        self.outcome.limited, self.outcome.spinners = self._where.limited, self._where.spinners
        self._judge()
        return self.outcome

    @property
    def _live(self) -> int:
        """The half-written answers."""
        return sum(0 < len(self._found(number)) < self._load.words for number in self._numbers)

    @property
    def _numbers(self) -> Sequence[int]:
        return range(self._load.replies)

    async def _begin(self) -> None:
        """Ask over a third of an answer's time; wait for about half of the last answer, and for a reader to see some.

        With PostgreSQL, a new process writes nothing before its first heartbeats are stored.
        """
        spread = self._load.words / self._load.rate / 3
        for number in self._numbers:
            self._where.ask(number)
            await asyncio.sleep(spread / self._load.replies)
        await self._model.wait_for(self._load.replies)
        last = self._model.requests[-1]
        await _until(lambda: len(last.sent) > self._load.words * self._random.uniform(0.3, 0.6))
        await _until(lambda: self._where.spinners >= self._load.streams and self._live > 0)

    async def _until_whole(self, running: Running) -> None:
        """Wait until every answer is whole and stays unchanged, at most `_PATIENCE_SECONDS`."""
        before: list[list[str]] = []
        waited = 0.0
        while waited < _PATIENCE_SECONDS:
            assert running.process.returncode is None, "the bot has exited"
            shown = [self._where.shown(number) for number in self._numbers]
            if shown == before and all(self._found(number) == self._whole for number in self._numbers):
                return
            before = shown
            await asyncio.sleep(_SETTLE_SECONDS)
            waited += _SETTLE_SECONDS

    def _found(self, number: int) -> list[str]:
        return " ".join(self._where.shown(number)).split()

    def _judge(self) -> None:
        for number in self._numbers:
            if self._found(number) == self._whole:
                self.outcome.whole += 1
            else:
                self.outcome.wrong.append(f"channel {number}: {self._where.shown(number)}")


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


async def crash(platform: str, mishap: str, load: Load, *, journal: str = "") -> Outcome:
    """Run `load.replies` answers on `platform` through `mishap`, by default with the journal in a file."""
    answer = Answer(" ".join(words_of(load.words)), words_per_second=load.rate)
    with tempfile.TemporaryDirectory() as folder:
        async with OpenAIDouble(default=answer) as model, places(platform, load.replies) as where:
            url = journal or f"sqlite:///{Path(folder) / 'journal.db'}"
            return await Run(load, where, model, url).play(mishap)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: every mishap on both platforms. Exit code 1 if an answer is not whole."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.crash", description=__doc__)
    parser.add_argument("--replies", type=int, default=100)
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--rate", type=float, default=40.0, help="words a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--platform", choices=["discord", "slack", OVER_HTTP, AGENT_VIEW, "both"], action="append")
    chosen = parser.parse_args(arguments)
    load, failed = Load(chosen.replies, chosen.words, chosen.rate, chosen.seed), False
    for platform in chosen.platform or ["discord", "slack", OVER_HTTP, AGENT_VIEW]:
        for mishap in MISHAPS:
            outcome = asyncio.run(crash(platform, mishap, load))
            sys.stdout.write(f"{platform}, {mishap}: {outcome}\n")
            for line in outcome.wrong[:3]:
                sys.stdout.write(f"  {line}\n")
            failed = failed or bool(outcome.wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
