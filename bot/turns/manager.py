"""Which turns run: one for each conversation at a time, bounded, drained at shutdown.

What belongs here: taking turns in, their order, and stopping them. What does not: what happens in a turn
(`bot.turns.runner`), what is written down of it (`bot.turns.journaling`), who comes first when many ask
(`bot.turns.fair_semaphore`).

Every task has an owner: `run` holds a group with the pacers and one worker for each conversation that has turns.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from bot.completion import Completion
from bot.conversation import Author, Ending, Turn, TurnKey
from bot.delivery.pacer import Pacer
from bot.ports import Channel, Journal, UnfinishedTurn
from bot.telemetry import Recorder
from bot.turns.config import TurnConfig
from bot.turns.fair_semaphore import FairSemaphore
from bot.turns.journaling import TurnJournal
from bot.turns.runner import PendingTurn, RunningTurn, TurnRunner

log = logging.getLogger(__name__)


class TurnManager:
    """Takes turns in and sees each to its end. Implements `bot.ports.Inbox`."""

    def __init__(
        self,
        choices: TurnConfig,
        completion: Completion,
        journal: Journal,
        recorder: Recorder,
        *,
        random_: random.Random,
        wall_clock: Callable[[], datetime],
        ready: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`ready` says of a platform, by its name, whether its events arrive."""
        self._choices = choices
        self._ledger = TurnJournal(journal)
        self._answering = TurnRunner(choices, completion, self._ledger, recorder, wall_clock=wall_clock, ready=ready)
        self._recorder = recorder
        self._random = random_
        self._group: asyncio.TaskGroup | None = None
        self._pacers: dict[str, Pacer] = {}
        # By conversation, the turn that runs first; an entry exists while its worker does.
        self._waiting: dict[str, list[PendingTurn]] = {}
        self._accepted: set[str] = set()  # digests of turns that have not ended
        self._withdrawn: set[str] = set()  # of those that wait, and are not to be answered any more
        self._lines: set[str] = set()  # conversations in which a line of our own is being said
        limits = choices.limits
        shares = limits.share(limits.per_user), limits.share(limits.per_channel)
        self._slots = FairSemaphore(limits.live, per_user=shares[0], per_channel=shares[1])
        self._idle = asyncio.Event()
        self._idle.set()
        self._accepting = True
        self.started = asyncio.Event()  # set once turns are taken in

    @property
    def degraded(self) -> bool:
        """Whether the journal does not work: answers go on, but those that are live are lost with the process."""
        return self._ledger.degraded

    async def run(self) -> None:
        """Own everything that turns need, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.started.set()
            await asyncio.Event().wait()

    # -------------------------------------------------------------------------------------------------------- taking in

    async def receive(self, key: TurnKey, event: str) -> bool:
        """See `Inbox`."""
        if key.digest in self._accepted or not await self._ledger.receive(key, event):
            self._recorder.refused(key.platform, "duplicate")
            return False
        return True

    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:
        """See `Inbox`."""
        records = await self._ledger.unfinished_turns(platform)
        if records:
            log.info("unfinished turns are taken up", extra={"platform": platform, "turns": len(records)})
        return records

    def accept(self, turn: Turn, channel: Channel) -> None:
        """See `Inbox`."""
        if not self._accepting:
            return  # what was received is for the next process
        if turn.key.digest in self._accepted:
            self._recorder.refused(turn.key.platform, "duplicate")
            return
        words, accepted = self._choices.words, PendingTurn(turn, channel, asyncio.get_running_loop().time())
        if not self._choices.access.permit(turn):  # before any command: a word of who may not ask does nothing
            self._refuse(accepted, "access", words.no_access if turn.direct else "")
        elif words.is_stop(turn.question) and (
            self.stop_conversation(turn.conversation, by=turn.author) or self._hush_own(turn)
        ):
            self.dismiss(turn.key)
        elif self._is_too_busy(turn):
            self._refuse(accepted, "busy", words.busy)
        else:
            self._enqueue(accepted)

    def update_event(self, key: TurnKey, event: str) -> None:
        """See `Inbox`."""
        if self._group is not None:
            self._group.create_task(self._ledger.update_event(key, event), name=f"keeping {key.reference}")

    def dismiss(self, key: TurnKey) -> None:
        """See `Inbox`."""
        if self._group is not None:
            self._group.create_task(self._ledger.dismiss(key), name=f"dismissing {key.reference}")

    # --------------------------------------------------------------------------------------------------------- stopping

    def stop(self, at: TurnKey, *, by: Author | str) -> bool:
        """See `Inbox`."""
        if (live := self._of(at)) is not None:
            return self._end_for(live, by)
        waiting = next((one for each in self._waiting.values() for one in each if one.turn.key == at), None)
        return waiting is not None and self._may_stop(waiting.turn, by) and self._withdraw(at)

    def stop_conversation(self, conversation: str, *, by: Author | str) -> bool:
        """See `Inbox`."""
        found = [live for live in self._answering.live.values() if live.turn.conversation == conversation]
        return sum(self._end_for(live, by) for live in found) > 0

    def _end_for(self, live: RunningTurn, by: Author | str) -> bool:
        """End an answer for who asks to stop it, if that is somebody who may ask here."""
        may = self._may_stop(live.turn, by)
        if may:
            self._end(live, _id_of(by))
        return may

    def _may_stop(self, turn: Turn, by: Author | str) -> bool:
        """Whether somebody may stop the answer to `turn`: who may ask in its place may."""
        if _id_of(by) == turn.author.id:
            return True  # was permitted, with the roles that they have
        author = by if isinstance(by, Author) else Author(by, by)
        may = self._choices.access.permit(replace(turn, author=author))
        if not may:
            log.info("not stopped", extra={"turn": turn.key.reference, "by": author.id, "why": "access"})
        return may

    def _hush_own(self, turn: Turn) -> bool:
        """What the same person asked in the same channel: where there are no threads, "stop" names no conversation."""
        place = (turn.key.platform, turn.key.workspace, turn.key.channel, turn.author.id)
        own = [
            live
            for live in self._answering.live.values()
            if place == (live.turn.key.platform, live.turn.key.workspace, live.turn.key.channel, live.turn.author.id)
        ]
        for live in own:
            self._end(live, turn.author.id)
        return bool(own)

    def message_deleted(self, at: TurnKey) -> None:
        """See `Inbox`."""
        live = self._of(at)
        if live is None:
            self._withdraw(at)
        elif at.message == live.turn.key.message:
            self._end(live, "the deletion of the question")
        else:
            log.info("the answer was deleted", extra={"turn": live.turn.key.reference})
            live.lose(at.message)

    def _end(self, live: RunningTurn, by: str) -> None:
        log.info("stopped", extra={"turn": live.turn.key.reference, "by": by})
        live.end(Ending.STOPPED, asyncio.get_running_loop().time())

    def _of(self, at: TurnKey) -> RunningTurn | None:
        """The live turn whose question or answer a message is."""
        place = (at.platform, at.workspace, at.channel)
        for live in self._answering.live.values():
            key = live.turn.key
            if (key.platform, key.workspace, key.channel) == place and at.message in {
                key.message,
                *live.reply.messages,
            }:
                return live
        return None

    def _withdraw(self, at: TurnKey) -> bool:
        if at.digest not in self._accepted:
            return False
        self._withdrawn.add(at.digest)
        return True

    # ------------------------------------------------------------------------------------------------------- at the end

    async def idle(self) -> None:
        """Wait until no turn is left to answer."""
        await self._idle.wait()

    async def drain(self, seconds: float) -> None:
        """Take in nothing more; give live turns `seconds`, then mark what is left as interrupted."""
        self._accepting = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        self._answering.interrupt()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._choices.limits.mark_seconds):
                await self._idle.wait()
        if self._accepted:
            log.error("turns left unfinished at shutdown", extra={"turns": len(self._accepted)})

    def _is_too_busy(self, turn: Turn) -> bool:
        limits = self._choices.limits
        waiting = self._waiting.get(turn.conversation, ())
        return len(waiting) > limits.waiting or len(self._accepted) >= limits.accepted

    def _refuse(self, accepted: PendingTurn, why: str, line: str) -> None:
        """Say no: with `line`, where there is one and few enough are being said already.

        A line needs no model, so it waits neither for a place nor for the answers that it apologises for.
        """
        turn = accepted.turn
        log.info("not answered", extra={"turn": turn.key.reference, "author": turn.author.id, "why": why})
        self._recorder.refused(turn.key.platform, why)
        if not line or turn.conversation in self._lines or len(self._lines) >= self._choices.limits.lines:
            self.dismiss(turn.key)
            return
        self._lines.add(turn.conversation)
        self._idle.clear()
        self._start(self._tell(replace(accepted, line=line)), f"line {turn.key.reference}")

    async def _tell(self, accepted: PendingTurn) -> None:
        try:
            await self._answering.run(accepted, self._pacer(accepted.channel))
        finally:
            self._lines.discard(accepted.turn.conversation)
            self._note_idle()

    def _enqueue(self, accepted: PendingTurn) -> None:
        conversation = accepted.turn.conversation
        self._accepted.add(accepted.turn.key.digest)
        self._idle.clear()
        if conversation in self._waiting:
            self._waiting[conversation].append(accepted)
            self._answering.hasten(conversation)
            return
        self._waiting[conversation] = [accepted]
        self._start(self._work(conversation), f"conversation {accepted.turn.key.reference}")

    def _note_idle(self) -> None:
        if not self._waiting and not self._lines:
            self._idle.set()

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        if self._group is None:
            work.close()
            raise RuntimeError("turns are taken in only while `run` runs")
        self._group.create_task(work, name=name)

    async def _work(self, conversation: str) -> None:
        """Run a conversation's turns, one after the other, until none waits."""
        waiting = self._waiting[conversation]
        try:
            while waiting:
                accepted = waiting[0]
                try:
                    await self._take_turn(accepted)
                finally:
                    del waiting[0]
                    self._accepted.discard(accepted.turn.key.digest)
                    self._withdrawn.discard(accepted.turn.key.digest)
        finally:
            del self._waiting[conversation]
            self._note_idle()

    async def _take_turn(self, accepted: PendingTurn) -> None:
        key, author = accepted.turn.key, accepted.turn.author
        person = f"{key.platform}/{key.workspace}/{author.id}"
        place = f"{key.platform}/{key.workspace}/{key.channel}"
        async with self._slots.acquire(person, place):
            if key.digest in self._withdrawn and self._ledger.is_partially_answered(key):
                withdrawn = replace(accepted, withdrawn=True)
                await self._answering.run(withdrawn, self._pacer(accepted.channel))
            elif key.digest in self._withdrawn:
                log.info("not answered", extra={"turn": key.reference, "author": author.id, "why": "withdrawn"})
                self.dismiss(key)
            else:
                await self._answering.run(accepted, self._pacer(accepted.channel))

    def _pacer(self, channel: Channel) -> Pacer:
        """The pacer of the channel's connection, which lives as long as `run`; there are as many as workspaces."""
        pacer = self._pacers.get(channel.connection)
        if pacer is None:
            pacer = self._pacers[channel.connection] = Pacer(self._choices.writing, self._recorder, self._random)
            self._start(pacer.run(), f"pacer {channel.connection}")
        return pacer


def _id_of(by: Author | str) -> str:
    return by.id if isinstance(by, Author) else by
