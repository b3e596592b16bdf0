"""Shown against sent text over time, as SVG for the README.

Colours have middle lightness and the background is transparent, so a plot is readable on white and on black.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.latency.bound import bound
from benchmarks.latency.platforms import DISCORD, SLACK
from benchmarks.latency.policies import EVERY, Policy
from benchmarks.latency.scenarios import Played, Scenario, at_once, measure
from benchmarks.latency.traces import TICK

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 330, 52, 44, 20, 40
# Sent, the bound, ours, the fixed interval: colour and width of each line.
STYLES = (("#8a8f98", 1.5), ("#2f9e6e", 1.5), ("#3b82f6", 2.5), ("#e0653a", 1.5))
GREY = "#8a8f98"
FONT = 'font-family="system-ui, sans-serif" font-size="12"'

Curve = Sequence[tuple[float, float]]  # (seconds, characters), as steps


@dataclass(frozen=True, slots=True)
class Plot:
    """A file, what it is called, and the scenario whose worst reply it shows."""

    name: str
    title: str
    scenario: Scenario
    seconds: float


PLOTS = (
    Plot("discord-1", "Discord, one answer of 400 words", Scenario("", DISCORD, at_once(1, 400)), 12.0),
    Plot("discord-4", "The worst of four in one channel", Scenario("", DISCORD, at_once(4, 400)), 16.0),
    Plot("slack-12", "The worst of twelve in a Slack workspace", Scenario("", SLACK, at_once(12, 400)), 14.0),
)


def drawn(plot: Plot) -> str:
    """The plot as a file's text."""
    other = EVERY[0]
    ours, theirs = _worst(plot.scenario, None), _worst(plot.scenario, other)
    curves = (ours.sent, _bounded(plot.scenario, ours), ours.shown, theirs.shown)
    names = ("sent by the model", "knowing the future", "Tickertape", f"an edit {other.name}")
    most = ours.sent[-1][1]
    lines = [
        f'<path d="{_path(curve, plot.seconds, most)}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'
        for curve, (colour, width) in zip(curves, STYLES, strict=True)
    ]
    return "\n".join([*_frame(plot, most), *lines, *_legend(names), "</svg>", ""])


def _worst(scenario: Scenario, policy: Policy | None) -> Played:
    return max(measure(scenario, policy).replies, key=lambda reply: reply.mean)


def _bounded(scenario: Scenario, like: Played) -> Curve:
    """What the first reply's cheapest schedule shows, at the prices that give the bound."""
    limits = scenario.platform.limits(shared=len(scenario.asks) > 1)
    moments = sorted(tick for _, tick in bound(scenario.answers(), limits).schedules[0].writes)
    return [(tick * TICK, max(count for at, count in like.sent if at <= tick * TICK)) for tick in moments]


def _path(curve: Curve, seconds: float, most: float) -> str:
    """Steps: a curve stays as it is until its next point, and to the right edge."""
    parts, level = [f"M{_x(0, seconds):.1f},{_y(0, most):.1f}"], 0.0
    for at, count in itertools.takewhile(lambda point: point[0] <= seconds, curve):
        parts.append(f"H{_x(at, seconds):.1f}V{_y(count, most):.1f}")
        level = count
    return "".join([*parts, f"H{_x(seconds, seconds):.1f}" if level else ""])


def _x(seconds: float, most: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / most


def _y(count: float, most: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / most


def _frame(plot: Plot, most: int) -> list[str]:
    """The head, the title, and both axes with their marks."""
    ground = HEIGHT - BOTTOM
    marks = [
        f'<text x="{_x(at, plot.seconds):.1f}" y="{ground + 16}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(plot.seconds) + 1, 2)
    ]
    counts = [
        f'<path d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-opacity="0.25"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{count}</text>'
        for count, y in ((count, _y(count, most)) for count in range(0, most + 1, 1000))
    ]
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {FONT} fill="{GREY}">',
        f"<title>{plot.title}: characters against seconds</title>",
        f'<text x="{LEFT}" y="16" font-size="14" font-weight="600">{plot.title}: characters on the screen</text>',
        *marks,
        *counts,
    ]


def _legend(names: Sequence[str]) -> list[str]:
    """Under the title, in the order of the curves."""
    parts, x = [], float(LEFT)
    for name, (colour, width) in zip(names, STYLES, strict=True):
        parts.append(
            f'<path d="M{x:.0f},31h18" stroke="{colour}" stroke-width="{width:g}"/>'
            f'<text x="{x + 23:.0f}" y="35" fill="{colour}">{name}</text>'
        )
        x += 44 + 7 * len(name)
    return parts
