"""``python -m benchmarks.scale_out``: many processes on the virtual clock, their pacing and their hand-overs.

``--write`` keeps the result in ``benchmarks/results``; ``--only pacing`` or ``--only simulation`` plays one part.
"""

from __future__ import annotations

import argparse
import logging
import sys
from concurrent.futures import ProcessPoolExecutor

from benchmarks.latency.table import RESULTS
from benchmarks.scale_out.pacing import PROCESSES, SEEDS, Busy, Pace, measure, table
from benchmarks.scale_out.phases import PHASES
from benchmarks.scale_out.report import lines_of
from benchmarks.scale_out.simulation import Size, simulate

PARTS = ("pacing", "simulation")


def pacing(pool: ProcessPoolExecutor) -> str:
    """The delays of answers with one process and with several."""
    cases = [(seed, processes) for processes in sorted(PROCESSES, reverse=True) for seed in SEEDS]
    found: dict[tuple[int, int], Pace] = dict(zip(cases, pool.map(paced, cases), strict=True))
    return f"mean delay of a busy Discord bot's answers, in seconds: {len(SEEDS)} seeds\n{table(found)}"


def paced(case: tuple[int, int]) -> Pace:
    """One seed with one number of processes."""
    quiet()
    seed, processes = case
    return measure(Busy(seed), processes)


def simulation() -> str:
    """The simulation at its full size."""
    quiet()
    return lines_of(simulate(Size(), PHASES))


def quiet() -> None:
    """Log nothing: a lost lane is a figure here."""
    logging.getLogger("bot").setLevel(logging.CRITICAL)


def main() -> None:
    """Print the results, and keep them on request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_out", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the results in benchmarks/results")
    parser.add_argument("--only", choices=PARTS, help="play this part alone")
    chosen = parser.parse_args()
    parts = (chosen.only,) if chosen.only else PARTS
    with ProcessPoolExecutor() as pool:
        played = pool.submit(simulation) if "simulation" in parts else None
        texts = {"pacing": pacing(pool)} if "pacing" in parts else {}
        if played is not None:
            texts["simulation"] = played.result()
    for name, text in texts.items():
        sys.stdout.write(f"{text}\n")
        if chosen.write:
            (RESULTS / f"scale-out-{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
