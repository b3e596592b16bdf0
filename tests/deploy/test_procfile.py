"""The Procfile's command, started as hosts such as Heroku start it."""

from __future__ import annotations

import sys
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.e2e.test_program import SlackPlace, numbered
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.support.paths import ROOT
from tests.support.process import BARE, bot
from tests.support.waiting import until


def web() -> str:
    """The command of the process type `web`."""
    return commands()["web"]


def commands() -> dict[str, str]:
    """The command of each process type."""
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    return dict(line.split(": ", maxsplit=1) for line in lines)


@pytest.mark.sockets(seconds=90)
@pytest.mark.slow
async def test_a_stop_signal_to_the_dyno_finishes_the_answer() -> None:
    """The shell gives way to Python, which receives SIGTERM; the journal is in memory, since the disk does not last."""
    double = SlackDouble()
    shell = ("/bin/sh", "-c", web())
    variables = {"OPENAI_API_KEY": "x", "OPENAI_MODEL": "m", "JOURNAL_URL": ""}
    variables["PATH"] = f"{Path(sys.executable).parent}:{BARE['PATH']}"
    async with OpenAIDouble(default=Answer(numbered(80), words_per_second=40)) as model, double.running():
        place = SlackPlace(double)
        async with bot(variables | place.environment | {"OPENAI_BASE_URL": model.url}, program=shell) as running:
            await place.until_connected()
            assert "memory" in await readiness(await running.says("started"))
            question = place.ask("why?")
            received = await model.wait_for(1)
            await until(lambda: len(received.sent) >= 20)
            assert await running.stop() == 0
        assert " ".join(place.answers(question)).split() == numbered(80).split()


@pytest.mark.sockets
@pytest.mark.slow
async def test_a_release_without_a_database_succeeds() -> None:
    """The host runs it before each new version, whatever the journal is."""
    shell = ("/bin/sh", "-c", commands()["release"])
    path = f"{Path(sys.executable).parent}:{BARE['PATH']}"
    async with bot({"PATH": path, "JOURNAL_URL": ""}, program=shell) as running:
        assert await running.process.wait() == 0
    assert "nothing to migrate" in running.lines[-1]


async def readiness(started: str) -> str:
    """Ask for /readyz at an address of this machine that only a server of all addresses has."""
    port = URL(started.partition("site=")[2].split()[0]).port
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.2:{port}/readyz") as response:
        return await response.text()
