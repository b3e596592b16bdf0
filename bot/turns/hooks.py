"""Ports of a turn toward administration: who may ask how much, and how a turn is answered.

The defaults allow everything and choose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from typing_extensions import override

from bot.conversation import Turn, TurnKey, Usage


@dataclass(frozen=True, slots=True)
class TurnChoices:
    """How one turn is answered, by the settings of its channel and its author.

    `model` is a name in the operator's list or a channel's table, `system` a persona's prompt; empty keeps the default.
    `reasoning` shows or hides the reasoning preview; None keeps the operator's choice. Messages up to the id
    `history_after` belong to an earlier conversation (a reset).
    """

    model: str = ""
    system: str = ""
    reasoning: bool | None = None
    history_after: str = ""


class ChoiceSource(Protocol):
    """The settings made in chat."""

    async def choices(self, turn: Turn) -> TurnChoices:
        """The choices for a turn. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model, ended or interrupted.

    `model` is the requested name. `usage` is the server's count; None if the stream ended before it, so that tokens are
    estimated from the characters of the prompt, of the reasoning and of the answer.
    """

    model: str
    usage: Usage | None
    prompt_characters: int
    answer_characters: int
    reasoning_characters: int = 0


@dataclass(frozen=True, slots=True)
class QuotaDecision:
    """Whether a question is answered. `notice` is empty if its author was told about the limit within the last hour.

    `choices` are those of the reservation, for the turn to read no settings again; None if there was no reservation.
    """

    admitted: bool = True
    notice: str = ""
    choices: TurnChoices | None = None


ADMITTED = QuotaDecision()


class QuestionMeter(Protocol):
    """Counts questions and model calls against quotas."""

    async def admit(self, turn: Turn) -> QuotaDecision:
        """Reserve room for a question.

        A turn admitted before (a recovery) is admitted without another count. Never raises: a broken store admits.
        """
        ...

    async def settle(self, turn: Turn, calls: Sequence[ModelCall], *, has_text: bool, ended: bool = True) -> None:
        """Record the calls of a turn. Once `ended`, free its room, and refund a question without any text.

        A turn that is not `ended` is continued by another process.
        """
        ...


class NoChoices(ChoiceSource):
    """Chooses nothing."""

    @override
    async def choices(self, turn: Turn) -> TurnChoices:
        return TurnChoices()


class NoMeter(QuestionMeter):
    """Admits everything and records nothing."""

    @override
    async def admit(self, turn: Turn) -> QuotaDecision:
        return ADMITTED

    @override
    async def settle(self, turn: Turn, calls: Sequence[ModelCall], *, has_text: bool, ended: bool = True) -> None:
        return None


class AnswerKeeper(Protocol):
    """Stores the texts of answers, for the operator's reading of votes."""

    async def keep(self, turn: Turn, text: str) -> None:
        """Store an ended answer's text, in place of an earlier generation's. Never raises."""
        ...


def every_turn(_key: TurnKey) -> bool:
    """All turns are this process's."""
    return True


@dataclass(frozen=True, slots=True)
class TurnHooks:
    """All ports. Without `answers`, no text is collected.

    `may_run` tells whether a turn is this process's; another one answers the others.
    """

    choices: ChoiceSource = field(default_factory=NoChoices)
    meter: QuestionMeter = field(default_factory=NoMeter)
    answers: AnswerKeeper | None = None
    may_run: Callable[[TurnKey], bool] = every_turn
