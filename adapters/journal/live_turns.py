"""What this process knows of its own turns: the copy from which a lost file is written again.

What belongs here: plain values and their bounds. What does not: SQL (`adapters.journal.sql`), and when a file is
written again (`adapters.journal.fallback`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from adapters.journal.operations import Accept, AddMessage, Drop, End, Operation, UpdateEvent
from bot.conversation import Ending, TurnKey
from bot.ports import UnfinishedTurn


@dataclass(slots=True)
class TurnState:
    """One turn. `event` is empty once it has ended; `at` is when it was received, in seconds since 1970."""

    key: TurnKey
    event: str = field(repr=False)
    at: float
    messages: list[str] = field(default_factory=list)
    ending: Ending | None = None
    crashes: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether nobody goes on with it."""
        return self.ending is not None and self.ending is not Ending.INTERRUPTED


class LiveTurns:
    """The turns that this process has accepted or taken over: at most `live` unfinished and `ended` ended ones."""

    def __init__(self, *, live: int, ended: int) -> None:
        self._max_live = live
        self._max_ended = ended
        self._live: dict[TurnKey, TurnState] = {}
        self._ended: OrderedDict[TurnKey, TurnState] = OrderedDict()
        self._dropped: OrderedDict[TurnKey, None] = OrderedDict()

    def __len__(self) -> int:
        """How many turns are remembered."""
        return len(self._live) + len(self._ended)

    def __contains__(self, key: TurnKey) -> bool:
        """Whether a turn is remembered, live or ended."""
        return key in self._live or key in self._ended

    @property
    def live(self) -> Sequence[TurnState]:
        """Turns whose event is kept: they have not ended, or another process goes on with them."""
        return tuple(self._live.values())

    @property
    def ended(self) -> Sequence[TurnState]:
        """Turns that have ended; their key tells a second delivery."""
        return tuple(self._ended.values())

    @property
    def dropped(self) -> Sequence[TurnKey]:
        """Turns to forget."""
        return tuple(self._dropped)

    def apply(self, operation: Operation) -> None:
        """Follow an operation on one of these turns; those of other processes' turns change nothing."""
        turn = self._live.get(operation.key)
        match operation:
            case Accept(key, event, at):
                self._dropped.pop(key, None)
                self._add(TurnState(key, event, at))
            case UpdateEvent(event=event) if turn is not None:
                turn.event = event
            case AddMessage(message=message) if turn is not None and message not in turn.messages:
                turn.messages.append(message)
            case End(ending=ending) if turn is not None:
                self._end(turn, ending)
            case Drop(key):
                self._live.pop(key, None)
                self._ended.pop(key, None)
                self._dropped[key] = None
                _shorten(self._dropped, self._max_ended)
            case _:
                pass

    def forget(self, key: TurnKey) -> None:
        """A turn turned out to be another process's."""
        self._live.pop(key, None)

    def claim(self, records: Iterable[UnfinishedTurn], now: float) -> None:
        """Remember turns that were taken over. `now` is in seconds since 1970."""
        for record in records:
            at = now - record.age if record.age < now else 0.0
            self._add(TurnState(record.key, record.event, at, list(record.messages)))

    def _add(self, turn: TurnState) -> None:
        self._live[turn.key] = turn
        while len(self._live) > self._max_live:
            del self._live[next(iter(self._live))]

    def _end(self, turn: TurnState, ending: Ending) -> None:
        turn.ending = ending
        if turn.has_ended:
            turn.event = ""
            del self._live[turn.key]
            self._ended[turn.key] = turn
            _shorten(self._ended, self._max_ended)


def _shorten(turns: OrderedDict[TurnKey, TurnState] | OrderedDict[TurnKey, None], most: int) -> None:
    while len(turns) > most:
        turns.popitem(last=False)
