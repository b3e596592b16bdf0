"""Rolling restarts of the whole program under load: each process starts while its predecessor still answers.

Both platforms run in one bot. `tests/stress/test_rolling.py` runs a small load, ``make rolling`` the full one.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.stress.generations import deleted_files
from tests.stress.storm import DiscordPlace, Place, SlackPlace
from tests.support.process import Running, bot

# Seconds without a change until missing answers count as lost.
PATIENCE_SECONDS = 90.0
# Seconds to wait for a wrong second answer.
SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Load:
    """`restarts` in a row, `rate` questions a second per platform, `words` per answer, `survivors` at the end."""

    restarts: int = 4
    rate: float = 1.0
    words: int = 60
    seconds: float = 4.0  # between two restarts
    survivors: int = 10


@dataclass
class Outcome:
    """The result, as readers see it."""

    questions: int = 0
    whole: int = 0
    wrong: list[str] = field(default_factory=list)
    live: int = 0  # half-written answers at the kill of the last process
    deleted: list[str] = field(default_factory=list)
    limited: int = 0  # 429s
    seconds: float = 0.0  # from the kill until all answers were whole

    def __str__(self) -> str:
        return (
            f"{self.questions} questions: {self.whole} answered whole and once, {len(self.wrong)} not; the survivor "
            f"was killed with {self.live} answers begun, all whole after {self.seconds:.1f} s; "
            f"{len(self.deleted)} deleted files held, {self.limited} answers of 429"
        )


class Roll:
    """One run."""

    def __init__(self, load: Load, places: Sequence[Place], folder: Path, model: OpenAIDouble) -> None:
        self._load = load
        self._places = places
        self._folder = folder
        self._model = model
        self._words = [f"word{number}" for number in range(load.words)]
        self._asked = 0
        self.outcome = Outcome()
        self._environment = {name: value for place in places for name, value in place.environment.items()} | {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "x",
            "OPENAI_MODEL": "m",
            "JOURNAL_URL": f"sqlite:///{folder / 'journal.db'}",
            "TICKERTAPE_DRAIN_SECONDS": "1",
        }

    async def play(self) -> Outcome:
        """Run it, and return the result."""
        async with AsyncExitStack() as stack:
            running = await self._start(stack)
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(self._ask_on())
                for _ in range(self._load.restarts):
                    await asyncio.sleep(self._load.seconds)
                    new = await self._start(stack)
                    self._look_at(new)
                    assert await running.stop() == 0
                    running = new
                await asyncio.sleep(self._load.seconds)
                asking.cancel()
            await self._until_whole(running)
            self._look_at(running)
            await self._kill(running)
            await self._until_whole(await self._start(stack))
            self.outcome.seconds = asyncio.get_running_loop().time() - self.outcome.seconds
        self.outcome.limited = sum(place.limited for place in self._places)
        self._judge()
        return self.outcome

    async def _start(self, stack: AsyncExitStack) -> Running:
        before = [place.live for place in self._places]
        running = await stack.enter_async_context(bot(self._environment))
        while any(place.live <= count for place, count in zip(self._places, before, strict=True)):
            await asyncio.sleep(0.02)
        return running

    async def _ask_on(self) -> None:
        while True:
            await self._ask()
            await asyncio.sleep(1 / self._load.rate)

    async def _ask(self) -> None:
        self._asked += 1
        for place in self._places:
            await place.ask(self._asked % 40, twice=self._asked % 3 == 0)
            self.outcome.questions += 1

    async def _kill(self, running: Running) -> None:
        """Kill the last process in the middle of its answers."""
        asked = len(self._model.requests)
        for _ in range(self._load.survivors // 2):
            await self._ask()
        await self._model.wait_for(asked + self._load.survivors)
        await asyncio.sleep(self._load.words / 80)
        self.outcome.live = sum(0 < len(" ".join(texts).split()) < self._load.words for texts in self._texts())
        self.outcome.seconds = asyncio.get_running_loop().time()
        await running.stop(signal.SIGKILL)

    def _look_at(self, running: Running) -> None:
        self.outcome.deleted += deleted_files(running.process.pid, self._folder)

    def _texts(self) -> list[list[str]]:
        return [texts for place in self._places for texts in place.answers()]

    async def _until_whole(self, running: Running) -> None:
        loop = asyncio.get_running_loop()
        changed_at, before = loop.time(), self._texts()
        while loop.time() - changed_at < PATIENCE_SECONDS:
            assert running.process.returncode is None, "the bot has exited"
            texts = self._texts()
            if texts != before:
                changed_at, before = loop.time(), texts
            elif all(" ".join(each).split() == self._words for each in texts) and (
                loop.time() - changed_at > SETTLE_SECONDS
            ):
                return
            await asyncio.sleep(0.1)

    def _judge(self) -> None:
        for number, texts in enumerate(self._texts()):
            if " ".join(texts).split() == self._words:
                self.outcome.whole += 1
            else:
                self.outcome.wrong.append(f"question {number}: {texts}")


@asynccontextmanager
async def places() -> AsyncIterator[Sequence[Place]]:
    async with DiscordDouble().running() as discord, SlackDouble().running() as slack:
        yield DiscordPlace(discord, 40), SlackPlace(slack, 40)


async def rolling(load: Load) -> Outcome:
    """Run it once, and return the result."""
    words = " ".join(f"word{number}" for number in range(load.words))
    with tempfile.TemporaryDirectory() as folder:
        async with OpenAIDouble(default=Answer(words, words_per_second=40)) as model, places() as both:
            return await Roll(load, both, Path(folder), model).play()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 1 if a question was not answered exactly once."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.rolling", description=__doc__)
    parser.add_argument("--restarts", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1.0, help="questions a second on each platform")
    parser.add_argument("--seconds", type=float, default=10.0, help="between two restarts")
    chosen = parser.parse_args(arguments)
    outcome = asyncio.run(rolling(Load(restarts=chosen.restarts, rate=chosen.rate, seconds=chosen.seconds)))
    sys.stdout.write(f"{outcome}\n")
    for line in [*outcome.wrong, *outcome.deleted][:5]:
        sys.stdout.write(f"  {line}\n")
    return 1 if outcome.wrong or outcome.deleted else 0


if __name__ == "__main__":
    sys.exit(main())
