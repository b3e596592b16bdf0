"""The journal in memory: for the playground, and for operators without a writable disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from cachetools import FIFOCache
from typing_extensions import override

from bot.conversation import Ending, TurnKey
from bot.journal import Answered, Journal
from bot.ports import UnfinishedTurn
from bot.privacy import JournalRows

# Turns held in memory: about 17 hours at 10 questions a minute. Platforms repeat an event within the hour (Slack: at
# once, after 1 and after 5 minutes, https://docs.slack.dev/apis/events-api/#retries). A few hundred bytes each.
MAX_TURNS = 10_000


@dataclass(slots=True)
class StoredTurn:
    """One turn."""

    event: str = ""  # empty after the end
    messages: list[str] = field(default_factory=list)  # message ids of the answer, in the order of posting
    ending: Ending | None = None  # None while the turn is live


class MemoryJournal(Journal, JournalRows):
    """A journal for the life of the process: it recognises repeated events, and repairs nothing after a crash.

    Holds at most `limit` turns, and evicts the oldest. Least recently used would be wrong: a repeated event must not
    extend retention.
    """

    def __init__(self, limit: int = MAX_TURNS) -> None:
        if limit < 1:
            raise ValueError("a journal that remembers nothing would answer every event twice")
        self._turns: FIFOCache[TurnKey, StoredTurn] = FIFOCache(limit)

    def __len__(self) -> int:
        """The number of turns in memory."""
        return len(self._turns)

    def turn(self, key: TurnKey) -> StoredTurn | None:
        """A turn; None if it was never accepted, or is evicted."""
        return self._turns.get(key)

    @property
    @override
    def shared(self) -> bool:
        return False

    @property
    @override
    def persistent(self) -> bool:
        return False

    @property
    @override
    def durable(self) -> bool:
        return False

    @override
    async def accept(self, key: TurnKey, event: str = "", messages: Sequence[str] = ()) -> bool:
        if key in self._turns:
            return False
        self._turns[key] = StoredTurn(event, list(messages))
        return True

    @override
    async def update_event(self, key: TurnKey, event: str) -> None:
        if (turn := self._turns.get(key)) is not None and turn.event:
            turn.event = event

    @override
    async def drop(self, key: TurnKey) -> None:
        self._turns.pop(key, None)

    @override
    async def posted(self, key: TurnKey, message: str) -> None:
        if (turn := self._turns.get(key)) is not None and message not in turn.messages:
            turn.messages.append(message)

    @override
    async def ended(self, key: TurnKey, ending: Ending) -> None:
        if (turn := self._turns.get(key)) is not None:
            turn.ending = ending
            if ending is not Ending.INTERRUPTED:
                turn.event = ""

    @override
    async def newest_answer(self, question: TurnKey) -> Answered | None:
        keys = [key for key in self._turns if key.question == question]
        newest = max(keys, key=lambda key: key.generation, default=None)
        if newest is None:
            return None
        turn = self._turns[newest]
        return Answered(newest, tuple(turn.messages), turn.ending not in {None, Ending.INTERRUPTED})

    @override
    async def rows(self, keys: Sequence[TurnKey]) -> Sequence[Mapping[str, object]]:
        found = ((key, turn) for key in keys if (turn := self._turns.get(key)) is not None)
        return [
            asdict(key)
            | {"ending": turn.ending and turn.ending.value, "event": turn.event, "answer": list(turn.messages)}
            for key, turn in found
        ]

    @override
    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:
        """Empty: no earlier process writes here."""
        return ()
