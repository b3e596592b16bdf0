"""Interactions for tests of platforms: they record every event, and respond as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from typing_extensions import override

from bot.conversation import Author, Turn
from bot.interactions.commands import COMMANDS, Command
from bot.interactions.ports import Interactions
from bot.interactions.values import (
    Choice,
    CommandInvoked,
    FormSubmitted,
    Notice,
    Panel,
    Place,
    QuestionEdited,
    Response,
    RetryPressed,
    VoteCast,
)
from tests.support.inbox import PATIENCE


class RecordingInteractions(Interactions):
    """Records events in `events`; `respond` makes the responses."""

    def __init__(self, respond: Callable[[object], Response] = lambda _: Notice("Done.")) -> None:
        self.events: list[object] = []
        self.respond = respond
        self.panel = Panel(("This is your page.",))
        self.greeting = ""  # the words of the first contact
        self.greeted: list[str] = []  # ids of the people
        self.used_up = ""  # the sentence for a command's question, if a quota is used up
        self.models_offered: tuple[Choice, ...] = ()
        self._changed = asyncio.Event()

    @property
    @override
    def commands(self) -> Sequence[Command]:
        return COMMANDS

    @property
    @override
    def models(self) -> Sequence[Choice]:
        return self.models_offered

    @override
    def choices(self, of: str) -> Sequence[Choice]:
        return self.models_offered if of == "models" else ()

    @override
    async def retry(self, event: RetryPressed) -> Response:
        return self._record(event)

    @override
    async def reserve(self, turn: Turn) -> str:
        return self.used_up

    @override
    async def vote(self, event: VoteCast) -> Response:
        return self._record(event)

    @override
    def edited(self, event: QuestionEdited) -> None:
        self._record(event)

    @override
    async def invoke(self, event: CommandInvoked) -> Response:
        return self._record(event)

    @override
    async def submit(self, event: FormSubmitted) -> Response:
        return self._record(event)

    @override
    async def home(self, by: Author, place: Place) -> Panel:
        self._record((by, place))
        return self.panel

    @override
    async def welcome(self, by: Author, place: Place) -> str:
        is_first = by.id not in self.greeted
        self.greeted.append(by.id)
        self._changed.set()
        return self.greeting if is_first else ""

    def _record(self, event: object) -> Response:
        self.events.append(event)
        self._changed.set()
        return self.respond(event)

    @property
    def invoked(self) -> list[CommandInvoked]:
        """The commands, in order."""
        return [event for event in self.events if isinstance(event, CommandInvoked)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on the records."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
