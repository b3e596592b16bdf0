"""The whole program on Slack: Try again, edited questions and votes, also after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.servers.slack_interactive import labels_of
from tests.support.process import bot

pytestmark = pytest.mark.sockets

# Real seconds; starting the program takes one or two.
PATIENCE = 30.0
# From an edit to the new text: the debounce of two seconds, and three more.
EDIT_SECONDS = 5.0

BUTTONS = ["Try again", "Good answer", "Bad answer"]


@dataclass(slots=True)
class Stage:
    """Slack, a model, and a channel with its members."""

    double: SlackDouble
    model: OpenAIDouble
    environment: Mapping[str, str]
    folder: Path
    ann: str
    bob: str
    channel: str

    @asynccontextmanager
    async def program(self) -> AsyncIterator[None]:
        """The program at work; at the end it is told to stop."""
        opened = self.double.sockets.opened
        async with bot(self.environment, folder=self.folder):
            await self.until(lambda: self.double.sockets.opened > opened)
            yield

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        async with asyncio.timeout(seconds):
            await self.double.until(condition)

    def answers(self, question: str) -> list[str]:
        return self.double.answers(self.channel, question)

    def buttons(self, question: str) -> list[str]:
        """The labels below the last message of an answer."""
        thread = self.double.world.thread(self.channel, question)
        ours = [each for each in thread if each.get("user") == self.double.world.bot_user]
        return labels_of(ours[-1].get("blocks") or []) if ours else []

    def ids(self, question: str) -> list[str]:
        shown = self.double.shown(self.channel, question)
        return [each.ts for each in shown if each.author == self.double.world.bot_user]

    async def ask(self, text: str, answer: Answer) -> str:
        """Ask, and wait for the whole answer with its buttons."""
        self.model.queue(answer)
        question = self.double.say(self.channel, f"<@{self.double.world.bot_user}> {text}", author=self.ann)
        await self.until(lambda: self.answers(question) == [answer.text])
        await self.until(lambda: self.buttons(question) == BUTTONS)
        return question

    async def press(self, question: str, label: str, author: str = "") -> None:
        ts = self.ids(question)[-1]
        envelope = await self.double.press(self.channel, ts, label, author=author or self.ann)
        await self.until(lambda: envelope.acked, 3.0)


@asynccontextmanager
async def stage(tmp_path: Path, **environment: str) -> AsyncIterator[Stage]:
    double = SlackDouble()
    async with OpenAIDouble() as model, double.running():
        world = double.world
        settings = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_MODEL": "m",
            "SLACK_BOT_TOKEN": double.bot_token,
            "SLACK_APP_TOKEN": double.app_token,
            "SLACK_API_URL": double.api_url,
            "JOURNAL_URL": f"sqlite:///{tmp_path / 'journal.db'}",
            **environment,
        }
        people = world.user("Ann"), world.user("Bob")
        yield Stage(double, model, settings, tmp_path, *people, world.channel())


def words(count: int, word: str = "word") -> str:
    return " ".join(f"{word}{number}" for number in range(count))


@pytest.mark.parametrize("restarts", [False, True])
async def test_try_again_replaces_an_answer_in_place(tmp_path: Path, *, restarts: bool) -> None:
    """The new answer stands in the same message without a word of the old one, also after a restart, without a 429."""
    async with stage(tmp_path) as on:
        async with on.program():
            question = await on.ask("why?", Answer("the first answer"))
            before = on.ids(question)
            if not restarts:
                await try_again(on, question)
        if restarts:
            async with on.program():
                await try_again(on, question)
        assert on.ids(question) == before
        assert on.double.limited == []
        assert "first" not in str(on.model.requests[-1].body)


async def try_again(on: Stage, question: str) -> None:
    on.model.queue(Answer("another one"))
    await on.press(question, "Try again")
    await on.until(lambda: on.answers(question) == ["another one"] and on.buttons(question) == BUTTONS)
    assert on.double.interactive.privates == []


async def test_a_long_answer_gives_way_to_a_short_one(tmp_path: Path) -> None:
    """Surplus messages of the old answer are deleted."""
    async with stage(tmp_path) as on, on.program():
        on.model.queue(Answer(words(4_000)))
        question = on.double.say(on.channel, f"<@{on.double.world.bot_user}> much", author=on.ann)
        await on.until(lambda: on.buttons(question) == BUTTONS)
        first = on.ids(question)[0]
        assert len(on.ids(question)) > 1
        on.model.queue(Answer("little"))
        await on.press(question, "Try again")
        await on.until(lambda: on.answers(question) == ["little"])
        assert on.ids(question) == [first]


async def test_somebody_elses_answer_is_left_alone(tmp_path: Path) -> None:
    """Another person's Try again changes nothing, and that person alone reads why; everybody may vote."""
    async with stage(tmp_path) as on, on.program():
        question = await on.ask("why?", Answer("an answer"))
        await on.press(question, "Try again", on.bob)
        await on.until(lambda: len(on.double.interactive.seen_by(on.bob)) == 1)
        await on.press(question, "Bad answer", on.bob)
        await on.until(lambda: bool(on.double.interactive.views))
        await on.double.interactive.submit(on.double.interactive.views[0], reason="too short")
        await on.until(lambda: on.double.interactive.views == [])
        assert on.answers(question) == ["an answer"]
        assert len(on.model.requests) == 1


