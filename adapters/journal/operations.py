"""What can be written down of a turn, as values: the language between the journal's thread and its file."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.conversation import Ending, TurnKey


@dataclass(frozen=True, slots=True)
class Accept:
    """Write a turn down. `at` is when it was received, in seconds since 1970."""

    key: TurnKey
    event: str = field(repr=False)
    at: float


@dataclass(frozen=True, slots=True)
class UpdateEvent:
    """Replace the event of a turn that has not ended."""

    key: TurnKey
    event: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget a turn."""

    key: TurnKey


@dataclass(frozen=True, slots=True)
class AddMessage:
    """Add a message to the turn's answer."""

    key: TurnKey
    message: str


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more will be written for a turn."""

    key: TurnKey
    ending: Ending


Operation = Accept | UpdateEvent | Drop | AddMessage | End
