"""The core's `Interactions`: passes each event to the part that handles it, and does nothing else.

Generations (`bot.turns.generations`) answer questions again, `bot.feedback` records votes, and
`bot.interactions.handlers` runs commands. Each part implements the matching methods of `Interactions`; a missing one is
`NoInteractions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from bot.conversation import Author, Turn
from bot.interactions.commands import Command
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.interactions.values import (
    Choice,
    CommandInvoked,
    FormSubmitted,
    Panel,
    Place,
    QuestionEdited,
    Response,
    RetryPressed,
    VoteCast,
)

# The ids of forms and buttons begin with the name of their part: the feedback part gets these, commands all others.
FEEDBACK_PREFIX = "feedback:"


class GenerationsPart(Protocol):
    """Answers questions again; see `Interactions`."""

    async def retry(self, event: RetryPressed) -> Response:
        """Try again."""
        ...

    def edited(self, event: QuestionEdited) -> None:
        """An edited question."""
        ...

    async def reserve(self, turn: Turn) -> str:
        """Count a question before it is accepted."""
        ...


class FeedbackPart(Protocol):
    """Records votes and their reasons; see `Interactions`."""

    async def vote(self, event: VoteCast) -> Response:
        """Thumbs up or down."""
        ...

    async def submit(self, event: FormSubmitted) -> Response:
        """A form with an id of `FEEDBACK_PREFIX`."""
        ...


class CommandsPart(Protocol):
    """Runs commands, their forms, and a person's own page; see `Interactions`."""

    @property
    def commands(self) -> Sequence[Command]:
        """The registry."""
        ...

    @property
    def models(self) -> Sequence[Choice]:
        """The operator's models."""
        ...

    def choices(self, of: str) -> Sequence[Choice]:
        """The options of an argument."""
        ...

    async def invoke(self, event: CommandInvoked) -> Response:
        """Run a command."""
        ...

    async def submit(self, event: FormSubmitted) -> Response:
        """A form or a button of a command's response."""
        ...

    async def home(self, by: Author, place: Place) -> Panel:
        """A person's own page."""
        ...

    async def welcome(self, by: Author, place: Place) -> str:
        """The words for a first contact."""
        ...


class InteractionService(Interactions):
    """The parts behind one port."""

    def __init__(
        self,
        generations: GenerationsPart = NO_INTERACTIONS,
        feedback: FeedbackPart = NO_INTERACTIONS,
        commands: CommandsPart = NO_INTERACTIONS,
    ) -> None:
        self._generations = generations
        self._feedback = feedback
        self._commands = commands

    @property
    @override
    def commands(self) -> Sequence[Command]:
        return self._commands.commands

    @property
    @override
    def models(self) -> Sequence[Choice]:
        return self._commands.models

    @override
    def choices(self, of: str) -> Sequence[Choice]:
        return self._commands.choices(of)

    @override
    async def retry(self, event: RetryPressed) -> Response:
        return await self._generations.retry(event)

    @override
    async def reserve(self, turn: Turn) -> str:
        return await self._generations.reserve(turn)

    @override
    async def vote(self, event: VoteCast) -> Response:
        return await self._feedback.vote(event)

    @override
    def edited(self, event: QuestionEdited) -> None:
        self._generations.edited(event)

    @override
    async def invoke(self, event: CommandInvoked) -> Response:
        return await self._commands.invoke(event)

    @override
    async def submit(self, event: FormSubmitted) -> Response:
        part = self._feedback if event.id.startswith(FEEDBACK_PREFIX) else self._commands
        return await part.submit(event)

    @override
    async def home(self, by: Author, place: Place) -> Panel:
        return await self._commands.home(by, place)

    @override
    async def welcome(self, by: Author, place: Place) -> str:
        return await self._commands.welcome(by, place)
