"""``python -m benchmarks.cpu.cost``: processor time of an answer, against the bare SDKs in the same run.

Three measures of this process's processor time over real sockets, and their ratio. Servers are separate processes
(`benchmarks.cpu.servers`), so their time is not counted.

- *typed*: the OpenAI SDK's own loop over its typed chunks, with as many streams as answers.
- *bare writes*: the texts written by the bot, posted and edited by discord.py or slack_sdk alone.
- *bot*: the whole bot, built as in `bot.bootstrap`, from the questions to the last write.

The ratio is the bot's time over the sum of the other two. The model sends 40 words a second, one per chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp
import discord
import openai
from discord.http import Route
from openai.types.chat import ChatCompletionUserMessageParam
from slack_sdk.web.async_client import AsyncWebClient

from adapters.discord import DiscordOptions, DiscordPlatform
from adapters.journal import MemoryJournal
from adapters.openai import OpenAIModel, OpenAIOptions
from adapters.prometheus import PrometheusRecorder
from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import SlackOptions, SlackPlatform
from adapters.slack.messages.blocks import with_blocks
from benchmarks.load.machine import show
from bot.ownership.access import SoleOwner
from bot.telemetry import TurnRecord
from tests.support.core import make_turns

Texts: TypeAlias = Sequence[Sequence[Sequence[str]]]  # by channel, by message, one after another

# Between two bare writes in one channel: within every platform's limits, so that no client waits for them. Slack's 50
# edits in any 60 s are of the workspace, where our answers are so few that each channel's share is small. Seconds.
BARE_GAP = {"discord": 1.1, "slack": 1.1}
SLACK_EDITS, SLACK_GAP = 48, 1.3  # beyond so many edits in all, so far apart in all


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked: an answer of so many words in each of as many channels, all at once."""

    words: Sequence[int]
    words_per_second: float = 40.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds, and what they bought."""

    platform: str
    words: int
    writes: int
    typed: float  # the bare SDK loop
    bare: float  # as many bare writes
    bot: float
    limited: int  # 429s
    whole: int  # answers with every word

    @property
    def ratio(self) -> float:
        """The bot's cost over that of the bare parts."""
        return self.bot / (self.typed + self.bare)


# ---------------------------------------------------------------------------------------------------- the other sides


class Child:
    """A process of `cost_servers`: commands out, answers in."""

    def __init__(self, process: asyncio.subprocess.Process, about: dict[str, Any]) -> None:
        self._process = process
        self.about = about

    async def tell(self, command: str, argument: object = None) -> dict[str, Any]:
        """Send a command and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({command: argument}).encode() + b"\n")
        return await _line(self._process)


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(await process.stdout.readline())
    return answer


@asynccontextmanager
async def child(*arguments: str) -> AsyncIterator[Child]:
    """Run one of the servers for as long as this is entered."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.cpu.servers", *arguments, stdin=pipe, stdout=pipe, limit=2**26
    )
    try:
        yield Child(process, await _line(process))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def spent(doing: Callable[[], Awaitable[object]]) -> float:
    """The processor seconds of this process that something takes."""
    gc.collect()
    began = time.process_time()
    await doing()
    return time.process_time() - began


# -------------------------------------------------------------------------------------------------------- what is bare


async def typed_loop(url: str, load: Load) -> float:
    """The SDK's own loop, all answers at once, as its README shows it."""
    async with openai.AsyncOpenAI(api_key="x", base_url=url) as client:

        async def answer(words: int) -> str:
            message: ChatCompletionUserMessageParam = {"role": "user", "content": f"{words} words"}
            text = ""
            stream = await client.chat.completions.create(model="m", messages=[message], stream=True)
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    text += chunk.choices[0].delta.content
            return text

        async def answers() -> None:
            texts = await asyncio.gather(*(answer(words) for words in load.words))
            assert [len(text.split()) for text in texts] == list(load.words)

        return await spent(answers)


async def bare_writes(platform: str, channels: int, texts: Texts) -> float:
    """The same texts, written by the platform's client alone to a fresh double."""
    async with child(platform, str(channels)) as stage:
        write = _bare_discord if platform == "discord" else _bare_slack
        seconds = await write(stage.about["options"], stage.about["channels"], texts)
        report = await stage.tell("report")
        assert report["limited"] == 0
        assert report["texts"] == texts
        return seconds


async def _bare_discord(options: Mapping[str, str], channels: Sequence[str], texts: Texts) -> float:
    base, Route.BASE = Route.BASE, options["api_url"]
    try:
        async with discord.Client(intents=discord.Intents.none()) as client:
            await client.login(options["token"])

            async def write(channel: str, messages: Sequence[Sequence[str]]) -> None:
                place = client.get_partial_messageable(int(channel))
                for first, *later in messages:
                    message = await place.send(first)
                    for text in later:
                        await asyncio.sleep(BARE_GAP["discord"])
                        await message.edit(content=text)

            return await spent(lambda: asyncio.gather(*map(write, channels, texts)))
    finally:
        Route.BASE = base


