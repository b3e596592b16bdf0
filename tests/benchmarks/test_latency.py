"""The scenarios lose nothing and provoke nothing, stay above their bounds, and get no worse than what is kept."""

from __future__ import annotations

from functools import cache
from xml.etree import ElementTree as ET

import pytest

from benchmarks.latency.bounds import bound_of
from benchmarks.latency.cases import SCENARIOS
from benchmarks.latency.compared import KEEPING, LATENCIES, compared, compared_at_latencies, kept_back
from benchmarks.latency.native_streams import STREAM_SCENARIOS
from benchmarks.latency.networks import Network, cases, figures_of, row_of
from benchmarks.latency.plots import PLOTS, Plot, drawn
from benchmarks.latency.policies import OTHERS, Policy
from benchmarks.latency.reserves import RESERVES, pair, plotted
from benchmarks.latency.scenarios import Scenario, measure
from benchmarks.latency.table import COLUMNS, aligned, figures, load, missed, waiting

# By so much may a ratio to the bound be worse than the one that is kept (`python -m benchmarks --write` keeps one).
WORSE = 1.03

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
kept = cache(load)
played = cache(measure)


def case(scenario: Scenario) -> str:
    return scenario.name


@pytest.mark.parametrize("scenario", SCENARIOS, ids=case)
def test_every_answer_of_a_scenario_is_whole(scenario: Scenario) -> None:
    """Whatever the load, every word in order, and no 429 but where a limit is told by one."""
    result = played(scenario)
    assert result.limited <= scenario.forgiven
    assert result.whole == len(result.replies) == len(scenario.asks)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=case)
def test_no_scenario_is_further_from_its_bound_than_before(scenario: Scenario) -> None:
    """A change to the pacing that makes readers wait longer is seen here, and is meant or mended."""
    found = figures(played(scenario), kept("bounds")[scenario.name])
    before = kept("waiting")[scenario.name]
    assert found["ratio"] <= before["ratio"] * WORSE
    assert found["mean"] <= before["mean"] * WORSE  # where a bound is too low for a ratio
    assert missed(scenario, found) == missed(scenario, before)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=case)
def test_nothing_is_below_its_bound(scenario: Scenario) -> None:
    """Nor can it be, if the bound is one."""
    assert played(scenario).mean >= kept("bounds")[scenario.name]["bound"] - 1e-6


# Rows played in a few milliseconds; the others are slow.
QUICK = {"discord: 1 x 200", "discord: 4 x 400, 1 channel", "slack window: 4 x 400"}


def at_networks() -> list[object]:
    """All rows of the table of networks but those at zero latency."""
    return [
        pytest.param(
            scenario,
            network,
            id=row_of(scenario, network).name,
            marks=() if scenario.name in QUICK else pytest.mark.slow,
        )
        for scenario, network in cases()
        if network.one_way
    ]


@pytest.mark.parametrize(("scenario", "network"), at_networks())
def test_no_network_makes_answers_later_than_before(scenario: Scenario, network: Network) -> None:
    """With round trips fixed, random, asymmetric or growing: all whole, no 429, and as near to the bound as before."""
    row = row_of(scenario, network)
    found, before = figures_of(scenario, network, kept("bounds")), kept("networks")[row.name]
    assert found["limited"] == 0
    assert found["whole"] == found["replies"]
    assert found["ratio"] <= before["ratio"] * WORSE
    assert found["settle"] <= before["settle"] + 0.1
    assert not missed(row, found)


@pytest.mark.parametrize("policy", OTHERS, ids=lambda policy: policy.name)
@pytest.mark.parametrize("name", ["discord: 1 x 200", "discord: 4 x 400, 1 channel", "slack leak: 4 x 400"])
def test_no_other_policy_is_below_the_bound(name: str, policy: Policy) -> None:
    """They keep the limits too, and lose nothing; only their readers wait longer."""
    result = measure(BY_NAME[name], policy)
    assert result.limited == 0
    assert result.whole == len(result.replies)
    assert result.mean >= kept("bounds")[name]["bound"] - 1e-6


def test_every_scenario_has_its_bound_and_its_figures_kept() -> None:
    """Results are committed beside the code that made them."""
    names, streamed = ([scenario.name for scenario in SCENARIOS], [case.scenario.name for case in STREAM_SCENARIOS])
    assert list(kept("bounds")) == [*names, *streamed]
    assert list(kept("waiting")) == names
    assert list(kept("streams")) == streamed
    assert list(kept("networks")) == [row_of(*case).name for case in cases()]


