"""Networks: the round trips between the bot and a platform, and what readers wait for with them.

The bound at a latency is that at zero latency plus the mean one-way trip: no text is seen before its write arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.latency.cases import SCENARIOS
from benchmarks.latency.scenarios import Result, Scenario, measure
from benchmarks.latency.table import Kept, figures
from tests.support.trips import Trips, fixed, growing, varying

# Runs of a random network, each with its own seed; the median by mean delay is kept.
SEEDS = (1, 2, 3)

COLUMNS = (
    ("mean", "mean", 2),
    ("bound", "bound", 2),
    ("ratio", "ratio", 2),
    ("worst", "worst", 2),
    ("first", "first", 2),
    ("settle", "settle", 2),
    ("worst", "settle_worst", 2),
    ("writes", "writes", 1),
    ("429s", "limited", 0),
)

PLAYED = (
    "discord: 1 x 200",
    "discord: 1 x 1000",
    "discord: 4 x 400, 1 channel",
    "discord: 10 x 400, 1 channel",
    "slack window: 4 x 400",
    "slack window: 12 x 400",
    "slack leak: 4 x 400",
)


@dataclass(frozen=True)
class Network:
    """One kind of round trips; `one_way` is the mean trip to the server, in seconds."""

    name: str
    trips: tuple[Callable[[], Trips], ...]  # one for each run
    one_way: float


def _varying(seed: int) -> Callable[[], Trips]:
    return lambda: varying(0.12, 0.35, seed=seed)


NETWORKS = (
    Network("0 ms", (lambda: fixed(0.0),), 0.0),
    Network("50 ms", (lambda: fixed(0.05),), 0.025),
    Network("150 ms", (lambda: fixed(0.15),), 0.075),
    Network("350 ms", (lambda: fixed(0.35),), 0.175),
    Network("120-350 ms", tuple(map(_varying, SEEDS)), 0.1175),
    Network("200 ms, 80 % there", (lambda: fixed(0.2, there=0.8),), 0.16),
    Network("200 ms, 20 % there", (lambda: fixed(0.2, there=0.2),), 0.04),
    Network("100 ms, growing to 900", (lambda: growing(0.1, 0.9, over=10.0),), 0.05),
)


def played(scenario: Scenario, network: Network) -> Result:
    """The median run by mean delay, with the 429s of all runs."""
    runs = sorted((measure(scenario, trips=trips()) for trips in network.trips), key=lambda result: result.mean)
    return Result(runs[len(runs) // 2].replies, sum(run.limited for run in runs))


def name_of(scenario: Scenario, network: Network) -> str:
    """A row's name."""
    return f"{scenario.name} at {network.name}"


def cases() -> list[tuple[Scenario, Network]]:
    """All rows of the table."""
    return [(scenario, network) for scenario in SCENARIOS if scenario.name in PLAYED for network in NETWORKS]


def figures_of(scenario: Scenario, network: Network, bounds: Kept) -> dict[str, float]:
    """The figures of one row."""
    bound = {name: round(value + network.one_way, 4) for name, value in bounds[scenario.name].items()}
    return figures(played(scenario, network), bound)
