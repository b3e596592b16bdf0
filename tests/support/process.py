"""The whole program as an operator starts it: ``python -m bot`` in a process of its own, with an environment.

Most tests fork it from a process that has imported it (`tests.support.fork_server`), to save processor time.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.support.fork_server import IS_POSSIBLE, fork_server
from tests.support.paths import ROOT

# What every child needs of this machine; nothing else of the developer's environment reaches it, and nothing is left
# lying in the folder that it is run in.
BARE = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "error::ResourceWarning",
    "PORT": "0",
    "JOURNAL_URL": "memory:",
}


# Starts Python anew, for a test that measures a process or doubts its start.
PROGRAM = (sys.executable, "-m", "bot")

# Variables that only this program reads, and only after its start.
_OWN_VARIABLES = ("TICKERTAPE_", "OPENAI_", "SLACK_", "DISCORD_", "JOURNAL_URL", "PORT")


class Child(Protocol):
    """The part of `asyncio.subprocess.Process` in use."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    @property
    def stdout(self) -> asyncio.StreamReader | None: ...

    async def wait(self) -> int: ...

    def send_signal(self, number: int, /) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


@dataclass
class Running:
    """A process, and what it has said so far (standard output and error together)."""

    process: Child
    lines: list[str] = field(default_factory=list)
    _said: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())
            self._said.set()
        self._said.set()

    async def says(self, part: str) -> str:
        """Wait for a line that holds `part`, and return it."""
        while True:
            self._said.clear()
            for line in self.lines:
                if part in line:
                    return line
            assert self.process.returncode is None, "\n".join(self.lines)
            await self._said.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


@asynccontextmanager
async def bot(
    environment: Mapping[str, str],
    *arguments: str,
    folder: Path = ROOT,
    descriptors: int | None = None,
    program: Sequence[str] | None = None,
) -> AsyncIterator[Running]:
    """Run the program; at the end it is told to stop, and its output is shown where a test fails.

    `descriptors` are the files and sockets that it may have open at once; `program` starts it in another way. With
    either, and with variables that Python or a library reads, Python starts anew.
    """
    if IS_POSSIBLE and program is None and descriptors is None and all(map(_is_own, environment)):
        process: Child = await fork_server(ROOT, **BARE).start(BARE | dict(environment), arguments, folder)
    else:
        process = await _executed(
            environment, *(program or PROGRAM), *arguments, folder=folder, descriptors=descriptors
        )
    running = Running(process)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(running.read())
        try:
            yield running
        except BaseException:
            sys.stdout.write("\n".join(running.lines) + "\n")
            raise
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            await reading


def _is_own(variable: str) -> bool:
    return variable.startswith(_OWN_VARIABLES)


async def _executed(environment: Mapping[str, str], *command: str, folder: Path, descriptors: int | None) -> Child:
    limited = () if descriptors is None else ("/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh")
    return await asyncio.create_subprocess_exec(
        *limited,
        *command,
        env=BARE | dict(environment),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
