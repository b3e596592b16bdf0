"""Traces of the whole program, as a process: what a collector receives, and what a missing one does to the bot."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble, Status
from tests.servers.otlp import Collector
from tests.support.paths import ROOT
from tests.support.process import BARE, Running, bot

pytestmark = pytest.mark.sockets(seconds=90)

ANSWER = " ".join(f"word{number}" for number in range(60))
OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
SECRET = "hunter2-secret"


class Guild:
    """A Discord server with one channel and one person."""

    def __init__(self, double: DiscordDouble) -> None:
        self.double = double
        self.channel = double.world.channel(double.world.guild(), "general")
        self.asker = double.world.user("Dana")

    def ask(self, text: str = "why-so-secret?") -> str:
        return self.double.say(self.channel, f"<@{self.double.world.bot}> {text}", author=self.asker)

    def answer(self, question: str) -> str:
        return " ".join(each.text for each in self.double.shown(self.channel) if each.reply_to == question)

    async def until_answered(self, question: str) -> None:
        await self.double.until(lambda: self.answer(question).split() == ANSWER.split())


@asynccontextmanager
async def running(
    variables: Mapping[str, str], model: OpenAIDouble | None = None, folder: Path = ROOT
) -> AsyncIterator[tuple[Guild, Running]]:
    """The program between a guild, a model and whatever the variables name."""
    double = DiscordDouble()
    async with (
        model or OpenAIDouble(default=Answer(ANSWER, words_per_second=60)) as server,
        double.running(),
    ):
        guild = Guild(double)
        named = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
        async with bot(named | double.environment | dict(variables), folder=folder) as process:
            await double.until(lambda: double.gateway.connected > 0)
            yield guild, process


async def test_a_collector_receives_a_turn_with_its_children() -> None:
    """Two attempts, the first post and the final edit below one turn, with the operator's resource and headers."""
    model = OpenAIDouble(Status(503), default=Answer(ANSWER, words_per_second=40))
    async with Collector().running() as collector:
        variables = OFTEN | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRET}",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        }
        async with running(variables, model) as (guild, process):
            question = guild.ask()
            await collector.until_turns(1)
            assert guild.answer(question).split() == ANSWER.split()
            assert await process.stop() == 0
    (turn,) = collector.turns
    first, second, post, edit = collector.below(turn)
    assert [first.name, second.name, post.name, edit.name] == ["chat m", "chat m", "first post", "final edit"]
    assert first.failed
    assert first.attributes["error.type"] == "unready"
    assert second.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert second.attributes["server.address"] == "127.0.0.1"
    assert turn.attributes["tickertape.platform"] == "discord"
    assert turn.resource["service.name"] == "tickertape"
    assert turn.resource["deployment.environment.name"] == "tests"
    assert turn.schema == "https://opentelemetry.io/schemas/gen-ai/1.42.0"
    assert all(turn.began <= span.began <= span.ended <= turn.ended for span in collector.below(turn))
    assert collector.headers[0]["authorization"] == f"Bearer {SECRET}"
    shown = b"".join(collector.bodies)
    assert not any(text in shown for text in (b"why-so-secret", b"word1", b"Dana", guild.asker.encode()))
    assert SECRET not in "\n".join(process.lines)


async def test_the_process_that_continues_an_answer_sends_into_the_same_trace(tmp_path: Path) -> None:
    """The first process is stopped in mid-answer; the second one's span links to the first one's."""
    model = OpenAIDouble(default=Answer(ANSWER, words_per_second=20))
    double = DiscordDouble()
    async with Collector().running() as collector, model as server, double.running():
        guild = Guild(double)
        named = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
        own = {"JOURNAL_URL": f"sqlite:///{tmp_path}/turns.db", "TICKERTAPE_DRAIN_SECONDS": "0"}
        variables = named | double.environment | own | OFTEN | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        async with bot(variables) as process:
            await double.until(lambda: double.gateway.connected > 0)
            question = guild.ask()
            await double.until(lambda: "word9" in guild.answer(question))
            assert await process.stop() == 0
        async with bot(variables):
            await guild.until_answered(question)
            await collector.until_turns(2)
    before, after = collector.turns
    assert before.attributes["tickertape.ending"] == "interrupted"
    assert after.attributes["tickertape.ending"] == "done"
    assert before.trace == after.trace
    assert before.links == ()
    assert after.links == ((before.trace, before.id),)
    assert collector.below(before)
    assert collector.below(after)


