"""The tables of docs/performance.md, made of the kept results.

Each stands between a comment with its name and the next empty comment; `filled` replaces what is between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.latency.crowd import CROWDS
from benchmarks.latency.networks import USUAL
from benchmarks.latency.table import load

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"

# Scenarios of the page, in its order, with plain names.
SHOWN = {
    "discord: 1 x 200": "Discord, one answer of 200 words",
    "discord: 1 x 1000": "Discord, one answer of 1,000 words",
    "discord: 4 x 400, 1 channel": "Discord, four answers of 400 words in a channel",
    "discord: 10 x 400, 1 channel": "Discord, ten in a channel",
    "slack window: 1 x 1000": "Slack, one answer of 1,000 words",
    "slack window: 4 x 400": "Slack, four answers of 400 words in a workspace",
    "slack window: 12 x 400": "Slack, twelve in a workspace",
    "slack window: 40 x 400": "Slack, forty in a workspace",
}


def waiting_table() -> str:
    """The delays beside the optimum."""
    found, bounds = load("waiting"), load("bounds")
    rows = [
        f"| {plain} | {found[name]['mean']:.2f} | {bounds[name]['bound']:.2f} | {found[name]['settle']:.2f}"
        f" | {found[name]['writes']:.1f} |"
        for name, plain in SHOWN.items()
    ]
    return "\n".join(
        ["| Answers | mean delay, s | optimum, s | settle, s | writes each |", "|---|---|---|---|---|", *rows]
    )


def crowd_rows() -> str:
    """The figures of ten thousand answers."""
    found = load("crowd")
    lines: Mapping[str, Callable[[Mapping[str, float]], str]] = {
        "complete and exact": lambda each: f"{each['whole']:,.0f} of {each['answers']:,.0f}",
        "429s": lambda each: f"{each['limited']:.0f}",
        "most at the same time": lambda each: f"{each['live']:,.0f}",
        "mean delay, s": lambda each: f"{each['mean']:.2f}",
        "settle, s": lambda each: f"{each['settle']:.2f}",
        "worst answer, times the average of its rate limit": lambda each: f"{each['fairness']:.2f}",
        "writes each": lambda each: f"{each['writes']:.1f}",
        "scheduler's steps per write": lambda each: f"{each['steps_per_write']:.0f}",
    }
    head = "".join(f" {crowd.name} |" for crowd in CROWDS)
    rows = [
        f"| {name} |" + "".join(f" {line(found[crowd.name])} |" for crowd in CROWDS) for name, line in lines.items()
    ]
    return "\n".join([f"| |{head}", "|---|" + "---|" * len(CROWDS), *rows])


STREAMED = {
    "slack streams: 1 x 400": "one answer in the agent view",
    "slack streams: 12 x 400": "twelve in the agent view",
    "slack, 12 x 400, half in the agent view": "twelve, half of them in the agent view",
    "slack streams: 40 x 400": "forty in the agent view",
}
# Round trips of the page; names as in `benchmarks.latency.networks`.
ROUND_TRIPS = ("0 ms", "50 ms", "150 ms", "350 ms", "120-350 ms")


def streams_table() -> str:
    """Answers with native streams beside the optimum."""
    found = load("streams")
    rows = [
        f"| {plain} | {found[name]['mean']:.2f} | {found[name]['bound']:.2f} | {found[name]['settle']:.2f}"
        f" | {found[name]['writes']:.1f} |"
        for name, plain in STREAMED.items()
    ]
    head = "| Slack, answers of 400 words | mean delay, s | optimum, s | settle, s | writes each |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def networks_table() -> str:
    """Mean delays over the optimum, by round trip."""
    found = load("networks")
    rows = [
        f"| {SHOWN[name]} |"
        + "".join(
            f" {found[f'{name} at {trip}']['mean']:.2f} / {found[f'{name} at {trip}']['bound']:.2f} |"
            for trip in ROUND_TRIPS
        )
        for name in USUAL
    ]
    head = "| mean delay / optimum, s |" + "".join(f" {trip} |" for trip in ROUND_TRIPS)
    return "\n".join([head, "|---|" + "---|" * len(ROUND_TRIPS), *rows])


TABLES: Mapping[str, Callable[[], str]] = {
    "waiting": waiting_table,
    "streams": streams_table,
    "networks": networks_table,
    "crowd": crowd_rows,
}


def filled(text: str) -> str:
    """The page with its tables made anew."""
    for name, table in TABLES.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        text = before + mark + table() + "\n" + rest[rest.index("<!-- -->") :]
    return text


def write() -> None:
    """Update the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
