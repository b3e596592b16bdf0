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
from bot.conversation import Author, Ending, Turn, TurnKey
from bot.delivery.pacer import Pacer
from bot.interactions.values import Place
from bot.ports import Channel, Inbox, Journal, UnfinishedTurn
from bot.telemetry import Recorder
from bot.turns.config import TurnConfig
from bot.turns.fair_semaphore import FairSemaphore
from bot.turns.hooks import TurnHooks
from bot.turns.journaling import TurnJournal
from bot.turns.live import LiveTurn, running_turn, waiting_turn
from bot.turns.runner import PendingTurn, RunningTurn, TurnRunner

log = logging.getLogger(__name__)

# Interval of looking whether stopped answers have ended. Their final writes take tenths of a second.
_STOP_CHECK_SECONDS = 0.05


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
    ) -> None:
        """`ready` tells by a platform's name whether its events arrive."""
        self._config = config
        self._journal = TurnJournal(journal)
        self._runner = TurnRunner(
            config, completion, self._journal, recorder, wall_clock=wall_clock, ready=ready, hooks=hooks
        )
        self._recorder = recorder
        self._random = random_
        self._group: asyncio.TaskGroup | None = None
        self._pacers: dict[str, Pacer] = {}
        # By conversation, the running turn first; an entry exists as long as its worker.
        self._queues: dict[str, list[PendingTurn]] = {}
        self._accepted: set[str] = set()  # digests of turns until their end
        self._cancelled: set[str] = set()  # ... of waiting turns, stopped or deleted
        self._notices: set[str] = set()  # conversations with a notice of ours in progress
        limits = config.limits
        self._slots = FairSemaphore(
            limits.live, per_user=limits.share(limits.per_user), per_channel=limits.share(limits.per_channel)
        )
        self._idle = asyncio.Event()
        self._idle.set()
        self._accepting = True
        self.started = asyncio.Event()  # set once turns are accepted

    @property
    def degraded(self) -> bool:
        """Whether the journal fails: answers continue, but a crash would lose the running ones."""
        return self._journal.degraded

    async def run(self) -> None:
        """Own all tasks of the turns, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.started.set()
            await asyncio.Event().wait()

    def live_turns(self) -> Sequence[LiveTurn]:
        """All turns in progress, the longest first."""
        now, running = asyncio.get_running_loop().time(), self._runner.running
        queued = (turn for queue in self._queues.values() for turn in queue if turn.turn.key.digest not in running)
        turns = [*(running_turn(each, now) for each in running.values()), *(waiting_turn(each, now) for each in queued)]
        return sorted(turns, key=lambda turn: turn.accepted, reverse=True)

    # ------------------------------------------------------------------------------------------------------- accepting

    @override
    async def receive(self, key: TurnKey, event: str) -> bool:
        if key.digest in self._accepted or not await self._journal.receive(key, event):
            self._recorder.refused(key.platform, "duplicate")
            return False
        return True

    @override
    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:
        records = await self._journal.unfinished_turns(platform)
        if records:
            log.info("recovering unfinished turns", extra={"platform": platform, "turns": len(records)})
        return records

    @override
    def refusal(self, turn: Turn) -> str:
        strings = self._config.strings
        if not self._config.access.permit(turn):
            return strings.no_access
        return strings.busy if self._is_too_busy(turn) else ""

    @override
    def accept(self, turn: Turn, channel: Channel) -> None:
        if not self._accepting:
            return  # the next process answers it
        if turn.key.digest in self._accepted:
            self._recorder.refused(turn.key.platform, "duplicate")
            return
        strings, pending = self._config.strings, PendingTurn(turn, channel, asyncio.get_running_loop().time())
        if not self._config.access.permit(turn):  # before any command: commands need access too
            self._refuse(pending, "access", strings.no_access if turn.direct else "")
        elif strings.is_stop(turn.question) and (
            self.stop_conversation(turn.conversation, by=turn.author) or self._stop_own(turn)
        ):
            self.dismiss(turn.key)
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
        if (running := self._find_running(at)) is not None:
            return self._stop_if_permitted(running, by)
        waiting = next((turn for queue in self._queues.values() for turn in queue if turn.turn.key == at), None)
        return waiting is not None and self._may_stop(waiting.turn, by) and self._cancel_waiting(at)

    @override
    def stop_conversation(self, conversation: str, *, by: Author | str) -> bool:
        found = [each for each in self._runner.running.values() if each.turn.conversation == conversation]
        return sum(self._stop_if_permitted(running, by) for running in found) > 0

    @override
    def stop_place(self, place: Place, *, by: Author) -> int:
        channel = (place.platform, place.workspace, place.channel)

        def concerns(turn: Turn) -> bool:
            return (bool(place.conversation) and turn.conversation == place.conversation) or (
                turn.author.id == by.id and _channel_of(turn.key) == channel
            )

        return self._stop_where(concerns, by)

    @override
    async def stop_person(self, platform: str, person: str) -> int:
        def concerns(turn: Turn) -> bool:
            return (turn.key.platform, turn.author.id) == (platform, person)

        stopped = self._stop_where(concerns, person)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.limits.stop_seconds):
                while any(concerns(each.turn) for queue in self._queues.values() for each in queue):
                    await asyncio.sleep(_STOP_CHECK_SECONDS)
        return stopped

    def _stop_where(self, concerns: Callable[[Turn], bool], by: Author | str) -> int:
        """Stop the running and waiting turns of a kind, as far as permitted; returns their number."""
        running = self._runner.running
        found = [each for each in running.values() if concerns(each.turn) and not each.reply.is_final]
        queued = [each.turn for queue in self._queues.values() for each in queue if concerns(each.turn)]
        settled = running.keys() | self._cancelled
        waiting = [turn for turn in queued if turn.key.digest not in settled]
        stopped = sum(self._stop_if_permitted(each, by) for each in found)
        return stopped + sum(self._may_stop(turn, by) and self._cancel_waiting(turn.key) for turn in waiting)

    def _stop_if_permitted(self, running: RunningTurn, by: Author | str) -> bool:
        """Stop an answer unless access is denied to `by`."""
        is_permitted = self._may_stop(running.turn, by)
        if is_permitted:
            self._stop(running, _id_of(by))
        return is_permitted

    def _may_stop(self, turn: Turn, by: Author | str) -> bool:
        """Whether a user may stop the answer to `turn`: everyone with access to its channel may."""
        if _id_of(by) == turn.author.id:
            return True  # access was granted to the question, with the author's roles
        author = by if isinstance(by, Author) else Author(by, by)
        is_permitted = self._config.access.permit(replace(turn, author=author))
        if not is_permitted:
            log.info("not stopped", extra={"turn": turn.key.reference, "by": author.id, "why": "access"})
        return is_permitted

    def _stop_own(self, turn: Turn) -> bool:
        """Stop the same user's answers in the same channel: without threads, "stop" names no conversation."""
        where = (_channel_of(turn.key), turn.author.id)
        turns = self._runner.running.values()
        own = [each for each in turns if (_channel_of(each.turn.key), each.turn.author.id) == where]
        for running in own:
            self._stop(running, turn.author.id)
        return bool(own)

    @override
    def message_deleted(self, at: TurnKey) -> None:
        running = self._find_running(at)
        if running is None:
            self._cancel_waiting(at)
        elif at.message == running.turn.key.message:
            self._stop(running, "the deletion of the question")
        else:
            log.info("the answer was deleted", extra={"turn": running.turn.key.reference})
            running.message_deleted(at.message)

    def _stop(self, running: RunningTurn, by: str) -> None:
        log.info("stopped", extra={"turn": running.turn.key.reference, "by": by})
        running.end(Ending.STOPPED, asyncio.get_running_loop().time())

    def _find_running(self, at: TurnKey) -> RunningTurn | None:
        """The running turn with this message as its question or in its answer."""
        for running in self._runner.running.values():
            key = running.turn.key
            if _channel_of(key) == _channel_of(at) and at.message in {key.message, *running.reply.messages}:
                return running
        return None

    def _cancel_waiting(self, at: TurnKey) -> bool:
        if at.digest not in self._accepted:
            return False
        self._cancelled.add(at.digest)
        return True

    # -------------------------------------------------------------------------------------------------------- draining

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
            async with asyncio.timeout(self._config.limits.mark_seconds):
                await self._idle.wait()
        if self._accepted:
            log.error("turns left unfinished at shutdown", extra={"turns": len(self._accepted)})

    def _is_too_busy(self, turn: Turn) -> bool:
        limits = self._config.limits
        queue = self._queues.get(turn.conversation, ())
        return len(queue) > limits.waiting or len(self._accepted) >= limits.accepted

    def _refuse(self, pending: PendingTurn, why: str, notice: str) -> None:
        """Refuse a turn. `notice` is posted unless it is empty or too many notices are in progress.

        A notice needs no model, so it waits neither for a slot nor for other answers.
        """
        turn = pending.turn
        log.info("not answered", extra={"turn": turn.key.reference, "author": turn.author.id, "why": why})
        self._recorder.refused(turn.key.platform, why)
        if not notice or turn.conversation in self._notices or len(self._notices) >= self._config.limits.notices:
            self.dismiss(turn.key)
            return
        self._notices.add(turn.conversation)
        self._idle.clear()
        self._start(self._post_notice(replace(pending, notice=notice)), f"notice {turn.key.reference}")

    async def _post_notice(self, pending: PendingTurn) -> None:
        try:
            await self._runner.run(pending, self._pacer(pending.channel))
        finally:
            self._notices.discard(pending.turn.conversation)
            self._set_idle()

    def _enqueue(self, pending: PendingTurn) -> None:
        conversation = pending.turn.conversation
        self._accepted.add(pending.turn.key.digest)
        self._idle.clear()
        if conversation in self._queues:
            self._queues[conversation].append(pending)
            self._runner.end_soon(conversation)
            return
        self._queues[conversation] = [pending]
        self._start(self._work(conversation), f"conversation {pending.turn.key.reference}")

    def _set_idle(self) -> None:
        if not self._queues and not self._notices:
            self._idle.set()

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        if self._group is None:
            work.close()
            raise RuntimeError("turns are accepted only while `run` runs")
        self._group.create_task(work, name=name)

    async def _work(self, conversation: str) -> None:
        """Run a conversation's turns one after the other until its queue is empty."""
        queue = self._queues[conversation]
        try:
            while queue:
                pending = queue[0]
                try:
                    await self._run_turn(pending)
                finally:
                    del queue[0]
                    self._accepted.discard(pending.turn.key.digest)
                    self._cancelled.discard(pending.turn.key.digest)
        finally:
            del self._queues[conversation]
            self._set_idle()

    async def _run_turn(self, pending: PendingTurn) -> None:
        key, author = pending.turn.key, pending.turn.author
        if key.digest not in self._cancelled:  # a cancelled question costs nothing
            decision = await self._runner.admit(pending.turn)
            if not decision.admitted:
                await self._decline(pending, decision.notice)
                return
        user = f"{key.platform}/{key.workspace}/{author.id}"
        channel = f"{key.platform}/{key.workspace}/{key.channel}"
        async with self._slots.acquire(user, channel):
            if key.digest in self._cancelled and self._journal.is_partially_answered(key):
                await self._runner.run(replace(pending, cancelled=True), self._pacer(pending.channel))
            elif key.digest in self._cancelled:
                log.info("not answered", extra={"turn": key.reference, "author": author.id, "why": "cancelled"})
                await self._runner.refund(pending.turn)
                self.dismiss(key)
            else:
                await self._runner.run(pending, self._pacer(pending.channel))

    async def _decline(self, pending: PendingTurn, notice: str) -> None:
        """Say that a quota is used up, without a slot; or nothing. An earlier answer to the question stays."""
        if notice and not pending.turn.key.generation:
            await self._runner.run(replace(pending, notice=notice), self._pacer(pending.channel))
        else:
            self.dismiss(pending.turn.key)

    def _pacer(self, channel: Channel) -> Pacer:
        """The pacer of the channel's connection. There is one per workspace, for the lifetime of `run`."""
        pacer = self._pacers.get(channel.connection)
        if pacer is None:
            pacer = self._pacers[channel.connection] = Pacer(self._config.writing, self._recorder, self._random)
            self._start(pacer.run(), f"pacer {channel.connection}")
        return pacer


def _id_of(by: Author | str) -> str:
    return by.id if isinstance(by, Author) else by


def _channel_of(key: TurnKey) -> tuple[str, str, str]:
    return key.platform, key.workspace, key.channel
