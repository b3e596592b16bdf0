"""What is measured: how many people ask at once, where, and for how long an answer.

What belongs here: scenarios as frozen values, and playing one on the virtual clock with the limits of a platform that
counts. What does not: how results are printed (`__main__`), and any pacing (that is what is measured).

The model sends 40 words a second, one word a chunk; the platform answers at once. On the virtual clock the results are
the same on every machine.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.journal import MemoryJournal
from bot.access import AccessRules
from bot.budget import FixedWindow, Leak, RollingWindow
from bot.completion import Completion, CompletionPolicy
from bot.prompt import Persona, Prompting
from bot.reply import WritingPolicy
from bot.telemetry import NoRecorder, TurnRecord
from bot.turns import Choices, TurnLimits, Turns
from bot.words import Words
from tests.clock import VirtualLoop
from tests.memory import MemoryChannel, ScriptedModel, Server, answer_of, turn, words


@dataclass(frozen=True, slots=True)
class Scenario:
    """So many answers of so many words, asked `every` so many seconds (0: at once)."""

    platform: str  # "discord" or "slack"
    replies: int
    words: int
    every: float = 0.0
    apart: bool = False  # Discord: each in a channel of its own

    @property
    def name(self) -> str:
        """For a row of the table."""
        where = " in channels of their own" if self.apart else ""
        when = f", one every {self.every:g} s" if self.every else ""
        return f"{self.platform}: {self.replies} x {self.words} words{where}{when}"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. Times in seconds."""

    records: Sequence[TurnRecord]
    longest_gap: float  # between two visible changes of one answer
    limited: int  # 429s
    whole: int  # answers whose every word arrived, in order


class _Records(NoRecorder):
    def __init__(self) -> None:
        self.ended_turns: list[TurnRecord] = []

    def ended(self, record: TurnRecord) -> None:
        self.ended_turns.append(record)


def measure(scenario: Scenario) -> Result:
    """Play a scenario on the virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_play(scenario))


async def _play(scenario: Scenario) -> Result:
    script = words(scenario.words)
    recorder, seeded = _Records(), random.Random(1)  # noqa: S311 (seeded, so that results are the same everywhere)
    choices = Choices(AccessRules(), Prompting(Persona("")), Words(), WritingPolicy(), TurnLimits())
    completion = Completion(ScriptedModel(script), CompletionPolicy(), recorder, seeded)
    turns = Turns(
        choices,
        completion,
        MemoryJournal(),
        recorder,
        random_=seeded,
        wall_clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )
    channels = _channels(scenario)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(turns.run())
        await turns.started.wait()
        for number, channel in enumerate(channels):
            turns.accept(turn(str(number), conversation=str(number)), channel)
            await asyncio.sleep(scenario.every)
        await turns.idle()
        running.cancel()
    times = [[wrote.at for wrote in channel.writes()] for channel in channels]
    return Result(
        records=recorder.ended_turns,
        longest_gap=max((after - before for each in times for before, after in itertools.pairwise(each)), default=0),
        limited=sum({id(channel.server): channel.server.limited for channel in channels}.values()),
        whole=sum(channel.text.split() == answer_of(script).split() for channel in channels),
    )


def _channels(scenario: Scenario) -> list[MemoryChannel]:
    """One for each answer, with the budgets that the platform's adapter would give it."""
    if scenario.platform == "slack":
        edits = RollingWindow(50, 60.0)
        server = Server(limit=50, period=60.0, rolling=True, counts_posts=False)
        return [MemoryChannel(server, limit=11_500, edits=edits, posts=Leak(1.05)) for _ in range(scenario.replies)]
    if scenario.apart:
        return [MemoryChannel(Server()) for _ in range(scenario.replies)]
    server, shared = Server(), FixedWindow(5, 5.0, paced=True)
    posts = FixedWindow(5, 5.0, paced=False)
    return [MemoryChannel(server, edits=shared, posts=posts) for _ in range(scenario.replies)]
