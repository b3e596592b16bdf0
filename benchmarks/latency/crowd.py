"""Ten thousand answers at once, on the virtual clock: complete, fair, and chosen in O(log n) steps.

Half of the workspaces are Slack's: each counts 50 edits a minute, and each channel a post a second. The other half are
servers of one Discord bot: each channel counts 5 posts and 5 edits in 5 s, and the bot 50 requests a second in all.
Questions arrive at seeded times, in seeded channels. A chunk has ten words.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import statistics
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from adapters.journal import MemoryJournal
from benchmarks.latency.scenarios import Played, as_seen
from benchmarks.latency.table import aligned
from benchmarks.latency.traces import visible
from bot.completion import CompletionPolicy
from bot.conversation import Author, Delta, Finish, FinishReason, Prompt, Text
from bot.ports import NextWriteAt, Verb, at_once
from bot.rate_limits import Budget, FixedWindow, LeakyBucket, RollingWindow
from bot.telemetry import NoRecorder
from bot.turns.config import TurnLimits
from bot.turns.manager import TurnManager
from tests.support.clock import VirtualLoop
from tests.support.core import make_turns
from tests.support.fakes import FakeChannel, Server, turn

# Words of a chunk: ten words are a sentence's part, as servers send them under load.
CHUNK = 10
WORDS_PER_SECOND = 40.0

# No attempt of a model times out: the models of a crowd may begin late. Seconds.
PATIENT = CompletionPolicy(first_chunk_seconds=1e6, idle_seconds=1e6, no_text_seconds=1e6, answer_seconds=1e6)


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many questions, asked within `seconds`; `words` are the fewest and the most of an answer.

    `models_at`: no model answers before this time (a busy model server), so that all answers run at once.
    """

    name: str
    answers: int = 10_000
    channels: int = 2_000
    workspaces: int = 50
    seconds: float = 600.0
    words: tuple[int, int] = (100, 700)
    models_at: float = 0.0
    seed: int = 1


CROWDS = (
    Crowd("10,000 within ten minutes"),
    Crowd("10,000 at the same time", models_at=600.0),
)


