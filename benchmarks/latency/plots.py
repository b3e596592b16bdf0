"""The charts of docs/performance.md: text shown and sent over time, in three situations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.latency.bound import Limits, bound
from benchmarks.latency.charts import Axes, Line, Points, chart
from benchmarks.latency.native_streams import STREAM_SCENARIOS, measure_streams
from benchmarks.latency.platforms import DISCORD, SLACK
from benchmarks.latency.policies import EVERY
from benchmarks.latency.scenarios import Played, Result, Scenario, at_once, measure
from benchmarks.latency.traces import TICK

# Rounds of the search for prices: enough for a line in a chart.
ROUNDS = 40


@dataclass(frozen=True, slots=True)
class Plot:
    """A file with a chart."""

    name: str
    title: str
    seconds: float
    lines: Callable[[], list[Line]]


def drawn(plot: Plot) -> str:
    """The plot as a file's text."""
    lines = plot.lines()
    most = max(count for line in lines for _, count in line.points)
    axes = Axes("seconds since the question", "characters", plot.seconds, most, 2.0, 500.0)
    return chart(plot.title, axes, lines)


def _worst(result: Result) -> Played:
    return max(result.replies, key=lambda reply: reply.mean)


def _beside_others(scenario: Scenario) -> list[Line]:
    """Our slowest answer, that of a bot with an edit each second, and the optimum."""
    ours, theirs = _worst(measure(scenario)), _worst(measure(scenario, EVERY[0]))
    return [
        Line("sent by the model", "sent", ours.sent),
        Line("optimum", "optimum", _bounded(scenario, ours, scenario.platform.limits(shared=len(scenario.asks) > 1))),
        Line("Tickertape", "ours", ours.shown),
        Line("an edit each second", "other", theirs.shown),
    ]


def _with_streams() -> list[Line]:
    """Twelve answers in a workspace: by edits alone, and with native streams."""
    edited = _worst(measure(Scenario("", SLACK, at_once(12, 400))))
    half, all_ = (next(case for case in STREAM_SCENARIOS if case.scenario.name == name) for name in STREAMED)
    return [
        Line("sent by the model", "sent", edited.sent),
        Line("edits alone", "other", edited.shown),
        Line("half with native streams", "ours", _worst(measure_streams(half)).shown),
        Line("all with native streams", "streams", _worst(measure_streams(all_)).shown),
    ]


def _bounded(scenario: Scenario, like: Played, limits: Limits) -> Points:
    """The text shown by the first reply's cheapest schedule, at the prices of the bound."""
    schedule = bound(scenario.answers(), limits, rounds=ROUNDS).schedules[0]
    moments = sorted(tick * TICK for _, tick in schedule.writes)
    return [(moment, max(count for at, count in like.sent if at <= moment)) for moment in moments]


STREAMED = ("slack, 12 x 400, half in the agent view", "slack streams: 12 x 400")

PLOTS = (
    Plot(
        "discord-1",
        "Discord, one answer of 400 words",
        12.0,
        partial(_beside_others, Scenario("", DISCORD, at_once(1, 400))),
    ),
    Plot(
        "discord-4",
        "Discord, the slowest of four answers in a channel",
        16.0,
        partial(_beside_others, Scenario("", DISCORD, at_once(4, 400))),
    ),
    Plot(
        "slack-12",
        "Slack, the slowest of twelve answers in a workspace",
        14.0,
        partial(_beside_others, Scenario("", SLACK, at_once(12, 400))),
    ),
    Plot("slack-streams", "Slack, the slowest of twelve answers with and without native streams", 14.0, _with_streams),
)
