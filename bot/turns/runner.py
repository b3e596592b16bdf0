"""One turn, from beginning to end: asking the model, having the answer written, and the one failure boundary.

What belongs here: what a turn needs and in which order, its honest end whatever breaks, and the line in the log. What
does not: which turns run and when (`bot.turns.manager`), how an answer is written (`bot.delivery.reply`,
`bot.delivery.pacer`) or asked for (`bot.completion`), what is written down (`bot.turns.journaling`).

A live turn may be one of thousands, so what it holds while it waits is kept small: a group with the task that reads the
model and the one that shows that work is being done, and now and then one that writes the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from bot.completion import Attempt, Completion
from bot.conversation import Delta, Ending, Text, Turn, TurnKey
from bot.delivery.pacer import Pacer
from bot.delivery.reply import Reply, ignored, reason_of
from bot.errors import Failure, Forbidden, ModelRejected, NotFound
from bot.ports import Channel, UnfinishedTurn
from bot.prompt import is_empty, prepare
from bot.prompt_reduction import PromptReducer, ReducedPrompt
from bot.telemetry import Figures, Recorder, TurnRecord
from bot.turns.config import TurnConfig
from bot.turns.journaling import TurnJournal

log = logging.getLogger(__name__)

# Characters that are taken in at once; some milliseconds of work for text that is hard to read.
SLICE = 8_192


@dataclass(frozen=True, slots=True)
class PendingTurn:
    """A turn that was taken in, and since when.

    `line` is our own answer to it, where no model is asked; `withdrawn` says that nobody wants one any more, but that
    an earlier process left a half one, which is to have an end.
    """

    turn: Turn
    channel: Channel
    since: float
    line: str = ""
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class RunningTurn:
    """A turn that is being answered."""

    turn: Turn
    reply: Reply
    reading: asyncio.Task[None]

    def end(self, ending: Ending, now: float) -> None:
        """Read no further (the model's connection is closed at once) and show what there is."""
        self.reading.cancel()
        self.reply.finish(ending, now)

    def lose(self, message: str) -> None:
        """One of its messages is gone: read no further, and leave the others with an honest end."""
        self.reading.cancel()
        self.reply.message_deleted(message)

    def hasten(self) -> None:
        """Somebody waits for this turn to end: if its answer seems to have, do not wait for more of it much longer.

        A server that neither says that its stream is over nor closes it would otherwise keep the next question waiting
        for as long as a silent one is waited for.
        """
        loop, reply = asyncio.get_running_loop(), self.reply
        if reply.is_final:
            return
        if reply.announced.ending is None:
            reply.announced.on_announced = self.hasten
        elif (ends_at := reply.announced.at + _HASTE_SECONDS) > loop.time() + _SAME_TIME:
            loop.call_at(ends_at, self.hasten)
        else:
            self.end(Ending.STOPPED, loop.time())


# From an end that the model's server has announced, while somebody waits for the turn to end: servers that send text
# behind their finish reason do it within a second. Seconds.
_HASTE_SECONDS = 3.0

# A timer may fire a rounding error early. Seconds.
_SAME_TIME = 1e-3


@dataclass(slots=True)
class _Unkept:
    """Messages of a turn that exist and are not written down yet, in their order; `keeping` while a task does it."""

    messages: list[str] = field(default_factory=list)
    keeping: bool = False


class TurnRunner:
    """Answers turns, any number at once. `live` are those being answered, by the digest of their key."""

    def __init__(
        self,
        choices: TurnConfig,
        completion: Completion,
        ledger: TurnJournal,
        recorder: Recorder,
        *,
        wall_clock: Callable[[], datetime],
        ready: Callable[[str], bool],
    ) -> None:
        self._choices = choices
        self._fitting = PromptReducer(completion)
        self._ledger = ledger
        self._recorder = recorder
        self._wall_clock = wall_clock  # only for the date that a prompt may name
        self._ready = ready  # whether a platform's events arrive, by its name
        # Conversations that know of messages that were left out, or not read; the oldest first.
        self._told: dict[str, None] = {}
        self._interrupted = False
        self.live: dict[str, RunningTurn] = {}

    def interrupt(self) -> None:
        """The process has to stop: end what is live, and begin nothing that another process can go on with."""
        self._interrupted = True
        now = asyncio.get_running_loop().time()
        for live in list(self.live.values()):
            live.end(Ending.INTERRUPTED, now)

    def hasten(self, conversation: str) -> None:
        """Another turn waits in this conversation."""
        for live in self.live.values():
            if live.turn.conversation == conversation:
                live.hasten()

    async def run(self, accepted: PendingTurn, pacer: Pacer) -> None:
        """One turn: the failure boundary. Whatever breaks ends this turn only, and leaves a line in the log."""
        key = accepted.turn.key
        if self._interrupted and self._ledger.durable and not accepted.line:
            return  # nothing is shown of it yet, and the next process finds it unfinished
        beginning = await self._ledger.begin(key)
        if beginning is None:
            self._recorder.refused(key.platform, "duplicate")
            return
        self._recorder.accepted(key.platform)
        figures, messages = Figures(accepted.since), 0
        try:
            record = beginning.record
            reply = Reply(
                key,
                accepted.channel,
                self._choices.words,
                figures,
                left=record.messages if record else None,
                max_messages=self._choices.writing.max_messages,
                max_characters=self._choices.writing.max_characters,
            )
            await self._answer(accepted, reply, pacer, record)
            ending, messages = reply.ending or Ending.DONE, len(reply.messages)
        except (NotFound, Forbidden) as failure:
            ending = Ending.GONE
            log.warning("cannot write there", extra={"turn": key.reference, "failure": repr(failure)})
        except Failure as failure:
            ending = Ending.FAILED
            log.error("answer could not be written", extra={"turn": key.reference, "failure": repr(failure)})  # noqa: TRY400 (expected; its trace tells nothing)
        except Exception:
            ending = Ending.FAILED
            log.exception("turn broke", extra={"turn": key.reference})
        await self._ledger.ended(key, ending)
        told = figures.record(asyncio.get_running_loop().time(), key, ending, messages)
        self._recorder.ended(told)
        _log_record(accepted.turn, told)

    async def _answer(self, accepted: PendingTurn, reply: Reply, pacer: Pacer, record: UnfinishedTurn | None) -> None:
        """Read the model and have the answer written, side by side. Raises what made writing impossible."""
        key = accepted.turn.key
        with pacer.admitted(reply):
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(accepted, reply, pacer, record), name=f"reading {key.reference}")
                showing = group.create_task(_show_working(accepted), name=f"working {key.reference}")
                reply.on_shown = showing.cancel
                reply.on_posted = partial(self._note, group, key, _Unkept())
                self.live[key.digest] = RunningTurn(accepted.turn, reply, reading)
                try:
                    with suppress(Exception):  # it is raised below; here the group would wrap it
                        await reply.done
                finally:
                    del self.live[key.digest]
                    reading.cancel()
                    showing.cancel()
                    reply.on_shown = reply.on_posted = reply.announced.on_announced = ignored  # they hold this turn
        reply.done.result()

    async def _read(self, accepted: PendingTurn, reply: Reply, pacer: Pacer, record: UnfinishedTurn | None) -> None:
        """Feed the reply with what the model sends. Whatever fails here, the reader gets an honest end."""
        turn = accepted.turn
        loop = asyncio.get_running_loop()
        try:
            if self._interrupted:
                reply.finish(Ending.INTERRUPTED, loop.time())
            elif record is not None and record.age > self._choices.limits.repair_seconds:
                reply.finish(Ending.ABANDONED, loop.time())
            elif accepted.withdrawn:
                reply.finish(Ending.STOPPED, loop.time())
            elif accepted.line:
                self._say(reply, accepted.line)
            else:
                await self._ask(accepted, reply, partial(self._is_cut_off, turn.key.platform, pacer))
        except Failure as failure:
            level = logging.ERROR if isinstance(failure, ModelRejected) else logging.WARNING
            log.log(level, "no whole answer", extra={"turn": turn.key.reference, "failure": repr(failure)})
            reply.finish(Ending.FAILED, loop.time(), reason_of(failure))
        except Exception:
            log.exception("turn broke", extra={"turn": turn.key.reference})
            reply.finish(Ending.FAILED, loop.time())

    def _is_cut_off(self, platform: str, pacer: Pacer) -> bool:
        """Whether a platform is known to be out of reach, by its events or by our writes."""
        return pacer.is_cut_off or not self._ready(platform)

    async def _ask(self, accepted: PendingTurn, reply: Reply, cut_off: Callable[[], bool]) -> None:
        prompting = self._choices.prompting
        turn = await _with_attachments(accepted)
        history = await accepted.channel.history(prompting.limits.messages)
        if history.unread and self._first_told(f"unread {turn.conversation}"):
            reply.add_notice(self._choices.words.history_unread)
        if is_empty(turn) and not history.messages:
            words = self._choices.words
            self._say(reply, words.empty_direct if turn.direct else words.empty_question)
            return
        prepared = prepare(turn, history, prompting, self._choices.words, self._wall_clock())
        for line in prepared.notices:
            reply.add_notice(line)
        if prepared.history_cut and self._first_told(turn.conversation):
            reply.add_notice(self._choices.words.history_cut)
        loop = asyncio.get_running_loop()
        async with aclosing(self._fitting.answer(prepared.prompt, cut_off)) as deltas:
            async for delta in deltas:
                if isinstance(delta, ReducedPrompt):
                    self._tell(reply, delta, turn.conversation)
                    continue
                for slice_ in _slices(delta):
                    reply.feed(slice_, loop.time(), self._choices.writing)
                    if reply.is_final:
                        return  # its own end, or somebody else's: either way the model's stream is closed
                    if slice_ is not delta:
                        await asyncio.sleep(0)  # others have their turn

    def _tell(self, reply: Reply, fitted: ReducedPrompt, conversation: str) -> None:
        """Say what the model was not given because its server refused it."""
        words = self._choices.words
        for part in fitted.left_out:
            reply.add_notice(words.left_out.format(name=part.name, why=part.why))
        if fitted.no_images:
            reply.add_notice(words.no_images)
        if fitted.history_cut and self._first_told(conversation):
            reply.add_notice(words.history_cut)

    def _first_told(self, conversation: str) -> bool:
        """Whether a conversation is told now, for the first time, that it lacks earlier messages."""
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

    def _note(self, group: asyncio.TaskGroup, key: TurnKey, unkept: _Unkept, message: str) -> None:
        """Have a message that now exists written down, after those in `unkept`; no write waits for it."""
        unkept.messages.append(message)
        if not unkept.keeping:
            unkept.keeping = True
            group.create_task(self._keep(key, unkept), name=f"journal {key.reference}")

    async def _keep(self, key: TurnKey, unkept: _Unkept) -> None:
        """Write them down in their order; one that cannot be is tried again with the next, so that none is left out.

        The next process tells by a message's place what was posted before and after it; of what was posted last and
        not written down it looks for each.
        """
        while unkept.messages and await self._ledger.posted(key, unkept.messages[0]):
            del unkept.messages[0]
        unkept.keeping = False


def _slices(delta: Delta | Attempt) -> Iterator[Delta | Attempt]:
    """A delta, a very long text in slices: a server that does not stream sends megabytes at once."""
    if type(delta) is not Text or len(delta.text) <= SLICE:
        yield delta
        return
    for start in range(0, len(delta.text), SLICE):
        yield Text(delta.text[start : start + SLICE])


async def _with_attachments(accepted: PendingTurn) -> Turn:
    """The turn with what is attached to its question."""
    turn, parts = accepted.turn, await accepted.channel.attachments()
    question = replace(turn.question, parts=(*turn.question.parts, *parts))
    return replace(turn, question=question)


async def _show_working(accepted: PendingTurn) -> None:
    """A hint is worth no answer: one that breaks is only noted."""
    try:
        await accepted.channel.show_working()
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