@pytest.mark.parametrize("name", ["discord: 1 x 200", "discord: 4 x 400, 1 channel", "slack window: 4 x 400"])
def test_kept_figures_are_those_of_the_code(name: str) -> None:
    """A few quick ones, of all scenarios: `make bench-virtual WRITE=--write` keeps new ones."""
    found, before = figures(played(BY_NAME[name]), kept("bounds")[name]), kept("waiting")[name]
    assert found == pytest.approx(before, abs=2e-3)


@pytest.mark.parametrize("name", ["discord: 1 x 200", "discord: 4 x 400, 1 channel", "slack leak: 1 x 200"])
def test_the_bounds_that_are_kept_are_those_of_the_code(name: str) -> None:
    """The quick ones are computed anew; `python -m benchmarks --bounds` does it for all."""
    assert bound_of(BY_NAME[name]) == pytest.approx(kept("bounds")[name]["bound"], abs=1e-3)


def test_a_delay_is_from_a_characters_arrival_to_its_show() -> None:
    """The first characters of a lone answer wait for the first post, the last for the last write."""
    reply = measure(BY_NAME["discord: 1 x 200"]).replies[0]
    (first, count), *_, (last, _) = reply.delays
    assert first == pytest.approx(reply.first)
    assert last == pytest.approx(reply.settle)
    assert count == len("word0")
    assert sum(count for _, count in reply.delays) == reply.sent[-1][1]
    assert 0 < reply.mean < max(delay for delay, _ in reply.delays)


def test_the_table_has_a_line_for_each_scenario() -> None:
    """With a cell for each column, and a verdict where something must be shown."""
    name = "five tokens"
    found = figures(played(BY_NAME[name]), kept("bounds")[name])
    heading, line = waiting([(BY_NAME[name], found)]).splitlines()
    assert len(heading.split()) == len(COLUMNS) + 2
    assert line.endswith("ok")
    assert line.startswith(name)


def test_what_is_missed_is_told_by_name() -> None:
    """A figure above what it must be, an answer that is not whole, and a 429."""
    scenario = Scenario("", BY_NAME["five tokens"].platform, (), must=(("mean", 1.0),))
    found = {"mean": 1.2, "whole": 1.0, "replies": 2.0, "limited": 1.0}
    assert missed(scenario, found) == ["mean > 1", "not whole", "429"]


def test_cells_stand_below_each_other() -> None:
    """Names to the left, numbers to the right."""
    assert aligned([["", "a", "must"], ["long", "10", "ok"]]) == "       a  must\nlong  10  ok\n"


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_a_plot_is_a_picture_with_all_its_curves(plot: Plot) -> None:
    """Well-formed, and no curve is empty."""
    svg = ET.fromstring(drawn(plot))
    curves = [path.get("d", "") for path in svg.iter("{http://www.w3.org/2000/svg}path") if "V" in path.get("d", "")]
    assert len(curves) == 4
    labels = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"seconds since the question", "characters", plot.title} <= set(labels)
    assert all(curve.count("V") > 3 for curve in curves)


def test_the_other_tables_can_be_printed() -> None:
    """Policies against each other, and what is kept back for ends."""
    table = compared(kept("bounds"), ["discord: 1 x 200"])
    assert all(policy.name in table for policy in OTHERS)
    at_latencies = compared_at_latencies(kept("bounds"), ["slack streams: 1 x 400"])
    lines = at_latencies.splitlines()[1:]
    assert all(f" at {name} " in line for name, line in zip(LATENCIES, lines, strict=True))
    assert "one kept for each" in kept_back(KEEPING[-1:])


def test_results_of_a_result_are_means_over_replies() -> None:
    """Two answers of which one was late: the mean is between, the worst is its own."""
    result = played(BY_NAME["slack window: 200 after 1000"])
    assert result.mean <= result.worst
    assert result.fairness == result.worst / result.mean
    assert result.p95 >= result.mean


def test_four_in_a_quiet_workspace_leave_permits_for_a_later_group() -> None:
    """They spend most permits, and twelve asked 15 s later still end at once, each with an edit of its own."""
    four = played(BY_NAME["slack window: 4 x 400"])
    assert four.mean <= 0.55
    assert sum(reply.writes - reply.posts for reply in four.replies) <= 50 - 12
    first, later, settle = pair(None)
    assert first <= 0.55
    assert later <= 2 * 3.78, "twice the delay of the former constant reserve"
    assert settle <= 1.0


def test_a_larger_reserve_moves_delay_from_later_answers_to_present_ones() -> None:
    """The plot of the trade-off has a point for each reserve."""
    pairs = {reserve: pair(reserve) for reserve in (0.0, 8.0, None)}
    assert pairs[0.0][0] < pairs[8.0][0]
    assert pairs[8.0][1] < pairs[0.0][1]
    assert set(pairs) <= set(RESERVES)
    assert len(ET.fromstring(plotted(pairs)).findall("{http://www.w3.org/2000/svg}circle")) == len(pairs)
