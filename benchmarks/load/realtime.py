"""``python -m benchmarks.load.realtime``: the scenarios at true speed, with the real program and real sockets.

Reader-visible text is recorded at the test server. Each scenario has a bot of its own (``python -m bot``, with
`benchmarks.load.bot` monitoring its loop). Test servers for the model and the platform add no latency and enforce the
true limits; all of them run in this process. Scenarios of one wave run at the same time: together they leave the
processors idle for most of it. If a loop was late all the same, in a bot or here, the table says so, and its figures
are not to be trusted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import tempfile
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.latency.cases import SCENARIOS
from benchmarks.latency.scenarios import Ask, Played, Result, Scenario, as_seen
from benchmarks.latency.table import COLUMNS, Kept, figures, load, waiting
from benchmarks.latency.traces import TICK, visible
from benchmarks.load.bot import watch
from benchmarks.load.machine import show
from benchmarks.load.scale import Child, child
from bot.ports import Verb
from tests.servers.discord import DiscordDouble
from tests.servers.limits import LeakCounter
from tests.servers.openai import Answer, OpenAIDouble, Received
from tests.servers.slack import SlackDouble
from tests.support.fakes import Wrote

# What runs at the same time. Few answers are next to no work; many are measured with nobody beside them.
WAVES = (
    (
        "discord: 1 x 200",
        "discord: 1 x 1000",
        "discord: 4 x 400, 4 channels",
        "slack window: 1 x 200",
        "slack window: 1 x 1000",
        "slack window: 200 after 1000",
        "slack leak: 1 x 200",
        "slack leak: 1 x 1000",
        "slack auto: 1 x 1000",
        "discord: 1 x 400, bursty",
        "slack window: 1 x 400, bursty",
        "five tokens",
    ),
    ("discord: 4 x 400, 1 channel", "discord: 10 x 400, 1 channel", "slack window: 12 x 400"),
    ("slack window: 40 x 400",),
    ("slack window: 70 x 400",),
)

# A loop that is later than a word of the model (25 ms) in one look of a hundred makes readers wait by itself. Seconds.
LATE = TICK

# What is left of the bots' start when they are connected is not to be measured; and those of a wave begin one after the
# other, since a process's first answer costs more than those that follow. Seconds.
SETTLING = 1.0
APART = 0.25

# The lines in which the program says that one turn is over.
ENDED = "turn ended"

COLUMNS_HERE = (*COLUMNS[:1], ("virtual", "virtual", 2), *COLUMNS[1:], ("lag ms", "lag_ms", 0))


class Stage(Protocol):
    """A platform's double with the channels of one scenario. Questions have numbers, from 0."""

    @property
    def environment(self) -> dict[str, str]:
        """What leads the bot to it."""
        ...

    @property
    def limited(self) -> int:
        """The 429s so far."""
        ...

    async def connected(self) -> None:
        """Wait for the bot."""
        ...

    def ask(self, number: int) -> None:
        """Somebody asks question `number`."""
        ...

    def writes(self, number: int) -> list[Wrote]:
        """What the bot wrote to answer it, in order."""
        ...


def question(number: int) -> str:
    """What is asked; the model's double finds the number in the request again."""
    return f"question {number}, please"


