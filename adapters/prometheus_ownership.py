"""Figures of a process among others: lease, lanes, inbox, tokens, sessions. A process without others has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from bot.ownership.telemetry import LaneChange, OwnershipRecorder, OwnershipStatus, Rotation, SharedAccountRecorder

# Seconds from a heartbeat to its response. One of them is due each second; a lease of 5 s allows 1.5 s to each.
HEARTBEAT_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 5.0)


class PrometheusOwnership(OwnershipRecorder, SharedAccountRecorder):
    """Counts what happens, for the given platforms, and shows the state."""

    def __init__(self, registry: CollectorRegistry, platforms: Sequence[str]) -> None:
        self._registry = registry
        self._identifies: int | None = None
        self._heartbeats = Histogram(
            "tickertape_heartbeat_seconds",
            "From a heartbeat to the response of the shared engine.",
            registry=registry,
            buckets=HEARTBEAT_BUCKETS,
        )
        self._failures = Counter(
            "tickertape_heartbeat_failures", "Heartbeats without a response in time.", registry=registry
        )
        self._changes = Counter(
            "tickertape_lane_changes", "Lanes won, lost and released.", ("platform", "change"), registry=registry
        )
        self._events = Counter(
            "tickertape_inbox_events",
            "Events routed to other processes, and handled for them.",
            ("platform", "direction"),
            registry=registry,
        )
        self._rotations = Counter(
            "tickertape_token_rotations", "Rotations of workspaces' tokens by outcome.", ("outcome",), registry=registry
        )
        for rotation in Rotation:  # from zero: the increase of a counter without an earlier sample is unknown
            self._rotations.labels(rotation.value)
        for platform in platforms:
            for change in LaneChange:
                self._changes.labels(platform, change.value)
            for direction in ("routed", "handled"):
                self._events.labels(platform, direction)

    def add_status(self, read: Callable[[], OwnershipStatus]) -> None:
        """Add gauges of the state; `read` is called at each scrape and must not raise."""
        self._registry.register(_StatusCollector(read, lambda: self._identifies))

    @override
    def heartbeat_answered(self, seconds: float) -> None:
        self._heartbeats.observe(seconds)

    @override
    def heartbeat_failed(self) -> None:
        self._failures.inc()

    @override
    def lane_changed(self, platform: str, change: LaneChange) -> None:
        self._changes.labels(platform, change.value).inc()

    @override
    def event_routed(self, platform: str) -> None:
        self._events.labels(platform, "routed").inc()

    @override
    def event_handled(self, platform: str) -> None:
        self._events.labels(platform, "handled").inc()

    @override
    def token_rotated(self, rotation: Rotation) -> None:
        self._rotations.labels(rotation.value).inc()

    @override
    def identifies_left(self, count: int) -> None:
        self._identifies = count


class _StatusCollector(Collector):
    """Reads the status, and the number of identifies left, at each scrape."""

    def __init__(self, read: Callable[[], OwnershipStatus], identifies: Callable[[], int | None]) -> None:
        self._read = read
        self._identifies = identifies

    @override
    def collect(self) -> Iterable[GaugeMetricFamily]:
        status = self._read()
        yield _gauge("lease_valid", "1 while this process may write, else 0.", float(status.is_valid))
        if status.lease_age is not None:
            yield _gauge("lease_age_seconds", "Time since the last good heartbeat.", status.lease_age)
        yield _gauge("lease_write_seconds", "The age of the lease at which writes stop.", status.write_seconds)
        yield _gauge(
            "engine_away", "1 while heartbeats to the shared engine fail, else 0.", float(status.is_engine_away)
        )
        yield _by_platform("lanes_owned", "Lanes of this process.", status.owned)
        yield _by_platform("lanes_unowned", "Lanes without an owner among all processes.", status.unowned)
        if (left := self._identifies()) is not None:
            yield _gauge("discord_identifies_left", "New sessions left until Discord's daily reset.", float(left))


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tickertape_{name}", help_text, value=value)


def _by_platform(name: str, help_text: str, counts: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"tickertape_{name}", help_text, labels=("platform",))
    for platform, count in counts.items():
        family.add_metric((platform,), float(count))
    return family
