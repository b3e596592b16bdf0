"""The whole program, as a process, between real sockets: what an operator starts, and what a reader then sees."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from yarl import URL

from adapters.journal import MemoryJournal
from adapters.prometheus import PrometheusRecorder
from bot.bootstrap import make_turns
from bot.bootstrap_platforms import make_discord_options, make_slack_options, make_strings
from bot.conversation import TurnKey
from bot.errors import NotFound
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.lifecycle import serve
from bot.ownership.holder import LaneHolder
from bot.ports import Inbox, OpenedQuestion
from bot.strings import Strings
from config.settings import Settings
from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, Drop, Fault, Manner, OpenAIDouble, Script, Status
from tests.servers.slack import SlackDouble
from tests.support.fakes import ScriptedModel
from tests.support.process import PROGRAM, Running, bot
from tests.support.slack import OVER_HTTP, for_program, program_ready, transport_of

pytestmark = pytest.mark.sockets(seconds=90)

SHORT_BACKOFF = {"TICKERTAPE_BACKOFF_SECONDS": "0.1"}
SHORT_WAITS = SHORT_BACKOFF | {"TICKERTAPE_STREAM_IDLE_TIMEOUT": "1"}
# A server that is silent for longer is asked again. One that is not, is silent for less, even on a busy machine.
IDLE_SECONDS = 4


def numbered(words: int, word: str = "word") -> str:
    """A text of so many words with their numbers."""
    return " ".join(f"{word}{number}" for number in range(words))


class Place(Protocol):
    """A platform's double, as these tests use it."""

    limited: list[tuple[str, str]]
    environment: dict[str, str]

    def ask(self, text: str, *, place: int = 0, guest: bool = False) -> str:
        """Somebody asks in channel number `place`; returns the message's id."""
        ...

    def answers(self, question: str, place: int = 0) -> list[str]:
        """The bot's messages that answer the question, from top to bottom."""
        ...

    def files(self, question: str, place: int = 0) -> list[str]:
        """The texts of the files that the bot attached to them."""
        ...

    async def until_connected(self) -> None: ...


class DiscordPlace:
    """Discord: a mention in a guild's channel, answered by replies to it."""

    def __init__(self, double: DiscordDouble) -> None:
        self.double = double
        self.limited = double.limited
        self.guild = double.world.guild()
        self.channels = [double.world.channel(self.guild, f"c{number}") for number in range(4)]
        self.asker = double.world.user("Dana")
        self.environment = double.environment

    def ask(self, text: str, *, place: int = 0, guest: bool = False) -> str:
        return self.double.say(self.channels[place], f"<@{self.double.world.bot}> {text}", author=self.asker)

    def answers(self, question: str, place: int = 0) -> list[str]:
        shown = self.double.shown(self.channels[place])
        return [each.text for each in shown if each.reply_to == question]

    def files(self, question: str, place: int = 0) -> list[str]:
        shown = self.double.shown(self.channels[place])
        attached = [self.double.files.get(each.id, []) for each in shown if each.reply_to == question]
        return [data.decode() for files in attached for _, data in files]

    async def until_connected(self) -> None:
        await self.double.until(lambda: self.double.gateway.connected > 0)


class SlackPlace:
    """Slack: a mention in a channel, answered in its thread."""

    def __init__(self, double: SlackDouble) -> None:
        self.double = double
        self.limited = double.limited
        self.channels = [double.world.channel() for _ in range(4)]
        self.asker = double.world.user("Dana")
        self.guest = double.world.user("Gil", guest=True)
        self.environment = double.environment

    def ask(self, text: str, *, place: int = 0, guest: bool = False) -> str:
        author = self.guest if guest else self.asker
        return self.double.say(self.channels[place], f"<@{self.double.world.bot_user}> {text}", author=author)

    def answers(self, question: str, place: int = 0) -> list[str]:
        return self.double.answers(self.channels[place], question)

    def files(self, question: str, place: int = 0) -> list[str]:
        return [text for _, text in self.double.attached(self.channels[place], question)]

    async def until_connected(self) -> None:
        await program_ready(self.double)


