"""How late answers of a busy Discord bot are, with one process and with several that share its 50 requests a second.

Seeded questions come to a hundred shards for a minute. Each channel counts 5 posts and 5 edits in 5 s, and the bot 50
requests a second, of which 45 are used. Each process has the core, a keeper and a share of the 45 by demand. The
platform answers at once.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from adapters.journal import MemoryJournal
from benchmarks.latency.scenarios import Played, as_seen
from benchmarks.latency.table import aligned
from benchmarks.latency.traces import visible
from bot.conversation import Author, Delta, Finish, FinishReason, Prompt, Text
from bot.ownership.holder import LaneUser
from bot.ownership.keeper import Keeper, KeeperOptions, SharedLimit
from bot.ownership.lanes import Lane
from bot.ownership.ports import RoutedEvent
from bot.ownership.shares import demand_of
from bot.ports import NextWriteAt, Verb, at_once
from bot.rate_limits import Budget
from bot.rate_limits.shared_window import SharedWindow
from bot.telemetry import NoRecorder
from bot.turns.config import TurnLimits
from tests.support.clock import VirtualLoop
from tests.support.core import make_turns
from tests.support.engine import Engine, LaneRow
from tests.support.fakes import FakeChannel, Server, turn
from tests.support.ownership import MemoryOwnership

PLATFORM, LIMIT = "discord", "discord"
SHARED = 45
SHARDS = 100

# A chunk of the model: four words, at 40 words a second.
CHUNK, WORDS_PER_SECOND = 4, 40.0

# Until all processes are past their grace period, and then until all lanes are taken. Seconds.
GRACE_SECONDS, TAKE_SECONDS = 8.0, 5.0

SEEDS = (1, 2, 3, 4)

# Answers live at the same time, in the mean: they want some 1.6 times the writes permitted.
LIVE = 75
PROCESSES = (1, 4, 16)

# The most that the mean delay may be of that of one process, by the number of processes.
MOST = {4: 1.10, 16: 1.30}


@dataclass(frozen=True, slots=True)
class Busy:
    """A busy bot: so many live answers in the mean, for `seconds`; `words` are the fewest and the most of an answer."""

    seed: int
    live: int = LIVE
    seconds: float = 60.0
    words: tuple[int, int] = (100, 800)
    latency: float = 0.004  # of the engine

    def questions(self) -> list[Question]:
        """The questions, the same for the same seed."""
        seeded = random.Random(self.seed)  # noqa: S311 (seeded, so that results are the same everywhere)
        count = round(self.live * self.seconds / (sum(self.words) / 2 / WORDS_PER_SECOND))
        times = sorted(seeded.uniform(0.0, self.seconds) for _ in range(count))
        return [
            Question(number, at, seeded.randrange(SHARDS), seeded.randint(*self.words))
            for number, at in enumerate(times)
        ]


@dataclass(frozen=True, slots=True)
class Question:
    """A question: when it is asked, in which shard, and the length of its answer."""

    number: int
    at: float
    shard: int
    words: int

    @property
    def lane(self) -> Lane:
        """The lane of its shard."""
        return lane_of(self.shard)

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(_chunks(self.words))


def lane_of(shard: int) -> Lane:
    """The lane of a shard."""
    return Lane(PLATFORM, f"{shard}/{SHARDS}")


@dataclass(frozen=True)
class Pace:
    """How late the answers were."""

    replies: tuple[Played, ...]
    limited: int  # 429s
    most: int  # requests in a second

    @property
    def mean(self) -> float:
        """The mean character delay over answers, in seconds."""
        return statistics.fmean(reply.mean for reply in self.replies)

    @property
    def first(self) -> float:
        """From the first word to something to be seen, in the mean."""
        return statistics.fmean(reply.first for reply in self.replies)

    @property
    def settle(self) -> float:
        """The longest from a last word to the last visible change."""
        return max(reply.settle for reply in self.replies)


class _Bot(Server):
    """Discord's requests of one bot. It remembers the most within a second."""

    def __init__(self) -> None:
        super().__init__(limit=50, period=1.0, rolling=True)
        self.most = 0

    @override
    def count(self, verb: Verb, now: float) -> None:
        super().count(Verb.EDIT, now)  # all kinds of requests together
        self.most = max(self.most, len(self.counted(Verb.EDIT)))


class _ChannelServer(Server):
    """A channel's limits, and those of the whole bot."""

    def __init__(self, bot: _Bot) -> None:
        super().__init__()
        self._bot = bot

    @override
    def count(self, verb: Verb, now: float) -> None:
        super().count(verb, now)
        self._bot.count(verb, now)


@dataclass
class _Channel(FakeChannel):
    """A channel of its own for each answer."""

    everything: Sequence[Budget] = ()

    @override
    def budgets(self, verb: Verb) -> Sequence[Budget]:
        return (*super().budgets(verb), *self.everything)


class _Model:
    """Answers question number n."""

    def __init__(self, asked: Sequence[Question]) -> None:
        self._asked = asked
        self.sent: dict[int, list[tuple[float, int]]] = {}  # when which visible characters were sent, by number

    async def answer(
        self,
        prompt: Prompt,
        *,
        stream: bool,  # noqa: ARG002 (a protocol)
        next_write_at: NextWriteAt = at_once,  # noqa: ARG002 (a protocol)
    ) -> AsyncGenerator[Delta, None]:
        loop = asyncio.get_running_loop()
        number = int(prompt.messages[-1].text.split()[-1])
        sent = self.sent[number] = []
        for chunk in _chunks(self._asked[number].words):
            sent.append((loop.time(), visible(chunk)))
            yield Text(chunk)
            await asyncio.sleep(CHUNK / WORDS_PER_SECOND)
        yield Finish(FinishReason.STOP)


