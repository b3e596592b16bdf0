"""The bounds of all scenarios, with native streams or without, computed where they are not kept."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from benchmarks.latency.arrivals import Answer
from benchmarks.latency.bound import Limits, bound
from benchmarks.latency.cases import SCENARIOS
from benchmarks.latency.dynamic_programming import in_windows
from benchmarks.latency.limits import Fixed, Rolling
from benchmarks.latency.native_streams import STREAM, STREAM_SCENARIOS, StreamScenario
from benchmarks.latency.scenarios import Scenario
from benchmarks.latency.table import Kept
from benchmarks.latency.traces import TICK
from tests.support.fakes import STREAM_LIMITS

# The product's promise: the first post within 0.25 s. Ticks.
PROMPT_TICKS = 10

# Rounds of the search for prices; fewer where answers differ, since each round then takes longer.
ROUNDS, ROUNDS_STAGGERED = 300, 60

# All limits of native streams of one workspace.
STREAMS: Limits = MappingProxyType({verb: Rolling(limit, 2400) for verb, limit in STREAM_LIMITS.items()})


def bound_of(scenario: Scenario, *, first_by: int | None = None) -> float:
    """The scenario's bound in seconds; with `first_by`, for schedulers with a first post as soon as ours."""
    answers = scenario.answers(first_by=first_by)
    limit = scenario.platform.limit
    alone = len(answers) == 1 or scenario.apart
    if alone and first_by is None and isinstance(limit, Fixed):
        return TICK * statistics.fmean(in_windows(answer, limit) for answer in set(answers))
    answers = list(dict.fromkeys(answers)) if scenario.apart else answers
    return _seconds(answers, scenario.platform.limits(shared=not alone))


def bound_with_streams(case: StreamScenario, *, first_by: int | None = None) -> float:
    """The bound in seconds over all limits together: of edits, starts, appends and stops."""
    answers = [
        replace(answer, cuts=ask.trace.cuts(STREAM.limit), streams=True) if case.streams(number) else answer
        for number, (ask, answer) in enumerate(
            zip(case.scenario.asks, case.scenario.answers(first_by=first_by), strict=True)
        )
    ]
    return _seconds(answers, {**case.scenario.platform.limits(), **STREAMS})


def _seconds(answers: Sequence[Answer], limits: Limits) -> float:
    return TICK * bound(answers, limits, rounds=ROUNDS if len(set(answers)) < 3 else ROUNDS_STAGGERED).ticks


def bounds_of_all(known: Kept) -> Kept:
    """All bounds of all scenarios; computed where not known."""
    found = {scenario.name: known.get(scenario.name) or bounds_for(scenario) for scenario in SCENARIOS}
    return found | {case.scenario.name: known.get(case.scenario.name) or bounds_for(case) for case in STREAM_SCENARIOS}


def bounds_for(case: Scenario | StreamScenario) -> dict[str, float]:
    """``bound``, and ``prompt`` where every answer can post within the promised time: the bound under that promise."""
    scenario = case if isinstance(case, Scenario) else case.scenario

    def at(first_by: int | None) -> float:
        if isinstance(case, Scenario):
            return bound_of(case, first_by=first_by)
        return bound_with_streams(case, first_by=first_by)

    found = {"bound": round(at(None), 4)}
    if scenario.apart or len(scenario.asks) <= scenario.platform.prompt:
        # With other prices the result may be lower. The true value is not: fewer schedules are possible.
        found["prompt"] = round(max(at(PROMPT_TICKS), found["bound"]), 4)
    return found