@asynccontextmanager
async def everything(
    platform: str, model: OpenAIDouble, *, program: Sequence[str] | None = None, **more: str
) -> AsyncIterator[tuple[Place, Running]]:
    """A platform's double with the program connected to it and to the model's."""
    double = DiscordDouble() if platform == "discord" else for_program(transport_of(platform))
    async with double.running():
        place = DiscordPlace(double) if isinstance(double, DiscordDouble) else SlackPlace(double)
        named = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m"}
        async with bot(named | place.environment | more, program=program) as running:
            await place.until_connected()
            yield place, running


both = pytest.mark.parametrize("platform", ["discord", "slack"])
all_transports = pytest.mark.parametrize("platform", ["discord", "slack", OVER_HTTP])


@all_transports
async def test_answers_arrive_whole_side_by_side(platform: str) -> None:
    """Two answers in one channel and one in another, at 40 words a second: whole, in order, and no 429."""
    async with (
        OpenAIDouble(default=Answer(numbered(120), words_per_second=40)) as model,
        everything(platform, model, program=PROGRAM) as (place, running),
    ):
        asked = [(place.ask("why?"), 0), (place.ask("how?"), 0), (place.ask("what?", place=1), 1)]
        for _ in asked:
            await running.says("turn ended")
        while sum("turn ended" in line for line in running.lines) < len(asked):
            await asyncio.sleep(0.05)
        for question, number in asked:
            assert " ".join(place.answers(question, number)).split() == numbered(120).split()
        assert not place.limited
        assert await running.stop() == 0


@both
async def test_thinking_shows_in_a_line_and_never_in_the_answer(platform: str) -> None:
    """A local model that thinks in tags within its text: a line of small print, then the answer and nothing else."""
    thinking = Answer(f"<think>{numbered(60)}. So.</think>\n\n{numbered(40)}", words_per_second=25)
    async with (
        OpenAIDouble(default=thinking) as model,
        everything(platform, model, TICKERTAPE_REASONING="line") as (place, running),
    ):
        question = place.ask("why?")
        while not any("Thinking: " in text for text in place.answers(question)):
            await asyncio.sleep(0.02)
        await running.says("turn ended")
        (answer,) = place.answers(question)
        assert answer.split() == numbered(40).split()
        assert not place.limited


