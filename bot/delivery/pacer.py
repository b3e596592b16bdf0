"""Which reply writes next: one pacer for each connection (a Discord bot, a Slack workspace).

What belongs here: the permit (all budgets of a write, spent in one step), sending, and what a failed write means for
its budgets and its reply. What does not: the choice among the replies that have something due
(`bot.delivery.scheduler`), how a budget counts (`bot.rate_limits`), what is written (`bot.delivery.reply`), and
turns or journals, which a pacer never sees.

One write of a reply is in flight at a time, so two edits never race; different replies write side by side.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from bot.delivery.reachability import Reachability
from bot.delivery.reconciler import Write
from bot.delivery.reply import Reply, WritePolicy, ignored
from bot.delivery.scheduler import WriteScheduler
from bot.errors import Failure, InvalidRequest, OutcomeUnknown, RateLimited, Retryable
from bot.ports import Verb
from bot.rate_limits import Budget
from bot.telemetry import Recorder

log = logging.getLogger(__name__)

# A 429 that names no time holds its budget for this long. Seconds; read by `_hold`.
_UNNAMED_HOLD_SECONDS = 1.0


class Pacer:
    """Gives out the permits of one connection."""

    def __init__(self, policy: WritePolicy, recorder: Recorder, random_: random.Random) -> None:
        self._policy = policy
        self._recorder = recorder
        self._random = random_
        self._scheduler = WriteScheduler(policy.rollover_after_seconds)
        self._changed = asyncio.Event()
        self._reachability = Reachability()

    @property
    def is_cut_off(self) -> bool:
        """Whether the platform does not answer the writes of this connection just now."""
        return self._reachability.is_unreachable(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Write what is due, when it may be, until cancelled; writes in flight are cancelled with it."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as writes:
            while True:
                self._changed.clear()
                now = loop.time()
                for reply in self._scheduler.ready(now):
                    self._start(reply, now, writes)
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(self._scheduler.next_at(now)):
                        await self._changed.wait()

    @contextmanager
    def admitted(self, reply: Reply) -> Iterator[None]:
        """While inside, the reply's writes are made here, and its budgets know that it is at work."""
        budgets = {id(budget): budget for spent in reply.budgets.values() for budget in spent}.values()
        for budget in budgets:
            budget.live += 1
        reply.wake = partial(self._reschedule, reply)
        self._scheduler.add(reply)
        self._changed.set()
        try:
            yield
        finally:
            self._scheduler.remove(reply)
            reply.wake = ignored  # it held the reply itself, which would then be freed late
            for budget in budgets:
                budget.live -= 1
            for budget in reply.budgets[Verb.EDIT] if reply.needs_final_write else ():
                budget.reserved_finals -= 1
            self._changed.set()  # others may have what was kept back for this one

    def _reschedule(self, reply: Reply) -> None:
        self._scheduler.reschedule(reply)
        self._changed.set()

    # --------------------------------------------------------------------------------------------------------- writing

    def _start(self, reply: Reply, now: float, writes: asyncio.TaskGroup) -> None:
        """The permit is there: render, spend and send. What is due may have changed since; then only that is noted."""
        expected = reply.verb
        write = reply.render()
        if write is None or write.verb is not expected:
            self._scheduler.reschedule(reply)
            return
        for budget in reply.budgets[write.verb]:
            budget.spend(now)
        if not (reply.needs_final_write or reply.is_closing):
            reply.needs_final_write = True
            for budget in reply.budgets[Verb.EDIT]:
                budget.reserved_finals += 1
        reply.in_flight = True
        writes.create_task(self._write(reply, write, now))

    async def _write(self, reply: Reply, write: Write, sent: float) -> None:
        loop = asyncio.get_running_loop()
        budgets, outcome = reply.budgets[write.verb], "ok"
        met: Failure | None = None
        try:
            await reply.perform(write, self._policy)
        except Retryable as failure:
            met, outcome = failure, "limited" if isinstance(failure, RateLimited) else "failed"
            outcome = "unanswered" if isinstance(failure, OutcomeUnknown) else outcome
            if isinstance(failure, RateLimited):
                _hold(failure, budgets, loop.time())
            reply.failed(failure, loop.time(), self._policy, self._random)
            # A pause that was ordered is nothing to be done about; after a restart among many there are hundreds.
            level = logging.INFO if isinstance(failure, RateLimited) else logging.WARNING
            log.log(level, "write failed", extra={"turn": reply.key.reference, "failure": repr(failure)})
        except InvalidRequest as failure:
            outcome = "refused"
            log.error(  # noqa: TRY400 (expected; its trace tells nothing)
                "text refused by the platform",
                extra={"turn": reply.key.reference, "platform": reply.key.platform, "failure": repr(failure)},
            )
            reply.freeze_with_error(failure)
        except Exception as error:  # noqa: BLE001 (a bug in an adapter ends its own turn, at the turn's boundary, and no other)
            outcome = "refused"
            reply.fail(error)
        finally:
            for budget in budgets:
                budget.record_response(loop.time(), sent=sent)
            self._reachability.note(met, loop.time())
            reply.write_finished()
            self._changed.set()
        self._recorder.wrote(reply.key.platform, write.verb.value, outcome)


def _hold(failure: RateLimited, budgets: Sequence[Budget], now: float) -> None:
    """The server said wait: the narrowest budget does, or all that the write spends where it meant everything."""
    seconds = _UNNAMED_HOLD_SECONDS if failure.retry_after is None else failure.retry_after
    for budget in budgets if failure.is_global else budgets[:1]:
        budget.hold(now, seconds)
