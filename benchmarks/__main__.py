"""``make bench-virtual``: what a reader waits for in each scenario, on the virtual clock, beside the bound.

``--write`` keeps what was measured in ``benchmarks/results``, plots too; ``--bounds`` computes all bounds anew (a
minute) instead of taking those that are kept; ``--no-crowd`` leaves out the longest part.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from benchmarks.latency import page
from benchmarks.latency.cases import SCENARIOS
from benchmarks.latency.crowd import CROWDS, crowd_table, measure_crowd
from benchmarks.latency.plots import PLOTS, drawn
from benchmarks.latency.policies import OTHERS, Policy, keeping
from benchmarks.latency.scenarios import DISCORD, SLACK, SLACK_LEAK, Scenario, at_once, bound_of, measure
from benchmarks.latency.table import RESULTS, Kept, aligned, figures, keep, load, waiting

# The product's promise, in ticks: the first post within 0.25 s. Read for the bound under that promise.
PROMPT_TICKS = 10

# What other ways to pace are compared on, and what is kept back for ends. Names of scenarios.
COMPARED = (
    "discord: 1 x 200",
    "discord: 1 x 1000",
    "discord: 4 x 400, 1 channel",
    "slack window: 1 x 1000",
    "slack window: 12 x 400",
    "slack window: 40 x 400",
    "slack leak: 4 x 400",
)
# With the pause between two writes of all replies together, in seconds: as long as the limit's even spread, or less.
KEEPING = (
    (Scenario("discord: 4 x 400, a write a second", DISCORD, at_once(4, 400)), 1.0),
    (Scenario("slack window: 12 x 1000, a write every 0.4 s", SLACK, at_once(12, 1000)), 0.4),
    (Scenario("slack leak: 4 x 400, whenever permitted", SLACK_LEAK, at_once(4, 400)), 0.0),
)


def main() -> None:
    """Print the tables, and keep them where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the results in benchmarks/results")
    parser.add_argument("--bounds", action="store_true", help="compute all bounds anew")
    parser.add_argument("--no-crowd", action="store_true", help="leave out the ten thousand answers (two minutes)")
    arguments = parser.parse_args()
    logging.getLogger("bot").addHandler(logging.NullHandler())  # a refused write is a figure here
    bounds = bounds_of_all({} if arguments.bounds else load("bounds"))
    if arguments.write:
        keep("bounds", bounds)
    found = {scenario.name: figures(measure(scenario), bounds[scenario.name]) for scenario in SCENARIOS}
    tables = {
        "waiting": waiting((scenario, found[scenario.name]) for scenario in SCENARIOS),
        "policies": compared(bounds),
        "keeping": kept_back(),
    }
    if not arguments.no_crowd:
        crowds = {crowd.name: measure_crowd(crowd).figures() for crowd in CROWDS}
        tables["crowd"] = crowd_table(crowds)
        if arguments.write:
            keep("crowd", crowds)
    for name, table in tables.items():
        sys.stdout.write(f"{table}\n")
        if arguments.write:
            (RESULTS / f"{name}.txt").write_text(table, encoding="utf-8")
    if arguments.write:
        keep("waiting", found)
        for plot in PLOTS:
            (RESULTS / f"{plot.name}.svg").write_text(drawn(plot), encoding="utf-8")
        page.write()
    where = RESULTS.relative_to(RESULTS.parent.parent)
    files = ", ".join(f"{where / name}.txt" for name in tables)
    sys.stdout.write(f"{'kept in' if arguments.write else 'those that are kept:'} {files}\n")


def bounds_of_all(known: Kept) -> Kept:
    """Each scenario's bound, and the one under the promise of a first post; computed where not known."""
    return {scenario.name: known.get(scenario.name) or limits_for(scenario) for scenario in SCENARIOS}


def limits_for(scenario: Scenario) -> dict[str, float]:
    """``bound``, and ``prompt``: the bound of those who post within the promised time, where all can."""
    found = {"bound": round(bound_of(scenario), 4)}
    if scenario.apart or len(scenario.asks) <= scenario.platform.prompt:
        # Found by other prices, it may come out lower, though it cannot be: there is less to choose from.
        found["prompt"] = round(max(bound_of(scenario, first_by=PROMPT_TICKS), found["bound"]), 4)
    return found


def compared(bounds: Kept, names: Sequence[str] = COMPARED) -> str:
    """The mean delay of each way to pace on a few scenarios, and the longest settle where it is more."""
    policies: tuple[Policy | None, ...] = (None, *OTHERS)
    rows = [["mean / longest settle", *("ours" if each is None else each.name for each in policies), "bound"]]
    for scenario in SCENARIOS:
        if scenario.name in names:
            results = [measure(scenario, policy) for policy in policies]
            cells = [f"{result.mean:.2f} / {result.settle_worst:.1f}" for result in results]
            rows.append([scenario.name, *cells, f"{bounds[scenario.name]['bound']:.2f}"])
    return aligned(rows)


def kept_back(cases: Sequence[tuple[Scenario, float]] = KEEPING) -> str:
    """What comes of keeping permits back for final writes: nothing, one, or one for each live reply."""
    rows = [["mean / settle / longest settle / posts", *(policy.name for policy in keeping(0.0))]]
    for scenario, shared in cases:
        results = [measure(scenario, policy) for policy in keeping(shared)]
        cells = [
            f"{result.mean:.2f} / {result.settle:.1f} / {result.settle_worst:.1f} / {result.posts:.1f}"
            for result in results
        ]
        rows.append([scenario.name, *cells])
    return aligned(rows)


if __name__ == "__main__":
    main()
