"""The port of the journal: the durable list of turns and their messages. Adapters: `adapters.journal`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.conversation import Ending, TurnKey
from bot.ports import UnfinishedTurn


@dataclass(frozen=True, slots=True)
class Answered:
    """The newest answer to a question, as journalled.

    `key` carries its generation; `messages` are the known ids of its messages, in order. One that has not `ended` is
    being written, or waits for a process to continue it.
    """

    key: TurnKey
    messages: tuple[str, ...] = ()
    ended: bool = True


class Journal(Protocol):
    """Stores received turns, the messages of their answers, and their endings; raises if it cannot."""

    @property
    def persistent(self) -> bool:
        """Whether it is meant for other processes too."""

    @property
    def durable(self) -> bool:
        """Whether another process will find the entries; only then can an interrupted answer continue."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other processes answer beside this one. A question it did not accept may then be theirs."""
        ...

    @property
    def away(self) -> bool:
        """Whether its database does not answer now, so that no turn is accepted."""
        return False

    async def accept(self, key: TurnKey, event: str = "", messages: Sequence[str] = ()) -> bool:
        """Write down a turn before anything is done about it; False if it was written down before.

        Once this has returned it survives the process. `event` is kept until the turn has ended. `messages` are those
        of an earlier answer to the same question, for this one to replace.
        """
        ...

    async def update_event(self, key: TurnKey, event: str) -> None:
        """Keep this as the turn's event from now on, if it has not ended."""
        ...

    async def drop(self, key: TurnKey) -> None:
        """Forget a turn: it asked nothing."""
        ...

    async def posted(self, key: TurnKey, message: str) -> None:
        """Record a posted message of the turn."""
        ...

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        """Record the end of the turn: no more writes follow. `INTERRUPTED` leaves it unfinished."""
        ...

    async def newest_answer(self, question: TurnKey) -> Answered | None:
        """The newest answer to a question (a key of generation 0), by any process; None if unknown."""
        ...

    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:
        """The platform's unfinished turns of dead processes, oldest first: this process's from then on. Each once."""
        ...
