"""``python -m benchmarks.cpu.paired CHECKOUT``: processor time of an answer, against another checkout in the same run.

Both sides are ``python -m bot`` in a process of its own, with one platform and the default settings, and each side has
servers of its own from this checkout. The model sends 40 words a second, one per chunk. In each round both sides answer
the same questions, one after the other or with `--together` at the same time. A round's cost is the user and system
time of the bot's process alone, from the questions to the end of the last turn. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.machine import show
from benchmarks.load.scale import Child, child, ready, servers
from tests.support.paths import ROOT

WORDS_PER_SECOND = 40.0

# Work left over from the start or the round before, such as a closed connection, is not the round's. Seconds.
REST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Rounds:
    """What is asked: so many answers of so many words at once, so many times."""

    platform: str
    answers: int
    words: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Paired:
    """Processor seconds per 1,000 words of each round, on both sides."""

    asked: Rounds
    here: Sequence[float]
    there: Sequence[float]
    whole: int  # answers with every word, on both sides
    limited: int  # 429s, on both sides

    @property
    def ratio(self) -> float:
        """The median of ours over the median of theirs."""
        return statistics.median(self.here) / statistics.median(self.there)


class Side:
    """One checkout's bot between servers of its own."""

    def __init__(self, asked: Rounds, bot: Child, stage: Child) -> None:
        self.costs: list[float] = []
        self.stage = stage
        self._asked = asked
        self._bot = bot

    async def answer(self, number: int) -> None:
        """One round, in channels of its own."""
        asked, before = self._asked, self._spent()
        words = [0] * (asked.answers * asked.rounds)
        words[number * asked.answers : (number + 1) * asked.answers] = [asked.words] * asked.answers
        await self.stage.asked(ask=words)
        await self._bot.says("turn ended", asked.answers)
        self.costs.append((self._spent() - before) / (asked.answers * asked.words) * 1000)
        await asyncio.sleep(REST_SECONDS)

    def _spent(self) -> float:
        """User and system seconds of the process so far, from its own clock (clock_getcpuclockid(3))."""
        return time.clock_gettime((~self._bot.process.pid << 3) | 2)


@asynccontextmanager
async def side(checkout: Path, asked: Rounds, speed: float) -> AsyncIterator[Side]:
    """Run the bot of a checkout until the end of the context."""
    channels = asked.answers * asked.rounds
    async with servers(("model", speed), (asked.platform, channels)) as (sides, environment):
        environment |= {"PYTHONPATH": str(checkout)}
        async with child("-m", "bot", environment=environment, folder=checkout) as bot:
            await ready(bot)
            await asyncio.sleep(REST_SECONDS)
            yield Side(asked, bot, sides[asked.platform])


async def measure(checkout: Path, asked: Rounds, *, together: bool, speed: float = WORDS_PER_SECOND) -> Paired:
    """Measure both sides; the side that begins changes with each round."""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(side(ROOT, asked, speed))
        there = await stack.enter_async_context(side(checkout, asked, speed))
        for number in range(asked.rounds):
            order = (here, there) if number % 2 else (there, here)
            if together:
                await asyncio.gather(*(each.answer(number) for each in order))
            else:
                for each in order:
                    await each.answer(number)
        reports = [await each.stage.asked(report=None) for each in (here, there)]
    return Paired(
        asked,
        here.costs,
        there.costs,
        whole=sum(words == asked.words for report in reports for words in report["words"]),
        limited=sum(report["limited"] for report in reports),
    )


def lines_of(paired: Paired) -> list[str]:
    """The result as lines for people."""
    asked = paired.asked
    load = f"{asked.platform}: {asked.answers} at once of {asked.words:,} words, {asked.rounds} rounds"
    return [
        f"{load}; {paired.whole} of {2 * asked.answers * asked.rounds} whole, {paired.limited} 429s",
        f"  {'ms per 1,000 words':<20}{'median':>8}{'least':>8}",
        *(
            f"  {name:<20}{1000 * statistics.median(costs):>8.0f}{1000 * min(costs):>8.0f}"
            for name, costs in (("here", paired.here), ("there", paired.there))
        ),
        f"  {'ratio':<20}{paired.ratio:>8.3f}{min(paired.here) / min(paired.there):>8.3f}",
    ]


async def table(checkout: Path, asked: Sequence[Rounds], *, together: bool) -> list[str]:
    """The lines of all measures, one after another."""
    return [line for each in asked for line in lines_of(await measure(checkout, each, together=together))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and keep it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu.paired", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the folder of another checkout, such as an older commit's")
    parser.add_argument("--answers", type=int, nargs="+", default=(1, 20))
    parser.add_argument("--words", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--platforms", nargs="+", choices=("discord", "slack"), default=("discord", "slack"))
    parser.add_argument("--together", action="store_true", help="run both sides at the same time: half as long")
    parser.add_argument("--write", action="store_true", help="keep the result in benchmarks/results")
    chosen = parser.parse_args(arguments)
    asked = [
        Rounds(platform, answers, chosen.words, chosen.rounds)
        for platform in chosen.platforms
        for answers in chosen.answers
    ]
    show("paired", asyncio.run(table(chosen.checkout.resolve(), asked, together=chosen.together)), write=chosen.write)


if __name__ == "__main__":
    main()