@both
@pytest.mark.parametrize(("characters", "most"), [(3_000, 10), (10_000, 10), (100_000, 3)])
async def test_a_long_answer_arrives_whole(platform: str, characters: int, most: int) -> None:
    """However long it is: in so many messages at the most, the rest in one file, every word once and in order."""
    text = numbered(characters // 9)[:characters]
    async with (
        OpenAIDouble(default=Answer(text, words_per_second=8_000)) as model,
        everything(platform, model, TICKERTAPE_MAX_MESSAGES=str(most)) as (place, running),
    ):
        question = place.ask("why?")
        await running.says("turn ended")
        messages, files = place.answers(question), place.files(question)
        told = [message for message in messages if Strings().rest not in message]
        assert " ".join([*told, *files]).split() == text.split()
        assert len(told) <= most
        assert len(files) == len(messages) - len(told) <= 1
        assert not place.limited


FAULTS: dict[str, list[Script]] = {
    "cut": [Answer(numbered(60), words_per_second=120, fault=Fault.ABORT)],
    "error event": [Answer(numbered(60), words_per_second=120, fault=Fault.ERROR_EVENT)],
    "malformed": [Answer(numbered(60), words_per_second=120, fault=Fault.MALFORMED)],
    "silence": [Answer(numbered(60), words_per_second=120, fault=Fault.STALL)],
    "no finish reason": [Answer(numbered(60), words_per_second=120, fault=Fault.END)],
    "not ready": [Status(503, message="Loading model"), Status(502, raw="<html></html>", content_type="text/html")],
    "500 twice": [Status(500), Status(500)],
    "429 twice": [Status(429, headers={"Retry-After": "1"}), Status(429)],
    "dropped": [Drop(), Drop(reset=True)],
    "streaming never works": [],
}


@both
async def test_whatever_the_stream_does_the_answer_arrives_whole(platform: str) -> None:
    """Each fault in turn, in one process that goes on: the answer is whole, once, in the same message."""
    whole = numbered(60)
    async with (
        OpenAIDouble(default=Answer(whole, words_per_second=120)) as model,
        everything(platform, model, **SHORT_WAITS) as (place, running),
    ):
        for number, (fault, scripts) in enumerate(FAULTS.items(), 1):
            model.queue(*scripts)
            model.streaming = Status(500) if fault == "streaming never works" else None
            question = place.ask(fault, place=number % 4)
            while sum("turn ended" in line for line in running.lines) < number:
                await asyncio.sleep(0.02)
            assert [text.split() for text in place.answers(question, number % 4)] == [whole.split()], fault
        assert not place.limited


SERVERS: dict[str, Answer] = {
    "a finish reason with each chunk": Answer(
        numbered(6), times=(0.0, 0.6, 1.2, 1.8, 2.4, 3.0, 3.6), manner=Manner(finish_each=True, usage_each=True)
    ),
    "text behind the finish reason": Answer(numbered(6), manner=Manner(late=((0.4, " and more"),))),
    "no finish reason": Answer(numbered(6), finish=None),
    "camel case, no [DONE]": Answer(numbered(6), done=False, manner=Manner(finish_field="finishReason")),
    "no blank lines": Answer(numbered(6), manner=Manner(blank_lines=False, last_blank=False)),
    "signs of life": Answer(numbered(6), reasoning="hm", manner=Manner(quiet=IDLE_SECONDS + 1.0, alive_by="encrypted")),
    "another label": Answer(numbered(6), manner=Manner(label="application/json")),
    "one body of JSON": Answer(numbered(6), manner=Manner(plain=True)),
    "never closes": Answer(numbered(6), done=False, manner=Manner(alive_after=True)),
    "a word of its own": Answer(numbered(6), finish="end_turn"),
    "channels": Answer(
        f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{numbered(6)}"
    ),
}


async def test_servers_of_all_kinds_are_understood() -> None:
    """Each is healthy in a way of its own: its answer arrives whole, once, after one call, and without a notice."""
    waits = SHORT_BACKOFF | {"TICKERTAPE_STREAM_IDLE_TIMEOUT": str(IDLE_SECONDS)}
    async with OpenAIDouble() as model, everything("discord", model, **waits) as (place, running):
        for number, (kind, answer) in enumerate(SERVERS.items(), 1):
            model.queue(answer)
            question = place.ask(kind, place=number % 4)
            while sum("turn ended" in line for line in running.lines) < number:
                await asyncio.sleep(0.02)
            expected = numbered(6) + "".join(text for _, text in answer.manner.late)
            assert [text.split() for text in place.answers(question, number % 4)] == [expected.split()], kind
            assert len(model.requests) == number, kind


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer(numbered(6), finish="MAX_TOKENS"), Strings().length),
        (Answer("", finish="model_length"), Strings().length),
        (Answer(numbered(6), finish="SAFETY"), Strings().filtered),
        (Answer("", reasoning="hm"), Strings().thought_only),
        (Answer("", tool=("clock", "{}"), finish="tool_calls"), Strings().tools_only),
    ],
    ids=["cut", "cut at once", "filtered", "only thinking", "only a call"],
)
async def test_an_answer_that_is_none_is_told_once(answer: Answer, line: str) -> None:
    """After one call, in our own words."""
    async with OpenAIDouble(default=answer) as model, everything("discord", model) as (place, running):
        question = place.ask("why?")
        await running.says("turn ended")
        (shown,) = place.answers(question)
        assert line.partition(" (ref")[0] in shown
        assert len(model.requests) == 1


