"""The whole program on Slack: Try again, edited questions and votes, also after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from tests.e2e.test_program import numbered
from tests.servers.limits import Fault, Kind
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.slack import SlackDouble
from tests.servers.slack_interactive import labels_of
from tests.support.process import bot
from tests.support.slack import for_program, program_ready
from tests.support.transport import Transport

pytestmark = pytest.mark.sockets

# Real seconds; starting the program takes one or two.
PATIENCE = 60.0

FIELDS = ("status", "headers", "body")

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
            if self.double.transport is Transport.SOCKET:
                await self.until(lambda: self.double.sockets.opened > opened)
            await program_ready(self.double)
            yield

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
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
        await self.until(lambda: envelope.acked)


@asynccontextmanager
async def stage(tmp_path: Path, **environment: str) -> AsyncIterator[Stage]:
    double = for_program()
    async with OpenAIDouble() as model, double.running():
        world = double.world
        settings = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_MODEL": "m",
            **double.environment,
            "JOURNAL_URL": f"sqlite:///{tmp_path / 'journal.db'}",
            **environment,
        }
        people = world.user("Ann"), world.user("Bob")
        yield Stage(double, model, settings, tmp_path, *people, world.channel())


@pytest.mark.transports("socket", "http")
async def test_try_again_replaces_an_answer_in_place(tmp_path: Path) -> None:
    """The new answer stands in the same message without a word of the old one, also after a restart, without a 429."""
    async with stage(tmp_path) as on:
        async with on.program():
            question = await on.ask("why?", Answer("the first answer"))
            before = on.ids(question)
            await try_again(on, question, "the second one")
        async with on.program():
            await try_again(on, question, "the third one")
        assert on.ids(question) == before
        assert on.double.limited == []


async def try_again(on: Stage, question: str, text: str) -> None:
    """Press Try again; nothing of the present answer stays, or reaches the model."""
    (old,) = on.answers(question)
    on.model.queue(Answer(text))
    await on.press(question, "Try again")
    await on.until(lambda: on.answers(question) == [text] and on.buttons(question) == BUTTONS)
    assert on.double.interactive.privates == []
    assert old not in str(on.model.requests[-1].body)


@pytest.mark.transports("socket", "http")
async def test_presses_in_one_program(tmp_path: Path) -> None:
    """A short answer replaces a long one; others may vote and not try again; a deleted question is told privately."""
    async with stage(tmp_path) as on, on.program():
        await give_way(on)
        await leave_alone(on)
        await tell_deleted(on)


async def give_way(on: Stage) -> None:
    """Surplus messages of the old answer are deleted."""
    on.model.queue(Answer(numbered(4_000)))
    question = on.double.say(on.channel, f"<@{on.double.world.bot_user}> much", author=on.ann)
    await on.until(lambda: on.buttons(question) == BUTTONS)
    first = on.ids(question)[0]
    assert len(on.ids(question)) > 1
    on.model.queue(Answer("little"))
    await on.press(question, "Try again")
    await on.until(lambda: on.answers(question) == ["little"])
    assert on.ids(question) == [first]


async def leave_alone(on: Stage) -> None:
    """Another person's Try again changes nothing, and that person alone reads why; everybody may vote."""
    question = await on.ask("why?", Answer("an answer"))
    asked = len(on.model.requests)
    await on.press(question, "Try again", on.bob)
    await on.until(lambda: len(on.double.interactive.seen_by(on.bob)) == 1)
    await on.press(question, "Bad answer", on.bob)
    await on.until(lambda: bool(on.double.interactive.views))
    await on.double.interactive.submit(on.double.interactive.views[0], reason="too short")
    await on.until(lambda: on.double.interactive.views == [])
    assert on.answers(question) == ["an answer"]
    assert len(on.model.requests) == asked


async def tell_deleted(on: Stage) -> None:
    """The presser reads privately that the question is gone, and the answer stays."""
    question = await on.ask("who?", Answer("somebody"))
    asked = len(on.model.requests)
    on.double.remove(on.channel, question)
    await on.press(question, "Try again")
    await on.until(lambda: len(on.double.interactive.seen_by(on.ann)) == 1)
    assert on.answers(question) == ["somebody"]
    assert len(on.model.requests) == asked


