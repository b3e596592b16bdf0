"""Sends due writes: one pacer for each connection (a Discord bot, a Slack workspace).

A pacer spends all budgets of a write in one step and applies failures to budgets and reply. `bot.delivery.scheduler`
chooses the reply; turns and journals stay outside. One write of a reply is in flight at a time, so edits never race;
different replies write concurrently.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from bot.callbacks import no_op, returns_false
from bot.delivery.policy import WritePolicy
from bot.delivery.reachability import Reachability
from bot.delivery.reply import Reply
from bot.delivery.scheduler import RollOver, WriteScheduler
from bot.delivery.writes import Write
from bot.errors import Failure, InvalidRequest, OutcomeUnknown, RateLimited, Retryable
from bot.ports import Verb
from bot.rate_limits import Budget
from bot.telemetry import Recorder

log = logging.getLogger(__name__)

# Hold after a 429 without a time. Seconds.
_DEFAULT_HOLD_SECONDS = 1.0

# Writes begun in one iteration of the event loop. Each takes one or two milliseconds to render and to send, and a whole
# second's permits of a Discord bot would stop everything else for a twentieth of a second.
_SENDS_PER_ITERATION = 2


class Pacer:
    """Gives out the permits of one connection."""

    def __init__(
        self,
        policy: WritePolicy,
        recorder: Recorder,
        random_: random.Random,
        scheduler: WriteScheduler[Reply] | None = None,
    ) -> None:
        self._policy = policy
        self._recorder = recorder
        self._random = random_
        self._scheduler = scheduler or WriteScheduler(policy.rollover_after_seconds)
        self._changed = asyncio.Event()
        self._scheduler.on_change(self._changed.set)
        self._reachability = Reachability()

    @property
    def is_cut_off(self) -> bool:
        """Whether the platform is unreachable for the writes of this connection."""
        return self._reachability.is_unreachable(asyncio.get_running_loop().time())

    @property
    def scheduling_steps(self) -> int:
        """The scheduler's work so far; see `bot.delivery.wait_queues`."""
        return self._scheduler.steps

    async def run(self) -> None:
        """Send due writes until cancelled; writes in flight are cancelled too."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as writes:
            while True:
                self._changed.clear()
                now = loop.time()
                for decision in self._scheduler.ready(now, _SENDS_PER_ITERATION):
                    if isinstance(decision, RollOver):
                        decision.reply.roll_over()
                    else:
                        self._start(decision.reply, now, writes)
                # A timer that sets the event: a timeout would cancel this task, at twice the processor time.
                next_at = self._scheduler.next_at(now)
                timer = None if next_at is None else loop.call_at(next_at, self._changed.set)
                try:
                    await self._changed.wait()
                finally:
                    if timer is not None:
                        timer.cancel()

    @contextmanager
    def admitted(self, reply: Reply) -> Iterator[None]:
        """Make the reply's writes while inside, and count it as live in its budgets."""
        reply.listeners.due = partial(self._reschedule, reply)
        reply.listeners.others_wait = partial(self._scheduler.others_wait, reply)
        reply.listeners.budgets = self._budgets_changed
        self._scheduler.add(reply)
        self._budgets_changed(reply.stake.enter(reply.mode))
        try:
            yield
        finally:
            self._scheduler.remove(reply)
            reply.listeners.others_wait = returns_false
            reply.listeners.budgets = no_op
            reply.listeners.due = no_op  # a reference cycle would free the reply late
            self._budgets_changed(reply.stake.leave())  # the reserved permit is free for others

    def _budgets_changed(self, budgets: Iterable[Budget]) -> None:
        self._scheduler.budgets_changed(budgets)
        self._changed.set()

    def _reschedule(self, reply: Reply) -> None:
        self._scheduler.reschedule(reply)
        self._changed.set()

    # --------------------------------------------------------------------------------------------------------- writing

    def _start(self, reply: Reply, now: float, writes: asyncio.TaskGroup) -> None:
        """Render, spend and send. If the due write has changed meanwhile, or was guessed, only reschedule."""
        expected = reply.verb
        write = reply.render()
        if write is None or write.verb is not expected:
            reply.reconsider()
            self._scheduler.reschedule(reply)
            return
        for budget in reply.budgets[write.verb]:
            budget.spend(now)
        if not reply.is_closing:
            reply.stake.reserve(reply.mode)
        reply.write_started()
        writes.create_task(self._write(reply, write, now))

    async def _write(self, reply: Reply, write: Write, sent: float) -> None:
        loop = asyncio.get_running_loop()
        budgets, outcome = reply.budgets[write.verb], "ok"
        met: Failure | None = None
        try:
            await reply.perform(write, self._policy)
        except Retryable as failure:
            met, outcome = failure, _outcome_of(failure)
            self._retry_later(reply, failure, budgets)
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
            self._reachability.record(met, loop.time())
            reply.write_finished()
            self._budgets_changed(budgets)
        if write.verb is not Verb.DELETE:
            reply.figures.timeline.wrote(write.verb.value, outcome, sent=sent, now=loop.time())
        self._recorder.wrote(reply.key.platform, write.verb.value, outcome)

    def _retry_later(self, reply: Reply, failure: Retryable, budgets: Sequence[Budget]) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(failure, RateLimited):
            _hold(failure, budgets, now)
        reply.failed(failure, now, self._policy, self._random)
        # Nobody can act on an ordered pause, and a restart among many produces hundreds.
        level = logging.INFO if isinstance(failure, RateLimited) else logging.WARNING
        log.log(level, "write failed", extra={"turn": reply.key.reference, "failure": repr(failure)})


def _outcome_of(failure: Retryable) -> str:
    """A metric's label."""
    if isinstance(failure, RateLimited):
        return "limited"
    return "unanswered" if isinstance(failure, OutcomeUnknown) else "failed"


def _hold(failure: RateLimited, budgets: Sequence[Budget], now: float) -> None:
    """Hold the narrowest budget, or all of them after a global limit."""
    seconds = _DEFAULT_HOLD_SECONDS if failure.retry_after is None else failure.retry_after
    for budget in budgets if failure.is_global else budgets[:1]:
        budget.hold(now, seconds)
