"""Results as text tables for people, and as ``results/*.toml`` for machines."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.latency.scenarios import Result, Scenario

RESULTS = Path(__file__).parents[1] / "results"

Figures = Mapping[str, float]
Kept = dict[str, dict[str, float]]

# Of a scenario, in the order of the table: the heading, the figure's name, and digits after the point.
COLUMNS = (
    ("mean", "mean", 2),
    ("bound", "bound", 2),
    ("ratio", "ratio", 2),
    ("p95", "p95", 2),
    ("worst", "worst", 2),
    ("fair", "fairness", 2),
    ("last", "last", 2),
    ("first", "first", 2),
    ("words", "begins", 0),
    ("settle", "settle", 2),
    ("worst", "settle_worst", 2),
    ("gap", "gap", 1),
    ("writes", "writes", 1),
    ("posts", "posts", 1),
    ("429s", "limited", 0),
)
# A figure may be this much above its promise: on the virtual clock each turn of the loop takes a nanosecond. Seconds.
ROUNDING = 1e-4

# Below this, nearly each chunk may have its own write, and a ratio to the bound means nothing. Seconds.
LEAST_BOUND = 0.025


def figures(result: Result, bounds: Figures) -> dict[str, float]:
    """All of a result's figures by name, `bounds` among them, with the ratio of the mean to the bound."""
    names = [name for _, name, _ in COLUMNS if name not in {"bound", "ratio"}]
    found = {name: round(float(getattr(result, name)), 4) for name in (*names, "whole")}
    ratio = result.mean / bounds["bound"] if bounds["bound"] > LEAST_BOUND else 0.0
    return {**found, **bounds, "ratio": round(ratio, 4), "replies": float(len(result.replies))}


def missed(scenario: Scenario, found: Figures) -> list[str]:
    """The promises missed, in words."""
    late = [f"{name} > {most:g}" for name, most in scenario.must if found[name] > most + ROUNDING]
    lost = ["not whole"] if found["whole"] < found["replies"] else []
    return [*late, *lost, *(["429"] if found["limited"] > scenario.forgiven else [])]


def waiting(rows: Iterable[tuple[Scenario, Figures]], columns: Sequence[tuple[str, str, int]] = COLUMNS) -> str:
    """The table of all scenarios."""
    lines = [[scenario.name, *_cells(found, columns), _verdict(scenario, found)] for scenario, found in rows]
    return aligned([["", *(heading for heading, _, _ in columns), "whole", "must"], *lines])


def _cells(found: Figures, columns: Sequence[tuple[str, str, int]]) -> list[str]:
    whole = f"{found['whole']:.0f}/{found['replies']:.0f}"
    return [
        *(f"{found[name]:.{digits}f}" if found[name] or name != "ratio" else "-" for _, name, digits in columns),
        whole,
    ]


def _verdict(scenario: Scenario, found: Figures) -> str:
    wrong = missed(scenario, found)
    if wrong:
        return f"MISSED {', '.join(wrong)}"
    return "ok" if scenario.must else "-"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines; the first column stands to the left, as does the last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    lines = (
        "  ".join(cell.ljust(width) if at in {0, last} else cell.rjust(width) for at, (cell, width) in enumerate(pairs))
        for pairs in (zip(row, widths, strict=True) for row in rows)
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def load(name: str) -> Kept:
    """The kept figures of a name, by scenario; empty without a file."""
    file = RESULTS / f"{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def keep(name: str, rows: Mapping[str, Figures]) -> None:
    """Write figures to a file, one a line."""
    parts = (
        f'["{scenario}"]\n' + "".join(f"{key} = {value:g}\n" for key, value in found.items())
        for scenario, found in rows.items()
    )
    (RESULTS / f"{name}.toml").write_text("\n".join(parts), encoding="utf-8")
