"""The scenarios of the table, as values, with the figures each must reach."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.latency.platforms import DISCORD, SLACK, SLACK_AUTO, SLACK_LEAK
from benchmarks.latency.scenarios import Ask, Scenario, after, at_once, every
from benchmarks.latency.traces import Trace, bursty, pausing, regular

# What every reader may expect where nobody shares: something to see at once, and the end at once.
PROMPT = (("first", 0.25), ("settle", 0.15))
# Slack's two ways of counting edits, and what a lone reply of 200 and of 1,000 words must show under each.
SLACK_ALONE = ((SLACK, 0.35, 0.70), (SLACK_LEAK, 0.40, 0.75))


def _discord() -> list[Scenario]:
    shared = (("mean", 1.9), ("settle", 0.6), ("settle_worst", 1.5), ("fairness", 1.3))
    return [
        Scenario("discord: 1 x 200", DISCORD, at_once(1, 200), must=(("mean", 0.51), *PROMPT)),
        Scenario("discord: 1 x 1000", DISCORD, at_once(1, 1000), must=(("mean", 0.65), *PROMPT)),
        Scenario("discord: 4 x 400, 4 channels", DISCORD, at_once(4, 400), apart=True, must=(("worst", 0.60), *PROMPT)),
        Scenario("discord: 4 x 400, 1 channel", DISCORD, at_once(4, 400), must=shared),
        Scenario(
            "discord: 10 x 400, 1 channel", DISCORD, at_once(10, 400), must=(("settle", 2.6), ("settle_worst", 5.2))
        ),
        Scenario("discord: 4 x 200, every 2 s", DISCORD, every(2.0, 4, 200)),
    ]


def _slack() -> list[Scenario]:
    cases: list[Scenario] = []
    for platform, short, long in SLACK_ALONE:
        name = platform.name
        cases += [
            Scenario(f"{name}: 1 x 200", platform, at_once(1, 200), must=(("mean", short), *PROMPT)),
            Scenario(f"{name}: 1 x 1000", platform, at_once(1, 1000), must=(("mean", long), *PROMPT)),
            Scenario(f"{name}: 200 after 200", platform, after(200, 200), must=(("last", 0.75),)),
            Scenario(f"{name}: 200 after 1000", platform, after(1000, 200), must=(("last", 0.75),)),
            Scenario(f"{name}: 4 x 400", platform, at_once(4, 400)),
        ]
    return [
        *cases,
        Scenario("slack window: 12 x 400", SLACK, at_once(12, 400), must=(("mean", 1.5), ("settle", 0.3))),
        Scenario("slack window: 40 x 400", SLACK, at_once(40, 400), must=(("mean", 5.0), ("settle", 1.0))),
        Scenario("slack window: 70 x 400", SLACK, at_once(70, 400), must=(("settle_worst", 15.0),)),
        Scenario("slack window: 4 x 3000", SLACK, at_once(4, 3000)),
        Scenario("slack window: 30 x 400, every 3 s", SLACK, every(3.0, 30, 400)),
    ]


def _auto() -> list[Scenario]:
    """What it costs to find out; the second of a pair knows already."""
    return [
        Scenario("slack auto: 1 x 1000", SLACK_AUTO, at_once(1, 1000), must=PROMPT, forgiven=1),
        Scenario("slack auto: 200 after 1000", SLACK_AUTO, after(1000, 200), must=(("last", 0.75),), forgiven=1),
        Scenario("slack auto: 4 x 400", SLACK_AUTO, at_once(4, 400), forgiven=4),
    ]


def _irregular() -> list[Scenario]:
    kinds: tuple[tuple[str, Callable[[int, int], Trace]], ...] = (("bursty", bursty), ("pausing", pausing))
    return [
        Scenario(f"{platform.name}: 1 x 400, {kind}", platform, (Ask(trace(400, 1)),))
        for kind, trace in kinds
        for platform in (DISCORD, SLACK)
    ]


SCENARIOS: tuple[Scenario, ...] = (
    *_discord(),
    *_slack(),
    *_auto(),
    *_irregular(),
    Scenario("five tokens", DISCORD, (Ask(regular(5)),), must=(("writes", 1.0), ("settle", 0.3))),
)
