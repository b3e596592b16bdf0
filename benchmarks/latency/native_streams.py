"""Answers in a Slack workspace with native streams beside edits: both have limits of their own.

Played on the virtual clock like `benchmarks.latency.scenarios`; a share of the answers is in the agent view, where
streams are possible.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.latency.scenarios import SLACK, Result, Scenario, at_once, play_in
from bot.ports import StreamCapabilities
from bot.rate_limits import LeakyBucket, RollingWindow
from tests.support.clock import VirtualLoop
from tests.support.fakes import STREAM_LIMITS, FakeChannel, Server, stream_budgets

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


def _streams(name: str, count: int, *, every: int = 1, **must: float) -> StreamScenario:
    return StreamScenario(Scenario(name, SLACK, at_once(count, 400), must=tuple(must.items())), every)


STREAM_SCENARIOS = (
    _streams("slack streams: 1 x 400", 1, mean=0.35, settle=0.3),
    _streams("slack streams: 12 x 400", 12, mean=0.65, settle=0.3),
    _streams("slack, 12 x 400, half in the agent view", 12, every=2, mean=0.80, settle=0.3),
    _streams("slack streams: 40 x 400", 40, settle=1.0),
)


def channels(case: StreamScenario) -> list[FakeChannel]:
    """The places of the answers, in one workspace."""
    server = Server(limit=50, period=60.0, rolling=True, counts_posts=False, streams=STREAM_LIMITS)
    edits, streams = RollingWindow(50, 60.0), stream_budgets()
    return [
        FakeChannel(
            server,
            limit=SLACK.message,
            edits=edits,
            posts=LeakyBucket(POST_SECONDS),
            streams=streams,
            stream=STREAM if number % case.every == 0 else None,
        )
        for number in range(len(case.scenario.asks))
    ]


def measure_streams(case: StreamScenario) -> Result:
    """Play a scenario on the virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_play(case))


async def _play(case: StreamScenario) -> Result:
    return await play_in(case.scenario, channels(case))


def table(cases: Sequence[StreamScenario] = STREAM_SCENARIOS) -> str:
    """The figures of all cases, a line each."""
    lines = ["scenario                                   mean   worst  settle  writes  429  whole"]
    for case in cases:
        result = measure_streams(case)
        lines.append(
            f"{case.scenario.name:<40} {result.mean:6.3f}  {result.worst:6.3f}  {result.settle:6.3f}"
            f"  {result.writes:6.1f}  {result.limited:3}  {result.whole:5}"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(table())
