"""The journal in memory: for the page on one's own machine, and wherever nothing may be left lying around.

What belongs here: that, and its bound. What does not: anything that outlives the process (`adapters.journal.sqlite`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.conversation import Ending, TurnKey
from bot.ports import UnfinishedTurn

# How many turns are remembered: at 10 questions a minute about 17 hours, while platforms deliver an event again within
# the hour (Slack: at once, after 1 and after 5 minutes, https://docs.slack.dev/apis/events-api/#retries). Each takes a
# few hundred bytes.
MAX_TURNS = 10_000


@dataclass(slots=True)
class StoredTurn:
    """What is remembered of a turn."""

    event: str = ""  # while it is live
    messages: list[str] = field(default_factory=list)  # ids of the messages of its answer, in the order of posting
    ending: Ending | None = None  # None while it is live


class MemoryJournal:
    """A journal that lives as long as the process: enough to answer an event once, not to repair after a crash.

    `limit` is the number of turns that are remembered; beyond it the oldest is forgotten.
    """

    def __init__(self, limit: int = MAX_TURNS) -> None:
        if limit < 1:
            raise ValueError("a journal that remembers nothing would answer every event twice")
        self._limit = limit
        self._turns: OrderedDict[TurnKey, StoredTurn] = OrderedDict()

    def __len__(self) -> int:
        """How many turns are remembered."""
        return len(self._turns)

    def entry(self, key: TurnKey) -> StoredTurn | None:
        """What is remembered of a turn, None where it never was accepted or is forgotten."""
        return self._turns.get(key)

    @property
    def durable(self) -> bool:
        """See `bot.ports.Journal`."""
        return False

    async def accept(self, key: TurnKey, event: str = "") -> bool:
        """See `bot.ports.Journal`."""
        if key in self._turns:
            return False
        self._turns[key] = StoredTurn(event)
        if len(self._turns) > self._limit:
            self._turns.popitem(last=False)
        return True

    async def update_event(self, key: TurnKey, event: str) -> None:
        """See `bot.ports.Journal`."""
        if (entry := self._turns.get(key)) is not None and entry.event:
            entry.event = event

    async def drop(self, key: TurnKey) -> None:
        """See `bot.ports.Journal`."""
        self._turns.pop(key, None)

    async def posted(self, key: TurnKey, message: str) -> None:
        """See `bot.ports.Journal`. Of a turn that is forgotten there is nothing to add to."""
        entry = self._turns.get(key)
        if entry is not None and message not in entry.messages:
            entry.messages.append(message)

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        """See `bot.ports.Journal`."""
        if entry := self._turns.get(key):
            entry.ending = ending
            if ending is not Ending.INTERRUPTED:
                entry.event = ""

    async def unfinished(self, platform: str) -> Sequence[UnfinishedTurn]:  # noqa: ARG002 (a protocol's signature)
        """See `bot.ports.Journal`. No earlier process wrote here."""
        return ()
