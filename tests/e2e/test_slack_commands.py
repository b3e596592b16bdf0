"""The whole program on Slack: every command responds, a question by command streams and survives a kill."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.interactions.commands import COMMANDS, Kind
from tests.e2e.test_program import numbered
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.support.process import Running, bot
from tests.support.slack import for_program, program_ready
from tests.support.stopwatch import Stopwatch

pytestmark = pytest.mark.sockets(seconds=90)

CALLS = [command.name for command in COMMANDS if command.kind is Kind.CALL]


@asynccontextmanager
async def program(double: SlackDouble, model: OpenAIDouble, folder: Path, **more: str) -> AsyncIterator[Running]:
    """The program on both servers, connected, with its journal in a folder."""
    named = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
    named |= double.environment | {"JOURNAL_URL": f"sqlite:///{folder}/journal.db"}
    async with bot(named | more) as running:
        await program_ready(double)
        yield running


@pytest.mark.transports("socket", "http")
async def test_every_command_responds(tmp_path: Path) -> None:
    """Each command, an unknown word and no word at all get a private response, typed in either way, in any place."""
    double = for_program()
    ann, channel = double.world.user("Ann"), double.world.channel()
    dm, root = double.direct_with(ann), double.say(channel, "hello", author=ann, quiet=True)
    async with double.running(), OpenAIDouble() as model, program(double, model, tmp_path):
        expected = 0
        for place in (channel, dm):
            for text in (*CALLS, "", "hlep", "model nonsense", "xyzzy"):
                envelope = await double.command(place, text, author=ann)
                expected += 1
                async with asyncio.timeout(10):
                    await double.until(lambda envelope=envelope: envelope.acked)  # type: ignore[misc]  # bound now
                    await double.until(lambda count=expected: len(double.interactive.seen_by(ann)) == count)  # type: ignore[misc]  # bound now
        for text in CALLS:
            double.say(channel, f"<@UBOT> !{text}", author=ann, thread=root)
            expected += 1
            async with asyncio.timeout(10):
                await double.until(lambda count=expected: len(double.interactive.seen_by(ann)) == count)  # type: ignore[misc]  # bound now
        assert all(said.strip() for said in double.interactive.seen_by(ann))
        assert "/tickertape help" in double.interactive.seen_by(ann)[len(CALLS) + 1]
        assert double.answers(channel) == double.answers(dm) == []
        assert double.limited == []


async def test_a_question_by_command_streams_completely(tmp_path: Path) -> None:
    """A thousand words arrive below the quoted question, in one message, growing in between."""
    double = for_program()
    ann, channel = double.world.user("Ann"), double.world.channel()
    answer = Answer(numbered(1_000), words_per_second=400)
    async with double.running(), OpenAIDouble(default=answer) as model, program(double, model, tmp_path) as running:
        await double.command(channel, "ask Why, <!channel|channel>?", author=ann)
        await running.says("turn ended")
        (text,) = double.answers(channel)
        assert text == f"> Why, \\@channel?\n\n{numbered(1_000)}"
        assert sum(wrote.channel == channel for wrote in double.writes) > 2
        assert double.limited == []
        home = double.world.user("Bob")
        double.open_home(home)
        async with asyncio.timeout(10):
            await double.until(lambda: home in double.interactive.homes)


@pytest.mark.transports("socket", "http")
@pytest.mark.slow
async def test_a_question_by_command_survives_a_kill(tmp_path: Path) -> None:
    """After kill -9 in the middle of its answer, the next process completes the same message, once."""
    double = for_program()
    ann, channel = double.world.user("Ann"), double.world.channel()
    answer = Answer(numbered(100), words_per_second=40)
    async with double.running(), OpenAIDouble(default=answer) as model:
        async with program(double, model, tmp_path) as first:
            await double.command(channel, "ask Why?", author=ann)
            async with asyncio.timeout(20):
                await double.until(lambda: any("word5" in text for text in double.answers(channel)))
            await first.stop(signal.SIGKILL)
        async with program(double, model, tmp_path) as second:
            await second.says("turn ended")
            assert double.answers(channel) == [f"> Why?\n\n{numbered(100)}"]


@pytest.mark.slow
async def test_try_again_on_a_command(tmp_path: Path) -> None:
    """The button below the answer to a command replaces it in the same message, also after a restart."""
    double = for_program()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running():
        async with OpenAIDouble(default=Answer("First answer.")) as model, program(double, model, tmp_path) as first:
            await double.command(channel, "ask Is 1 &lt; 2?", author=ann)
            await first.says("turn ended")
        async with OpenAIDouble(default=Answer("Second answer.")) as model, program(double, model, tmp_path) as second:
            (message,) = [each for each in double.world.messages[channel].values() if each.get("user") == "UBOT"]
            await double.interactive.press(channel, message, "Try again", author=ann)
            await second.says("turn ended")
            assert double.answers(channel) == ["> Is 1 \\< 2?\n\nSecond answer."]
            assert "Is 1 < 2?" in str(model.requests[-1])


@pytest.mark.alone
async def test_a_flood_of_commands(tmp_path: Path) -> None:
    """A hundred commands at once are each acknowledged within three seconds and answered in private."""
    double = for_program()
    channel = double.world.channel()
    people = [double.world.user(f"P{number}") for number in range(20)]
    async with double.running(), OpenAIDouble() as model, program(double, model, tmp_path) as running:
        watch = Stopwatch(running.process.pid)
        envelopes = [await double.command(channel, "usage", author=person) for person in people for _ in range(5)]
        await double.until(lambda: all(envelope.acked for envelope in envelopes))
        assert watch.seconds < 3
        async with asyncio.timeout(60):
            await double.until(lambda: all(len(double.interactive.seen_by(person)) == 5 for person in people))
        assert double.limited == []
