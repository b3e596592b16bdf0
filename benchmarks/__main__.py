"""``make bench``: prints what a reader waits for in each scenario, on the virtual clock."""

from __future__ import annotations

import statistics
import sys

from benchmarks.scenarios import Result, Scenario, measure

SCENARIOS = (
    Scenario("discord", 1, 200),
    Scenario("discord", 1, 1000),
    Scenario("discord", 4, 400, apart=True),
    Scenario("discord", 4, 400),
    Scenario("discord", 10, 400),
    Scenario("slack", 1, 200),
    Scenario("slack", 1, 1000),
    Scenario("slack", 4, 400),
    Scenario("slack", 12, 400),
    Scenario("slack", 40, 400),
    Scenario("slack", 4, 3000),
    Scenario("slack", 30, 400, every=3.0),
)

COLUMNS = ("mean", "worst", "first", "settle", "last", "gap", "writes", "429s", "whole")


def main() -> None:
    """Print the table."""
    width = max(len(scenario.name) for scenario in SCENARIOS)
    _print(" " * width + "".join(f"{column:>8}" for column in COLUMNS))
    for scenario in SCENARIOS:
        _print(f"{scenario.name:<{width}}" + "".join(f"{cell:>8}" for cell in row(measure(scenario))))


def row(result: Result) -> list[str]:
    """A result as the cells of its row, in the order of `COLUMNS`."""
    records = result.records

    delays = [record.character_delay for record in records if record.character_delay is not None]
    settles = [record.settle for record in records if record.settle is not None]
    firsts = [
        record.first_visible - record.first_delta
        for record in records
        if record.first_visible is not None and record.first_delta is not None
    ]
    return [
        f"{statistics.fmean(delays):.2f}",
        f"{max(delays):.2f}",
        f"{max(firsts):.2f}",
        f"{statistics.fmean(settles):.2f}",
        f"{max(settles):.2f}",
        f"{result.longest_gap:.1f}",
        f"{statistics.fmean(record.writes for record in records):.1f}",
        str(result.limited),
        f"{result.whole}/{len(records)}",
    ]


def _print(line: str) -> None:
    sys.stdout.write(f"{line.rstrip()}\n")


if __name__ == "__main__":
    main()
