"""Scenarios: how many people ask at once, where, and for how long an answer.

Each is a frozen value, played on the virtual clock with a counting platform; the figures come from it. The model sends
40 words a second, one word per chunk; the platform answers at once. On the virtual clock the results are the same on
every machine.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from adapters.journal import MemoryJournal
from benchmarks.latency.arrivals import Answer
from benchmarks.latency.platforms import Platform
from benchmarks.latency.policies import Policy
from benchmarks.latency.traces import TICK, Trace, regular
from bot.delivery.policy import WritePolicy
from bot.ports import Verb
from bot.rate_limits import FixedWindow, LeakyBucket
from bot.telemetry import NoRecorder
from bot.turns.config import TurnLimits
from bot.turns.manager import TurnManager
from tests.support.clock import VirtualLoop
from tests.support.core import make_turns
from tests.support.fakes import FakeChannel, ScriptedModel, Wrote, turn
from tests.support.trips import Trips

# --------------------------------------------------------------------------------------------------------- scenarios


@dataclass(frozen=True, slots=True)
class Ask:
    """A question: when it is asked (in ticks, after the others), and what the model answers."""

    trace: Trace
    at: int = 0


@dataclass(frozen=True)
class Scenario:
    """What is asked where, and what it must show: the most that figures of `Result` may be, by name.

    `forgiven` 429s are no fault: the writes in flight when a limit shows that is told by a 429 alone.
    """

    name: str
    platform: Platform
    asks: tuple[Ask, ...]
    apart: bool = False  # Discord: each in a channel of its own; its limits are then not shared
    must: tuple[tuple[str, float], ...] = ()
    forgiven: int = 0

    def answers(self, *, first_by: int | None = None) -> list[Answer]:
        """The answers as the bound takes them."""
        limit = self.platform.message
        cuts = {ask.trace: ask.trace.cuts(limit) for ask in self.asks}
        return [Answer(ask.trace.arrivals, cuts[ask.trace], ask.at, first_by) for ask in self.asks]


def at_once(count: int, words: int) -> tuple[Ask, ...]:
    """So many of the same, at once."""
    return (Ask(regular(words)),) * count


def after(*words: int) -> tuple[Ask, ...]:
    """One asked when the last word of the one before has come."""
    starts = itertools.accumulate((0, *words[:-1]))
    return tuple(Ask(regular(count), start) for count, start in zip(words, starts, strict=True))


def every(seconds: float, count: int, words: int) -> tuple[Ask, ...]:
    """One asked every so many seconds."""
    return tuple(Ask(regular(words), round(number * seconds / TICK)) for number in range(count))


# ------------------------------------------------------------------------------------------------------------ figures


@dataclass(frozen=True)
class Played:
    """One answer as a reader saw it: times from when it was asked, in seconds; counts of visible characters.

    `shown` has one entry for each visible change.
    """

    sent: tuple[tuple[float, int], ...]
    shown: tuple[tuple[float, int], ...]
    writes: int
    posts: int
    begins: int  # words in the first post
    whole: bool

    @cached_property
    def delays(self) -> list[tuple[float, int]]:
        """(delay, characters), for each chunk."""
        delays: list[tuple[float, int]] = []
        steps = iter(self.shown)
        seen_at, seen = next(steps, (float("inf"), 0))
        for at, characters in self.sent:
            while seen < characters:
                step = next(steps, None)
                if step is None:
                    return delays
                seen_at, seen = step
            delays.append((seen_at - at, characters))
        new = [after - before for before, after in itertools.pairwise([0, *(count for _, count in delays)])]
        return [(delay, count) for (delay, _), count in zip(delays, new, strict=True)]

    @property
    def mean(self) -> float:
        """The mean character delay."""
        total = sum(count for _, count in self.delays)
        return sum(delay * count for delay, count in self.delays) / total if total else float("inf")

    @property
    def first(self) -> float:
        """From the first word to something to be seen."""
        return self.shown[0][0] - self.sent[0][0] if self.shown else float("inf")

    @property
    def settle(self) -> float:
        """From the last word to the last visible change."""
        return max(self.shown[-1][0] - self.sent[-1][0], 0.0) if self.shown else float("inf")

    @property
    def gap(self) -> float:
        """The longest without a visible change."""
        return max((late - soon for (soon, _), (late, _) in itertools.pairwise(self.shown)), default=0.0)


@dataclass(frozen=True)
class Result:
    """What came of a scenario. Times in seconds; means over replies unless it says worst."""

    replies: tuple[Played, ...]
    limited: int  # 429s

    @property
    def mean(self) -> float:
        """Character delay: the mean over replies of each one's mean."""
        return statistics.fmean(reply.mean for reply in self.replies)

    @property
    def worst(self) -> float:
        """The reply with the longest mean."""
        return max(reply.mean for reply in self.replies)

    @property
    def last(self) -> float:
        """The mean of the reply that was asked last."""
        return self.replies[-1].mean

    @property
    def p95(self) -> float:
        """What 95 in a hundred characters of all replies were not later than."""
        delays = sorted(pair for reply in self.replies for pair in reply.delays)
        left = 0.95 * sum(count for _, count in delays)
        for delay, count in delays:
            left -= count
            if left <= 0:
                return delay
        return float("inf")

    @property
    def first(self) -> float:
        """The longest from a first word to something to be seen."""
        return max(reply.first for reply in self.replies)

    @property
    def settle(self) -> float:
        """From the last word to the last visible change."""
        return statistics.fmean(reply.settle for reply in self.replies)

    @property
    def settle_worst(self) -> float:
        """The longest of these."""
        return max(reply.settle for reply in self.replies)

    @property
    def gap(self) -> float:
        """The longest that a growing reply stood still."""
        return max(reply.gap for reply in self.replies)

    @property
    def writes(self) -> float:
        """Posts and edits for each reply."""
        return statistics.fmean(reply.writes for reply in self.replies)

    @property
    def posts(self) -> float:
        """Messages for each reply."""
        return statistics.fmean(reply.posts for reply in self.replies)

    @property
    def fairness(self) -> float:
        """The worst reply's mean over the average."""
        return self.worst / self.mean if self.mean else 1.0

    @property
    def whole(self) -> int:
        """Replies that arrived with every word in order, and nothing more."""
        return sum(reply.whole for reply in self.replies)

    @property
    def begins(self) -> int:
        """The fewest words that a first post had."""
        return min(reply.begins for reply in self.replies)


