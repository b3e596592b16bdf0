"""Several processes of the whole program share PostgreSQL under load, while they are killed and deployed.

Both platforms run in each process. `tests/stress/test_fleet.py` runs a small load, ``make fleet`` ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from adapters.slack.rate_limits import TIER_3
from bot.ownership.write_history import allowance_for
from tests.servers.discord import DiscordDouble
from tests.servers.limits import Transcript
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.postgres import started_server
from tests.servers.slack import SlackDouble
from tests.stress.storm import DiscordPlace, Place, SlackPlace
from tests.support.process import Running, bot
from tests.support.waiting import until

# Seconds without a change until missing answers count as lost.
PATIENCE_SECONDS = 90.0
# Seconds to wait for a wrong second answer.
SETTLE_SECONDS = 5.0
# How often logs and requests are read. Seconds.
STEP_SECONDS = 0.01

PLATFORMS = ("discord", "slack")
CHANNELS = 40

# Slack allows `TIER_3` edits in a workspace within a minute. The next owner of a killed process counts `ASSUMED` more,
# and keeps `FINAL` permits for the ends of live answers. Else its first posts wait, since they need an edit each.
MINUTE_SECONDS = 60.0
ASSUMED = allowance_for(1)
FINAL = 5
_EDIT = re.compile(r"/chat\.update$")

# The calls of each platform that a reader sees.
_WRITES = {
    "discord": re.compile(r"/channels/\d+/messages(/\d+)?$"),
    "slack": re.compile(r"/chat\.(postMessage|update|startStream|appendStream|stopStream)$"),
}
_LANE = re.compile(r"lane (taken|released)\b.*\b(discord|slack)/[\w/:]+.*\bfence\W+(\d+)")


@dataclass(frozen=True, slots=True)
class Load:
    """`processes` at once for `seconds`, `rate` questions a second on each platform, `words` per answer.

    An owner of a lane is killed every `kill_seconds`. After half of the time all processes are replaced, one by one.
    """

    processes: int = 3
    seconds: float = 600.0
    rate: float = 0.5
    words: int = 80
    kill_seconds: float = 30.0
    drain_seconds: float = 10.0


class Why(Enum):
    """Why a lane gets another owner."""

    KILL = "kill"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class HandOver:
    """A lane's way to its next owner: seconds until it was taken, and until the next owner's first write.

    `is_limited`: the platform had counted so many edits that the write may have waited for its limit.
    """

    platform: str
    why: Why
    taken: float
    wrote: float
    is_limited: bool


@dataclass(frozen=True, slots=True)
class _Taken:
    """A lane with a new owner that has not written yet. Times of the loop; `count` requests came before."""

    why: Why
    since: float
    at: float
    count: int


@dataclass
class Outcome:
    """The result, as readers see it. Times in seconds."""

    questions: int = 0
    whole: int = 0
    wrong: list[str] = field(default_factory=list)
    limited: list[tuple[str, str]] = field(default_factory=list)  # 429s
    kills: int = 0
    deploys: int = 0
    hand_overs: list[HandOver] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.questions} questions, {self.kills} kills, {self.deploys} processes replaced: {self.whole} answered "
            f"whole and once, {len(self.wrong)} not, {len(self.limited)} answers of 429; "
            f"{self._told(Why.KILL)}; {self._told(Why.RELEASE)}"
        )

    def after(self, why: Why) -> list[HandOver]:
        """The hand-overs of this kind."""
        return [each for each in self.hand_overs if each.why is why]

    def _told(self, why: Why) -> str:
        found = self.after(why)
        limited = [each.wrote for each in found if each.is_limited]
        return (
            f"after a {why.value}, lane taken {_spread([each.taken for each in found])}, "
            f"first write {_spread([each.wrote for each in found if not each.is_limited])}, "
            f"with Slack's edits used up {_spread(limited)}"
        )


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "(never)"
    return f"{statistics.median(seconds):.2f} s (at most {max(seconds):.2f} s, {len(seconds)} times)"


@dataclass
class _Log:
    """One process, and the number of its lines read so far."""

    running: Running
    read: int = 0

    def events(self) -> Iterator[tuple[str, str, int]]:
        """What happened since the last call: "taken" or "released", the platform, the fence."""
        lines = self.running.lines[self.read :]
        self.read += len(lines)
        for line in lines:
            if (found := _LANE.search(line)) is not None:
                yield found.group(1), found.group(2), int(found.group(3))


class _Handovers:
    """Watches the owners of the lanes, from the logs, and the writes, from the servers."""

    def __init__(self, transcripts: dict[str, Transcript], outcome: Outcome) -> None:
        self._transcripts = transcripts
        self._outcome = outcome
        self.owners: dict[str, tuple[int, Running]] = {}  # by platform: the fence and the process
        self.since: dict[str, tuple[float, Why]] = {}  # lanes without an owner
        self._awaited: dict[str, _Taken] = {}
        self._assumed: dict[str, list[float]] = {platform: [] for platform in PLATFORMS}  # hand-overs after a kill

    def read(self, logs: Sequence[_Log], now: float) -> None:
        """Follow the logs and the requests up to now."""
        for log in logs:
            for what, platform, fence in log.events():
                if what == "taken" and fence > self.owners.get(platform, (0, None))[0]:
                    self.owners[platform] = fence, log.running
                    if (begun := self.since.pop(platform, None)) is not None:
                        since, why = begun
                        self._assumed[platform] += [now] if why is Why.KILL else []
                        self._awaited[platform] = _Taken(why, since, now, len(self._transcripts[platform].entries))
                elif what == "released":
                    self.since.setdefault(platform, (now, Why.RELEASE))
        for platform, taken in list(self._awaited.items()):
            entries = self._transcripts[platform].entries
            if any(each.method != "GET" and _WRITES[platform].search(each.path) for each in entries[taken.count :]):
                found = taken.at - taken.since, now - taken.since, self._is_limited(platform, now)
                self._outcome.hand_overs.append(HandOver(platform, taken.why, *found))
                del self._awaited[platform]

    def _is_limited(self, platform: str, now: float) -> bool:
        """Whether Slack's edits of the last minute use the limit up, with those assumed after kills in that minute."""
        entries = self._transcripts[platform].entries
        recent = [each for each in entries if each.at > entries[-1].at - MINUTE_SECONDS]
        edits = sum(_EDIT.search(each.path) is not None for each in recent)
        self._assumed[platform] = [at for at in self._assumed[platform] if at > now - MINUTE_SECONDS]
        return platform == "slack" and edits + ASSUMED * len(self._assumed[platform]) > TIER_3 - FINAL

    def killed(self, running: Running, now: float) -> None:
        """An owner was killed."""
        for platform, (_, owner) in self.owners.items():
            if owner is running:
                self._awaited.pop(platform, None)
                self.since[platform] = now, Why.KILL


