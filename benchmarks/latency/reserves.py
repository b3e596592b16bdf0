"""Costs and gains of the reserve for later answers: seeded arrivals in a Slack workspace, constant and adaptive."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass, replace

from typing_extensions import override

from benchmarks.latency.platforms import SLACK, Platform
from benchmarks.latency.scenarios import Ask, Scenario, at_once, measure
from benchmarks.latency.table import aligned
from benchmarks.latency.traces import TICK, regular
from bot.rate_limits import RollingWindow
from bot.rate_limits.arrivals import ArrivalEstimate

# Four answers in a quiet workspace, and the group that comes 15 s after them.
FOUR = at_once(4, 400)
LATER = (*FOUR, *(replace(ask, at=round(15 / TICK)) for ask in at_once(12, 400)))
SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class ConstantReserve(ArrivalEstimate):
    """So many later answers are expected in a minute, whatever happens."""

    expected: float = 0.0

    @override
    def at(self, now: float) -> ArrivalEstimate:
        return self

    @override
    def after_arrival(self, now: float) -> ArrivalEstimate:
        return self

    @override
    def within(self, seconds: float) -> float:
        return self.expected * seconds / 60.0


# Answers a minute; None is the adaptive reserve.
RESERVES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, None)


def steady(per_minute: float, seconds: float, seed: int) -> tuple[Ask, ...]:
    """Poisson arrivals; the lengths are log-uniform from 100 to 1,000 words."""
    seeded, at, asks = random.Random(seed), 0.0, list[Ask]()  # noqa: S311 (seeded, so that results are the same everywhere)
    while (at := at + seeded.expovariate(per_minute / 60.0)) < seconds:
        asks.append(Ask(regular(round(100 * 10 ** seeded.random())), round(at / TICK)))
    return tuple(asks)


def meeting(seed: int) -> tuple[Ask, ...]:
    """A quiet workspace, and 8 to 15 questions within 20 s after a minute."""
    seeded = random.Random(seed)  # noqa: S311 (seeded, so that results are the same everywhere)
    times = [60.0 + 20.0 * seeded.random() for _ in range(seeded.randint(8, 15))]
    burst = (Ask(regular(round(100 * 10 ** seeded.random())), round(at / TICK)) for at in times)
    return tuple(sorted((*steady(1.0, 120.0, seed), *burst), key=lambda ask: ask.at))


ARRIVALS = {
    "quiet: 1 a minute": [steady(1.0, 240.0, seed) for seed in SEEDS],
    "steady: 6 a minute": [steady(6.0, 120.0, seed) for seed in SEEDS],
    "busy: 15 a minute": [steady(15.0, 90.0, seed) for seed in SEEDS],
    "after a meeting": [meeting(seed) for seed in SEEDS],
}


def reserving(reserve: float | None) -> Platform:
    """Slack with a constant reserve for so many answers a minute, or with the adaptive one."""
    prior = None if reserve is None else ConstantReserve(expected=reserve)
    return replace(SLACK, edits=lambda: RollingWindow(50, 60.0, arrivals=prior))


def pair(reserve: float | None) -> tuple[float, float, float]:
    """The mean delay of four answers, that of twelve 15 s later, and the longest settle of these. Seconds."""
    replies = measure(Scenario("", reserving(reserve), LATER)).replies
    first, later = replies[: len(FOUR)], replies[len(FOUR) :]
    means = [statistics.fmean(reply.mean for reply in group) for group in (first, later)]
    return means[0], means[1], max(reply.settle for reply in later)


def pairs() -> dict[float | None, tuple[float, float, float]]:
    """The pair of groups under each reserve."""
    return {reserve: pair(reserve) for reserve in RESERVES}


def traded(pairs: dict[float | None, tuple[float, float, float]]) -> str:
    """The table: each reserve on the pair of groups, and on each kind of arrivals."""
    rows = [["later answers a minute", "four", "twelve later", "their longest settle", *ARRIVALS]]
    for reserve, (first, later, settle) in pairs.items():
        name = "adaptive" if reserve is None else f"{reserve:g}"
        cells = [
            statistics.fmean(
                reply.mean for asks in kind for reply in measure(Scenario("", reserving(reserve), asks)).replies
            )
            for kind in ARRIVALS.values()
        ]
        rows.append([name, *(f"{cell:.2f}" for cell in (first, later, settle, *cells))])
    return aligned(rows)


def plotted(pairs: dict[float | None, tuple[float, float, float]]) -> str:
    """The delay of the present four against that of the later twelve, as SVG."""
    left, top, width, height, wide, high = 60, 40, 660, 260, 2.0, 6.0
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 350" role="img" fill="#8a8f98" font-size="12">',
        "<title>Delay of four answers against that of twelve later ones, by the reserve</title>",
        f'<text x="{left}" y="20" font-size="14">Mean delay, seconds: four answers (across), twelve later (up)</text>',
        f'<path d="M{left},{top}V{top + height}H{left + width}" fill="none" stroke="#8a8f98"/>',
    ]
    parts += [f'<text x="{left + width * x / wide:.0f}" y="{top + height + 18}">{x:g}</text>' for x in (0.5, 1.0, 1.5)]
    parts += [f'<text x="{left - 20}" y="{top + height - height * y / high:.0f}">{y}</text>' for y in (2, 4, 6)]
    for reserve, (first, later, _) in pairs.items():
        x, y = left + width * first / wide, top + height - height * later / high
        colour, name = ("#3b82f6", "adaptive") if reserve is None else ("#e0653a", f"{reserve:g}")
        below = 18 if reserve is None else -8
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{x:.0f}" y="{y + below:.0f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])