# ------------------------------------------------------------------------------------------------------------ playing


def measure(scenario: Scenario, policy: Policy | None = None, trips: Trips | None = None) -> Result:
    """Play a scenario on the virtual clock, as ours does or, with a policy, as others do."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        channels = _channels(scenario, policy)
        for channel in channels:
            channel.server.trips = trips or channel.server.trips
        return runner.run(play_in(scenario, channels, policy))


async def play_in(scenario: Scenario, channels: Sequence[FakeChannel], policy: Policy | None = None) -> Result:
    """Play a scenario in given channels, on the running loop."""
    loop = asyncio.get_running_loop()
    model, recorder = ScriptedModel(*(ask.trace.script() for ask in scenario.asks)), NoRecorder()
    writing = WritePolicy() if policy is None else WritePolicy(gap_seconds=0.0)
    turns = _turns(model, recorder, writing, len(scenario.asks))
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(turns.run())
        await turns.started.wait()
        for number, (ask, channel) in enumerate(zip(scenario.asks, channels, strict=True)):
            await asyncio.sleep(began + ask.at * TICK - loop.time())
            turns.accept(turn(str(number), conversation=str(number)), channel)
        await turns.idle()
        running.cancel()
    return Result(
        replies=tuple(
            _played(ask.trace, began + ask.at * TICK, channel)
            for ask, channel in zip(scenario.asks, channels, strict=True)
        ),
        limited=sum({id(channel.server): channel.server.limited for channel in channels}.values()),
    )


def _turns(model: ScriptedModel, recorder: NoRecorder, writing: WritePolicy, live: int) -> TurnManager:
    limits = TurnLimits(live=max(live, 200))
    return make_turns(model, MemoryJournal(), recorder, writes=writing, limits=limits, seed=1)


def _channels(scenario: Scenario, policy: Policy | None) -> list[FakeChannel]:
    """One for each answer, with the budgets that the platform's adapter would give it."""
    count = len(scenario.asks)
    if scenario.apart:
        return [channel for _ in range(count) for channel in _sharing(scenario.platform, 1, policy)]
    return _sharing(scenario.platform, count, policy)


def _sharing(platform: Platform, count: int, policy: Policy | None) -> list[FakeChannel]:
    """Channels, or answers in one channel, that share the platform's limits."""
    server, ours = platform.server(), platform.edits()
    edits = [ours] * count if policy is None else policy.budgets(platform.counter(), count)
    together = FixedWindow(5, 5.0, paced=False)  # Discord's posts; Slack counts them for each channel
    return [
        FakeChannel(
            server,
            limit=platform.message,
            edits=budget,
            posts=together if platform.posts is not None else LeakyBucket(1.05),
        )
        for budget in edits
    ]


def _played(trace: Trace, asked: float, channel: FakeChannel) -> Played:
    """What a reader saw, from the log of one reply's channel."""
    sent = [(asked + tick * TICK, count) for tick, count in trace.arrivals]
    return as_seen(trace.text, asked, sent, channel.writes())


def as_seen(text: str, asked: float, sent: Iterable[tuple[float, int]], writes: Sequence[Wrote]) -> Played:
    """What a reader saw of the answer `text`: `sent` has when how many visible characters came, `writes` what was done.

    Times are the loop's, in seconds.
    """
    at, characters = zip(*sent, strict=True)
    messages: dict[str, str] = {}
    shown: list[tuple[float, int]] = []
    for wrote in writes:
        if wrote.verb is Verb.DELETE:
            messages.pop(wrote.message, None)
        else:
            messages[wrote.message] = wrote.text
        seen = _common(text, "".join(messages.values()))
        if seen > (shown[-1][1] if shown else 0):
            shown.append((wrote.at - asked, seen))
    return Played(
        sent=tuple(zip((each - asked for each in at), itertools.accumulate(characters), strict=True)),
        shown=tuple(shown),
        writes=len(writes),
        posts=sum(wrote.verb is Verb.POST for wrote in writes),
        begins=len(writes[0].text.split()) if writes else 0,
        whole="\n".join(messages.values()).split() == text.split(),
    )


def _common(wanted: str, shown: str) -> int:
    """How many visible characters a reader can see of the beginning of what is wanted."""
    wanted, shown = "".join(wanted.split()), "".join(shown.split())
    if wanted.startswith(shown):
        return len(shown)
    return next(index for index, (one, other) in enumerate(zip(wanted, shown, strict=False)) if one != other)