@pytest.mark.parametrize("running", [False, True])
async def test_an_edited_question_is_answered_again(tmp_path: Path, *, running: bool) -> None:
    """New text stands in the same message within three seconds of the debounce, even if the old answer still ran."""
    async with stage(tmp_path) as on, on.program():
        old = Answer(words(600, "old"), words_per_second=30.0) if running else Answer("the old answer")
        on.model.queue(old)
        mention = f"<@{on.double.world.bot_user}>"
        question = on.double.say(on.channel, f"{mention} waht?", author=on.ann)
        await on.until(lambda: bool(on.answers(question)) if running else on.buttons(question) == BUTTONS)
        before = on.ids(question)
        on.model.queue(Answer("the new answer"))
        on.double.revise(on.channel, question, f"{mention} what?")
        await on.until(lambda: on.answers(question) == ["the new answer"], EDIT_SECONDS)
        await on.until(lambda: on.buttons(question) == BUTTONS)
        assert on.ids(question)[:1] == before[:1]
        assert on.double.limited == []
        assert "what?" in str(on.model.requests[-1].body)


async def test_an_edit_that_adds_the_mention_is_answered_once(tmp_path: Path) -> None:
    """A message becomes a question by an edit, and gets one answer."""
    async with stage(tmp_path) as on, on.program():
        question = on.double.say(on.channel, "what?", author=on.ann)
        on.model.queue(Answer("an answer"))
        on.double.revise(on.channel, question, f"<@{on.double.world.bot_user}> what?", mentions=True)
        await on.until(lambda: on.buttons(question) == BUTTONS)
        assert on.answers(question) == ["an answer"]
        assert len(on.model.requests) == 1


async def test_rejected_buttons_cost_no_text(tmp_path: Path) -> None:
    """On a server that refuses both kinds of buttons, answers are complete and rich."""
    async with stage(tmp_path) as on, on.program():
        on.double.interactive.unsupported = {"actions", "context_actions"}
        for number in range(2):
            answer = Answer(words(100) + f" **end {number}**", words_per_second=60.0)
            on.model.queue(answer)
            question = on.double.say(on.channel, f"<@{on.double.world.bot_user}> {number}", author=on.ann)
            await on.until(lambda text=answer.text, of=question: on.answers(of) == [text])  # type: ignore[misc]


async def test_a_deleted_question_cannot_be_tried_again(tmp_path: Path) -> None:
    """The presser reads privately that the question is gone, and the answer stays."""
    async with stage(tmp_path) as on, on.program():
        question = await on.ask("why?", Answer("an answer"))
        on.double.remove(on.channel, question)
        await on.press(question, "Try again")
        await on.until(lambda: len(on.double.interactive.seen_by(on.ann)) == 1)
        assert on.answers(question) == ["an answer"]
        assert len(on.model.requests) == 1


async def test_the_stop_button_ends_an_answer(tmp_path: Path) -> None:
    """A growing answer has a stop button; once pressed, the text stays, says so, and has the final buttons."""
    async with stage(tmp_path) as on, on.program():
        on.model.queue(Answer(words(600), words_per_second=30.0))
        question = on.double.say(on.channel, f"<@{on.double.world.bot_user}> much", author=on.ann)
        await on.until(lambda: on.buttons(question) == ["Stop"])
        await on.press(question, "Stop", on.bob)
        await on.until(lambda: on.buttons(question) == BUTTONS)
        assert on.answers(question)[0].endswith("Stopped._")
        assert on.double.interactive.privates == []


async def test_another_model_can_be_tried(tmp_path: Path) -> None:
    """With two models, the menu below the answer asks the chosen one, and the old answer gives way."""
    file = tmp_path / "tickertape.toml"
    file.write_text('[[models]]\nname = "deep"\nlabel = "Deep"\n')
    async with stage(tmp_path, TICKERTAPE_CONFIG=str(file)) as on, on.program():
        on.model.models = ["m", "deep"]
        on.model.queue(Answer("an answer"), Answer("a deeper one"))
        question = on.double.say(on.channel, f"<@{on.double.world.bot_user}> why?", author=on.ann)
        await on.until(lambda: on.buttons(question) == ["Try again", "m", "Deep", *BUTTONS[1:]])
        await on.press(question, "Deep")
        await on.until(lambda: on.answers(question) == ["a deeper one"])
        assert [request.body["model"] for request in on.model.requests] == ["m", "deep"]
