"""Operations on one turn, as values: the commands from the event loop to the journal's thread."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.conversation import Ending, TurnKey


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
