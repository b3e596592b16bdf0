"""The commands of docs/operations.md that lead from one process to three, as an operator types them into one shell."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from tests.e2e.test_program import SlackPlace, numbered
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.ports import free_port
from tests.servers.postgres import SUPERUSER, PostgresServer, find_programs
from tests.servers.slack import SlackDouble
from tests.support.paths import ROOT
from tests.support.postgres import own_server
from tests.support.process import BARE
from tests.support.waiting import POLL_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.sockets(seconds=180)]

PAGE = ROOT / "docs" / "operations.md"
PORTS = ("8081", "8082", "8083")
WORDS = numbered(100)


def blocks(heading: str) -> Sequence[str]:
    """The commands below a heading of the page, block by block."""
    text = PAGE.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^### {heading}$(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    return [dedent(block).strip() for block in re.findall(r"^ *```\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)]


@dataclass
class Operator:
    """Types commands into a shell; what the page says of hosts and ports is replaced by what this machine has."""

    shell: asyncio.subprocess.Process
    folder: Path
    replaced: Mapping[str, str]

    async def type(self, commands: str) -> str:
        """Run commands and return what they print. Raises `AssertionError` if the last one fails."""
        commands = re.sub("|".join(map(re.escape, self.replaced)), lambda found: self.replaced[found[0]], commands)
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f'{commands}\necho "ended with $?"\n'.encode())
        printed: list[str] = []
        async for line in self.shell.stdout:
            printed.append(line.decode())
            if found := re.search(r"ended with (\d+)$", printed[-1]):
                assert found[1] == "0", "".join(printed)
                return "".join(printed[:-1])
        raise AssertionError("".join(printed))

    def log(self, number: int) -> str:
        """What a process has written so far."""
        file = self.folder / f"bot-{number}.log"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def starts(self, number: int) -> int:
        """How often a process has started so far."""
        return self.log(number).count("INFO bot started")

    def owner(self) -> int:
        """The process that has taken the lane last."""
        taken = {number: re.findall(r"^(\S+) .* lane taken ", self.log(number), re.MULTILINE) for number in (1, 2, 3)}
        return max(taken, key=lambda number: max(taken[number], default=""))

    async def until_started(self, number: int, times: int = 1) -> None:
        """Wait until a process has started so often."""
        while self.starts(number) < times:
            assert "Traceback" not in self.log(number), self.log(number)
            await asyncio.sleep(POLL_SECONDS)

    async def until_lanes_are_owned(self, commands: str) -> None:
        """Look as the page says until a process is ready, and the workspace has an owner that all know of."""
        wanted = ('"ready": true', r'lanes_unowned{platform="slack"} 0\.0', r"T1 +\| +\w+ +\|")
        while not all(re.search(each, seen) for seen in [await self.type(commands)] for each in wanted):
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def operator(folder: Path, server: PostgresServer, environment: Mapping[str, str]) -> AsyncIterator[Operator]:
    """A shell in an empty folder; all that it has started ends with it."""
    programs = find_programs()
    assert programs is not None
    path = f"{Path(sys.executable).parent}:{programs}:{BARE['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-c", "exec 2>&1; exec bash -s"),
        cwd=folder,
        env={**BARE, **environment, "PATH": path, "JOURNAL_URL": ""},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    address = f"127.0.0.1:{server.port}"
    replaced = {"postgres@127.0.0.1:5432": f"{SUPERUSER}@{address}", "127.0.0.1:5432": address}
    try:
        yield Operator(shell, folder, replaced | {port: str(free_port()) for port in PORTS})
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        await shell.wait()


async def answered(place: SlackPlace, questions: Sequence[tuple[str, int]]) -> None:
    """Wait until each question has its whole answer, once."""
    while not all(" ".join(place.answers(*each)).split() == WORDS.split() for each in questions):
        await asyncio.sleep(POLL_SECONDS)


async def test_the_page_leads_from_one_process_to_three_and_back(tmp_path: Path) -> None:
    """Its commands create, start, look, deploy, kill, save and restore; every question is answered once meanwhile."""
    double = SlackDouble()
    model = OpenAIDouble(default=Answer(WORDS, words_per_second=10))
    with own_server() as server:
        async with model, double.running():
            place = SlackPlace(double)
            named = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m", **place.environment}
            async with operator(tmp_path, server, named) as typing:
                create, migrate, start, look = blocks("From one process to three")
                assert "CREATE DATABASE" in await typing.type(create)
                checked = await typing.type(migrate)
                assert "ok   migrations: the tables fit this version" in checked
                assert "FAIL" not in checked
                await typing.type(start)
                for number in (1, 2, 3):
                    await typing.until_started(number)
                await typing.until_lanes_are_owned(look)
                killed = await _deploy_and_kill(typing, place)
                await _save_and_restore(typing, place, start, {1, 2, 3} - {killed})


async def _deploy_and_kill(typing: Operator, place: SlackPlace) -> int:
    """Each while answers are being written. Returns the killed process: the one that writes them."""
    (deploy,), (kill,) = blocks("Deploy"), blocks("Kill one and watch")
    questions = [(place.ask("why?", place=number), number) for number in range(2)]
    await place.double.until(lambda: all(place.answers(*each) for each in questions))
    await typing.type(deploy)
    await typing.until_started(2, times=2)
    await answered(place, questions)
    questions = [(place.ask("how?", place=number), number) for number in range(2)]
    await place.double.until(lambda: all(place.answers(*each) for each in questions))
    killed = typing.owner()
    taken = await typing.type(kill.replace("bot-1.pid", f"bot-{killed}.pid"))
    assert "lane taken" in taken
    assert "recovering unfinished turns" in taken
    await answered(place, questions)
    assert not place.limited
    return killed


async def _save_and_restore(typing: Operator, place: SlackPlace, start: str, running: Collection[int]) -> None:
    """After it, one process is enough."""
    save, restore = blocks("Backups")
    await typing.type(save)
    for number in running:
        await typing.type(f'kill -TERM "$(cat bot-{number}.pid)"; wait "$(cat bot-{number}.pid)"')
    await typing.type(restore)
    started = typing.starts(1)
    await typing.type(next(line for line in start.splitlines() if "bot-1" in line).replace("2>", "2>>"))
    await typing.until_started(1, times=started + 1)
    question = place.ask("what?")
    await answered(place, [(question, 0)])
