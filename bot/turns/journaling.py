"""What is written down of a turn, and what goes on when it cannot be.

What belongs here: the use of the `Journal` port, so that a message is written down once, taken up again after a crash,
and answered even where the journal is broken. What does not: how it is kept (an adapter), and which turns run
(`bot.turns.manager`).

A journal that fails costs what it is for, the repair after a crash, and no answer: from the first failure on `degraded`
is true, until something can be written again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bot.conversation import Ending, TurnKey
from bot.ports import Journal, UnfinishedTurn

log = logging.getLogger(__name__)

T = TypeVar("T")

# Messages that are told from a second delivery without the journal: platforms deliver again within minutes, in which
# few bots receive as many.
_REMEMBERED = 2_000


@dataclass(frozen=True, slots=True)
class Admission:
    """A turn may be answered. `record` is what an earlier process left of it, if one did."""

    record: UnfinishedTurn | None = None


class TurnJournal:
    """Knows of each turn whether it was received, is being answered, or was left by an earlier process."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._received: set[str] = set()  # digests of what was written down here and has not begun
        self._taken: dict[str, None] = {}  # digests of what was written down, or should have been, the newest last
        self._left: dict[str, UnfinishedTurn] = {}  # by digest: what an earlier process left, until it begins
        self.degraded = False

    @property
    def durable(self) -> bool:
        """Whether another process goes on with what this one leaves."""
        return self._journal.durable and not self.degraded

    async def receive(self, key: TurnKey, event: str) -> bool:
        """See `bot.ports.Inbox`."""
        if key.digest in self._received or key.digest in self._left:
            return False
        self._received.add(key.digest)  # before anything is waited for: the same may be delivered again meanwhile
        if await self._accepts(key, event):
            return True
        self._received.discard(key.digest)
        return False

    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:
        """See `bot.ports.Inbox`."""
        key = TurnKey(platform, "", "", "")
        nothing: Sequence[UnfinishedTurn] = ()
        records = await self._tried(self._journal.unfinished(platform), key, otherwise=nothing)
        self._left |= {record.key.digest: record for record in records}
        return records

    def is_partially_answered(self, key: TurnKey) -> bool:
        """Whether an earlier process left messages of its answer, which nobody has gone on with yet."""
        record = self._left.get(key.digest)
        return record is not None and bool(record.messages)

    async def begin(self, key: TurnKey) -> Admission | None:
        """The turn is to be answered now; None if it was before, or is by somebody else."""
        if (record := self._left.pop(key.digest, None)) is not None:
            self._remember(key.digest)
            return Admission(record)
        if key.digest in self._received:
            self._received.discard(key.digest)
            return Admission()
        return Admission() if await self._accepts(key) else None

    async def dismiss(self, key: TurnKey) -> None:
        """The turn is not answered: it asked nothing, or nobody may ask that."""
        self._received.discard(key.digest)
        self._taken.pop(key.digest, None)
        self._left.pop(key.digest, None)
        await self._tried(self._journal.drop(key), key, otherwise=None)

    async def update_event(self, key: TurnKey, event: str) -> None:
        """More is known of what was written down."""
        await self._tried(self._journal.update_event(key, event), key, otherwise=None)

    async def posted(self, key: TurnKey, message: str) -> bool:
        """A message of the answer now exists. Returns whether that is written down."""
        return await self._tried(_done(self._journal.posted(key, message)), key, otherwise=False)

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        """Nothing more will be written for the turn, by this process."""
        await self._tried(self._journal.ended(key, ending), key, otherwise=None)

    async def _accepts(self, key: TurnKey, event: str = "") -> bool:
        """Whether this was never written down before. A journal that breaks does not make a new question of an old."""
        digest = key.digest
        if digest in self._taken:
            return False
        fresh = await self._tried(self._journal.accept(key, event), key, otherwise=True)
        if fresh:
            self._remember(digest)
        return fresh

    def _remember(self, digest: str) -> None:
        self._taken[digest] = None
        if len(self._taken) > _REMEMBERED:
            del self._taken[next(iter(self._taken))]

    async def _tried(self, writing: Awaitable[T], key: TurnKey, *, otherwise: T) -> T:
        try:
            done = await writing
        except Exception:
            if not self.degraded:
                log.exception(
                    "journal broke: answers go on, but are lost with this process", extra={"turn": key.reference}
                )
            self.degraded = True
            return otherwise
        if self.degraded:
            log.info("journal works again")
        self.degraded = False
        return done


async def _done(writing: Awaitable[None]) -> bool:
    await writing
    return True
