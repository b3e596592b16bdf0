"""Our pacing next to other policies and the optimum, with and without round trips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.latency.cases import SCENARIOS
from benchmarks.latency.native_streams import STREAM_SCENARIOS, measure_streams
from benchmarks.latency.networks import NETWORKS, USUAL
from benchmarks.latency.platforms import DISCORD, SLACK, SLACK_LEAK
from benchmarks.latency.policies import EVERY, GEOMETRIC, OTHERS, Policy, keeping
from benchmarks.latency.scenarios import Result, Scenario, at_once, measure
from benchmarks.latency.table import Kept, aligned
from tests.support.trips import Trips

# Names of scenarios.
COMPARED = (
    "discord: 1 x 200",
    "discord: 1 x 1000",
    "discord: 4 x 400, 1 channel",
    "discord: 10 x 400, 1 channel",
    "slack window: 1 x 1000",
    "slack window: 4 x 400",
    "slack window: 12 x 400",
    "slack window: 40 x 400",
    "slack leak: 4 x 400",
    "slack streams: 1 x 400",
    "slack streams: 12 x 400",
    "slack, 12 x 400, half in the agent view",
)
# Those of the shorter table at each latency.
AT_A_LATENCY = (*USUAL, "slack streams: 12 x 400", "slack, 12 x 400, half in the agent view")
FEW: tuple[Policy, ...] = (EVERY[0], GEOMETRIC)
LATENCIES = ("0 ms", "50 ms", "150 ms", "350 ms")

# With the pause between two writes of all replies together, in seconds: as long as the limit's even spread, or less.
KEEPING = (
    (Scenario("discord: 4 x 400, a write a second", DISCORD, at_once(4, 400)), 1.0),
    (Scenario("slack window: 12 x 1000, a write every 0.4 s", SLACK, at_once(12, 1000)), 0.4),
    (Scenario("slack leak: 4 x 400, whenever permitted", SLACK_LEAK, at_once(4, 400)), 0.0),
)


Play = Callable[[Policy | None, Trips | None], Result]


def played(names: Sequence[str]) -> dict[str, Play]:
    """Ways to play the scenarios with these names, those of native streams last."""
    plain: dict[str, Play] = {each.name: partial(measure, each) for each in SCENARIOS}
    streamed: dict[str, Play] = {each.scenario.name: partial(measure_streams, each) for each in STREAM_SCENARIOS}
    return {name: play for name, play in (plain | streamed).items() if name in names}


def compared(bounds: Kept, names: Sequence[str] = COMPARED) -> str:
    """The mean delay of each policy on a few scenarios, and the longest settle."""
    policies: tuple[Policy | None, ...] = (None, *OTHERS)
    rows = [["mean / longest settle", *(_name(each) for each in policies), "bound"]]
    for name, play in played(names).items():
        rows.append([name, *(_cell(play(policy, None)) for policy in policies), f"{bounds[name]['bound']:.2f}"])
    return aligned(rows)


def compared_at_latencies(bounds: Kept, names: Sequence[str] = AT_A_LATENCY) -> str:
    """The same of fewer policies at each latency."""
    policies = (None, *FEW)
    rows = [["mean / longest settle", *(_name(each) for each in policies), "bound", "ratio"]]
    networks = [network for network in NETWORKS if network.name in LATENCIES]
    for name, play in played(names).items():
        for network in networks:
            results = [play(policy, network.trips[0]()) for policy in policies]
            bound = bounds[name]["bound"] + network.one_way
            cells = (*map(_cell, results), f"{bound:.2f}", f"{results[0].mean / bound:.2f}")
            rows.append([f"{name} at {network.name}", *cells])
    return aligned(rows)


def _name(policy: Policy | None) -> str:
    return "ours" if policy is None else policy.name


def _cell(result: Result) -> str:
    return f"{result.mean:.2f} / {result.settle_worst:.1f}"


def kept_back(cases: Sequence[tuple[Scenario, float]] = KEEPING) -> str:
    """The figures with permits kept back for final writes: nothing, one, or one for each live reply."""
    rows = [["mean / settle / longest settle / posts", *(policy.name for policy in keeping(0.0))]]
    for scenario, shared in cases:
        results = [measure(scenario, policy) for policy in keeping(shared)]
        cells = [
            f"{result.mean:.2f} / {result.settle:.1f} / {result.settle_worst:.1f} / {result.posts:.1f}"
            for result in results
        ]
        rows.append([scenario.name, *cells])
    return aligned(rows)