class Fleet:
    """One run."""

    def __init__(self, load: Load, places: dict[str, Place], transcripts: dict[str, Transcript], url: str) -> None:
        self._load = load
        self._places = places
        self._url = url
        self._words = [f"word{number}" for number in range(load.words)]
        self._asked = 0
        self._asked_at: list[datetime] = []  # each question of each platform in turn
        self._logs: list[_Log] = []
        self.outcome = Outcome()
        self._handovers = _Handovers(transcripts, self.outcome)

    def environment(self, model: OpenAIDouble) -> dict[str, str]:
        """The settings of each process."""
        return {name: value for place in self._places.values() for name, value in place.environment.items()} | {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "x",
            "OPENAI_MODEL": "m",
            "JOURNAL_URL": self._url,
            "TICKERTAPE_DRAIN_SECONDS": str(self._load.drain_seconds),
        }

    async def play(self, model: OpenAIDouble) -> Outcome:
        """Run it, and return the result."""
        environment = self.environment(model)
        async with bot(environment, "migrate") as migrating:
            assert await migrating.process.wait() == 0
        async with AsyncExitStack() as stack:
            for _ in range(self._load.processes):
                await self._start(stack, environment)
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch())
                await until(lambda: len(self._handovers.owners) == len(self._places), seconds=60.0)
                for place in self._places.values():
                    await place.connected()
                asking = group.create_task(self._ask_on())
                await self._disturb(stack, environment)
                asking.cancel()
                await self._until_whole()
                watching.cancel()
        self._judge()
        return self.outcome

    async def _disturb(self, stack: AsyncExitStack, environment: dict[str, str]) -> None:
        """Kill owners, alternating between the platforms; in the middle, replace all processes."""
        loop, load = asyncio.get_running_loop(), self._load
        began = loop.time()
        for platform in itertools.cycle(PLATFORMS):
            await asyncio.sleep(load.kill_seconds)
            if loop.time() - began >= load.seconds:
                return
            if not self.outcome.deploys and loop.time() - began >= load.seconds / 2:
                await self._deploy(stack, environment)
            else:
                await self._kill(self._handovers.owners[platform][1])
                await self._start(stack, environment)
                for place in self._places.values():  # the killed process may have left an event unacknowledged
                    await place.deliver_again()

    async def _start(self, stack: AsyncExitStack, environment: dict[str, str]) -> None:
        running = await stack.enter_async_context(bot(environment))
        self._logs.append(_Log(running))
        await running.says("started")

    async def _kill(self, running: Running) -> None:
        await running.stop(signal.SIGKILL)
        self.outcome.kills += 1
        self._handovers.killed(running, asyncio.get_running_loop().time())

    async def _deploy(self, stack: AsyncExitStack, environment: dict[str, str]) -> None:
        """A rolling deploy: each new process starts before an old one is told to stop."""
        for log in [each for each in self._logs if each.running.process.returncode is None]:
            await self._start(stack, environment)
            assert await log.running.stop() == 0
            self.outcome.deploys += 1

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._handovers.read(self._logs, loop.time())
            await asyncio.sleep(STEP_SECONDS)

    async def _ask_on(self) -> None:
        while True:
            self._asked += 1
            for place in self._places.values():
                await place.ask(self._asked % CHANNELS)
                self._asked_at.append(datetime.now(UTC))
                self.outcome.questions += 1
            await asyncio.sleep(1 / self._load.rate)

    def _texts(self) -> list[list[str]]:
        return [texts for place in self._places.values() for texts in place.answers()]

    def save_logs(self, folder: Path) -> None:
        """Write the lines of each process to a file, by its number."""
        for log in self._logs:
            (folder / f"{log.running.process.pid}.log").write_text("\n".join(log.running.lines))

    async def _until_whole(self) -> None:
        loop = asyncio.get_running_loop()
        changed_at, before = loop.time(), self._texts()
        while loop.time() - changed_at < PATIENCE_SECONDS:
            texts = self._texts()
            if texts != before:
                changed_at, before = loop.time(), texts
            elif all(map(self._is_whole, texts)) and loop.time() - changed_at > SETTLE_SECONDS:
                return
            await asyncio.sleep(0.1)

    def _is_whole(self, texts: Sequence[str]) -> bool:
        return " ".join(texts).split() == self._words

    def _judge(self) -> None:
        for place, (name, each) in enumerate(self._places.items()):
            for number, texts in enumerate(each.answers()):
                if self._is_whole(texts):
                    self.outcome.whole += 1
                else:
                    asked = self._asked_at[number * len(self._places) + place]
                    self.outcome.wrong.append(f"{name}, asked at {asked:%H:%M:%S.%f}: {texts}")


