"""Networks: the round trips between the bot and a platform, and what readers wait for with them.

The bound at a latency is that at zero latency plus the mean one-way trip: no text is seen before its write arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from benchmarks.latency.cases import SCENARIOS
from benchmarks.latency.scenarios import Result, Scenario, measure
from benchmarks.latency.table import Kept, figures, waiting
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

# Scenarios of every table with round trips.
USUAL = (
    "discord: 1 x 200",
    "discord: 1 x 1000",
    "discord: 4 x 400, 1 channel",
    "discord: 10 x 400, 1 channel",
    "slack window: 4 x 400",
    "slack window: 12 x 400",
)
PLAYED = (*USUAL, "slack leak: 4 x 400")

# The network of a bot in a data center or at home, and the most that figures may be there. Ten answers in a channel
# need four windows of posts, so no policy ends them 2.64 s late or sooner (docs/adr/0012-round-trips.md).
REAL = "120-350 ms"
MUST: Mapping[str, tuple[tuple[str, float], ...]] = MappingProxyType(
    {
        "discord: 1 x 200": (("mean", 0.64),),
        "discord: 1 x 1000": (("mean", 0.73),),
        "discord: 4 x 400, 1 channel": (("mean", 1.97), ("settle", 0.6)),
        "discord: 10 x 400, 1 channel": (("mean", 3.65), ("settle", 3.15)),
        "slack window: 4 x 400": (("mean", 0.78),),
        "slack window: 12 x 400": (("mean", 1.54),),
    }
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
    Network(REAL, tuple(map(_varying, SEEDS)), 0.1175),
    Network("200 ms, 80 % there", (lambda: fixed(0.2, there=0.8),), 0.16),
    Network("200 ms, 20 % there", (lambda: fixed(0.2, there=0.2),), 0.04),
    Network("100 ms, growing to 900", (lambda: growing(0.1, 0.9, over=10.0),), 0.05),
)


def played(scenario: Scenario, network: Network) -> Result:
    """The median run by mean delay, with the 429s of all runs."""
    runs = sorted((measure(scenario, trips=trips()) for trips in network.trips), key=lambda result: result.mean)
    return Result(runs[len(runs) // 2].replies, sum(run.limited for run in runs))


def row_of(scenario: Scenario, network: Network) -> Scenario:
    """The scenario as a row of the table, with what it must show on this network."""
    must = MUST.get(scenario.name, ()) if network.name == REAL else ()
    return replace(scenario, name=f"{scenario.name} at {network.name}", must=must)


def cases() -> list[tuple[Scenario, Network]]:
    """All rows of the table."""
    return [(scenario, network) for scenario in SCENARIOS if scenario.name in PLAYED for network in NETWORKS]


def figures_of(scenario: Scenario, network: Network, bounds: Kept) -> dict[str, float]:
    """The figures of one row."""
    bound = {name: round(value + network.one_way, 4) for name, value in bounds[scenario.name].items()}
    return figures(played(scenario, network), bound)


def measured(bounds: Kept) -> Kept:
    """The figures of all rows by name."""
    return {row_of(*case).name: figures_of(*case, bounds) for case in cases()}


def table(found: Kept) -> str:
    """The table of all rows."""
    rows = [row_of(*case) for case in cases()]
    return waiting(((row, found[row.name]) for row in rows), COLUMNS)
