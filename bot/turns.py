"""Which turns run: one for each conversation at a time, bounded, drained at shutdown; and the one failure boundary.

What belongs here: taking turns in, their order, what each needs from beginning to end, the journal, and what happens
to a turn when something breaks. What does not: how an answer is written (`bot.reply`, `bot.pacer`) or asked for
(`bot.completion`).

Every task has an owner: `run` holds a group with the pacers and one worker for each conversation that has turns; a
worker holds, for the turn it runs, a group with the task that reads the model and the one that shows that work is being
done, which may be cancelled at any await, and now and then one that writes the journal, which ends by itself. A live
turn may be one of thousands, so what it holds while it waits is kept small.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from bot.access import AccessRules
from bot.completion import Completion
from bot.conversation import Ending, Text, Turn, TurnKey
from bot.errors import Declined, Failure, Forbidden, Gone
from bot.pacer import Pacer
from bot.ports import Channel, Journal
from bot.prompt import Prompting, is_empty, prepare
from bot.reply import Reply, WritingPolicy, because_of, ignored
from bot.telemetry import Figures, Recorder, TurnRecord
from bot.words import Words

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """How much is taken on. Times in seconds."""

    # Turns that wait in one conversation while another is answered there; more get a polite line.
    waiting: int = 5
    # Answers being made at once in the whole process; more wait. Each holds a connection to the model's server.
    live: int = 200
    # Turns taken in and not yet ended, in all; more get a polite line.
    accepted: int = 2000
    # Conversations that are remembered to have been told of messages left out; one forgotten is told again.
    told: int = 10_000
    # Lines of our own (busy, no access) being said at once, one in a conversation; beyond, a refusal is silent.
    lines: int = 20
    # At shutdown, what is left after draining has this long to be marked as interrupted.
    mark_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator chose for turns, as values."""

    access: AccessRules
    prompting: Prompting
    words: Words
    writing: WritingPolicy
    limits: TurnLimits


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A turn that was taken in, and since when. `line` is our own answer to it, where no model is asked."""

    turn: Turn
    channel: Channel
    since: float
    line: str = ""


@dataclass(frozen=True, slots=True)
class _Live:
    """A turn that is being answered."""

    turn: Turn
    reply: Reply
    reading: asyncio.Task[None]

    def end(self, ending: Ending, now: float) -> None:
        """Read no further (the model's connection is closed at once) and show what there is."""
        self.reading.cancel()
        self.reply.finish(ending, now)


class Turns:
    """Takes turns in and sees each to its end. Implements `bot.ports.Inbox`."""

    def __init__(
        self,
        choices: Choices,
        completion: Completion,
        journal: Journal,
        recorder: Recorder,
        *,
        random_: random.Random,
        wall_clock: Callable[[], datetime],
    ) -> None:
        self._choices = choices
        self._completion = completion
        self._journal = journal
        self._recorder = recorder
        self._random = random_
        self._wall_clock = wall_clock  # only for the date that a prompt may name
        self._group: asyncio.TaskGroup | None = None
        self._pacers: dict[str, Pacer] = {}
        # By conversation, the turn that runs first; an entry exists while its worker does.
        self._waiting: dict[str, list[_Accepted]] = {}
        self._accepted: set[str] = set()  # digests of turns that have not ended
        self._live: dict[str, _Live] = {}
        self._lines: set[str] = set()  # conversations in which a line of our own is being said
        self._told: dict[str, None] = {}  # conversations that know of messages left out, the oldest first
        self._slots = asyncio.Semaphore(choices.limits.live)
        self._idle = asyncio.Event()
        self._idle.set()
        self._accepting = True
        self._interrupted = False
        self.started = asyncio.Event()  # set once turns are taken in

    async def run(self) -> None:
        """Own everything that turns need, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.started.set()
            await asyncio.Event().wait()

    # -------------------------------------------------------------------------------------------------------- taking in

    def accept(self, turn: Turn, channel: Channel) -> None:
        """See `Inbox`."""
        if not self._accepting:
            return
        if turn.key.digest in self._accepted:
            self._recorder.refused(turn.key.platform, "duplicate")
            return
        words, accepted = self._choices.words, _Accepted(turn, channel, asyncio.get_running_loop().time())
        if not self._choices.access.permit(turn):
            self._refuse(accepted, "access", words.no_access if turn.direct else "")
        elif self._is_too_busy(turn):
            self._refuse(accepted, "busy", words.busy)
        else:
            self._enqueue(accepted)

    def stop(self, message: str, *, by: str) -> bool:
        """See `Inbox`."""
        for live in list(self._live.values()):
            if message == live.turn.key.message or message in live.reply.messages:
                log.info("stopped", extra={"turn": live.turn.key.reference, "by": by})
                live.end(Ending.STOPPED, asyncio.get_running_loop().time())
                return True
        return False

    async def idle(self) -> None:
        """Wait until no turn is left to answer."""
        await self._idle.wait()

    async def drain(self, seconds: float) -> None:
        """Take in nothing more; give live turns `seconds`, then mark what is left as interrupted."""
        self._accepting = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        self._interrupted = True
        now = asyncio.get_running_loop().time()
        for live in list(self._live.values()):
            live.end(Ending.INTERRUPTED, now)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._choices.limits.mark_seconds):
                await self._idle.wait()
        if self._accepted:
            log.error("turns left unfinished at shutdown", extra={"turns": len(self._accepted)})

    def _is_too_busy(self, turn: Turn) -> bool:
        limits = self._choices.limits
        waiting = self._waiting.get(turn.conversation, ())
        return len(waiting) > limits.waiting or len(self._accepted) >= limits.accepted

    def _refuse(self, accepted: _Accepted, why: str, line: str) -> None:
        """Say no: with `line`, where there is one and few enough are being said already.

        A line needs no model, so it waits neither for a place nor for the answers that it apologises for.
        """
        turn = accepted.turn
        log.info("not answered", extra={"turn": turn.key.reference, "author": turn.author.id, "why": why})
        self._recorder.refused(turn.key.platform, why)
        if not line or turn.conversation in self._lines or len(self._lines) >= self._choices.limits.lines:
            return
        self._lines.add(turn.conversation)
        self._idle.clear()
        self._start(self._tell(replace(accepted, line=line)), f"line {turn.key.reference}")

    async def _tell(self, accepted: _Accepted) -> None:
        try:
            await self._run(accepted)
        finally:
            self._lines.discard(accepted.turn.conversation)
            self._note_idle()

    def _enqueue(self, accepted: _Accepted) -> None:
        conversation = accepted.turn.conversation
        self._accepted.add(accepted.turn.key.digest)
        self._idle.clear()
        if conversation in self._waiting:
            self._waiting[conversation].append(accepted)
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
                    async with self._slots:
                        await self._run(accepted)
                finally:
                    del waiting[0]
                    self._accepted.discard(accepted.turn.key.digest)
        finally:
            del self._waiting[conversation]
            self._note_idle()

    # -------------------------------------------------------------------------------------------------- from end to end

    async def _run(self, accepted: _Accepted) -> None:
        """One turn: the failure boundary. Whatever breaks ends this turn only, and leaves a line in the log."""
        key = accepted.turn.key
        if not await self._journalled(self._journal.accept(key), key, otherwise=True):
            self._recorder.refused(key.platform, "duplicate")
            return
        self._recorder.accepted(key.platform)
        figures, messages = Figures(accepted.since), 0
        try:
            reply = Reply(key, accepted.channel, self._choices.words, figures)
            await self._answer(accepted, reply)
            ending, messages = reply.ending or Ending.DONE, len(reply.messages)
        except (Gone, Forbidden) as failure:
            ending = Ending.GONE
            log.warning("cannot write there", extra={"turn": key.reference, "failure": repr(failure)})
        except Failure as failure:
            ending = Ending.FAILED
            log.error("answer could not be written", extra={"turn": key.reference, "failure": repr(failure)})  # noqa: TRY400 (expected; its trace tells nothing)
        except Exception:
            ending = Ending.FAILED
            log.exception("turn broke", extra={"turn": key.reference})
        await self._journalled(self._journal.ended(key, ending), key, otherwise=None)
        record = figures.record(asyncio.get_running_loop().time(), key, ending, messages)
        self._recorder.ended(record)
        _log_record(accepted.turn, record)

    async def _answer(self, accepted: _Accepted, reply: Reply) -> None:
        """Read the model and have the answer written, side by side. Raises what made writing impossible."""
        key = accepted.turn.key
        with self._pacer(accepted.channel).admitted(reply):
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(accepted, reply), name=f"reading {key.reference}")
                showing = group.create_task(_show_working(accepted), name=f"working {key.reference}")
                reply.on_shown = showing.cancel
                reply.on_posted = partial(self._note, group, key, [])
                self._live[key.digest] = _Live(accepted.turn, reply, reading)
                try:
                    with suppress(Exception):  # it is raised below; here the group would wrap it
                        await reply.over
                finally:
                    del self._live[key.digest]
                    reading.cancel()
                    showing.cancel()
                    reply.on_shown = reply.on_posted = ignored  # they hold this turn
        reply.over.result()

    async def _read(self, accepted: _Accepted, reply: Reply) -> None:
        """Feed the reply with what the model sends. Whatever fails here, the reader gets an honest end."""
        turn = accepted.turn
        loop = asyncio.get_running_loop()
        try:
            if self._interrupted:
                reply.finish(Ending.INTERRUPTED, loop.time())
            elif accepted.line:
                self._say(reply, accepted.line)
            else:
                await self._ask(accepted, reply)
        except Failure as failure:
            level = logging.ERROR if isinstance(failure, Declined) else logging.WARNING
            log.log(level, "no whole answer", extra={"turn": turn.key.reference, "failure": repr(failure)})
            reply.finish(Ending.FAILED, loop.time(), because_of(failure))
        except Exception:
            log.exception("turn broke", extra={"turn": turn.key.reference})
            reply.finish(Ending.FAILED, loop.time())

    async def _ask(self, accepted: _Accepted, reply: Reply) -> None:
        prompting = self._choices.prompting
        turn = await _with_attachments(accepted)
        history = await accepted.channel.history(prompting.limits.messages)
        if is_empty(turn) and not history.messages:
            self._say(reply, self._choices.words.empty_question)
            return
        prepared = prepare(turn, history, prompting, self._choices.words, self._wall_clock())
        for line in prepared.notices:
            reply.note(line)
        if prepared.history_cut and self._first_told(turn.conversation):
            reply.note(self._choices.words.history_cut)
        loop = asyncio.get_running_loop()
        async with aclosing(self._completion.answer(prepared.prompt)) as deltas:
            async for delta in deltas:
                reply.feed(delta, loop.time(), self._choices.writing)
                if reply.final:
                    return  # its own end, or somebody else's: either way the model's stream is closed

    def _first_told(self, conversation: str) -> bool:
        """Whether a conversation is told now, for the first time, that earlier messages are left out."""
        if conversation in self._told:
            return False
        self._told[conversation] = None
        if len(self._told) > self._choices.limits.told:
            self._told.pop(next(iter(self._told)))
        return True

    def _say(self, reply: Reply, line: str) -> None:
        now = asyncio.get_running_loop().time()
        reply.feed(Text(line), now, self._choices.writing)
        reply.finish(Ending.DONE, now)

    def _note(self, group: asyncio.TaskGroup, key: TurnKey, posted: list[str], message: str) -> None:
        """Have a message that now exists written down, after those in `posted`; no write waits for it."""
        posted.append(message)
        if len(posted) == 1:
            group.create_task(self._keep(key, posted), name=f"journal {key.reference}")

    async def _keep(self, key: TurnKey, posted: list[str]) -> None:
        while posted:
            await self._journalled(self._journal.posted(key, posted[0]), key, otherwise=None)
            del posted[0]

    async def _journalled(self, writing: Awaitable[T], key: TurnKey, *, otherwise: T) -> T:
        """What the journal says. A journal that breaks costs what it is for, a repair after a crash, and no answer."""
        try:
            return await writing
        except Exception:
            log.exception("journal broke", extra={"turn": key.reference})
            return otherwise

    def _pacer(self, channel: Channel) -> Pacer:
        """The pacer of the channel's connection, which lives as long as `run`; there are as many as workspaces."""
        pacer = self._pacers.get(channel.connection)
        if pacer is None:
            pacer = self._pacers[channel.connection] = Pacer(self._choices.writing, self._recorder, self._random)
            self._start(pacer.run(), f"pacer {channel.connection}")
        return pacer


async def _with_attachments(accepted: _Accepted) -> Turn:
    """The turn with what is attached to its question."""
    turn, parts = accepted.turn, await accepted.channel.attached()
    question = replace(turn.question, parts=(*turn.question.parts, *parts))
    return replace(turn, question=question)


async def _show_working(accepted: _Accepted) -> None:
    """A hint is worth no answer: one that breaks is only noted."""
    try:
        await accepted.channel.working()
    except Exception:
        log.exception("hint broke", extra={"turn": accepted.turn.key.reference})


def _log_record(turn: Turn, record: TurnRecord) -> None:
    """One line for each turn, with its figures: what an operator greps for."""
    log.info(
        "turn ended",
        extra={
            "turn": turn.key.reference,
            "platform": turn.key.platform,
            "channel": turn.key.channel,
            "author": turn.author.id,
            "ending": record.ending.value,
            "seconds": round(record.seconds, 3),
            "first_delta": _rounded(record.first_delta),
            "first_visible": _rounded(record.first_visible),
            "character_delay": _rounded(record.character_delay),
            "settle": _rounded(record.settle),
            "characters": record.characters,
            "messages": record.messages,
            "writes": record.writes,
            "attempts": record.attempts,
            "fallback": record.fallback,
            "input_tokens": record.usage.input_tokens if record.usage else None,
            "output_tokens": record.usage.output_tokens if record.usage else None,
        },
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
