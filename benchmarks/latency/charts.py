"""Step charts as SVG: axes with labels and units, a legend, and colours for light and dark pages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 360, 74, 64, 20, 52

# By name of a line's style: its colour on light and on dark pages, and its width.
STYLES = {
    "sent": ("#6b7280", "#9ca3af", 1.5),
    "optimum": ("#15803d", "#4ade80", 1.5),
    "ours": ("#1d4ed8", "#60a5fa", 2.5),
    "streams": ("#7e22ce", "#c084fc", 2.5),
    "other": ("#c2410c", "#fb923c", 1.5),
}
TEXT = ("#374151", "#d1d5db")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: points (x, y) by x. `steps`: y stays until the next point."""

    name: str
    style: str
    points: Points
    steps: bool = True


@dataclass(frozen=True, slots=True)
class Axes:
    """Labels with units, the largest values, and the distances of marks."""

    x: str
    y: str
    most_x: float
    most_y: float
    every_x: float
    every_y: float


def chart(title: str, axes: Axes, lines: Sequence[Line]) -> str:
    """The chart as a file's text."""
    look = 'role="img" font-family="system-ui, sans-serif" font-size="13" class="text"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {look}>',
        f"<title>{title}: {axes.y} against {axes.x}</title>",
        f"<style>{_style(lines)}</style>",
        f'<text x="{LEFT}" y="18" font-size="15" font-weight="600">{title}</text>',
        *_marks(axes),
        *(_drawn(line, axes) for line in lines),
        *_legend(lines),
        "</svg>",
        "",
    ]
    return "\n".join(parts)


def _style(lines: Sequence[Line]) -> str:
    """Classes of colours, and those for dark pages."""
    used = {line.style: STYLES[line.style] for line in lines}
    light = [f".text{{fill:{TEXT[0]}}}.grid{{stroke:{TEXT[0]};stroke-opacity:.2}}"]
    dark = [f".text{{fill:{TEXT[1]}}}.grid{{stroke:{TEXT[1]}}}"]
    for name, (bright, dim, width) in used.items():
        light.append(f".{name}{{stroke:{bright};stroke-width:{width:g};fill:none}}.{name}-name{{fill:{bright}}}")
        dark.append(f".{name}{{stroke:{dim}}}.{name}-name{{fill:{dim}}}")
    return f"{''.join(light)}@media(prefers-color-scheme:dark){{{''.join(dark)}}}"


def _marks(axes: Axes) -> Iterator[str]:
    """Both axes: values, grid lines and labels."""
    ground, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    for value in _values(axes.most_x, axes.every_x):
        yield f'<text x="{_x(value, axes):.1f}" y="{ground + 18}" text-anchor="middle">{value:g}</text>'
    for value in _values(axes.most_y, axes.every_y):
        y = _y(value, axes)
        yield f'<path d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}" class="grid"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{axes.x}</text>'
    yield f'<text transform="translate(16,{middle:.0f}) rotate(-90)" text-anchor="middle">{axes.y}</text>'


def _values(most: float, every: float) -> Iterator[float]:
    return itertools.takewhile(lambda value: value <= most, itertools.count(0, every))


def _drawn(line: Line, axes: Axes) -> str:
    points = [(x, y) for x, y in line.points if x <= axes.most_x]
    if not line.steps:
        path = "M" + "L".join(f"{_x(x, axes):.1f},{_y(y, axes):.1f}" for x, y in points)
        return f'<path d="{path}" class="{line.style}"/>'
    path = f"M{_x(0, axes):.1f},{_y(0, axes):.1f}"
    path += "".join(f"H{_x(x, axes):.1f}V{_y(y, axes):.1f}" for x, y in points)
    return f'<path d="{path}H{WIDTH - RIGHT}" class="{line.style}"/>'


def _legend(lines: Sequence[Line]) -> Iterator[str]:
    """Below the title, in the order of the lines."""
    x = LEFT
    for line in lines:
        yield f'<path d="M{x},40h18" class="{line.style}"/>'
        yield f'<text x="{x + 24}" y="44" class="{line.style}-name">{line.name}</text>'
        x += 48 + round(6.6 * len(line.name))


def _x(value: float, axes: Axes) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value / axes.most_x


def _y(value: float, axes: Axes) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / axes.most_y
