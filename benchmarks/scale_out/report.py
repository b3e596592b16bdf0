"""The simulation's figures as lines for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from benchmarks.latency.table import aligned
from benchmarks.scale_out.simulation import Report
from benchmarks.scale_out.world import SHARED, HandOver


def lines_of(report: Report) -> str:
    """All of it."""
    return "\n".join(
        (
            _summary(report),
            "hand-overs, in seconds from a kill, a pause or a release to the next owner's first permitted write",
            aligned(list(_hand_overs(report))),
            "answers and shares: the longest pause of an answer in seconds; Discord's permits while more were wanted;",
            "and the most lanes of a process over the mean, at the end of each phase",
            aligned(list(_phases(report))),
            "heartbeats of all processes together, as PostgreSQL would have them",
            aligned(list(_costs(report))),
        )
    )


def _summary(report: Report) -> str:
    size = report.size
    return (
        f"{size.workspaces:,} workspaces, {size.shards} shards, {size.processes} processes; "
        f"{report.seconds:,.0f} s, {report.asked:,} questions, {report.answered:,} answered once, "
        f"{report.lost} acknowledged and lost with the engine's last commits\n"
    )


def _hand_overs(report: Report) -> Iterator[Sequence[str]]:
    yield ["", "after", "lanes", "p50", "p99", "longest"]
    for phase, found in report.hand_overs.items():
        by_reason = defaultdict[str, list[HandOver]](list)
        for each in found:
            by_reason[each.why].append(each)
        for why, each_one in sorted(by_reason.items()):
            times = sorted(each.writable for each in each_one)
            figures = (times[len(times) // 2], times[int(len(times) * 0.99)], times[-1])
            yield [phase, why, f"{len(times):,}", *(f"{time:.2f}" for time in figures)]


def _phases(report: Report) -> Iterator[Sequence[str]]:
    yield ["", "pause", f"used of {SHARED}/s", "most in a second", "Slack's lanes", "Discord's lanes"]
    for phase, usage in report.usage.items():
        slack, discord = report.imbalance[phase]
        used = f"{usage.share:.0%} of {usage.seconds} s" if usage.seconds else "-"
        yield [phase, f"{report.pauses[phase]:.1f}", used, str(usage.most), f"{slack:.2f}", f"{discord:.2f}"]


def _costs(report: Report) -> Iterator[Sequence[str]]:
    cost = report.cost
    yield ["", "a second", "each"]
    for name, sum_ in (
        ("heartbeats", cost.heartbeats),
        ("bytes sent", cost.sent),
        ("bytes received", cost.received),
        ("rows looked at", cost.read),
        ("rows written", cost.written),
        ("of these, reports of lanes", cost.reports),
    ):
        yield [name, f"{sum_ / report.seconds:,.0f}", f"{sum_ / cost.heartbeats:,.1f}"]
