"""Overlapping processes write to one journal; no acknowledged write may be lost.

`tests/stress/test_generations.py` runs a small load, ``make generations`` the full one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import signal
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from adapters.journal import JournalBroken, JournalOptions, SqliteJournal
from bot.conversation import Ending, TurnKey
from tests.support.paths import ROOT
from tests.support.process import BARE

# The longest start of a child process.
PATIENCE_SECONDS = 30.0
# Of a process's output in each of its phases.
LEAST_LINES = 20


# ----------------------------------------------------------------------------------------------------------- the child


async def child(file: Path, name: str, rate: float, heartbeat_seconds: float) -> None:
    """Write `rate` operations a second until a signal, and print each one after its acknowledgement."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    options = JournalOptions(heartbeat_seconds=heartbeat_seconds, retry_seconds=heartbeat_seconds)
    async with SqliteJournal(file, lambda: datetime.now(UTC), options) as journal:
        _say("open")
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                if stop.is_set():
                    break
                group.create_task(_tried(journal, TurnKey("slack", "T", name, str(number))))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 3 / rate)
        _say(f"degraded {journal.degraded}")
    _say("closed")


async def _tried(journal: SqliteJournal, key: TurnKey) -> None:
    """Write a turn; one without a timely acknowledgement, as after a suspension, is not printed."""
    with contextlib.suppress(JournalBroken):
        await _turn(journal, key)


async def _turn(journal: SqliteJournal, key: TurnKey) -> None:
    """Make three writes; every third turn stays unfinished."""
    if await journal.accept(key, f'{{"text": "{_text(key)}"}}'):
        _say(f"accepted {key.channel} {key.message}")
    await journal.posted(key, f"m{key.message}")
    _say(f"posted {key.channel} {key.message}")
    if int(key.message) % 3:
        await journal.ended(key, Ending.DONE)
        _say(f"ended {key.channel} {key.message}")


def _text(key: TurnKey) -> str:
    return f"private-{key.channel}-{key.message}-" + "words " * (int(key.message) % 40)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# ---------------------------------------------------------------------------------------------------------- its parent


@dataclass
class Generation:
    """One child process and its output."""

    name: str
    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().strip())
            if self.lines[-1] == "open":
                self.opened.set()
        self.opened.set()

    def said(self, what: str) -> set[tuple[str, str]]:
        told = (line.split() for line in self.lines)
        return {(line[1], line[2]) for line in told if line[0] == what and len(line) == 3}

    def deleted_files(self, folder: Path) -> list[str]:
        return deleted_files(self.process.pid, folder)

    async def write_on(self, seconds: float) -> None:
        """Let it write for a while, and at least some lines however busy the machine is."""
        enough = len(self.lines) + LEAST_LINES
        await asyncio.sleep(seconds)
        while len(self.lines) < enough:
            await asyncio.sleep(0.01)


def deleted_files(pid: int, folder: Path) -> list[str]:
    """Deleted files of the folder still open in a process, except for the short-lived lock file."""
    found = []
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            found.append(str(link.readlink()))
    return [name for name in found if name.startswith(str(folder)) and "(deleted)" in name and "-lock" not in name]


@asynccontextmanager
async def generation(file: Path, name: str, rate: float, heartbeat_seconds: float = 2.0) -> AsyncIterator[Generation]:
    """A running child process, killed at the end."""
    arguments = ["-m", "tests.stress.generations", "--child", name, "--file", str(file)]
    arguments += ["--rate", str(rate), "--heartbeat", str(heartbeat_seconds)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=BARE,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    made = Generation(name, process)
    async with asyncio.TaskGroup() as group:
        group.create_task(made.read())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await made.opened.wait()
            yield made
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@dataclass
class Outcome:
    """The acknowledged writes found in the file, and the problems."""

    generations: int
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)  # deleted files held open by a process
    integrity: str = ""
    degraded: int = 0  # processes with a degraded journal at their end

    def __str__(self) -> str:
        return (
            f"{self.generations} generations: {self.acknowledged} acknowledged writes, {len(self.lost)} lost; "
            f"integrity_check {self.integrity}; {len(self.deleted)} deleted files held, {self.degraded} degraded"
        )

    @property
    def is_sound(self) -> bool:
        return self.integrity == "ok" and not (self.lost or self.deleted or self.degraded)


async def overlap(file: Path, *, generations: int, rate: float, seconds: float, kill_every: int = 0) -> Outcome:
    """Start one generation after the other, each while its predecessor still writes; all write `rate` a second.

    Each runs `seconds` alone and as long beside the next. Every `kill_every`-th is killed, the others exit cleanly.
    """
    outcome, every = Outcome(generations), []
    async with contextlib.AsyncExitStack() as stack:
        before: Generation | None = None
        for number in range(generations):
            new = await stack.enter_async_context(generation(file, f"G{number}", rate))
            every.append(new)
            await new.write_on(seconds)
            outcome.deleted += new.deleted_files(file.parent)
            if before is not None:
                is_killed = kill_every and number % kill_every == 0
                before.process.send_signal(signal.SIGKILL if is_killed else signal.SIGTERM)
                await before.process.wait()
            await new.write_on(seconds)
            outcome.deleted += new.deleted_files(file.parent)
            before = new
        assert before is not None
        before.process.terminate()
        await before.process.wait()
    count(outcome, file, every)
    return outcome


def count(outcome: Outcome, file: Path, generations: Sequence[Generation]) -> None:
    """Look for every acknowledged write in the file."""
    with closing(sqlite3.connect(file)) as connection:
        outcome.integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
        rows = connection.execute("SELECT id, channel, message, event IS NULL FROM turns").fetchall()
        answers = {turn for (turn,) in connection.execute("SELECT turn FROM answers")}
    kept = {(channel, message): (turn, bool(ended)) for turn, channel, message, ended in rows}
    for each in generations:
        for what in ("accepted", "posted", "ended"):
            said = each.said(what)
            outcome.acknowledged += len(said)
            for key in said:
                turn, ended = kept.get(key, (None, False))
                is_kept = {"accepted": turn is not None, "posted": turn in answers, "ended": ended}[what]
                if not is_kept:
                    outcome.lost.append(f"{what} {key}")
        outcome.degraded += "degraded True" in each.lines


# ------------------------------------------------------------------------------------------------------ the command


async def run(runs: int) -> int:
    """Run nine generations at 250 writes a second, `runs` times; every other run kills some."""
    failed = 0
    for number in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "turns.db"
            outcome = await overlap(file, generations=9, rate=250, seconds=1.0, kill_every=3 * (number % 2))
        _say(f"run {number + 1}: {outcome}")
        failed += not outcome.is_sound
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--child")
    parser.add_argument("--file", type=Path, default=Path())
    parser.add_argument("--rate", type=float, default=250.0)
    parser.add_argument("--heartbeat", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=10)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        asyncio.run(child(chosen.file, chosen.child, chosen.rate, chosen.heartbeat))
        return 0
    return 1 if asyncio.run(run(chosen.runs)) else 0


if __name__ == "__main__":
    sys.exit(main())