class DiscordStage:
    """Discord: mentions in one channel, or each in a channel of its own."""

    def __init__(self, double: DiscordDouble, questions: int, *, apart: bool) -> None:
        self._double = double
        guild = double.world.guild()
        channels = [double.world.channel(guild, f"c{number}") for number in range(questions if apart else 1)]
        self._channels = [channels[number if apart else 0] for number in range(questions)]
        self._asker = double.world.user("Dana")
        self._asked: dict[int, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        """See `Stage`."""
        return self._double.environment

    @property
    def limited(self) -> int:
        """See `Stage`."""
        return len(self._double.limited)

    async def connected(self) -> None:
        """See `Stage`."""
        await self._double.until(lambda: self._double.gateway.connected > 0)

    def ask(self, number: int) -> None:
        """See `Stage`."""
        text = f"<@{self._double.world.bot}> {question(number)}"
        self._asked[number] = self._double.say(self._channels[number], text, author=self._asker)

    def writes(self, number: int) -> list[Wrote]:
        """See `Stage`. Every message of an answer replies to its question; one that was deleted is not known here."""
        shown = [each.id for each in self._double.shown(self._channels[number]) if each.reply_to == self._asked[number]]
        writes = [
            Wrote(at, Verb.EDIT if again else Verb.POST, message, text)
            for message in shown
            for again, (at, text) in enumerate(self._double.posts[message].texts)
        ]
        return sorted(writes, key=lambda wrote: wrote.at)


class SlackStage:
    """Slack: mentions, each in a channel of its own, answered in their threads."""

    VERBS: Mapping[str, Verb] = {
        "chat.postMessage": Verb.POST,
        "chat.update": Verb.EDIT,
        "chat.delete": Verb.DELETE,
    }

    def __init__(self, double: SlackDouble, questions: int, edits: str) -> None:
        self._double, self._edits = double, edits
        self._channels = [double.world.channel() for _ in range(questions)]
        self._asker = double.world.user("Dana")
        if edits != "window":
            double.edits = LeakCounter(1.2, 5)

    @property
    def environment(self) -> dict[str, str]:
        """See `Stage`."""
        return self._double.environment | {"TICKERTAPE_SLACK_EDITS": self._edits}

    @property
    def limited(self) -> int:
        """See `Stage`."""
        return len(self._double.limited)

    async def connected(self) -> None:
        """See `Stage`."""
        await self._double.until(lambda: bool(self._double.sockets.live))

    def ask(self, number: int) -> None:
        """See `Stage`."""
        self._double.say(
            self._channels[number], f"<@{self._double.world.bot_user}> {question(number)}", author=self._asker
        )

    def writes(self, number: int) -> list[Wrote]:
        """See `Stage`."""
        channel = self._channels[number]
        return [
            Wrote(each.at, self.VERBS[each.method], each.ts, each.text)
            for each in self._double.writes
            if each.channel == channel
        ]


@asynccontextmanager
async def stage_of(scenario: Scenario) -> AsyncIterator[Stage]:
    """The scenario's platform, listening."""
    count = len(scenario.asks)
    name, _, edits = scenario.platform.name.partition(" ")
    if name == "discord":
        discord = DiscordDouble()
        async with discord.running():
            yield DiscordStage(discord, count, apart=scenario.apart)
    else:
        slack = SlackDouble()
        async with slack.running():
            yield SlackStage(slack, count, edits)


# ------------------------------------------------------------------------------------------------------------- the lag


@dataclass(frozen=True, slots=True)
class Lags:
    """How late a loop was, and when: the loop's time, the same in all processes of a machine. Seconds."""

    times: Sequence[float] = field(default_factory=lambda: array("d"))
    lags: Sequence[float] = field(default_factory=lambda: array("d"))

    def between(self, begin: float, end: float) -> float:
        """What 99 of a hundred looks in that time were not above."""
        late = [lag for at, lag in zip(self.times, self.lags, strict=True) if begin <= at <= end]
        return statistics.quantiles(late, n=100, method="inclusive")[98] if len(late) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """A scenario as it was played; `lag` is that of the later loop, the bot's or the doubles'. Seconds."""

    scenario: Scenario
    result: Result
    lag: float


@dataclass(slots=True)
class _Noted:
    """The times between which a scenario was played, and what was seen."""

    began: float
    ended: float
    result: Result


# ------------------------------------------------------------------------------------------------------------- playing


async def measure(waves: Sequence[Sequence[Scenario]]) -> list[Run]:
    """Play one wave after the other."""
    runs: list[Run] = []
    here = Lags(array("d"), array("d"))
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch(here.times, here.lags))  # type: ignore[arg-type]  # arrays they are
        for wave in waves:
            runs += await _play_wave(wave, here)
        watching.cancel()
    return runs


