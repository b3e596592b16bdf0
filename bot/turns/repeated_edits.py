"""The last edits of an answer taken over, made once more: a write of its earlier owner may have arrived after ours.

The earlier owner stops writing before another one begins. But its last write may be under way still, for as long as the
platform or a network holds it, and may then replace newer text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from bot.conversation import TurnKey
from bot.delivery.reply import Reply
from bot.errors import Failure, OutcomeUnknown, RateLimited, ServiceError, cause_of
from bot.ports import Body, Channel, UnfinishedTurn, Verb
from bot.rate_limits import Budget
from bot.turns.journaling import TurnJournal
from bot.turns.pending import PendingTurn

log = logging.getLogger(__name__)

# Longest wait for permits that no live answer needs. An edit that finds none is left out. Seconds.
PATIENCE_SECONDS = 10.0

# A hold after a 429 without a time. Seconds.
_HOLD_SECONDS = 1.0


class RepeatedEdits:
    """Schedules them. Those of a process that stops are left out."""

    def __init__(
        self, journal: TurnJournal, start: Callable[[Coroutine[Any, Any, None], str], object], write_seconds: float
    ) -> None:
        """`start` runs a task by its name; `write_seconds` is the longest time of a write."""
        self._journal = journal
        self._start = start
        self._write_seconds = write_seconds

    def schedule(self, pending: PendingTurn, reply: Reply, unfinished: UnfinishedTurn | None) -> None:
        """An answer has ended here. Its earlier owner's messages are edited again, once no write of his can be left."""
        at = pending.accepted_at + self._write_seconds
        if unfinished is None or not self._journal.shared or asyncio.get_running_loop().time() >= at:
            return
        earlier = set(unfinished.messages)
        edits = [(id_, body) for id_, body in reply.shown.items() if id_ in earlier and not body.files]
        if edits:
            key = pending.turn.key
            self._start(self._repeat(key, pending.channel, edits, at), f"repeating the last edits of {key.reference}")

    async def _repeat(self, key: TurnKey, channel: Channel, edits: Sequence[tuple[str, Body]], at: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(at - loop.time())
        for message, body in edits:
            budgets = channel.budgets(Verb.EDIT)
            if not await self._is_newest(key) or not await _permitted(budgets, loop.time() + PATIENCE_SECONDS):
                log.info("the last edit is not repeated", extra={"turn": key.reference})
                return
            try:
                await self._edit(channel, message, body, budgets)
            except Failure as failure:
                log.info("the last edit is not repeated", extra={"turn": key.reference, "failure": cause_of(failure)})
            except Exception:
                log.exception("the last edit is not repeated", extra={"turn": key.reference})

    async def _is_newest(self, key: TurnKey) -> bool:
        """Whether no other answer to the question has begun in these messages."""
        try:
            newest = await self._journal.newest_answer(key.question)
        except ServiceError:
            return False
        return newest is None or newest.key == key

    async def _edit(self, channel: Channel, message: str, body: Body, budgets: Sequence[Budget]) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        for budget in budgets:
            budget.spend(sent)
        try:
            async with asyncio.timeout(self._write_seconds):
                await channel.edit(message, body)
        except RateLimited as failure:
            seconds = _HOLD_SECONDS if failure.retry_after is None else failure.retry_after
            for budget in budgets if failure.is_global else budgets[:1]:
                budget.hold(loop.time(), seconds)
            raise
        except TimeoutError as error:
            raise OutcomeUnknown("no answer to an edit in time") from error
        finally:
            for budget in budgets:
                budget.record_response(loop.time(), sent=sent)


async def _permitted(budgets: Sequence[Budget], deadline: float) -> bool:
    """Wait until all budgets have a permit beside those reserved for live answers; False if that takes too long."""
    loop = asyncio.get_running_loop()
    while (at := max(budget.ready_at(loop.time(), final=False) for budget in budgets)) > loop.time():
        if at > deadline:
            return False
        await asyncio.sleep(at - loop.time())
    return True
