"""The whole program on Discord: Try again, edited questions, votes with a reason and forms, also after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.discord import DiscordDouble
from tests.servers.openai import Answer, OpenAIDouble
from tests.support.process import bot

pytestmark = pytest.mark.sockets

# Real seconds; starting the program takes one or two.
PATIENCE = 60.0


@dataclass(slots=True)
class Stage:
    """Discord, a model, and a channel with its members."""

    double: DiscordDouble
    model: OpenAIDouble
    folder: Path
    channel: str
    ann: str
    bob: str

    @asynccontextmanager
    async def program(self) -> AsyncIterator[None]:
        """The program at work; at the end it is told to stop."""
        sessions = len(self.double.gateway.identifies)
        environment = {
            "OPENAI_BASE_URL": self.model.url,
            "OPENAI_MODEL": "m",
            **self.double.environment,
            "JOURNAL_URL": f"sqlite:///{self.folder / 'journal.db'}",
        }
        async with bot(environment, folder=self.folder):
            await self.until(
                lambda: len(self.double.gateway.identifies) > sessions and self.double.gateway.connected > 0
            )
            yield

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.double.until(condition)

    def ids(self) -> list[str]:
        return [each.id for each in self.double.shown(self.channel) if each.author == "Tickertape"]

    def is_answered(self, question: str, text: str) -> bool:
        """Whether the only answer is `text`, with the controls of its end."""
        controls = self.double.controls(self.channel, self.ids()[-1]) if self.ids() else []
        wanted = [f"retry:{question}", f"up:{question}", f"down:{question}"]
        return (self.double.answers(self.channel), controls) == ([text], wanted)

    def press(self, control: str, question: str, user: str) -> str:
        custom_id = f"{control}:{question}"
        return self.double.press(self.channel, self.ids()[-1], user=user, custom_id=custom_id)

    async def told(self, user: str, count: int) -> str:
        """The newest private line of a person, once there are so many."""
        await self.until(lambda: len(self.double.private(user)) >= count)
        return self.double.private(user)[-1]


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    double = DiscordDouble()
    async with OpenAIDouble() as model, double.running():
        world = double.world
        yield Stage(double, model, folder, world.channel(world.guild()), world.user("Ann"), world.user("Bob"))


async def test_an_answer_and_its_controls(tmp_path: Path) -> None:
    """Votes, a reason, another answer in place, also after a restart, and an edit: no 429, and no old text."""
    async with stage(tmp_path) as on:
        async with on.program():
            on.model.queue(Answer("the first answer"))
            mention = f"<@{on.double.world.bot}>"
            question = on.double.say(on.channel, f"{mention} why?", author=on.ann)
            await on.until(lambda: on.is_answered(question, "the first answer"))
            before = on.ids()
            await vote(on, question)
            await leave_alone(on, question)
            await try_again(on, question, "the second one")
        async with on.program():
            await try_again(on, question, "the third one")
            on.model.queue(Answer("the fourth one"))
            on.double.revise(on.channel, question, f"{mention} why not?")
            await on.until(lambda: "fourth" in "".join(on.double.answers(on.channel)))
            await on.until(lambda: on.is_answered(question, "the fourth one"))
            assert "why not?" in str(on.model.requests[-1].body)
            on.double.remove(on.channel, question)
            on.press("retry", question, on.ann)
            assert "deleted" in await on.told(on.ann, 1)
        assert on.ids() == before
        assert on.double.limited == []


async def vote(on: Stage, question: str) -> None:
    """Everybody may vote; a thumbs down asks for a reason."""
    on.press("up", question, on.bob)
    assert "vote" in await on.told(on.bob, 1)
    down = on.press("down", question, on.bob)
    await on.until(lambda: on.double.interactions.modal_of(down) is not None)
    modal = on.double.interactions.modal_of(down)
    assert modal is not None
    name = modal["components"][0]["component"]["custom_id"]
    on.double.submit(down, {name: "too short"})
    assert "reason" in await on.told(on.bob, 2)


async def leave_alone(on: Stage, question: str) -> None:
    """Another person's Try again changes nothing, and that person alone reads why."""
    asked, told = len(on.model.requests), len(on.double.private(on.bob))
    on.press("retry", question, on.bob)
    assert "Only the person who asked" in await on.told(on.bob, told + 1)
    assert len(on.model.requests) == asked


async def try_again(on: Stage, question: str, text: str) -> None:
    """Press Try again; nothing of the present answer stays, or reaches the model."""
    (old,) = on.double.answers(on.channel)
    on.model.queue(Answer(text))
    on.press("retry", question, on.ann)
    await on.until(lambda: on.is_answered(question, text))
    assert old not in str(on.model.requests[-1].body)
