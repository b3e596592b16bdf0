"""The port for interactions: adapters bring events, and show the responses to one person.

`bot.interactions.service` implements it. Every method is quick enough for a platform's three seconds, except where a
question is read again; adapters acknowledge first if a response takes longer. None of them raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from bot.conversation import Author, Turn
from bot.interactions.commands import Command
from bot.interactions.values import (
    NOTHING,
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


class Interactions(Protocol):
    """Receives everything people do beside asking."""

    @property
    def commands(self) -> Sequence[Command]:
        """The registry, in the order of the help."""
        ...

    @property
    def models(self) -> Sequence[Choice]:
        """The operator's models for "try again with"; empty with fewer than two."""
        ...

    def choices(self, of: str) -> Sequence[Choice]:
        """The present options of an argument with such `choices` (``models``, ``personas``); empty for free text."""
        ...

    async def retry(self, event: RetryPressed) -> Response:
        """Answer a question again. The notice says why not, if so; it is empty if an answer starts."""
        ...

    async def reserve(self, turn: Turn) -> str:
        """Count a command's question against the quotas; the sentence for the person if one is used up, else empty.

        `bot.ports.Inbox.accept` counts it no second time. A silent refusal would leave a command without a response.
        """
        ...

    async def vote(self, event: VoteCast) -> Response:
        """Record a vote. A thumbs down returns a form for the reason, already recorded without one."""
        ...

    def edited(self, event: QuestionEdited) -> None:
        """Answer an edited question again, after a debounce. Returns at once."""
        ...

    async def invoke(self, event: CommandInvoked) -> Response:
        """Run a command."""
        ...

    async def submit(self, event: FormSubmitted) -> Response:
        """Take in a form or a pressed button of ours."""
        ...

    async def home(self, by: Author, place: Place) -> Panel:
        """A person's own page."""
        ...

    async def welcome(self, by: Author, place: Place) -> str:
        """The words for a person's first contact; empty if this was not the first, or without a welcome."""
        ...


class NoInteractions(Interactions):
    """Offers no command and does nothing."""

    @property
    @override
    def commands(self) -> Sequence[Command]:
        return ()

    @property
    @override
    def models(self) -> Sequence[Choice]:
        return ()

    @override
    def choices(self, of: str) -> Sequence[Choice]:
        return ()

    @override
    async def retry(self, event: RetryPressed) -> Response:
        return NOTHING

    @override
    async def reserve(self, turn: Turn) -> str:
        return ""

    @override
    async def vote(self, event: VoteCast) -> Response:
        return NOTHING

    @override
    def edited(self, event: QuestionEdited) -> None:
        return None

    @override
    async def invoke(self, event: CommandInvoked) -> Response:
        return NOTHING

    @override
    async def submit(self, event: FormSubmitted) -> Response:
        return NOTHING

    @override
    async def home(self, by: Author, place: Place) -> Panel:
        return Panel(())

    @override
    async def welcome(self, by: Author, place: Place) -> str:
        return ""


NO_INTERACTIONS = NoInteractions()
