"""Answers in a Slack workspace with native streams beside edits: both have limits of their own.

Played on the virtual clock like `benchmarks.latency.scenarios`; a share of the answers is in the agent view, where
streams are possible.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from benchmarks.latency.platforms import SLACK
from benchmarks.latency.policies import Policy, RollingCounter
from benchmarks.latency.scenarios import Result, Scenario, at_once, play_in
from bot.ports import StreamCapabilities, Verb
from bot.rate_limits import Budget, LeakyBucket, RollingWindow
from tests.support.clock import VirtualLoop
from tests.support.fakes import STREAM_LIMITS, FakeChannel, Server, stream_budgets
from tests.support.trips import Trips

# One post a second in each channel, with our margin. Seconds.
POST_SECONDS = 1.05


def _octets(text: str) -> int:
    return len(text.encode())


# As the adapter's: bytes of one message, and its life in seconds.
STREAM = StreamCapabilities(9_000, _octets, 280.0)


@dataclass(frozen=True, slots=True)
class StreamScenario:
    """Answers at once; every `every`-th of them is in the agent view."""

    scenario: Scenario
    every: int = 1

    def streams(self, number: int) -> bool:
        """Whether this answer is in the agent view."""
        return number % self.every == 0


def _streams(name: str, count: int, *, every: int = 1, **must: float) -> StreamScenario:
    return StreamScenario(Scenario(name, SLACK, at_once(count, 400), must=tuple(must.items())), every)


STREAM_SCENARIOS = (
    _streams("slack streams: 1 x 400", 1, mean=0.35, settle=0.3),
    _streams("slack streams: 12 x 400", 12, mean=0.65, settle=0.3),
    _streams("slack, 12 x 400, half in the agent view", 12, every=2, mean=0.80, settle=0.3),
    _streams("slack streams: 40 x 400", 40, settle=1.0),
)


def channels(case: StreamScenario, policy: Policy | None = None) -> list[FakeChannel]:
    """The places of the answers, in one workspace; with a policy, edits and appends are paced by it."""
    server = Server(limit=50, period=60.0, rolling=True, counts_posts=False, streams=STREAM_LIMITS)
    count, streams = len(case.scenario.asks), stream_budgets()
    edits: list[Budget] = [RollingWindow(50, 60.0)] * count
    appends = [streams[Verb.APPEND]] * count
    if policy is not None:
        edits = policy.budgets(RollingCounter(50, 60.0), count)
        appends = policy.budgets(RollingCounter(STREAM_LIMITS[Verb.APPEND], 60.0), count)
    return [
        FakeChannel(
            server,
            limit=SLACK.message,
            edits=edits[number],
            posts=LeakyBucket(POST_SECONDS),
            streams={**streams, Verb.APPEND: appends[number]},
            stream=STREAM if case.streams(number) else None,
        )
        for number in range(count)
    ]


def measure_streams(case: StreamScenario, policy: Policy | None = None, trips: Trips | None = None) -> Result:
    """Play a scenario on the virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        places = channels(case, policy)
        for channel in places:
            channel.server.trips = trips or channel.server.trips
        return runner.run(play_in(case.scenario, places, policy))
