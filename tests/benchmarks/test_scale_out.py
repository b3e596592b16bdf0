"""Many processes on the virtual clock: a small simulation and a short pacing are played here."""

from __future__ import annotations

import asyncio
from functools import cache

import pytest

from benchmarks.latency.table import RESULTS
from benchmarks.scale_out.hosts import Host, HostLoop
from benchmarks.scale_out.pacing import MOST, Busy, Pace, measure, ratios, table
from benchmarks.scale_out.phases import PHASES
from benchmarks.scale_out.report import lines_of
from benchmarks.scale_out.simulation import Report, Size, simulate
from benchmarks.scale_out.world import SHARED, Answer, World
from bot.ownership.lanes import Lane
from tests.support.engine import Engine

SMALL = Size(workspaces=40, shards=6, processes=3, slack_rate=1.0, discord_rate=5.0)

# Seconds from a kill to a permitted write of the next owner; and from a release.
KILL_SECONDS, RELEASE_SECONDS = 7.0, 1.5


@cache
def small() -> Report:
    return simulate(SMALL, PHASES)


def test_every_question_is_answered_once() -> None:
    """Through kills, a pause, outages and a deploy; the simulation checks owners, fences and permits all the time."""
    report = small()
    assert report.asked > 1_000
    assert report.answered + report.lost >= report.asked
    assert report.lost <= 2


@pytest.mark.parametrize("phase", ["two kills", "two kills at once", "rolling deploy"])
def test_hand_overs_are_quick(phase: str) -> None:
    """Seven seconds after a kill, and a second and a half after a release."""
    by_reason = {"kill": KILL_SECONDS, "release": RELEASE_SECONDS}
    found = small().hand_overs[phase]
    assert found
    assert all(each.writable <= by_reason[each.why] for each in found)


def test_shares_are_used_and_never_exceeded() -> None:
    """Where more is wanted than permitted, most permits are used; never more than all, in any second."""
    usage = small().usage
    assert all(each.most <= SHARED for each in usage.values())
    assert usage["a minute later"].share > 0.6


def test_a_simulation_is_the_same_each_time() -> None:
    """Its results can be compared with those that are kept."""
    size = Size(workspaces=10, shards=2, processes=2, slack_rate=0.5, discord_rate=1.0)
    assert lines_of(simulate(size, PHASES[:3])) == lines_of(simulate(size, PHASES[:3]))


def test_the_world_refuses_an_earlier_owner() -> None:
    """A write with an older fence than the last one's is an error."""

    async def write_twice() -> None:
        world = World(Engine(lambda: 0.0))  # type: ignore[arg-type]  # its costs are not looked at
        answer = Answer("1", Lane("slack", "T1"), 1e9, 0.0)
        world.wrote(answer, 2)
        with pytest.raises(AssertionError, match="an earlier owner"):
            world.wrote(answer, 1)

    asyncio.run(write_twice())


def test_the_world_counts_every_second() -> None:
    """One request too many within a second is an error."""

    async def write_often() -> None:
        world = World(Engine(lambda: 0.0))  # type: ignore[arg-type]  # its costs are not looked at
        answer = Answer("1", Lane("discord", "0/1"), 1e9, 0.0)
        for _ in range(SHARED):
            world.wrote(answer, 1)
        with pytest.raises(AssertionError, match="requests within a second"):
            world.wrote(answer, 1)

    with asyncio.Runner(loop_factory=HostLoop) as runner:
        runner.run(write_often())


def test_nothing_of_a_paused_machine_runs() -> None:
    """What came due meanwhile happens when it resumes; a timer cancelled by then does not."""

    async def pause() -> list[tuple[float, str]]:
        loop, host, seen = asyncio.get_running_loop(), Host(), list[tuple[float, str]]()
        began = loop.time()

        def see(what: str) -> None:
            seen.append((round(loop.time() - began, 3), what))

        async def work() -> None:
            never = loop.call_later(2.0, see, "never")
            loop.call_later(1.0, never.cancel)
            await asyncio.sleep(3.0)
            see("late")

        async with asyncio.TaskGroup() as group:
            host.create_task(group, work())
            await asyncio.sleep(0.5)
            host.pause()
            await asyncio.sleep(9.5)
            see("others")
            host.resume()
        return seen

    with asyncio.Runner(loop_factory=HostLoop) as runner:
        assert runner.run(pause()) == [(10.0, "others"), (10.0, "late")]


@cache
def short(processes: int) -> Pace:
    return measure(Busy(1, live=20, seconds=10.0), processes)


@pytest.mark.parametrize("processes", [1, 4])
def test_shared_pacing_is_whole_and_provokes_no_429(processes: int) -> None:
    """Whatever the number of processes."""
    pace = short(processes)
    assert all(reply.whole for reply in pace.replies)
    assert pace.limited == 0
    assert pace.most <= SHARED


def test_ratios_are_medians_over_seeds() -> None:
    """Of the mean delay with one process and the same seed."""
    found = {(1, 1): short(1), (1, 4): short(4)}
    assert ratios(found) == {1: 1.0, 4: short(4).mean / short(1).mean}
    assert "4 processes: median" in table(found)


def test_the_kept_ratios_are_those_promised() -> None:
    """1.10 times the delay of one process with four, and 1.30 times with sixteen."""
    kept = (RESULTS / "scale-out-pacing.txt").read_text(encoding="utf-8").splitlines()
    medians = {int(words[0]): float(words[3]) for line in kept if (words := line.split()) and "median" in line}
    assert set(medians) == set(MOST)
    assert all(medians[processes] <= most for processes, most in MOST.items())