async def _bare_slack(options: Mapping[str, str], channels: Sequence[str], texts: Texts) -> float:
    edits = sum(len(message) - 1 for messages in texts for message in messages)
    slowly = asyncio.Semaphore(1 if edits > SLACK_EDITS else len(channels))
    # One session, kept: the client would otherwise open a connection for each call, which no bot should be praised for
    # not doing.
    async with aiohttp.ClientSession() as session:
        web = AsyncWebClient(options["bot_token"], base_url=options["api_url"], session=session)

        async def write(channel: str, messages: Sequence[Sequence[str]]) -> None:
            for first, *later in messages:
                ts = (await web.chat_postMessage(channel=channel, **with_blocks(first)))["ts"]
                for text in later:
                    async with slowly:
                        await asyncio.sleep(BARE_GAP["slack"] if edits <= SLACK_EDITS else SLACK_GAP)
                        await web.chat_update(channel=channel, ts=ts, **with_blocks(text))

        return await spent(lambda: asyncio.gather(*map(write, channels, texts)))


# ------------------------------------------------------------------------------------------------------------- the bot


class _Ended(PrometheusRecorder):
    """The bot's own recorder, which knows when all turns have ended."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self._left = turns
        self.all = asyncio.Event()

    def ended(self, record: TurnRecord) -> None:
        """See `Recorder`."""
        super().ended(record)
        self._left -= 1
        if not self._left:
            self.all.set()


def make_platform(stage: Child, attachments: Attachments) -> DiscordPlatform | SlackPlatform:
    """The real adapter of the stage's platform."""
    options = stage.about["options"]
    if stage.about["platform"] == "discord":
        return DiscordPlatform(DiscordOptions(**options), attachments)
    lanes = SoleOwner()
    platform = SlackPlatform(SlackOptions(**options), attachments, lanes)
    lanes.attach({platform.name: platform})
    return platform


async def whole_bot(url: str, stage: Child, load: Load) -> float:
    """The bot as an operator runs it, with one platform; from the questions to the last write."""
    recorder = _Ended(len(load.words))
    attachments = Attachments(AttachmentLimits(), hosts=frozenset())
    model, platform = OpenAIModel(OpenAIOptions("m", "x", url)), make_platform(stage, attachments)
    turns = make_turns(model, MemoryJournal(), recorder, system_prompt="Be brief.", seed=1)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(turns.run()), group.create_task(platform.run(turns))]
            while not platform.ready:
                await asyncio.sleep(0.05)

            async def ask() -> None:
                await stage.tell("ask", list(load.words))
                await recorder.all.wait()

            seconds = await spent(ask)
            for task in tasks:
                task.cancel()
    finally:
        await platform.close()
        await attachments.close()
        await model.close()
    return seconds


# ------------------------------------------------------------------------------------------------------------ together


async def measure(load: Load, platforms: Sequence[str] = ("discord", "slack")) -> list[Cost]:
    """One run: the SDK's loop once, then for each platform the bot and as many bare writes."""
    costs = []
    async with child("model", str(load.words_per_second)) as model:
        url = model.about["url"]
        typed = await typed_loop(url, load)
        for platform in platforms:
            async with child(platform, str(len(load.words))) as stage:
                bot = await whole_bot(url, stage, load)
                report = await stage.tell("report")
            texts: Texts = report["texts"]
            cost = Cost(
                platform=platform,
                words=sum(load.words),
                writes=sum(len(message) for messages in texts for message in messages),
                typed=typed,
                bare=await bare_writes(platform, len(load.words), texts),
                bot=bot,
                limited=report["limited"],
                whole=sum(a == b for a, b in zip(report["words"], load.words, strict=True)),
            )
            costs.append(cost)
    return costs


def table(costs: Sequence[Cost]) -> list[str]:
    """The costs as lines: milliseconds of processor time."""
    lines = [f"{'processor time, ms':<22}{'in all':>9}{'per 1,000 words':>17}{'per write':>11}"]
    for cost in costs:
        bare = f"{1000 * cost.bare / cost.writes:.2f}"
        above = f"{1000 * (cost.bot - cost.bare) / cost.words * 1000:.0f}"
        lines += [
            f"{cost.platform}: {cost.words} words, {cost.writes} writes, {cost.limited} 429s, {cost.whole} whole",
            f"{'  typed SDK loop':<22}{1000 * cost.typed:>9.0f}{1e6 * cost.typed / cost.words:>17.0f}{'':>11}",
            f"{'  bare client writes':<22}{1000 * cost.bare:>9.0f}{'':>17}{bare:>11}",
            f"{'  the whole bot':<22}{1000 * cost.bot:>9.0f}{1e6 * cost.bot / cost.words:>17.0f}{'':>11}",
            f"{'  without bare writes':<22}{1000 * (cost.bot - cost.bare):>9.0f}{above:>17}{'':>11}",
            f"{'  ratio':<22}{cost.ratio:>9.3f}",
        ]
    return lines


def main() -> None:
    """Print the table, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(description="What an answer costs in processor time.")
    parser.add_argument("--answers", type=int, default=20)
    parser.add_argument("--words", type=int, nargs=2, default=(400, 1000), metavar=("LEAST", "MOST"))
    parser.add_argument("--write", action="store_true", help="keep the result in benchmarks/results")
    parser.add_argument("--platforms", nargs="+", choices=("discord", "slack"), default=("discord", "slack"))
    chosen = parser.parse_args()
    least, most = chosen.words
    steps = max(chosen.answers - 1, 1)
    words = [least + (most - least) * number // steps for number in range(chosen.answers)]
    show("cost", table(asyncio.run(measure(Load(words), chosen.platforms))), write=chosen.write)


if __name__ == "__main__":
    main()
