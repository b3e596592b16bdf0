"""The bot's present state as Prometheus gauges: readiness, live turns, degraded parts, free space.

`adapters/prometheus.py` has the counters and histograms. Gauges are read at each scrape, so they cost nothing between
two scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override


@dataclass(frozen=True, slots=True)
class BotState:
    """The state of the bot at one instant. Keys are names of platforms, or of parts in `degraded`.

    `ready` is the word of ``/readyz``; `platforms` tells whether events arrive. `free_bytes` is the free space on the
    disk of the journal; None for a journal in memory or an unreadable folder.
    """

    ready: bool
    platforms: Mapping[str, bool]
    degraded: Mapping[str, bool]
    running: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    free_bytes: int | None = None


class StateCollector(Collector):
    """Reads the state at each scrape."""

    def __init__(self, read: Callable[[], BotState]) -> None:
        self._read = read

    @override
    def collect(self) -> Iterable[GaugeMetricFamily]:
        state = self._read()
        yield GaugeMetricFamily("tickertape_ready", "1 if /readyz answers 200, else 0.", value=float(state.ready))
        yield _gauge(
            "tickertape_platform_ready", "1 while the platform's events arrive, else 0.", ("platform",), state.platforms
        )
        yield _gauge(
            "tickertape_component_degraded",
            "1 while memory stands in for the file of the journal or the records, or the model is down, else 0.",
            ("component",),
            state.degraded,
        )
        yield self._live_turns(state)
        if state.free_bytes is not None:
            yield GaugeMetricFamily(
                "tickertape_journal_free_bytes", "Free space on the journal's disk.", value=float(state.free_bytes)
            )

    def _live_turns(self, state: BotState) -> GaugeMetricFamily:
        """Zeros too: a panel without turns shows 0, and a sum over platforms is never empty."""
        family = GaugeMetricFamily(
            "tickertape_live_turns", "Accepted turns before their end.", labels=("platform", "state")
        )
        for name, turns in (("running", state.running), ("waiting", state.waiting)):
            for platform in sorted({*state.platforms, *turns}):
                family.add_metric((platform, name), float(turns.get(platform, 0)))
        return family


def _gauge(name: str, help_text: str, labels: tuple[str], values: Mapping[str, bool]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for key, value in values.items():
        family.add_metric((key,), float(value))
    return family