async def test_bad_variables_are_lines_and_the_last_turn_is_sent_at_the_end(tmp_path: Path) -> None:
    """Each bad value in `.env` is named once; spans in the queue leave with the program, long before their time."""
    bad = {
        "OTEL_EXPORTER_OTLP_HEADERS": SECRET,
        "OTEL_BSP_MAX_QUEUE_SIZE": "many",
        "OTEL_TRACES_SAMPLER": "sometimes",
    }
    async with Collector().running() as collector:
        named = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "bot-7"}
        lines = [f'{name}="{value}"\n' for name, value in (named | bad).items()]
        (tmp_path / ".env").write_text("".join(lines), encoding="utf-8")
        async with running({}, folder=tmp_path) as (guild, process):
            await guild.until_answered(guild.ask())
            await process.says("turn ended")
            assert not collector.spans
            assert await process.stop() == 0
        assert [span.resource["service.name"] for span in collector.turns] == ["bot-7"]
    for name in bad:
        assert sum(name in line for line in process.lines) == 1
    assert SECRET not in "\n".join(process.lines)
    assert "Traceback" not in "\n".join(process.lines)


@pytest.mark.parametrize("fault", ["hanging", "401"])
async def test_a_bad_collector_costs_a_line_and_no_answer(fault: str) -> None:
    """Answers come as ever, the end takes at most seconds, and the log holds one warning without any secret."""
    async with Collector(status=401 if fault == "401" else 200).running() as collector:
        if fault == "hanging":
            collector.answers.clear()
        variables = OFTEN | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={SECRET}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5",
            "TICKERTAPE_LOG_LEVEL": "debug",
        }
        async with running(variables) as (guild, process):
            loop = asyncio.get_running_loop()
            for _ in range(3):
                await guild.until_answered(guild.ask())
            await process.says("traces do not reach the collector")
            began = loop.time()
            assert await process.stop() == 0
            assert loop.time() - began < 25.0  # the SDK alone would wait for 30
    lines = "\n".join(process.lines)
    assert lines.count("traces do not reach") == 1
    assert SECRET not in lines
    assert "Traceback" not in lines
    assert not any("opentelemetry" in line and "adapters.opentelemetry" not in line for line in process.lines)


# -------------------------------------------------------------------------------------------- what is loaded, and when

LOADED = """
import sys
from config.settings import Settings
from contextlib import AsyncExitStack
import asyncio
from bot.bootstrap import open_bot

async def main():
    variables = dict(pair.split("=", 1) for pair in sys.argv[1:])
    async with AsyncExitStack() as stack:
        await open_bot(Settings.load(variables), stack, print)
        print(sorted(name for name in sys.modules if name.startswith(("opentelemetry", "requests", "google"))))

asyncio.run(main())
"""

# As if the extra were not installed: the packages cannot be found.
WITHOUT_EXTRA = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""

ALONE = ["TICKERTAPE_EMBEDDED=off", "OPENAI_BASE_URL=http://127.0.0.1:1/v1", "OPENAI_MODEL=m", "PORT=0"]


async def child(program: str, arguments: Sequence[str]) -> str:
    """The output of a program in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        *arguments,
        env=BARE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.parametrize(
    "variables",
    [
        ["OTEL_SERVICE_NAME=bot"],
        ["OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_SDK_DISABLED=true"],
    ],
    ids=str,
)
async def test_without_a_collector_nothing_is_loaded(variables: list[str]) -> None:
    """The whole bot is built, and no module of OpenTelemetry is: whoever does not use it does not pay for it."""
    assert (await child(LOADED, [*ALONE, *variables])).splitlines()[-1] == "[]"


async def test_with_a_collector_it_is_loaded() -> None:
    """The check above can fail."""
    output = await child(LOADED, [*ALONE, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"])
    assert "opentelemetry.sdk.trace" in output


async def test_without_the_extra_one_line_says_how_to_install_it() -> None:
    """The bot is built all the same."""
    output = await child(WITHOUT_EXTRA + LOADED, [*ALONE, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"])
    line, loaded = output.splitlines()
    assert line == "no traces are sent, since OpenTelemetry is not installed: pip install 'tickertape[otel]'"
    assert "opentelemetry" not in loaded
