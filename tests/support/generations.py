"""Questions that can be asked again, in memory: a platform that reads them, and the core around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Unpack

from bot.conversation import Author, TurnKey
from bot.errors import Failure, NotFound
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.interactions.values import Notice, Place, QuestionEdited, RetryPressed
from bot.ports import Controls, Inbox, OpenedQuestion, Platform
from bot.turns.generations import Generations
from tests.support.core import CoreHarness, CoreOptions, running_core
from tests.support.fakes import DANA, FakeChannel, FakeJournal, ScriptedModel, Server, turn

HERE = Place("memory", "W", "C")
ALL_CONTROLS = Controls.STOP | Controls.RETRY | Controls.FEEDBACK


def at(message: str = "1", generation: int = 0) -> TurnKey:
    """The key of a question, or of a later answer to it."""
    return TurnKey("memory", "W", "C", message, generation)


def make_channel(**options: object) -> FakeChannel:
    """A fast channel with every control."""
    options.setdefault("server", Server(limit=100))
    options.setdefault("controls", ALL_CONTROLS)
    return FakeChannel(**options)  # type: ignore[arg-type]


@dataclass
class MemoryPlatform(Platform):
    """Reads questions again from `questions`: the present words by message id."""

    channel: FakeChannel
    questions: dict[str, str] = field(default_factory=dict)
    askers: dict[str, Author] = field(default_factory=dict)
    conversations: dict[str, str] = field(default_factory=dict)
    fault: Callable[[], Failure | None] = lambda: None
    opened: list[tuple[TurnKey, tuple[str, ...]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "memory"

    @property
    def ready(self) -> bool:
        return True

    async def run(self, inbox: Inbox, interactions: Interactions = NO_INTERACTIONS) -> None:
        raise NotImplementedError

    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        self.opened.append((key, tuple(messages)))
        if (failure := self.fault()) is not None:
            raise failure
        if key.message not in self.questions:
            raise NotFound("no such question")
        asked = turn(
            key.message,
            conversation=self.conversations.get(key.message, "c"),
            text=self.questions[key.message],
            asker=self.askers.get(key.message, DANA),
        )
        return OpenedQuestion(replace(asked, key=key), self.channel, self.questions[key.message])

    async def stop_accepting(self) -> None:
        pass

    async def close(self) -> None:
        pass


@dataclass(frozen=True)
class GenerationsHarness:
    """The core with a platform in memory."""

    core: CoreHarness
    platform: MemoryPlatform
    generations: Generations
    model: ScriptedModel

    async def ask(self, text: str = "why?", message: str = "1", conversation: str = "c") -> None:
        """Ask a question, as the platform would bring it."""
        self.platform.questions[message] = text
        self.platform.conversations[message] = conversation
        if await self.core.turns.receive(at(message), text):
            self.core.turns.accept(turn(message, conversation=conversation, text=text), self.platform.channel)

    async def retry(self, message: str = "1", *, by: Author = DANA, model: str = "") -> str:
        """Press "try again"; returns the notice."""
        response = await self.generations.retry(RetryPressed(at(message), "m1", by, HERE, model))
        assert isinstance(response, Notice)
        return response.text

    def edit(self, text: str, message: str = "1", *, age: float = 10.0) -> None:
        """Edit a question."""
        self.platform.questions[message] = text
        conversation = self.platform.conversations.get(message, "c")
        self.generations.edited(QuestionEdited(at(message), conversation, DANA, age))

    @property
    def asked(self) -> list[str]:
        """The questions that the model was asked."""
        return [prompt.messages[-1].text.removeprefix("Dana: ") for _, prompt in self.model.calls]


@asynccontextmanager
async def running_generations(
    model: ScriptedModel,
    channel: FakeChannel | None = None,
    journal: FakeJournal | None = None,
    *,
    edit_seconds: float = 300.0,
    **options: Unpack[CoreOptions],
) -> AsyncIterator[GenerationsHarness]:
    """Let the core work with a platform in memory; leaving it while a turn runs is a `kill -9`."""
    platform = MemoryPlatform(make_channel() if channel is None else channel)
    async with running_core(model, journal, **options) as core:
        generations = Generations(core.turns, {"memory": platform}, edit_seconds=edit_seconds)
        yield GenerationsHarness(core, platform, generations, model)