# Headings, names of figures, and digits after the point.
COLUMNS = {
    "whole": ("whole", 0),
    "429s": ("limited", 0),
    "at once": ("live", 0),
    "mean": ("mean", 2),
    "settle": ("settle", 2),
    "worst/average": ("fairness", 2),
    "writes each": ("writes", 1),
    "steps per write": ("steps_per_write", 0),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a crowd: when it is asked and where, and the length of its answer."""

    at: float
    channel: int
    words: int


@dataclass(frozen=True)
class CrowdResult:
    """A crowd's figures. Times in seconds."""

    replies: tuple[Played, ...]
    groups: tuple[tuple[Played, ...], ...]  # the replies that share a rate limit of edits
    limited: int  # 429s
    live: int  # the most answers at the same time
    steps: int  # of all schedulers
    writes: int

    @property
    def whole(self) -> int:
        """Complete and exact answers."""
        return sum(reply.whole for reply in self.replies)

    @property
    def mean(self) -> float:
        """The mean character delay over replies."""
        return statistics.fmean(reply.mean for reply in self.replies)

    @property
    def fairness(self) -> float:
        """The largest ratio of a reply's mean to the average of the replies that share its rate limit."""
        means = [[reply.mean for reply in group] for group in self.groups]
        return max(max(group) / statistics.fmean(group) for group in means)

    @property
    def settle(self) -> float:
        """From the model's last word to the last visible change: the mean over replies."""
        return statistics.fmean(reply.settle for reply in self.replies)

    @property
    def steps_per_write(self) -> float:
        """Steps of the schedulers for each write: budgets asked, replies looked at, comparisons."""
        return self.steps / self.writes

    def figures(self) -> dict[str, float]:
        """All of them by name."""
        named = {
            "answers": len(self.replies),
            "whole": self.whole,
            "limited": self.limited,
            "live": self.live,
            "mean": self.mean,
            "settle": self.settle,
            "fairness": self.fairness,
            "writes": self.writes / len(self.replies),
            "steps_per_write": self.steps_per_write,
        }
        return {name: round(float(value), 4) for name, value in named.items()}


def questions(crowd: Crowd) -> list[Question]:
    """The crowd's questions in order of arrival, the same for the same seed."""
    seeded = random.Random(crowd.seed)  # noqa: S311 (seeded, so that results are the same everywhere)
    times = sorted(seeded.uniform(0.0, crowd.seconds) for _ in range(crowd.answers))
    # Each channel gets its share in the mean; in some, several people ask at once.
    return [Question(at, seeded.randrange(crowd.channels), seeded.randint(*crowd.words)) for at in times]


# ------------------------------------------------------------------------------------------------------------ platforms


class _CountedServer(Server):
    """A channel's or a workspace's limits, and those of the whole bot."""

    def __init__(self, bot: Server | None = None, *, rolling: bool = False) -> None:
        if rolling:
            super().__init__(limit=50, period=60.0, rolling=True, counts_posts=False)
        else:
            super().__init__()
        self._bot = bot

    @override
    def count(self, verb: Verb, now: float) -> None:
        super().count(verb, now)
        if self._bot is not None:
            self._bot.count(Verb.EDIT, now)  # all kinds of requests together


class _ChannelPosts(Server):
    """Slack's posts: one a second for each channel, beside the workspace's edits."""

    def __init__(self, edits: Server) -> None:
        super().__init__(limit=1, period=1.0, rolling=True)
        self._edits = edits

    @override
    def count(self, verb: Verb, now: float) -> None:
        if verb is not Verb.POST:
            self._edits.count(verb, now)
            return
        super().count(verb, now)


@dataclass
class _Answer(FakeChannel):
    """The destination of one answer, with the budgets of its platform."""

    spends: Mapping[Verb, Sequence[Budget]] = field(default_factory=dict)

    @override
    def budgets(self, verb: Verb) -> Sequence[Budget]:
        return self.spends.get(verb) or super().budgets(verb)


@dataclass(frozen=True, slots=True)
class _Place:
    """A channel of a platform: its server, its budgets, and its connection."""

    connection: str
    limit: int
    server: Server
    spends: Mapping[Verb, Sequence[Budget]]
    servers: tuple[Server, ...]
    group: str  # channels with the same rate limit of edits

    def answer(self) -> _Answer:
        return _Answer(self.server, limit=self.limit, connection=self.connection, spends=self.spends)


def _places(crowd: Crowd) -> list[_Place]:
    """All channels: of even workspaces on Slack, of odd ones on Discord."""
    bot, everything = Server(limit=50, period=1.0, rolling=True), RollingWindow(45, 1.0, paced=False)
    workspaces = [(_CountedServer(rolling=True), RollingWindow(50, 60.0)) for _ in range(crowd.workspaces)]
    places = []
    for channel in range(crowd.channels):
        workspace = channel % crowd.workspaces
        if workspace % 2:
            edits, posts = FixedWindow(5, 5.0, paced=True), FixedWindow(5, 5.0, paced=False)
            spends = {Verb.EDIT: (edits, everything), Verb.POST: (posts, everything)}
            own = _CountedServer(bot)
            places.append(_Place("discord:bot", 2000, own, spends, (own, bot), f"discord {channel}"))
        else:
            server, shared = workspaces[workspace]
            of_slack = {Verb.EDIT: (shared,), Verb.POST: (LeakyBucket(1.05),)}
            name = f"slack:{workspace}"
            posts_of = _ChannelPosts(server)
            places.append(_Place(name, 11_500, posts_of, of_slack, (posts_of, server), name))
    return places


class _Model:
    """Answers question number n with its number of words, in chunks; none before `begins` (the loop's time)."""

    def __init__(self, asked: Sequence[Question], begins: float) -> None:
        self._asked = asked
        self._begins = begins
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
        await asyncio.sleep(self._begins - loop.time())
        sent = self.sent[number] = []
        for chunk in _chunks(self._asked[number].words):
            sent.append((loop.time(), visible(chunk)))
            yield Text(chunk)
            await asyncio.sleep(CHUNK / WORDS_PER_SECOND)
        yield Finish(FinishReason.STOP)


def _chunks(words: int) -> Iterator[str]:
    numbers = range(words)
    return ("".join(f"word{number} " for number in numbers[at : at + CHUNK]) for at in range(0, words, CHUNK))


def _text(words: int) -> str:
    return "".join(_chunks(words))


# -------------------------------------------------------------------------------------------------------------- playing


def measure_crowd(crowd: Crowd) -> CrowdResult:
    """Play a crowd on the virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_play(crowd))


def crowd_figures(crowd: Crowd) -> dict[str, float]:
    """The figures of a crowd, for another process."""
    logging.getLogger("bot").addHandler(logging.NullHandler())
    return measure_crowd(crowd).figures()


async def _play(crowd: Crowd) -> CrowdResult:
    loop = asyncio.get_running_loop()
    asked, places, began = questions(crowd), _places(crowd), loop.time()
    model = _Model(asked, began + crowd.models_at)
    turns = _turns(model, crowd)
    answers = [places[question.channel].answer() for question in asked]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(turns.run())
        await turns.started.wait()
        for number, (question, answer) in enumerate(zip(asked, answers, strict=True)):
            await asyncio.sleep(began + question.at - loop.time())
            name = str(number)
            turns.accept(turn(name, conversation=name, text=f"answer {name}", asker=Author(name, name)), answer)
        await turns.idle()
        running.cancel()
    replies = [
        as_seen(_text(question.words), began, model.sent[number], answer.writes())
        for number, (question, answer) in enumerate(zip(asked, answers, strict=True))
    ]
    groups = defaultdict[str, list[Played]](list)
    for question, reply in zip(asked, replies, strict=True):
        groups[places[question.channel].group].append(reply)
    return CrowdResult(
        replies=tuple(replies),
        groups=tuple(map(tuple, groups.values())),
        limited=sum({id(server): server.limited for place in places for server in place.servers}.values()),
        live=_most_live(replies),
        steps=turns.scheduling_steps,
        writes=sum(reply.writes for reply in replies),
    )


def _turns(model: _Model, crowd: Crowd) -> TurnManager:
    """Limits of a deployment for this size: as many answers at once as there may be, in any channel."""
    limits = TurnLimits(live=crowd.answers, per_user=crowd.answers, per_channel=crowd.answers, accepted=crowd.answers)
    return make_turns(model, MemoryJournal(), NoRecorder(), limits=limits, completion=PATIENT, seed=crowd.seed)


def _most_live(replies: Sequence[Played]) -> int:
    """The most answers between their first word and their last write at the same time."""
    changes = [(reply.sent[0][0], 1) for reply in replies] + [(reply.shown[-1][0], -1) for reply in replies]
    return max(itertools.accumulate(change for _, change in sorted(changes)))


def crowd_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """The figures of each crowd as lines."""
    rows = [["", *COLUMNS]]
    for name, found in results.items():
        rows.append([name, *(f"{found[key]:,.{digits}f}" for key, digits in COLUMNS.values())])
    return aligned(rows)
