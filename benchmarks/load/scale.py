"""``python -m benchmarks.load.scale``: the cost of many live answers in one process, and of an idle bot.

Three measures of the program in a process of its own, over real sockets:

- *live*: many answers at once, each in its own Discord channel, under Discord's 50 requests a second overall. Complete
  answers, 429s, event loop delay, memory per answer above idle, processor time.
- *idle*: memory of the bot with Discord and Slack connected, against a bare process importing their SDKs.
- *start*: time from the start of the process until ready, against bare imports.

Memory and processor time are read from /proc: Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp

from benchmarks.load.machine import show
from tests.support.paths import ROOT
from tests.support.process import BARE

Json: TypeAlias = dict[str, Any]

# What the figures are measured against: the three SDKs as the bot uses them, in their asynchronous forms, and nothing
# of them called. The smallest honest form, `import discord, slack_bolt, openai`, is measured too.
BARE_IMPORTS = "import discord, slack_bolt, openai"
BARE_ASYNC_IMPORTS = (
    "import discord, openai, slack_bolt.async_app, slack_bolt.adapter.socket_mode.aiohttp; openai.AsyncOpenAI"
)

# Between two looks at the memory of the bot. Seconds.
LOOK_SECONDS = 0.1

# A report of all texts is one line.
LINE_LIMIT = 2**28


@dataclass(frozen=True, slots=True)
class Load:
    """So many answers at once, of so many words, each sent by the model at so many words a second."""

    replies: int = 1_500
    words: int = 200
    words_per_second: float = 10.0


@dataclass(frozen=True, slots=True)
class Live:
    """What a load came to. Seconds and bytes."""

    load: Load
    whole: int  # answers with every word, in order
    limited: int  # 429s
    lag_p99: float
    lag_max: float
    memory_each: float  # the most that was resident, less what was at rest, for each answer
    seconds: float  # from the first question to the last write
    processor: float  # of the bot's process in that time


@dataclass(frozen=True, slots=True)
class Rest:
    """What the bot costs when nobody asks. Bytes and seconds."""

    resident: int  # both platforms connected
    bare: int  # `BARE_IMPORTS`
    bare_async: int  # `BARE_ASYNC_IMPORTS`
    ready: float  # from the start until both platforms are connected
    help: float  # ``--help``
    imports: float  # `BARE_ASYNC_IMPORTS`


# ------------------------------------------------------------------------------------------------------------ processes


@dataclass
class Child:
    """A process that answers lines of JSON with lines of JSON, or just talks."""

    process: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)

    async def line(self) -> str:
        """The next line that it says. Raises `EOFError` at its end."""
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode()
        if not line:
            raise EOFError("\n".join(self.said[-20:]))
        self.said.append(line.rstrip()[:1000])
        return line

    async def says(self, part: str, times: int = 1) -> None:
        """Wait until so many further lines hold `part`."""
        while times:
            times -= part in await self.line()

    async def tells(self) -> Json:
        """The next line, as JSON."""
        told: Json = json.loads(await self.line())
        return told

    async def asked(self, **command: Any) -> Json:  # noqa: ANN401 (JSON)
        """Send a command; its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        return await self.tells()

    @property
    def resident(self) -> int:
        """Bytes of memory that are its own or shared with nobody else's count but its own (RSS)."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def processor(self) -> float:
        """Seconds of processor time that it has had."""
        numbers = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def child(
    *arguments: str, environment: Mapping[str, str] | None = None, folder: Path = ROOT
) -> AsyncIterator[Child]:
    """Run Python with these arguments in a checkout; at the end it is told to stop, and waited for."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=BARE | dict(environment or {}),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=LINE_LIMIT,
    )
    running = Child(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@asynccontextmanager
async def servers(*kinds: tuple[str, float]) -> AsyncIterator[tuple[dict[str, Child], dict[str, str]]]:
    """The other sides, by name, and the environment that leads the bot to them."""
    environment = {"OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
    async with AsyncExitStack() as stack:
        sides: dict[str, Child] = {}
        for kind, number in kinds:
            side = sides[kind] = await stack.enter_async_context(
                child("-m", "benchmarks.cpu.servers", kind, str(number))
            )
            hello = await side.tells()
            if kind == "model":
                environment["OPENAI_BASE_URL"] = hello["url"]
            else:  # what an adapter's options call api_url is DISCORD_API_URL in the environment
                environment |= {f"{kind}_{name}".upper(): text for name, text in hello["options"].items()}
        yield sides, environment


# ----------------------------------------------------------------------------------------------------------------- live


async def measure_live(load: Load) -> Live:
    """Have all asked at once, and wait until all are answered."""
    loop, resident = asyncio.get_running_loop(), [0]
    with tempfile.TemporaryDirectory() as folder:
        lags = Path(folder) / "lags.json"
        async with servers(("model", load.words_per_second), ("discord", load.replies)) as (sides, environment):
            environment |= {"TICKERTAPE_MAX_CONCURRENT_TURNS": str(load.replies)}
            async with child("-m", "benchmarks.load.bot", str(lags), environment=environment) as bot:
                await bot.says("connected to Discord")
                await asyncio.sleep(1.0)  # what is left of the start is not the load's
                idle, began, spent = bot.resident, loop.time(), bot.processor
                async with asyncio.TaskGroup() as group:
                    looking = group.create_task(_look(bot, resident))
                    await sides["discord"].asked(ask=[load.words] * load.replies)
                    await bot.says("turn ended", load.replies)
                    ended, spent = loop.time(), bot.processor - spent
                    looking.cancel()
                report = await sides["discord"].asked(report=None)
        noted = json.loads(lags.read_text())
    late = [lag for at, lag in zip(noted["times"], noted["lags"], strict=True) if began <= at <= ended]
    return Live(
        load=load,
        whole=sum(words == load.words for words in report["words"]),
        limited=report["limited"],
        lag_p99=statistics.quantiles(late, n=100)[98],
        lag_max=max(late),
        memory_each=(max(resident) - idle) / load.replies,
        seconds=ended - began,
        processor=spent,
    )


async def _look(bot: Child, resident: list[int]) -> None:
    """Note what is resident, until cancelled."""
    while True:
        resident.append(bot.resident)
        await asyncio.sleep(LOOK_SECONDS)


# ------------------------------------------------------------------------------------------------------- idle and start


async def measure_rest() -> Rest:
    """Start the bot between both platforms, and look at it when nobody asks."""
    loop = asyncio.get_running_loop()
    async with servers(("model", 10.0), ("discord", 4), ("slack", 4)) as (_, environment):
        began = loop.time()
        async with child("-m", "bot", environment=environment) as bot:
            await ready(bot)
            seconds = loop.time() - began
            await asyncio.sleep(2.0)
            resident = bot.resident
    bare, _ = await _imported(BARE_IMPORTS)
    bare_async, imports = await _imported(BARE_ASYNC_IMPORTS)
    began = loop.time()
    async with child("-m", "bot", "--help") as asked:
        await asked.process.communicate()
    return Rest(resident, bare, bare_async, seconds, loop.time() - began, imports)


async def ready(bot: Child) -> None:
    """Wait until the bot's own site says that every platform is connected."""
    line = ""
    while "site=" not in line:
        line = await bot.line()
    site = line.partition("site=")[2].split()[0]
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{site}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.01)


async def _imported(imports: str) -> tuple[int, float]:
    """What a process that imports this and does nothing has resident, and how long it took to start. Bytes, seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with child("-c", f"{imports}\nprint('imported', flush=True)\ninput()") as process:
        await process.says("imported")
        return process.resident, loop.time() - began


# ---------------------------------------------------------------------------------------------------------------- table


def lines_of_live(live: Live) -> list[str]:
    """The result as lines for people."""
    load = live.load
    return [
        f"{load.replies:,} answers of {load.words} words, {load.words_per_second:g} a second, in channels of their own",
        f"  whole               {live.whole:,} of {load.replies:,}",
        f"  429s                {live.limited}",
        f"  loop's lag          {live.lag_p99 * 1000:.0f} ms in 99 of 100 looks, {live.lag_max * 1000:.0f} ms at most",
        f"  memory of each      {live.memory_each / 1024:.1f} KiB above idle",
        f"  processor           {live.processor:.1f} s of {live.seconds:.1f} s",
    ]


def lines_of_rest(rest: Rest) -> list[str]:
    """The result as lines for people."""
    resident, bare, bare_async = (size / 2**20 for size in (rest.resident, rest.bare, rest.bare_async))
    return [
        "at rest, Discord and Slack connected",
        f"  resident            {resident:.1f} MiB",
        f"  bare, synchronous   {bare:.1f} MiB: {resident / bare:.2f} x",
        f"  bare, as we use it  {bare_async:.1f} MiB: {resident / bare_async:.2f} x",
        f"  start               ready in {rest.ready:.2f} s, --help in {rest.help:.2f} s, bare in {rest.imports:.2f} s",
    ]


async def measure(load: Load, *, rest: bool, runs: int = 1) -> list[str]:
    """Measure, and return the lines to print: those of every run, since the loop's lag differs much between them."""
    lines = [line for _ in range(runs if load.replies else 0) for line in lines_of_live(await measure_live(load))]
    return [*lines, *(lines_of_rest(await measure_rest()) if rest else [])]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, and keep them where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.scale", description=__doc__)
    usual = Load()
    parser.add_argument("--replies", type=int, default=usual.replies, help="0: no live ones")
    parser.add_argument("--words", type=int, default=usual.words)
    parser.add_argument("--words-per-second", type=float, default=usual.words_per_second)
    parser.add_argument("--no-rest", action="store_true", help="leave out what the bot costs at rest")
    parser.add_argument("--runs", type=int, default=3, help="how often the live ones are measured")
    parser.add_argument("--write", action="store_true", help="keep the result in benchmarks/results")
    chosen = parser.parse_args(arguments)
    load = Load(chosen.replies, chosen.words, chosen.words_per_second)
    show("scale", asyncio.run(measure(load, rest=not chosen.no_rest, runs=chosen.runs)), write=chosen.write)


if __name__ == "__main__":
    main()
