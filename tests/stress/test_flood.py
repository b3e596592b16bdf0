"""The whole program while a model sends without end: it stays responsive and small, and answers other questions."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest

from bot.strings import Strings
from tests.e2e.test_program import both, everything, numbered
from tests.servers.openai import Answer, OpenAIDouble, Status
from tests.support.process import PROGRAM, Running
from tests.support.stopwatch import Stopwatch

pytestmark = [pytest.mark.sockets, pytest.mark.alone]

LARGE = "word " * 2_400_000  # twelve million characters
# A million characters a second, in pieces of ten thousand.
FLOOD = Answer(" ".join(["x" * 10_000] * 1_000), words_per_second=100)


def resident_mebibytes(running: Running) -> float:
    """The resident memory of the process."""
    status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


# About 0.2 s on an idle machine of two cores.
HEALTH_SECONDS = 2.0
PROBE_SECONDS = 0.05  # between two requests for /healthz


async def watched(running: Running, worst: list[float]) -> None:
    """Poll /healthz; keep the longest response time and the largest memory."""
    line = await running.says("open http://")
    found = re.search(r"http://[\w.]+:\d+", line)
    assert found is not None
    async with aiohttp.ClientSession() as session:
        while True:
            watch = Stopwatch(running.process.pid)
            async with session.get(f"{found.group()}/healthz") as answer:
                assert answer.status == 200
            worst[0] = max(worst[0], watch.seconds)
            worst[1] = max(worst[1], resident_mebibytes(running))
            await asyncio.sleep(PROBE_SECONDS)


@both
@pytest.mark.parametrize("kind", ["not streamed", "one piece", "a million a second"])
async def test_a_model_without_end_delays_no_other_answer(platform: str, kind: str) -> None:
    """/healthz responds within two seconds, memory stays below 200 MiB, and a simultaneous answer is whole."""
    flood = {"one piece": Answer("x" * 12_000_000), "a million a second": FLOOD, "not streamed": Answer(LARGE)}[kind]
    worst = [0.0, 0.0]
    more = {"TICKERTAPE_MAX_MESSAGES": "3", "TICKERTAPE_ATTEMPTS": "1", "TICKERTAPE_PLAYGROUND": "on"}
    async with (
        OpenAIDouble(default=flood) as model,
        everything(platform, model, program=PROGRAM, **more) as (place, running),
        asyncio.TaskGroup() as group,
    ):
        watching = group.create_task(watched(running, worst))
        if kind == "not streamed":
            model.streaming = Status(500)
        question = place.ask("tell me everything")
        while len(model.requests) < 1 + (kind == "not streamed"):
            await asyncio.sleep(0.01)
        model.streaming, model.default = None, Answer(numbered(60), words_per_second=40)
        beside = place.ask("why?", place=1)
        while sum("turn ended" in line for line in running.lines) < 2:
            await asyncio.sleep(0.05)
        watching.cancel()
        assert " ".join(place.answers(beside, 1)).split() == numbered(60).split()
        told = place.answers(question)
        assert len(told) <= 4
        assert sum(Strings().limit in text for text in told) == 1
        (file,) = place.files(question)
        assert len(file) < 1_000_000
        assert any("ending=limit" in line for line in running.lines)
        assert worst[0] < HEALTH_SECONDS
        assert worst[1] < 200
