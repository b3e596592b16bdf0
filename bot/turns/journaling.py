"""The turns' use of the `Journal` port: each message once, recovery after a crash, and a broken journal.

If the journal fails, answers continue and only recovery is lost: `degraded` is true until a write succeeds again.
Storage belongs to an adapter, and the choice of turns to `bot.turns.manager`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bot.conversation import Ending, TurnKey
from bot.errors import ServiceError
from bot.journal import Answered, Journal
from bot.ports import UnfinishedTurn

log = logging.getLogger(__name__)

T = TypeVar("T")

# Messages remembered to detect duplicates without the journal. Platforms redeliver within minutes, and few bots receive
# as many messages in this time.
_REMEMBERED = 2_000


@dataclass(frozen=True, slots=True)
class Admission:
    """Permission to answer a turn. `unfinished` is set if an earlier process started it."""

    unfinished: UnfinishedTurn | None = None


class TurnJournal:
    """Tracks for each turn whether it was received, is running, or was left unfinished by an earlier process."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._received: set[str] = set()  # digests of received turns before their start
        self._accepted: dict[str, None] = {}  # digests of turns accepted by the journal, or without it; newest last
        self._unfinished: dict[str, UnfinishedTurn] = {}  # turns of earlier processes by digest, until they start
        self._messages: dict[str, tuple[str, ...]] = {}  # of ended answers by digest; newest last
        self.degraded = False

    @property
    def keeps_events(self) -> bool:
        """Whether received events survive this process, or are in memory by choice."""
        return self.durable or not self._journal.persistent

    @property
    def shared(self) -> bool:
        """Whether several processes use the journal at once."""
        return self._journal.shared

    @property
    def durable(self) -> bool:
        """Whether another process continues the turns that this one leaves unfinished."""
        return self._journal.durable and not self.degraded

    async def receive(self, key: TurnKey, event: str, messages: Sequence[str] = ()) -> bool:
        """Record a message; false for a duplicate. The contract is that of `bot.ports.Inbox.receive`.

        `messages` are those of an earlier answer to the same question, for this one to replace.
        """
        if key.digest in self._received or key.digest in self._unfinished:
            return False
        self._received.add(key.digest)  # before the first await: the message may be delivered again meanwhile
        is_new = False
        try:
            is_new = await self._accept(key, event, messages, may_refuse=self._journal.shared)
        finally:
            if not is_new:
                self._received.discard(key.digest)
        return is_new

    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:
        """Turns of earlier processes, each returned once. The contract is that of `bot.ports.Inbox`."""
        key = TurnKey(platform, "", "", "")
        empty: Sequence[UnfinishedTurn] = ()
        found = await self._try(self._journal.unfinished(platform), key, default=empty)
        turns = await self._without_superseded(found)
        self._unfinished |= {turn.key.digest: turn for turn in turns}
        return turns

    async def _without_superseded(self, turns: Sequence[UnfinishedTurn]) -> Sequence[UnfinishedTurn]:
        """End the turns whose next generation has begun: their process failed between the two records."""
        left: list[UnfinishedTurn] = []
        for turn in turns:
            newest = await self._try(self._journal.newest_answer(turn.key.question), turn.key, default=None)
            if newest is None or newest.key.generation <= turn.key.generation:
                left.append(turn)
            else:
                await self.ended(turn.key, Ending.STOPPED)
        return left

    async def newest_answer(self, question: TurnKey) -> Answered | None:
        """The newest answer to a question; None if it is unknown. Raises `ServiceError` if the journal fails.

        The messages of this process's own answers are exact: the journal may have missed one, and keeps deleted ones.
        """
        try:
            newest = await self._journal.newest_answer(question)
        except Exception as error:
            raise ServiceError(f"the journal cannot be read: {error!r}") from error
        exact = self._messages.get(newest.key.digest) if newest is not None else None
        return newest if newest is None or exact is None else replace(newest, messages=exact)

    def remember_messages(self, key: TurnKey, messages: Sequence[str]) -> None:
        """Remember the messages of an answer at its end."""
        self._messages[key.digest] = tuple(messages)
        if len(self._messages) > _REMEMBERED:
            del self._messages[next(iter(self._messages))]

    def is_partially_answered(self, key: TurnKey) -> bool:
        """Whether an earlier process posted part of the answer and this one has not started it yet."""
        turn = self._unfinished.get(key.digest)
        return turn is not None and bool(turn.messages)

    async def begin(self, key: TurnKey) -> Admission | None:
        """Start a turn. None if it was started before, here or by another process."""
        if (turn := self._unfinished.pop(key.digest, None)) is not None:
            self._remember(key.digest)
            return Admission(turn)
        if key.digest in self._received:
            self._received.discard(key.digest)
            return Admission()
        return Admission() if await self._accept(key) else None

    async def dismiss(self, key: TurnKey) -> None:
        """Forget a turn that will not be answered: it contains no question, or access was denied."""
        self._received.discard(key.digest)
        self._accepted.pop(key.digest, None)
        self._unfinished.pop(key.digest, None)
        await self._try(self._journal.drop(key), key, default=None)

    async def update_event(self, key: TurnKey, event: str) -> None:
        """Replace the recorded event by a more complete one."""
        await self._try(self._journal.update_event(key, event), key, default=None)

    async def posted(self, key: TurnKey, message: str) -> bool:
        """Record a posted message of the answer; false if the journal failed."""
        return await self._try(_true_after(self._journal.posted(key, message)), key, default=False)

    async def ended(self, key: TurnKey, ending: Ending) -> None:
        """Record the end of the turn in this process."""
        await self._try(self._journal.ended(key, ending), key, default=None)

    async def _accept(
        self, key: TurnKey, event: str = "", messages: Sequence[str] = (), *, may_refuse: bool = False
    ) -> bool:
        """Whether the turn is new. A failing journal must not turn an old question into a new one.

        With `may_refuse` a failure raises: the question is nobody's, and its platform delivers it again.
        """
        digest = key.digest
        if digest in self._accepted:
            return False
        accepting = self._journal.accept(key, event, messages)
        is_new = await accepting if may_refuse else await self._try(accepting, key, default=True)
        if is_new:
            self._remember(digest)
        return is_new

    def _remember(self, digest: str) -> None:
        self._accepted[digest] = None
        if len(self._accepted) > _REMEMBERED:
            del self._accepted[next(iter(self._accepted))]

    async def _try(self, operation: Awaitable[T], key: TurnKey, *, default: T) -> T:
        try:
            result = await operation
        except Exception:
            if not self.degraded:
                log.exception(
                    "journal failed: answers continue, but a crash will lose them", extra={"turn": key.reference}
                )
            self.degraded = True
            return default
        if self.degraded:
            log.info("journal works again")
        self.degraded = False
        return result


async def _true_after(operation: Awaitable[None]) -> bool:
    await operation
    return True