def _chunks(words: int) -> Iterator[str]:
    return ("".join(f"word{number} " for number in range(at, min(at + CHUNK, words))) for at in range(0, words, CHUNK))


class _Process(LaneUser, SharedLimit):
    """One process: core, keeper, and its share of the limit."""

    def __init__(self, name: str, engine: Engine, model: _Model, busy: Busy) -> None:
        self.window = SharedWindow(1.0)
        limits = TurnLimits(live=10_000, per_user=10_000, per_channel=10_000, accepted=10_000)
        self.turns = make_turns(model, MemoryJournal(), NoRecorder(), limits=limits, seed=busy.seed)
        options = KeeperOptions((PLATFORM,), limits={LIMIT: self})
        self.keeper = Keeper(MemoryOwnership(engine, latency=busy.latency), self, options, lambda: name)
        self._lanes: dict[str, Lane] = {}  # by question

    @override
    def demand(self, live: Mapping[Lane, int]) -> int:
        return demand_of(len(self.turns.queues.accepted))

    @override
    def live_answers(self) -> Mapping[Lane, int]:
        return Counter(self._lanes[each.turn.key.message] for each in self.turns.queues.turns)

    @override
    def lane_won(self, lane: Lane, session: str) -> None:
        return

    @override
    def lane_closed(self, lane: Lane) -> None:
        pass

    @override
    def lane_lost(self, lane: Lane) -> None:
        raise AssertionError(f"{lane} was lost without a fault")

    @override
    async def handle(self, event: RoutedEvent) -> None:
        raise AssertionError(f"{event} was routed, but nothing is")

    def ask(self, question: Question, server: _ChannelServer) -> _Channel:
        """Answer a question in a channel of its own."""
        budgets = (self.window, self.keeper.records.limit(question.lane))
        channel = _Channel(server, everything=budgets, connection=PLATFORM)
        name = str(question.number)
        self._lanes[name] = question.lane
        self.turns.accept(turn(name, conversation=name, text=f"answer {name}", asker=Author(name, name)), channel)
        return channel


def measure(busy: Busy, processes: int) -> Pace:
    """Answer the same questions with so many processes."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_play(busy, processes))


def ratios(found: Mapping[tuple[int, int], Pace]) -> dict[int, float]:
    """The median over seeds of the mean delay, as a part of one process's, by the number of processes.

    `found` has the results by seed and processes.
    """
    seeds = sorted({seed for seed, _ in found})
    return {
        processes: statistics.median(found[seed, processes].mean / found[seed, 1].mean for seed in seeds)
        for processes in sorted({processes for _, processes in found})
    }


def table(found: Mapping[tuple[int, int], Pace]) -> str:
    """The results as lines."""
    rows = [["processes", "seed", "mean", "of one", "first", "settle, worst", "in a second", "429s", "whole"]]
    for (seed, processes), pace in sorted(found.items(), key=lambda each: (each[0][1], each[0][0])):
        ratio = pace.mean / found[seed, 1].mean
        whole = f"{sum(reply.whole for reply in pace.replies)}/{len(pace.replies)}"
        figures = (f"{each:.2f}" for each in (pace.mean, ratio, pace.first, pace.settle))
        rows.append([str(processes), str(seed), *figures, str(pace.most), str(pace.limited), whole])
    lines = [
        f"{processes:2} processes: median {ratio:.2f} times the mean of one, {MOST[processes]:.2f} are allowed"
        for processes, ratio in ratios(found).items()
        if processes in MOST
    ]
    return aligned(rows) + "".join(f"{line}\n" for line in lines)


async def _play(busy: Busy, processes: int) -> Pace:
    loop, asked, bot = asyncio.get_running_loop(), busy.questions(), _Bot()
    model, engine = _Model(asked), Engine(loop.time, {LIMIT: SHARED})
    made = [_Process(f"p{number:02}", engine, model, busy) for number in range(processes)]
    channels: list[_Channel] = []
    async with asyncio.TaskGroup() as group:
        running = []
        for each in made:
            running += [group.create_task(each.turns.run()), group.create_task(each.keeper.run())]
            await asyncio.sleep(1.0 / processes)  # heartbeats of machines are not simultaneous
        await asyncio.sleep(GRACE_SECONDS)
        engine.tables.lanes |= {lane_of(shard): LaneRow(free_since=loop.time()) for shard in range(SHARDS)}
        await asyncio.sleep(TAKE_SECONDS)
        began = loop.time()
        for question in asked:
            await asyncio.sleep(began + question.at - loop.time())
            owner = next(each for each in made if each.keeper.owns(question.lane))
            channels.append(owner.ask(question, _ChannelServer(bot)))
        for each in made:
            await each.turns.idle()
        for task in running:
            task.cancel()
    replies = [
        as_seen(question.text, began, model.sent[question.number], channel.writes())
        for question, channel in zip(asked, channels, strict=True)
    ]
    return Pace(tuple(replies), bot.limited + sum(channel.server.limited for channel in channels), bot.most)
