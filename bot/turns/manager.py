"""Which turns run: one at a time per conversation, bounded in number, drained at shutdown.

A turn's content belongs to `bot.turns.runner`, its record to `bot.turns.journaling`, and fairness between users to
`bot.turns.fair_semaphore`. Every task has an owner: `run` holds a group with the pacers and one worker for each
conversation with turns.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from typing_extensions import override

from bot.completion import Completion
from bot.conversation import Author, Turn, TurnKey
from bot.delivery.pacer import Pacer
from bot.errors import ServiceError
from bot.interactions.values import Place
from bot.journal import Journal
from bot.ports import Channel, Inbox, UnfinishedTurn
from bot.telemetry import Recorder
from bot.turns.config import TurnConfig
from bot.turns.fair_semaphore import FairSemaphore
from bot.turns.hooks import ADMITTED, QuotaDecision, TurnHooks
from bot.turns.journaling import TurnJournal
from bot.turns.live import LiveTurn, running_turn, waiting_turn
from bot.turns.lost_turns import LostTurns
from bot.turns.pending import PendingTurn
from bot.turns.queues import TurnQueues
from bot.turns.repeated_edits import RepeatedEdits
from bot.turns.runner import TurnRunner
from bot.turns.start_gate import StartGate
from bot.turns.stopping import StopRequests

log = logging.getLogger(__name__)


class TurnManager(Inbox):
    """Accepts turns and runs each to its end."""

    def __init__(
        self,
        config: TurnConfig,
        completion: Completion,
        journal: Journal,
        recorder: Recorder,
        *,
        random_: random.Random,
        wall_clock: Callable[[], datetime],
        ready: Callable[[str], bool] = lambda _: True,
        hooks: TurnHooks = TurnHooks(),  # noqa: B008 (a frozen value)
        processor_time: Callable[[], float] | None = None,
    ) -> None:
        """`ready` tells by a platform's name whether its events arrive; `processor_time`: see `StartGate`."""
        self.config = config
        self._journal = TurnJournal(journal)
        repeated = RepeatedEdits(self._journal, self._start_later, config.writing.write_seconds)
        self._runner = TurnRunner(
            config, completion, self._journal, recorder, repeated, wall_clock=wall_clock, ready=ready, hooks=hooks
        )
        self._recorder = recorder
        self._random = random_
        self._group: asyncio.TaskGroup | None = None
        self._pacers: dict[str, Pacer] = {}
        self.queues = TurnQueues()
        self._stops = StopRequests(config.access, self._runner.running, self.queues)
        self._notices: set[str] = set()  # conversations with a notice of ours in progress
        limits = config.limits
        self._slots = FairSemaphore(
            limits.live, per_user=limits.share(limits.per_user), per_channel=limits.share(limits.per_channel)
        )
        self._start_gate = StartGate(processor_time)
        self._idle = asyncio.Event()
        self._idle.set()
        self._accepting = True
        self.started = asyncio.Event()  # set once turns are accepted

    @property
    def degraded(self) -> bool:
        """Whether the journal fails: answers continue, but a crash would lose the running ones."""
        return self._journal.degraded

    @property
    def scheduling_steps(self) -> int:
        """Work of all schedulers so far; see `bot.delivery.wait_queues`."""
        return sum(pacer.scheduling_steps for pacer in self._pacers.values())

    async def run(self) -> None:
        """Own all tasks of the turns, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.started.set()
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    def live_turns(self) -> Sequence[LiveTurn]:
        """All turns in progress, the longest first."""
        now, running = asyncio.get_running_loop().time(), self._runner.running
        queued = (turn for turn in self.queues.turns if turn.turn.key.digest not in running)
        turns = [*(running_turn(each, now) for each in running.values()), *(waiting_turn(each, now) for each in queued)]
        return sorted(turns, key=lambda turn: turn.accepted, reverse=True)

    # ------------------------------------------------------------------------------------------------------- accepting

    @override
    async def receive(self, key: TurnKey, event: str) -> bool:
        self._start_gate.event_received()
        if key.digest in self.queues.accepted or not await self._journal.receive(key, event):
            self._recorder.refused(key.platform, "duplicate")
            return False
        return True

    @override
    def keeps_events(self) -> bool:
        return self._journal.keeps_events

    @override
    async def has_answer(self, question: TurnKey) -> bool:
        try:
            answered = await self._journal.newest_answer(question)
        except ServiceError as failure:
            log.warning("an answer is unknown", extra={"turn": question.reference, "failure": repr(failure)})
            return False
        return answered is not None and bool(answered.messages or not answered.ended)

    @override
    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:
        records = await self._journal.unfinished_turns(platform)
        if records:
            await self.lost.ended({record.key.digest for record in records})
            log.info("recovering unfinished turns", extra={"platform": platform, "turns": len(records)})
        return records

    @override
    def refusal(self, turn: Turn) -> str:
        strings = self.config.strings
        if not self.config.access.permit(turn):
            return strings.no_access
        return strings.busy if self._is_too_busy(turn) else ""

    @override
    def accept(self, turn: Turn, channel: Channel) -> None:
        if not self._accepting:
            return  # the next process answers it
        if turn.key.digest in self.queues.accepted:
            self._recorder.refused(turn.key.platform, "duplicate")
            return
        strings, pending = self.config.strings, PendingTurn(turn, channel, asyncio.get_running_loop().time())
        if not self.config.access.permit(turn):  # before any command: commands need access too
            self._refuse(pending, "access", strings.no_access if turn.direct else "")
        elif strings.is_stop(turn.question) and (
            self.stop_conversation(turn.conversation, by=turn.author) or self._stops.stop_own(turn)
        ):
            self._drop(pending)
        elif self._is_too_busy(turn):
            self._refuse(pending, "busy", strings.busy)
        else:
            self._enqueue(pending)

    @override
    def update_event(self, key: TurnKey, event: str) -> None:
        if self._group is not None:
            self._group.create_task(self._journal.update_event(key, event), name=f"updating {key.reference}")

    @override
    def dismiss(self, key: TurnKey) -> None:
        if self._group is not None:
            self._group.create_task(self._journal.dismiss(key), name=f"dismissing {key.reference}")

    # --------------------------------------------------------------------------------------------------------- stopping

    @override
    def stop(self, at: TurnKey, *, by: Author | str) -> bool:
        return self._stops.stop(at, by)

    @override
    def stop_conversation(self, conversation: str, *, by: Author | str) -> bool:
        return self._stops.stop_conversation(conversation, by)

    @override
    def stop_place(self, place: Place, *, by: Author) -> int:
        return self._stops.stop_place(place, by)

    @override
    async def stop_person(self, platform: str, person: str) -> int:
        stopped = self._stops.stop_person(platform, person)
        theirs = [
            each for each in self.queues.turns if (each.turn.key.platform, each.turn.author.id) == (platform, person)
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.limits.stop_seconds):
                for each in theirs:
                    await each.progress.ended.wait()
        return stopped

    @override
    def message_deleted(self, at: TurnKey) -> None:
        self._stops.message_deleted(at)

    # ----------------------------------------------------------------------------------------------------- generations

    @property
    def accepting(self) -> bool:
        """Whether new turns start; false once the bot is stopping."""
        return self._accepting and self._group is not None

    def start(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run a task of the turns' own; it is cancelled with them."""
        self._start(work, name)

    async def admit(self, turn: Turn) -> QuotaDecision:
        """Reserve room for a question. The turn's later start counts it no second time."""
        return await self._runner.admit(turn)

    async def receive_again(self, key: TurnKey, event: str, messages: Sequence[str]) -> bool:
        """Journal another generation, for `messages` of the earlier one; false if any process has done so."""
        return await self._journal.receive(key, event, messages)

    def accept_again(self, turn: Turn, channel: Channel, messages: Sequence[str]) -> None:
        """Start a journalled generation. Returns at once; while the bot is stopping, it is left to the next process."""
        if self._accepting:
            self._enqueue(PendingTurn(turn, channel, asyncio.get_running_loop().time(), tuple(messages)))

    async def supersede(self, pending: PendingTurn) -> None:
        """End a running turn without a word, and wait for its end. The journal still has it as unfinished."""
        await pending.progress.shows.wait()
        if (running := self._runner.running.get(pending.turn.key.digest)) is not None:
            running.supersede(asyncio.get_running_loop().time())
        await pending.progress.ended.wait()

    @property
    def lost(self) -> LostTurns:
        """The turns of lost lanes, and the others."""
        return LostTurns(self._runner.running, self.queues)

    def abandon(self, concerns: Callable[[TurnKey], bool]) -> int:
        """End turns of another process here: no further write, and the journal has them as unfinished. Their number."""
        return self.lost.abandon(concerns)

    # -------------------------------------------------------------------------------------------------------- draining

    @property
    def journal(self) -> TurnJournal:
        """The record of all turns."""
        return self._journal

    async def idle(self) -> None:
        """Wait until all accepted turns have ended."""
        await self._idle.wait()

    async def drain(self, seconds: float) -> None:
        """Accept no more turns, give the running ones `seconds` to finish, then mark the rest as interrupted."""
        self._accepting = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        self._runner.interrupt()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.limits.mark_seconds):
                await self._idle.wait()
        if self.queues.accepted:
            log.error("turns left unfinished at shutdown", extra={"turns": len(self.queues.accepted)})

    def _is_too_busy(self, turn: Turn) -> bool:
        limits = self.config.limits
        queue = self.queues.by_conversation.get(turn.conversation, ())
        return len(queue) > limits.waiting or len(self.queues.accepted) >= limits.accepted

    def _refuse(self, pending: PendingTurn, why: str, notice: str) -> None:
        """Refuse a turn. `notice` is posted unless it is empty or too many notices are in progress.

        A notice needs no model, so it waits neither for a slot nor for other answers.
        """
        turn = pending.turn
        log.info("not answered", extra={"turn": turn.key.reference, "author": turn.author.id, "why": why})
        self._recorder.refused(turn.key.platform, why)
        if not notice or turn.conversation in self._notices or len(self._notices) >= self.config.limits.notices:
            self._drop(pending)
            return
        self._notices.add(turn.conversation)
        self._idle.clear()
        self._start(self._post_notice(replace(pending, notice=notice)), f"notice {turn.key.reference}")

    async def _post_notice(self, pending: PendingTurn) -> None:
        try:
            await self._runner.run(pending, self._pacer(pending.channel))
            await self._runner.refund(pending.turn)
        finally:
            self._notices.discard(pending.turn.conversation)
            self._set_idle()

    def _enqueue(self, pending: PendingTurn) -> None:
        conversation = pending.turn.conversation
        self._idle.clear()
        if self.queues.add(pending):
            self._start(self._work(conversation), f"conversation {pending.turn.key.reference}")
        else:
            self._runner.end_soon(conversation)

    def _set_idle(self) -> None:
        if not self.queues.by_conversation and not self._notices:
            self._idle.set()

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        if self._group is None:
            work.close()
            raise RuntimeError("turns are accepted only while `run` runs")
        self._group.create_task(work, name=name)

    def _start_later(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run a task unless the process stops, which leaves it out."""
        if self.accepting:
            self._start(work, name)
        else:
            work.close()

    async def _work(self, conversation: str) -> None:
        """Run a conversation's turns one after the other until its queue is empty."""
        queue = self.queues.by_conversation[conversation]
        try:
            while queue:
                try:
                    await self._run_first(queue)
                finally:
                    self.queues.remove_first(conversation)
        finally:
            del self.queues.by_conversation[conversation]
            self._set_idle()

    async def _run_first(self, queue: Sequence[PendingTurn]) -> None:
        """Run the first turn of a queue. Its question may be replaced until it has a slot."""
        turn = queue[0].turn
        key, author = turn.key, turn.author
        await self._start_gate.wait()
        if queue[0].progress.is_abandoned:
            return
        decision = ADMITTED
        if not self.queues.is_cancelled(key):  # a cancelled question costs nothing
            decision = await self._runner.admit(turn)
            if not decision.admitted:
                await self._decline(queue[0], decision.notice)
                return
        user = f"{key.platform}/{key.workspace}/{author.id}"
        channel = f"{key.platform}/{key.workspace}/{key.channel}"
        async with self._slots.acquire(user, channel):
            pending = queue[0]
            if pending.progress.is_abandoned:
                return
            pending.progress.is_taken = True
            has_messages = self._journal.is_partially_answered(key) or bool(pending.replaces)
            if self.queues.is_cancelled(key) and has_messages:
                await self._runner.run(replace(pending, cancelled=True), self._pacer(pending.channel))
            elif self.queues.is_cancelled(key):
                log.info("not answered", extra={"turn": key.reference, "author": author.id, "why": "cancelled"})
                self._drop(pending)
            else:
                await self._runner.run(replace(pending, choices=decision.choices), self._pacer(pending.channel))

    async def _decline(self, pending: PendingTurn, notice: str) -> None:
        """Say that a quota is used up, without a slot; or nothing. An earlier answer to the question stays."""
        if notice and not pending.turn.key.generation:
            await self._runner.run(replace(pending, notice=notice), self._pacer(pending.channel))
        else:
            self._drop(pending)

    def _drop(self, pending: PendingTurn) -> None:
        """End a turn without an answer."""
        self.dismiss(pending.turn.key)
        if self._group is not None:
            self._start(self._withdraw(pending), f"withdrawing {pending.turn.key.reference}")

    async def _withdraw(self, pending: PendingTurn) -> None:
        """Refund a turn, because a command's question is counted before it is accepted, and remove its traces."""
        await self._runner.refund(pending.turn)
        await pending.channel.withdraw()

    def _pacer(self, channel: Channel) -> Pacer:
        """The pacer of the channel's connection. There is one per workspace, for the lifetime of `run`."""
        pacer = self._pacers.get(channel.connection)
        if pacer is None:
            pacer = self._pacers[channel.connection] = Pacer(self.config.writing, self._recorder, self._random)
            self._start(pacer.run(), f"pacer {channel.connection}")
        return pacer