async def _play_wave(wave: Sequence[Scenario], here: Lags) -> list[Run]:
    """All scenarios of a wave at once: they begin when all bots are connected, and the bots stop when all are over."""
    together = asyncio.Barrier(len(wave))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_play(scenario, together, here, SETTLING + number * APART), name=scenario.name)
            for number, scenario in enumerate(wave)
        ]
    return [task.result() for task in tasks]


async def _play(scenario: Scenario, together: asyncio.Barrier, here: Lags, pause: float) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lags.json"
        async with AsyncExitStack() as stack:
            model = await stack.enter_async_context(OpenAIDouble())
            stage = await stack.enter_async_context(stage_of(scenario))
            led = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
            running = child("-m", "benchmarks.load.bot", str(file), environment=led | stage.environment)
            bot = await stack.enter_async_context(running)
            await stage.connected()
            await together.wait()
            await asyncio.sleep(pause)
            noted = await _asked(scenario, stage, model, bot)
            await together.wait()
        there = Lags(**json.loads(file.read_text(encoding="utf-8")))
    lag = max(lags.between(noted.began, noted.ended) for lags in (here, there))
    return Run(scenario, noted.result, lag)


async def _asked(scenario: Scenario, stage: Stage, model: OpenAIDouble, bot: Child) -> _Noted:
    """Ask as the scenario says, wait until all is answered, and see what came of it."""
    loop = asyncio.get_running_loop()
    model.queue(*(answer_of(ask) for ask in scenario.asks))  # asked at once they are all the same
    began = loop.time()
    for number, ask in enumerate(scenario.asks):
        await asyncio.sleep(began + ask.at * TICK - loop.time())
        stage.ask(number)
    await bot.says(ENDED, len(scenario.asks))
    received = {number_of(each): each for each in model.requests}
    replies = tuple(
        played(ask, began + ask.at * TICK, received[number], stage.writes(number))
        for number, ask in enumerate(scenario.asks)
    )
    return _Noted(began, loop.time(), Result(replies, stage.limited))


def answer_of(ask: Ask) -> Answer:
    """What the model's double is to say, and when: the words of a chunk at once, the end a tick after the last."""
    times = [tick * TICK for tick, text in ask.trace.chunks for _ in text.split()]
    return Answer(ask.trace.text, times=(*times, times[-1] + TICK))


def number_of(request: Received) -> int:
    """Which question a request is about."""
    last = json.dumps(request.body["messages"][-1])
    found = re.findall(r"question (\d+), please", last)
    return int(found[-1])


def played(ask: Ask, asked: float, received: Received, writes: Sequence[Wrote]) -> Played:
    """One answer, by what was sent and what was written."""
    sent = [(at, visible(piece)) for at, piece in zip(received.sent_at, received.sent, strict=True)]
    return as_seen(ask.trace.text, asked, sent, writes)


# --------------------------------------------------------------------------------------------------------------- table


def table(runs: Sequence[Run], bounds: Kept, virtual: Kept) -> list[str]:
    """The runs beside the virtual clock's figures and the bounds, as lines, and a word on what is not to be trusted."""
    rows = []
    for run in runs:
        name = run.scenario.name
        found = figures(run.result, bounds.get(name, {"bound": 0.0}))
        mean = virtual.get(name, {}).get("mean", 0.0)
        rows.append((run.scenario, {**found, "virtual": mean, "lag_ms": 1000 * run.lag}))
    late = [run.scenario.name for run in runs if run.lag > LATE]
    word = f"not to be trusted, a loop was late: {'; '.join(late)}" if late else "no loop was late"
    return [*waiting(rows, COLUMNS_HERE).splitlines(), word]


def main() -> None:
    """Print the table, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.realtime", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the result in benchmarks/results")
    parser.add_argument("--only", default="", metavar="PART", help="scenarios whose names hold this")
    chosen = parser.parse_args()
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    waves = [[by_name[name] for name in wave if chosen.only in name] for wave in WAVES]
    runs = asyncio.run(measure([wave for wave in waves if wave]))
    show("true_speed", table(runs, load("bounds"), load("waiting")), write=chosen.write)


if __name__ == "__main__":
    main()
