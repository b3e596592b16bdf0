"""Charts of the last hours as plain values: bars, axis and words. Pure; the templates draw them as SVG."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from adapters.admin.history import Minute

# The charts show this many hours, in bars of some minutes each.
HOURS, BAR_MINUTES = 6, 10
BARS = HOURS * 60 // BAR_MINUTES

# The drawing's size, in SVG units. Bars have a gap.
WIDTH, HEIGHT, GAP = 360.0, 96.0, 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar in SVG units. `label` tells its time and value in words."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `summary` says it in words; `rows` are its figures, for a table."""

    name: str
    title: str
    summary: str
    top: str
    bars: tuple[Bar, ...]
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One figure: how to read it from some minutes (None without any), and how to write it."""

    name: str
    title: str
    value: Callable[[Sequence[Minute]], float | None]
    write: Callable[[float], str]
    sums: bool


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _count(value: float) -> str:
    return f"{value:.0f}"


def _median(read: Callable[[Minute], Sequence[float]]) -> Callable[[Sequence[Minute]], float | None]:
    def value(minutes: Sequence[Minute]) -> float | None:
        values = [each for minute in minutes for each in read(minute)]
        return statistics.median(values) if values else None

    return value


def _ninety_fifth(read: Callable[[Minute], Sequence[float]]) -> Callable[[Sequence[Minute]], float | None]:
    def value(minutes: Sequence[Minute]) -> float | None:
        values = sorted(each for minute in minutes for each in read(minute))
        return values[min(len(values) * 95 // 100, len(values) - 1)] if values else None

    return value


def _total(read: Callable[[Minute], int]) -> Callable[[Sequence[Minute]], float | None]:
    def value(minutes: Sequence[Minute]) -> float | None:
        return float(sum(map(read, minutes))) if minutes else None

    return value


_KINDS = (
    _Kind("first", "Time to first text (median)", _median(lambda each: each.first_text), _seconds, sums=False),
    _Kind("delay", "Character delay (median)", _median(lambda each: each.character_delay), _seconds, sums=False),
    _Kind("tail", "Tail latency (95th percentile)", _ninety_fifth(lambda each: each.settle), _seconds, sums=False),
    _Kind("answers", "Answers", _total(lambda each: each.turns), _count, sums=True),
    _Kind("limited", "Writes refused with 429", _total(lambda each: each.rate_limited), _count, sums=True),
    _Kind("failed", "Failed answers", _total(lambda each: each.failed), _count, sums=True),
)


def charts(minutes: Sequence[Minute], now: datetime) -> tuple[Chart, ...]:
    """All charts of the last `HOURS`. `minutes` are those with events; `now` carries the operator's time zone."""
    last = int(now.timestamp() // 60) // BAR_MINUTES
    groups: list[list[Minute]] = [[] for _ in range(BARS)]
    for minute in minutes:
        index = minute.at // BAR_MINUTES - last + BARS - 1
        if 0 <= index < BARS:
            groups[index].append(minute)
    starts = [(last - BARS + 1 + index) * BAR_MINUTES * 60 for index in range(BARS)]
    return tuple(_chart(kind, groups, starts, now.tzinfo) for kind in _KINDS)


def _chart(kind: _Kind, groups: Sequence[Sequence[Minute]], starts: Sequence[int], zone: tzinfo | None) -> Chart:
    values = [kind.value(group) for group in groups]
    known = [value for value in values if value is not None]
    top = max(known, default=0.0)
    step = WIDTH / BARS
    bars, rows = [], []
    for index, (value, start) in enumerate(zip(values, starts, strict=True)):
        if value is None:
            continue
        words = (f"{datetime.fromtimestamp(start, zone):%H:%M}", kind.write(value))
        height = HEIGHT * value / top if top else 0.0
        bars.append(
            Bar(round(index * step, 2), round(HEIGHT - height, 2), step - GAP, round(height, 2), ": ".join(words))
        )
        rows.append(words)
    return Chart(kind.name, kind.title, _summary(kind, known), kind.write(top), tuple(bars), tuple(rows))


def _summary(kind: _Kind, known: Sequence[float]) -> str:
    if not known:
        return f"No answer in the last {HOURS} hours."
    if kind.sums:
        return f"{kind.write(sum(known))} in the last {HOURS} hours."
    middle = kind.write(statistics.median(known))
    return f"Between {kind.write(min(known))} and {kind.write(max(known))}, mostly about {middle}."
