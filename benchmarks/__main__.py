"""``make bench-virtual``: the delays of readers in each scenario, on the virtual clock, beside the bound.

``--write`` keeps the figures in ``benchmarks/results``, plots too; ``--bounds`` computes all bounds anew (ten minutes)
instead of taking the kept ones; ``--no-crowd`` leaves out the longest part.
"""

from __future__ import annotations

import argparse
import logging
import sys
from concurrent.futures import ProcessPoolExecutor

from benchmarks.latency import networks, page, reserves
from benchmarks.latency.bounds import bounds_of_all
from benchmarks.latency.cases import SCENARIOS
from benchmarks.latency.compared import compared, compared_at_latencies, kept_back
from benchmarks.latency.crowd import CROWDS, crowd_figures, crowd_table
from benchmarks.latency.native_streams import STREAM_SCENARIOS, measure_streams
from benchmarks.latency.plots import PLOTS, drawn
from benchmarks.latency.scenarios import measure
from benchmarks.latency.table import RESULTS, Kept, figures, keep, load, waiting


def main() -> None:
    """Print the tables, and keep them on request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the results in benchmarks/results")
    parser.add_argument("--bounds", action="store_true", help="compute all bounds anew")
    parser.add_argument("--no-crowd", action="store_true", help="leave out the ten thousand answers")
    arguments = parser.parse_args()
    logging.getLogger("bot").addHandler(logging.NullHandler())  # a refused write is a figure here
    tables = Tables(write=arguments.write)
    bounds = bounds_of_all({} if arguments.bounds else load("bounds"))
    if arguments.write:
        keep("bounds", bounds)
    if arguments.no_crowd:
        played(tables, bounds)
    else:
        with ProcessPoolExecutor() as pool:  # crowds take minutes each
            crowds = pool.map(crowd_figures, CROWDS)
            played(tables, bounds)
            found = dict(zip((crowd.name for crowd in CROWDS), crowds, strict=True))
        tables.show("crowd", crowd_table(found), found)
    if arguments.write:
        for plot in PLOTS:
            (RESULTS / f"{plot.name}.svg").write_text(drawn(plot), encoding="utf-8")
        page.write()
    tables.end()


def played(tables: Tables, bounds: Kept) -> None:
    """All tables but that of the crowds."""
    found = {scenario.name: figures(measure(scenario), bounds[scenario.name]) for scenario in SCENARIOS}
    tables.show("waiting", waiting((scenario, found[scenario.name]) for scenario in SCENARIOS), found)
    streamed = [case.scenario for case in STREAM_SCENARIOS]
    found = {
        case.scenario.name: figures(measure_streams(case), bounds[case.scenario.name]) for case in STREAM_SCENARIOS
    }
    tables.show("streams", waiting((scenario, found[scenario.name]) for scenario in streamed), found)
    tables.show("policies", compared(bounds))
    tables.show("latencies", compared_at_latencies(bounds))
    found = networks.measured(bounds)
    tables.show("networks", networks.table(found), found)
    tables.show("keeping", kept_back())
    pairs = reserves.pairs()
    tables.show("reserves", reserves.traded(pairs))
    tables.draw("reserves", reserves.plotted(pairs))


class Tables:
    """Prints tables, and keeps them if asked to."""

    def __init__(self, *, write: bool) -> None:
        self._write = write
        self._files: list[str] = []

    def show(self, name: str, table: str, found: Kept | None = None) -> None:
        """Print a table. It is kept as text, and its figures for machines."""
        sys.stdout.write(f"{table}\n")
        sys.stdout.flush()
        self._files.append(f"{RESULTS.relative_to(RESULTS.parent.parent) / name}.txt")
        if self._write:
            (RESULTS / f"{name}.txt").write_text(table, encoding="utf-8")
            if found is not None:
                keep(name, found)

    def draw(self, name: str, plot: str) -> None:
        """Keep a plot."""
        if self._write:
            (RESULTS / f"{name}.svg").write_text(plot, encoding="utf-8")

    def end(self) -> None:
        """Name the files."""
        sys.stdout.write(f"{'kept in' if self._write else 'those that are kept:'} {', '.join(self._files)}\n")


if __name__ == "__main__":
    main()
