"""This process's turns in memory: the copy used to restore a lost file.

SQL (`adapters.journal.sql`) and the decision to restore (`adapters.journal.fallback`) do not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cachetools import FIFOCache

from adapters.journal.operations import Accept, AddMessage, Drop, End, Operation, UpdateEvent
from bot.conversation import Ending, TurnKey
from bot.journal import Answered
from bot.ports import UnfinishedTurn


@dataclass(slots=True)
class TurnState:
    """One turn. `event` is empty after its end; `received_at` is in seconds since 1970."""

    key: TurnKey
    event: str = field(repr=False)
    received_at: float
    messages: list[str] = field(default_factory=list)
    ending: Ending | None = None
    crashes: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether no process will continue it."""
        return self.ending is not None and self.ending is not Ending.INTERRUPTED


class LiveTurns:
    """The turns accepted or claimed by this process: at most `live` unfinished and `ended` ended ones.

    Beyond these limits the oldest are evicted. Least recently used would be wrong: lookups must not extend retention.
    """

    def __init__(self, *, live: int, ended: int) -> None:
        self._live: FIFOCache[TurnKey, TurnState] = FIFOCache(live)
        self._ended: FIFOCache[TurnKey, TurnState] = FIFOCache(ended)
        self._dropped: FIFOCache[TurnKey, None] = FIFOCache(ended)

    def __len__(self) -> int:
        """The number of turns in memory, live or ended."""
        return len(self._live) + len(self._ended)

    def __contains__(self, key: TurnKey) -> bool:
        """Whether a turn is in memory, live or ended."""
        return key in self._live or key in self._ended

    def is_running(self, key: TurnKey) -> bool:
        """Whether a turn has no ending yet."""
        turn = self._live.get(key)
        return turn is not None and turn.ending is None

    def place_of(self, key: TurnKey, message: str) -> int | None:
        """The place of a message in its answer, from 0; None if the turn is not in memory."""
        turn = self._live.get(key) or self._ended.get(key)
        return turn.messages.index(message) if turn is not None and message in turn.messages else None

    @property
    def live(self) -> Sequence[TurnState]:
        """Turns with their event, oldest first: unfinished, or interrupted for another process to continue."""
        return tuple(self._live.values())

    @property
    def ended(self) -> Sequence[TurnState]:
        """Ended turns, oldest first; a repeated event is recognised by their key."""
        return tuple(self._ended.values())

    @property
    def dropped(self) -> Sequence[TurnKey]:
        """The keys of turns to delete."""
        return tuple(self._dropped)

    def apply(self, operation: Operation) -> None:
        """Apply an operation; one on another process's turn changes nothing, except for `Drop`."""
        turn = self._live.get(operation.key)
        match operation:
            case Accept(key, event, received_at, messages):
                self._dropped.pop(key, None)
                self._live[key] = TurnState(key, event, received_at, list(messages))
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
            case _:
                pass

    def newest_answer(self, question: TurnKey) -> Answered | None:
        """The newest answer in memory; see `bot.journal.Journal`."""
        turns = [turn for turn in (*self.live, *self.ended) if turn.key.question == question]
        newest = max(turns, key=lambda turn: turn.key.generation, default=None)
        return Answered(newest.key, tuple(newest.messages), newest.has_ended) if newest is not None else None

    def add_claimed(self, turns: Iterable[UnfinishedTurn], now: float) -> None:
        """Add turns claimed from other processes. `now` is in seconds since 1970."""
        for turn in turns:
            received_at = now - turn.age if turn.age < now else 0.0
            self._live[turn.key] = TurnState(turn.key, turn.event, received_at, list(turn.messages))

    def forget(self, concerns: Callable[[TurnKey], bool]) -> None:
        """Forget these unfinished turns, and turns to delete: another process has them. Ended ones stay known."""
        for cache in (self._live, self._dropped):
            for key in [key for key in cache if concerns(key)]:
                del cache[key]

    def _end(self, turn: TurnState, ending: Ending) -> None:
        turn.ending = ending
        if turn.has_ended:
            turn.event = ""
            del self._live[turn.key]
            self._ended[turn.key] = turn
