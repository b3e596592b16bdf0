"""Operations on one turn, as values: the commands from the event loop to the journal's thread or database."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

from typing_extensions import override

from bot.conversation import Ending, TurnKey
from bot.journal import Journal


@dataclass(frozen=True, slots=True)
class Accept:
    """Add a turn that replaces `messages` of an earlier answer. `received_at` is in seconds since 1970."""

    key: TurnKey
    event: str = field(repr=False)
    received_at: float
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateEvent:
    """Replace the event of an unfinished turn."""

    key: TurnKey
    event: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete a turn."""

    key: TurnKey


@dataclass(frozen=True, slots=True)
class AddMessage:
    """Add a message to the turn's answer."""

    key: TurnKey
    message: str


@dataclass(frozen=True, slots=True)
class End:
    """End a turn: nothing more will be written for it."""

    key: TurnKey
    ending: Ending


Operation = Accept | UpdateEvent | Drop | AddMessage | End


class OperationJournal(Journal):
    """A journal for this process and later ones. It changes turns by operations."""

    @property
    @override
    def persistent(self) -> bool:
        return True

    @abstractmethod
    async def _apply(self, operation: Operation) -> None:
        """Apply an operation, with the failures of `Journal`."""

    @override
    async def update_event(self, key: TurnKey, event: str) -> None:
        await self._apply(UpdateEvent(key, event))

    @override
    async def drop(self, key: TurnKey) -> None:
        await self._apply(Drop(key))

    @override
    async def posted(self, key: TurnKey, message: str) -> None:
        await self._apply(AddMessage(key, message))

    @override
    async def ended(self, key: TurnKey, ending: Ending) -> None:
        await self._apply(End(key, ending))