@pytest.mark.transports("socket", "http")
async def test_an_edited_question_is_answered_again(tmp_path: Path) -> None:
    """New text replaces the old, even if the old answer runs, which is ended then; once per edit."""
    async with stage(tmp_path) as on, on.program():
        await edit(on, Answer("the old answer"), is_running=False)
        await edit(on, Answer(numbered(600, "old"), words_per_second=30.0), is_running=True)
        question = on.double.say(on.channel, "what?", author=on.ann)
        asked = len(on.model.requests)
        on.model.queue(Answer("an answer"))
        on.double.revise(on.channel, question, f"<@{on.double.world.bot_user}> what?", mentions=True)
        await on.until(lambda: on.buttons(question) == BUTTONS)
        assert on.answers(question) == ["an answer"]
        assert len(on.model.requests) == asked + 1
        assert on.double.limited == []


async def edit(on: Stage, old: Answer, *, is_running: bool) -> None:
    """Edit a question, during its answer or after."""
    on.model.queue(old)
    mention = f"<@{on.double.world.bot_user}>"
    question = on.double.say(on.channel, f"{mention} waht?", author=on.ann)
    await on.until(lambda: bool(on.answers(question)) if is_running else on.buttons(question) == BUTTONS)
    before = on.ids(question)
    on.model.queue(Answer("the new answer"))
    on.double.revise(on.channel, question, f"{mention} what?")
    await on.until(lambda: on.answers(question) == ["the new answer"])
    await on.until(lambda: on.buttons(question) == BUTTONS)
    assert on.ids(question)[:1] == before[:1]
    assert not is_running or on.model.requests[-2].left_early.is_set()
    assert "what?" in str(on.model.requests[-1].body)


LIMITED = Fault("", "", Kind.STATUS, status=429, headers={"Retry-After": "1"}, body=b'{"ok": false}')
FAULTS = [LIMITED, Fault("", "", Kind.STATUS), Fault("", "", Kind.RESET_AFTER), Fault("", "", Kind.GARBLED)]


async def test_a_fault_in_any_call_loses_nothing(tmp_path: Path) -> None:
    """Whichever call of another answer fails, in whichever way, the new text stands once in the same message."""
    async with stage(tmp_path) as on, on.program():
        for number, (fault, method) in enumerate(product(FAULTS, ["conversations.replies", "chat.update"])):
            question = await on.ask(f"question {number}", Answer(f"old {number}"))
            before = on.ids(question)
            on.double.faults.add("", method, fault.kind, **{name: getattr(fault, name) for name in FIELDS})
            await try_again(on, question, f"new {number}")
            assert on.ids(question) == before
            assert len(on.double.faults.fired) == number + 1


async def test_rejected_buttons_cost_no_text(tmp_path: Path) -> None:
    """On a server that refuses both kinds of buttons, answers are complete and rich."""
    async with stage(tmp_path) as on, on.program():
        on.double.interactive.unsupported = {"actions", "context_actions"}
        for number in range(2):
            answer = Answer(numbered(100) + f" **end {number}**", words_per_second=60.0)
            on.model.queue(answer)
            question = on.double.say(on.channel, f"<@{on.double.world.bot_user}> {number}", author=on.ann)
            await on.until(lambda text=answer.text, of=question: on.answers(of) == [text])  # type: ignore[misc]


@pytest.mark.transports("socket", "http")
async def test_stop_and_another_model(tmp_path: Path) -> None:
    """Stop leaves the text with a line, and the final buttons; their menu asks another of the operator's models."""
    file = tmp_path / "tickertape.toml"
    file.write_text('[[models]]\nname = "deep"\nlabel = "Deep"\n')
    async with stage(tmp_path, TICKERTAPE_CONFIG=str(file)) as on, on.program():
        on.model.models = ["m", "deep"]
        on.model.queue(Answer(numbered(600), words_per_second=30.0))
        question = on.double.say(on.channel, f"<@{on.double.world.bot_user}> much", author=on.ann)
        await on.until(lambda: on.buttons(question) == ["Stop"])
        await on.press(question, "Stop", on.bob)
        await on.until(lambda: on.buttons(question) == ["Try again", "m", "Deep", *BUTTONS[1:]])
        assert on.answers(question)[0].endswith("Stopped._")
        on.model.queue(Answer("a deeper one"))
        await on.press(question, "Deep")
        await on.until(lambda: on.answers(question) == ["a deeper one"])
        assert [request.body["model"] for request in on.model.requests] == ["m", "deep"]
        assert on.double.interactive.privates == []
