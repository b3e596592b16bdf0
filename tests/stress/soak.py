"""Soak test: many answers at once for a long time, without losses and without growth.

The whole program runs as a process, observed from outside. `tests/stress/test_soak.py` runs it for seconds, `make soak`
for an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.openai import Answer, OpenAIDouble
from tests.stress.storm import Place, place_of
from tests.support.process import PROGRAM, bot

# The longest wait for an answer.
_PATIENCE_SECONDS = 120.0

# The wait after the last answer before files and sockets are counted again.
_REST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Load:
    """`live` answers at a time for `seconds`; each has `words` at `rate` a second."""

    seconds: float
    live: int = 20
    words: int = 200
    rate: float = 40.0
    rest: float = _REST_SECONDS

    @property
    def answer(self) -> str:
        return " ".join(f"word{number}" for number in range(self.words))


@dataclass
class Outcome:
    """The result. Sizes in bytes."""

    answered: int = 0
    lost: list[str] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    open_before: int = 0  # files and sockets, at rest
    open_after: int = 0
    limited: int = 0

    def is_fine(self, load: Load) -> bool:
        """Whether nothing was lost, memory stayed flat, and connections were closed."""
        return not self.lost and self.growth <= 0.05 and self.keeps_little_open(load)

    def keeps_little_open(self, load: Load) -> bool:
        """Whether at most two kept-alive connections per live answer stay open: to the model and to the platform."""
        return self.open_after <= self.open_before + 2 * load.live

    @property
    def growth(self) -> float:
        """The growth of resident memory from the second quarter to the last, as a share."""
        quarter = len(self.resident) // 4
        if not quarter:
            return 0.0
        second, last = self.resident[quarter : 2 * quarter], self.resident[-quarter:]
        return statistics.mean(last) / statistics.mean(second) - 1

    def __str__(self) -> str:
        return (
            f"{self.answered} answers, {len(self.lost)} lost; {self.resident[-1] / 2**20:.1f} MiB resident, "
            f"{self.growth:+.1%} from the second quarter to the last; {self.open_before} files and sockets open before "
            f"and {self.open_after} after, {self.limited} answers of 429"
        )


def resident(process: int) -> int:
    """The resident memory of a process, in bytes (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def open_files(process: int) -> int:
    """The number of open files and sockets of a process (Linux)."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


async def soak(platform: str, load: Load, tell: Callable[[str], object] = lambda line: None) -> Outcome:
    """Run it. `tell` receives a progress line now and then."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        answer = Answer(load.answer, words_per_second=load.rate)
        async with OpenAIDouble(default=answer) as model, place_of(platform, load.live) as place:
            more = {
                "OPENAI_BASE_URL": model.url,
                "OPENAI_API_KEY": "x",
                "OPENAI_MODEL": "m",
                "JOURNAL_URL": f"sqlite:///{Path(folder) / 'journal.db'}",
                "TICKERTAPE_LOG_LEVEL": "warning",
            }
            async with bot(place.environment | more, program=PROGRAM) as running:
                await place.connected()
                process = running.process.pid
                await _ask(place, 0, load, outcome)  # warm up everything created at first use
                await asyncio.sleep(load.rest)
                outcome.open_before = open_files(process)
                until = asyncio.get_running_loop().time() + load.seconds
                async with asyncio.TaskGroup() as group:
                    for channel in range(load.live):
                        group.create_task(_keep_asking(place, channel, load, until, outcome))
                    group.create_task(_watch(process, until, load, outcome, tell))
                await asyncio.sleep(load.rest)
                outcome.open_after = open_files(process)
            outcome.limited = place.limited
    return outcome


async def _keep_asking(place: Place, channel: int, load: Load, until: float, outcome: Outcome) -> None:
    while asyncio.get_running_loop().time() < until:
        await _ask(place, channel, load, outcome)


async def _ask(place: Place, channel: int, load: Load, outcome: Outcome) -> None:
    number = await place.ask(channel)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while " ".join(place.answer(number)).split() != load.answer.split():
                await asyncio.sleep(0.2)
    except TimeoutError:
        outcome.lost.append(f"question {number}: {place.answer(number)}")
    else:
        outcome.answered += 1


async def _watch(process: int, until: float, load: Load, outcome: Outcome, tell: Callable[[str], object]) -> None:
    """Measure the process eighty times, twenty per quarter."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        outcome.resident.append(resident(process))
        if len(outcome.resident) % 4 == 0:
            tell(f"{outcome.answered} answers, {outcome.resident[-1] / 2**20:.1f} MiB")
        await asyncio.sleep(load.seconds / 80)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 1 after a loss, growth or a leaked connection."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--live", type=int, default=20)
    parser.add_argument("--platform", choices=["discord", "slack"], default="discord")
    chosen = parser.parse_args(arguments)
    load = Load(chosen.seconds, chosen.live)
    outcome = asyncio.run(soak(chosen.platform, load, lambda line: sys.stderr.write(f"{line}\n")))
    sys.stdout.write(f"{chosen.platform}, {chosen.seconds:g} s: {outcome}\n")
    for line in outcome.lost[:5]:
        sys.stdout.write(f"  {line}\n")
    return 0 if outcome.is_fine(load) else 1


if __name__ == "__main__":
    sys.exit(main())
