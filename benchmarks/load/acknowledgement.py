"""``python -m benchmarks.load.acknowledgement``: from Slack's request to its response, at a steady rate.

The real program receives signed requests over loopback: questions, each of them journalled in a file or in PostgreSQL
and answered, and messages between people, which it passes over. For comparison, a bare receiver checks the signature
and responds. Slack and the model run in the sender's process, and share the machine's processors with the receiver.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.postgres.migrations import migrate
from benchmarks.load.machine import show
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.postgres import DURABLE_SETTINGS
from tests.servers.slack import SlackDouble
from tests.support.postgres import engine, own_server
from tests.support.process import BARE, PROGRAM, bot
from tests.support.slack import for_program, program_ready
from tests.support.transport import Transport

QUESTION, ANSWER = "<@UBOT> is it?", "Yes, it is."

# The longest wait for all answers, in seconds. An owner among several processes writes eight times a second in a
# workspace, so 2,200 answers take four minutes.
ANSWER_SECONDS = 400.0

# Events before those measured: connections, caches and look-ups of people come first. Seconds.
WARM_UP_SECONDS = 2.0

# Longer than the grace period of a lease. Seconds.
GRACE_SECONDS = 8.0

# Channels and people: few people, because Slack allows a hundred look-ups a minute.
CHANNELS, PEOPLE = 200, 20


@dataclass(frozen=True, slots=True)
class Load:
    """Events a second, and for how many seconds."""

    rate: float = 100.0
    seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Result:
    """Response times in seconds, in order; and how many requests had no response in time."""

    times: Sequence[float]
    failed: int
    answered: int = 0

    def share(self, part: float) -> float:
        """The time within which this part of the responses came, in milliseconds."""
        return self.times[min(int(len(self.times) * part), len(self.times) - 1)] * 1_000


@asynccontextmanager
async def program(double: SlackDouble, journal: str = "") -> AsyncIterator[None]:
    """The program, ready for requests. `journal` is the address of a database; without it, a file."""
    with tempfile.TemporaryDirectory() as folder:
        async with OpenAIDouble(default=Answer(ANSWER)) as model:
            environment = double.environment | {
                "OPENAI_BASE_URL": model.url,
                "OPENAI_API_KEY": "x",
                "OPENAI_MODEL": "m",
                "JOURNAL_URL": journal or f"sqlite:///{Path(folder) / 'journal.db'}",
                "TICKERTAPE_LOG_LEVEL": "warning",
            }
            async with bot(environment, program=PROGRAM):
                await program_ready(double)
                yield


@asynccontextmanager
async def bare(double: SlackDouble) -> AsyncIterator[None]:
    """The bare receiver, ready for requests."""
    arguments = "-m", "benchmarks.load.bare_receiver", double.environment["PORT"], double.requests.signing_secret
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=BARE)
    try:
        await program_ready(double)
        yield
    finally:
        process.terminate()
        await process.wait()


async def measure(load: Load, text: str, *, is_bare: bool = False, journal: str = "") -> Result:
    """Send messages with this text at the rate, and return the response times after the warm-up."""
    double, loop = for_program(Transport.HTTP), asyncio.get_running_loop()
    double.requests.pace_seconds = double.post_seconds = 0.0
    double.echoes = False  # only questions count
    channels = [double.world.channel() for _ in range(CHANNELS)]
    people = [double.world.user(f"U{number}") for number in range(PEOPLE)]
    async with double.running(), bare(double) if is_bare else program(double, journal):
        if journal:  # a process begins to take lanes once its grace period is over
            await asyncio.sleep(GRACE_SECONDS)
            double.say(channels[0], text, author=people[0], once=True)
            await asyncio.sleep(GRACE_SECONDS)
        began, skipped = loop.time(), int(load.rate * WARM_UP_SECONDS)
        for number in range(int(load.rate * (load.seconds + WARM_UP_SECONDS))):
            await asyncio.sleep(began + number / load.rate - loop.time())
            double.say(channels[number % CHANNELS], text, author=people[number % PEOPLE], once=True)
        async with asyncio.timeout(ANSWER_SECONDS):
            await double.settled()
            expected = 0 if is_bare or text != QUESTION else len(double.deliveries.envelopes)
            while sum(len(double.answers(channel)) for channel in channels) < expected:
                await asyncio.sleep(0.1)
        answered = sum(len(double.answers(channel)) for channel in channels)
        times = double.requests.response_times
        return Result(sorted(times[skipped:]), double.requests.sent - len(times), answered)


def lines_of(name: str, result: Result) -> str:
    """The result as a line for people."""
    parts = " ".join(f"{result.share(part):>8.1f}" for part in (0.5, 0.9, 0.99, 1.0))
    return f"{name:<18} {parts} {result.failed:>8} {result.answered:>9}"


async def measure_postgres(load: Load) -> Result:
    """Questions, journalled in a database that waits for the disk."""
    with own_server(DURABLE_SETTINGS) as server:
        async with engine(server.url) as opened:
            await migrate(opened, lambda _: None)
        return await measure(load, QUESTION, journal=server.url)


async def table(load: Load) -> list[str]:
    """Both receivers, as lines for people."""
    shared = await measure_postgres(load)
    whole, passed = await measure(load, QUESTION), await measure(load, "is it?")
    reference = await measure(load, QUESTION, is_bare=True)
    return [
        f"{load.rate:g} events a second for {load.seconds:g} s, from a request to its response, in milliseconds",
        f"{'':<18} {'p50':>8} {'p90':>8} {'p99':>8} {'longest':>8} {'failed':>8} {'answered':>9}",
        lines_of("questions", whole),
        lines_of("in PostgreSQL", shared),
        lines_of("between people", passed),
        lines_of("bare receiver", reference),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and keep it if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.acknowledgement", description=__doc__)
    parser.add_argument("--rate", type=float, default=Load().rate, help="events a second")
    parser.add_argument("--seconds", type=float, default=Load().seconds)
    parser.add_argument("--write", action="store_true", help="keep the result in benchmarks/results")
    chosen = parser.parse_args(arguments)
    show("acknowledgement", asyncio.run(table(Load(chosen.rate, chosen.seconds))), write=chosen.write)


if __name__ == "__main__":
    main()