@asynccontextmanager
async def doubles() -> AsyncIterator[tuple[DiscordDouble, SlackDouble]]:
    """The servers of both platforms."""
    async with DiscordDouble().running() as discord, SlackDouble().running() as slack:
        yield discord, slack


async def fleet(load: Load, url: str, logs: Path | None = None) -> Outcome:
    """Run it once on the database at `url`, and return the result. The logs of the processes go to a folder."""
    words = " ".join(f"word{number}" for number in range(load.words))
    async with OpenAIDouble(default=Answer(words, words_per_second=40)) as model, doubles() as (discord, slack):
        places: dict[str, Place] = {
            "discord": DiscordPlace(discord, CHANNELS),
            "slack": SlackPlace(slack, CHANNELS),
        }
        transcripts = {"discord": discord.transcript, "slack": slack.transcript}
        run = Fleet(load, places, transcripts, url)
        outcome = await run.play(model)
        if logs is not None:
            run.save_logs(logs)
        outcome.limited = [*discord.limited, *slack.limited]
        return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 1 if a question was not answered exactly once, or a 429 was provoked."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.fleet", description=__doc__)
    usual = Load()
    parser.add_argument("--processes", type=int, default=usual.processes)
    parser.add_argument("--seconds", type=float, default=usual.seconds)
    parser.add_argument("--rate", type=float, default=usual.rate, help="questions a second on each platform")
    parser.add_argument("--kill-seconds", type=float, default=usual.kill_seconds, help="between two kills")
    parser.add_argument("--logs", type=Path, help="a folder for the logs of the processes")
    chosen = parser.parse_args(arguments)
    load = Load(chosen.processes, chosen.seconds, chosen.rate, kill_seconds=chosen.kill_seconds)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = started_server(Path(folder))
        try:
            outcome = asyncio.run(fleet(load, server.url, chosen.logs))
        finally:
            server.stop()
    sys.stdout.write(f"{outcome}\n")
    for line in [*outcome.wrong, *map(str, outcome.limited)][:10]:
        sys.stdout.write(f"  {line}\n")
    return 1 if outcome.wrong or outcome.limited else 0


if __name__ == "__main__":
    sys.exit(main())