async def test_the_responses_api_does_the_same() -> None:
    """The other of OpenAI's interfaces, by setting: whole, also after a stream that says of itself that it failed."""
    whole = numbered(60)
    async with (
        OpenAIDouble(default=Answer(whole, words_per_second=120)) as model,
        everything("discord", model, TICKERTAPE_API="responses", **SHORT_BACKOFF) as (place, running),
    ):
        model.queue(Answer(whole, words_per_second=120, fault=Fault.FAILED))
        question = place.ask("why?")
        await running.says("turn ended")
        assert [text.split() for text in place.answers(question)] == [whole.split()]
        assert [(request.path, request.body["store"]) for request in model.requests] == [("/v1/responses", False)] * 2


@both
async def test_nothing_in_an_answer_pings_and_strangers_get_none(platform: str) -> None:
    """Mentions in the model's text reach the platform defused; who is not on the list is not answered."""
    loud = "<!channel> <@U0000001> @everyone <@&1> <!here> done"
    async with OpenAIDouble(default=Answer(loud)) as model:
        async with everything(platform, model) as (place, running):
            question = place.ask("shout")
            await running.says("turn ended")
            text = place.answers(question)[0]
            if isinstance(place, SlackPlace):
                assert "<!channel>" not in text
                assert "<@U" not in text
                place.ask("hello", place=1, guest=True)
                await running.says("why=access")
            elif isinstance(place, DiscordPlace):
                posts = list(place.double.posts.values())
                assert [set(post.pinged) for post in posts] == [{place.asker}]
        async with everything(platform, model, TICKERTAPE_ALLOW_USERS="nobody") as (place, running):
            question = place.ask("hello")
            await running.says("why=access")
            assert place.answers(question) == []


@all_transports
async def test_a_stop_signal_finishes_what_is_live(platform: str) -> None:
    """SIGTERM in the middle of an answer: the answer is finished, then the process ends with code 0."""
    async with (
        OpenAIDouble(default=Answer(numbered(100), words_per_second=50)) as model,
        everything(platform, model) as (place, running),
    ):
        question = place.ask("why?")
        received = await model.wait_for(1)
        while len(received.sent) < 20:
            await asyncio.sleep(0.02)
        assert await running.stop() == 0
        assert " ".join(place.answers(question)).split() == numbered(100).split()


async def test_what_cannot_be_finished_is_marked() -> None:
    """With no time left to drain, the reader is told that the answer was interrupted."""
    async with (
        OpenAIDouble(default=Answer(numbered(4000), words_per_second=50)) as model,
        everything("discord", model, TICKERTAPE_DRAIN_SECONDS="0") as (place, running),
    ):
        question = place.ask("why?")
        received = await model.wait_for(1)
        while len(received.sent) < 40:
            await asyncio.sleep(0.02)
        assert await running.stop(signal.SIGINT) == 0
        assert "Interrupted" in place.answers(question)[-1]
        await received.left_early.wait()


# -------------------------------------------------------------------------------------------------- what operators see


class Stub(LaneHolder):
    """A platform that breaks, or runs, and may not be closed in peace."""

    name = "stub"
    ready = True

    def __init__(self, *, breaks: bool) -> None:
        self.breaks = breaks
        self.quieted = self.closed = False

    async def run(self, inbox: Inbox, interactions: Interactions = NO_INTERACTIONS) -> None:
        if self.breaks:
            raise RuntimeError("a frame that nobody can read")
        await asyncio.Event().wait()

    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        raise NotFound("no question here")

    async def stop_accepting(self) -> None:
        self.quieted = True

    async def close(self) -> None:
        self.closed = True
        if self.breaks:
            raise RuntimeError("and no way out either")


async def test_a_platform_that_breaks_takes_no_other_along() -> None:
    """It is logged, the other goes on until it is told to stop, and each is closed."""
    broken, well = Stub(breaks=True), Stub(breaks=False)
    turns = make_turns(Settings.load({}), ScriptedModel([]), PrometheusRecorder(), MemoryJournal())
    asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGTERM)
    with pytest.raises(RuntimeError, match="no way out"):
        await serve(turns, [broken, well], drain_seconds=0.0)
    assert well.quieted
    assert well.closed


