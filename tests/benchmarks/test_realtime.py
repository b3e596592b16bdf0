"""The measure at true speed runs, in a tiny size; how fast it is, is printed and not asserted."""

from __future__ import annotations

import asyncio
import socket
import sys

import aiohttp
import pytest

from benchmarks.latency.cases import SCENARIOS
from benchmarks.latency.platforms import DISCORD, SLACK_LEAK
from benchmarks.latency.scenarios import Ask, Played, Result, Scenario, at_once
from benchmarks.latency.traces import bursty
from benchmarks.load.machine import described, show
from benchmarks.load.realtime import COLUMNS_HERE, LATE, WAVES, Lags, Run, answer_of, measure, table
from tests.servers.limits import LeakCounter
from tests.servers.openai import OpenAIDouble


@pytest.mark.skipif(sys.platform == "win32", reason="the bot is told to stop by a signal")
@pytest.mark.sockets
async def test_the_measure_at_true_speed_runs() -> None:
    """Both platforms at once: every answer is whole, no write is refused, and every figure is in the table."""
    wave = [
        Scenario("discord: 2 x 40", DISCORD, at_once(2, 40)),
        Scenario("slack leak: 1 x 40", SLACK_LEAK, at_once(1, 40)),
    ]
    runs = await measure([wave])
    assert [run.scenario for run in runs] == wave
    for run in runs:
        assert run.result.limited == 0
        assert run.result.whole == len(run.scenario.asks)
        assert all(reply.sent[-1][1] == reply.shown[-1][1] for reply in run.result.replies)
        assert all(reply.posts == 1 for reply in run.result.replies)
    heading, *lines, _ = table(runs, {}, {})
    assert [line.partition("  ")[0] for line in lines] == [scenario.name for scenario in wave]
    assert all(column in heading for column, _, _ in COLUMNS_HERE)


def test_every_scenario_of_the_waves_is_one_of_the_virtual_clock() -> None:
    """Each once, so that both figures can stand beside each other."""
    names = [name for wave in WAVES for name in wave]
    assert len(names) == len(set(names))
    assert set(names) <= {scenario.name for scenario in SCENARIOS}


def test_what_is_not_to_be_trusted_is_named() -> None:
    """A run in which a loop was late says nothing of pacing, and the table says so."""
    reply = Played(sent=((0.0, 1),), shown=((0.1, 1),), writes=1, posts=1, begins=1, whole=True)
    lags = Lags(times=[0.0, 1.0, 2.0], lags=[9.0, 0.001, 2 * LATE])
    assert lags.between(0.5, 1.5) == 0.0
    assert lags.between(0.5, 2.5) > LATE
    assert table([], {}, {})[-1] == "no loop was late"
    busy = Run(Scenario("busy", DISCORD, ()), Result((reply,), limited=0), 2 * LATE)
    assert table([busy], {}, {})[-1] == "not to be trusted, a loop was late: busy"


@pytest.mark.sockets
async def test_the_models_double_keeps_the_times_of_a_trace() -> None:
    """No word before its time, each in its place, and the end last."""
    trace = bursty(30, 3)
    answer = answer_of(Ask(trace))
    async with OpenAIDouble(answer) as model, aiohttp.ClientSession() as session:
        asked = {"model": "m", "stream": True, "messages": []}
        async with session.post(f"{model.url}/chat/completions", json=asked) as response:
            await response.read()
        (received,) = model.requests
        assert "".join(received.sent) == trace.text
        due = [received.at + at for at in answer.times[:-1]]
        assert all(at >= time - 0.01 for at, time in zip(received.sent_at, due, strict=True))
        assert asyncio.get_running_loop().time() >= received.at + answer.times[-1]


def test_a_leak_lets_a_burst_through_and_then_one_each_interval() -> None:
    """Five at once after a rest, then one each 1.2 s; what is refused is not counted, and is told when to come back."""
    leak = LeakCounter(1.2, 5)
    assert [leak.admit(0.0).allowed for _ in range(6)] == [True] * 5 + [False]
    assert leak.admit(0.2).reset_after == pytest.approx(1.0, abs=1e-4)
    assert leak.admit(1.2).allowed
    assert not leak.admit(1.2).allowed
    assert [leak.admit(60.0).remaining for _ in range(5)] == [4, 3, 2, 1, 0]


def test_a_result_is_kept_beside_the_machine_and_without_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Processor, memory, Python and day; and a result that is only looked at says where one is kept."""
    assert "GiB" in described()
    assert socket.gethostname() not in described()
    show("true_speed", ["a line"], write=False)
    printed = capsys.readouterr().out
    assert printed.startswith(described())
    assert "a line\n" in printed
    assert "benchmarks/results/true_speed.txt" in printed