def test_what_will_be_gone_on_with_says_so(tmp_path: Path) -> None:
    """An interrupted answer asks to be asked again only where no other process finds it; the operator's words win."""
    settings = Settings.load({}, folder=tmp_path)
    assert make_strings(settings, durable=False) == Strings()
    assert make_strings(settings, durable=True).interrupted == Strings().paused
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "tickertape.toml").write_text("[words]\npaused = 'Gleich mehr.'\nbusy = ''\n")
    said = make_strings(Settings.load({}, folder=tmp_path), durable=True)
    assert (said.interrupted, said.busy, said.stopped) == ("Gleich mehr.", "", Strings().stopped)


async def test_a_malformed_setting_is_one_line_and_code_2(tmp_path: Path) -> None:
    """The line names the setting; nothing is started."""
    async with bot({"PORT": "many"}, folder=tmp_path) as running:
        assert await running.process.wait() == 2
    assert len(running.lines) == 1
    assert "PORT" in running.lines[0]


async def test_a_busy_port_is_one_line(tmp_path: Path) -> None:
    """Where the page was all there is, the program ends; where there is a platform, that is answered all the same."""
    async with bot({}, folder=tmp_path) as first:
        url = URL((await first.says("open http://")).split()[2])
        async with bot({"PORT": str(url.port)}, folder=tmp_path) as second:
            assert await second.process.wait() == 2
        assert "PORT" in second.lines[-1]
        async with (
            OpenAIDouble() as model,
            everything("discord", model, PORT=str(url.port)) as (place, running),
        ):
            place.ask("why?")
            await running.says("ending=done")
            assert "PORT" in await running.says("no health")


async def test_a_wrong_token_is_one_clear_line(tmp_path: Path) -> None:
    """A platform that can never run ends the process where there is no other, and says how to mend it."""
    async with OpenAIDouble() as model, DiscordDouble().running() as double:
        named = double.environment | {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "m", "DISCORD_TOKEN": "wrong"}
        async with bot(named, folder=tmp_path) as running:
            assert await running.process.wait() == 1
    assert any("DISCORD_TOKEN" in line for line in running.lines)
    assert not any("Traceback" in line for line in running.lines)


async def test_check_tells_a_wrong_token_from_a_missing_scope(tmp_path: Path) -> None:
    """`check` tries everything, and each line that is wrong says what to do."""
    async with OpenAIDouble() as model, SlackDouble().running() as double:
        double.scopes -= {"chat:write"}
        named = double.environment | {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "m"}
        async with bot(named, "check", folder=tmp_path) as scope:
            assert await scope.process.wait() == 1
        async with bot(named | {"SLACK_BOT_TOKEN": "xoxb-wrong"}, "check", folder=tmp_path) as token:
            assert await token.process.wait() == 1
    assert any("chat:write" in line for line in scope.lines)
    assert not any("chat:write" in line for line in token.lines)
    assert any("SLACK_BOT_TOKEN" in line for line in token.lines)


def test_times_are_told_in_the_operators_zone(tmp_path: Path) -> None:
    """A time that platforms show in everybody's own zone is told in the one that is set."""
    environ = {"TICKERTAPE_TIMEZONE": "Asia/Tokyo", "DISCORD_TOKEN": "a.b.c", "OPENAI_MODEL": "m"}
    environ |= {"SLACK_BOT_TOKEN": "xoxb-1-1-a", "SLACK_APP_TOKEN": "xapp-1-A-1-a", "OPENAI_API_KEY": "k"}
    settings = Settings.load(environ, folder=tmp_path)
    chosen = make_discord_options(settings), make_slack_options(settings)
    assert [str(options.zone) for options in chosen if options is not None] == ["Asia/Tokyo", "Asia/Tokyo"]
