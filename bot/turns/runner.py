"""One turn from the prompt to its honest end: asking the model, writing the answer, and the one failure boundary.

The order of turns belongs to `bot.turns.manager`. Thousands of turns may run at once, so a waiting turn holds little: a
group with the task reading the model, the one showing the typing indicator, and at times one writing the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from bot.answer_context import AnswerContext
from bot.callbacks import no_op
from bot.completion import Completion
from bot.conversation import Ending, Text, Turn, TurnKey
from bot.delivery.final_controls import FINAL_CONTROLS
from bot.delivery.pacer import Pacer
from bot.delivery.reply import Reply, reason_of
from bot.delivery.start import ReplyStart
from bot.errors import Failure, Forbidden, ModelRejected, NotFound, NotOwner
from bot.model_fallback import AnsweredBy, ModelFallback
from bot.ports import Controls, UnfinishedTurn
from bot.prompt import PromptOverride, is_empty, messages_after, prepare
from bot.prompt_reduction import PromptReducer, ReducedPrompt
from bot.strings import FilledSentence
from bot.telemetry import Figures, Recorder, TurnRecord
from bot.turns.config import TurnConfig
from bot.turns.hooks import QuotaDecision, TurnHooks
from bot.turns.journaling import TurnJournal
from bot.turns.pending import PendingTurn, RunningTurn
from bot.turns.repeated_edits import RepeatedEdits

log = logging.getLogger(__name__)

# Characters fed to the reply at once: some milliseconds of work for text that is slow to parse.
SLICE = 8_192


@dataclass(slots=True)
class _UnrecordedMessages:
    """Posted messages of a turn missing in the journal, in order; `is_recording` while a task writes them."""

    messages: list[str] = field(default_factory=list)
    is_recording: bool = False


class TurnRunner:
    """Answers any number of turns at once. `running` holds them by the digest of their key."""

    def __init__(
        self,
        config: TurnConfig,
        completion: Completion,
        journal: TurnJournal,
        recorder: Recorder,
        repeated: RepeatedEdits,
        *,
        wall_clock: Callable[[], datetime],
        ready: Callable[[str], bool],
        hooks: TurnHooks,
    ) -> None:
        self._config = config
        self._hooks = hooks
        self._model = ModelFallback(
            PromptReducer(completion, config.models.takes_images), config.models, config.fallback
        )
        self._journal = journal
        self._recorder = recorder
        self._wall_clock = wall_clock  # only for the date and time in the system prompt
        self._ready = ready  # whether a platform's events arrive, by its name
        # Conversations that were notified of omitted or unreadable history; the oldest first.
        self._notified_conversations: dict[str, None] = {}
        self._repeated = repeated
        self._interrupted = False
        self.running: dict[str, RunningTurn] = {}

    def interrupt(self) -> None:
        """Shutdown: end the running turns, and start none that another process can continue."""
        self._interrupted = True
        now = asyncio.get_running_loop().time()
        for turn in list(self.running.values()):
            turn.end(Ending.INTERRUPTED, now)

    def end_soon(self, conversation: str) -> None:
        """Another turn is waiting in this conversation."""
        for turn in self.running.values():
            if turn.turn.conversation == conversation:
                turn.end_soon()

    async def admit(self, turn: Turn) -> QuotaDecision:
        """Reserve room for a question under its author's quotas."""
        decision = await self._hooks.meter.admit(turn)
        if not decision.admitted:
            log.info("not answered", extra={"turn": turn.key.reference, "author": turn.author.id, "why": "quota"})
            self._recorder.refused(turn.key.platform, "quota")
        return decision

    async def refund(self, turn: Turn) -> None:
        """Free the room of an admitted question without an answer."""
        await self._hooks.meter.settle(turn, (), has_text=False)

    async def run(self, pending: PendingTurn, pacer: Pacer) -> None:
        """Run one turn. This is the failure boundary: any failure ends this turn only and is logged."""
        key = pending.turn.key
        if self._is_left(pending):
            return
        admission = await self._journal.begin(key)
        if pending.progress.is_abandoned:
            return
        if admission is None:
            self._recorder.refused(key.platform, "duplicate")
            return
        self._recorder.accepted(key.platform)
        figures, messages = Figures(pending.accepted_at), 0
        try:
            reply = self._make_reply(pending, admission.unfinished, figures)
            await self._answer(pending, reply, pacer, admission.unfinished)
            ending, messages = reply.ending or Ending.DONE, len(reply.messages)
            self._journal.remember_messages(key, reply.all_messages)
            self._repeated.schedule(pending, reply, admission.unfinished)
        except NotOwner:
            await self._leave(pending)
            return
        except (NotFound, Forbidden) as failure:
            ending = Ending.GONE
            log.warning("cannot write to the channel", extra={"turn": key.reference, "failure": repr(failure)})
        except Failure as failure:
            ending = Ending.FAILED
            log.error("cannot write the answer", extra={"turn": key.reference, "failure": repr(failure)})  # noqa: TRY400 (expected; its trace tells nothing)
        except Exception:
            ending = Ending.FAILED
            log.exception("turn failed", extra={"turn": key.reference})
        if not pending.notice:  # before the journal: after a crash in between, the turn is repaired and settled again
            await self._settle(pending, admission.unfinished, figures, ending)
        if not pending.progress.is_superseded:
            await self._journal.ended(key, ending)
        await pending.channel.turn_ended()
        resumed, now = admission.unfinished is not None, asyncio.get_running_loop().time()
        record = figures.record(now, key, ending, messages, resumed=resumed)
        self._recorder.ended(record)
        _log_record(pending.turn, record)

    def _is_left(self, pending: PendingTurn) -> bool:
        """Whether another process begins this turn: its lane is lost, or this process stops. Nothing is posted yet."""
        is_kept = self._interrupted and self._journal.durable and not pending.notice
        return is_kept or not self._hooks.may_run(pending.turn.key)

    async def _leave(self, pending: PendingTurn) -> None:
        """Leave a turn to another process. Only the model calls made here are ours to report."""
        log.info("turn left to another process", extra={"turn": pending.turn.key.reference})
        await self._hooks.meter.settle(pending.turn, pending.calls.ended(), has_text=False, ended=False)

    async def _settle(
        self, pending: PendingTurn, unfinished: UnfinishedTurn | None, figures: Figures, ending: Ending
    ) -> None:
        """Report the turn's model calls. Our own answers, such as the one to an empty question, are free."""
        calls = pending.calls.ended()
        has_text = bool(unfinished and unfinished.messages) or (bool(calls) and figures.visible > 0)
        is_continued = ending is Ending.INTERRUPTED and self._journal.durable
        await self._hooks.meter.settle(pending.turn, calls, has_text=has_text, ended=not is_continued)
        if self._hooks.answers is not None and has_text:
            await self._hooks.answers.keep(pending.turn, pending.calls.text)

    def _make_reply(self, pending: PendingTurn, unfinished: UnfinishedTurn | None, figures: Figures) -> Reply:
        turn = pending.turn
        recovered = unfinished.messages if unfinished else None
        replaced = recovered if recovered is not None and turn.key.generation else pending.replaces
        offered = FINAL_CONTROLS if turn.can_retry else FINAL_CONTROLS & ~Controls.RETRY
        return Reply(
            turn.key,
            pending.channel,
            self._config.strings,
            figures,
            start=ReplyStart(recovered, replaced, turn.preface, Controls.NONE if pending.notice else offered),
            limits=self._config.writing.limits,
        )

    async def _answer(
        self, pending: PendingTurn, reply: Reply, pacer: Pacer, unfinished: UnfinishedTurn | None
    ) -> None:
        """Read the model and write the answer concurrently. Raises the failure that makes writing impossible."""
        key = pending.turn.key
        with pacer.admitted(reply):
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(
                    self._read(pending, reply, pacer, unfinished), name=f"reading {key.reference}"
                )
                showing = group.create_task(_show_working(pending), name=f"working {key.reference}")
                reply.listeners.shown = showing.cancel
                unrecorded = _UnrecordedMessages()
                reply.listeners.posted = partial(self._record_message, group, key, unrecorded)
                self.running[key.digest] = RunningTurn(pending.turn, reply, reading, pending.progress)
                pending.progress.shows.set()
                try:
                    with suppress(Exception):  # raised below; here the group would wrap it
                        await reply.done
                finally:
                    del self.running[key.digest]
                    unrecorded.is_recording = True  # an abandoned turn's write in flight is found by the next owner
                    reading.cancel()
                    showing.cancel()
                    # They hold this turn in memory.
                    reply.listeners.shown = reply.listeners.posted = reply.listeners.announced = no_op
        reply.done.result()

    async def _read(self, pending: PendingTurn, reply: Reply, pacer: Pacer, unfinished: UnfinishedTurn | None) -> None:
        """Feed the reply with the model's answer. On any failure the user gets an honest end."""
        turn = pending.turn
        loop = asyncio.get_running_loop()
        try:
            if self._interrupted:
                reply.finish(Ending.INTERRUPTED, loop.time())
            elif unfinished is not None and unfinished.age > self._config.limits.repair_seconds:
                reply.finish(Ending.ABANDONED, loop.time())
            elif pending.cancelled:
                reply.finish(Ending.STOPPED, loop.time())
            elif pending.notice:
                self._answer_with(reply, pending.notice)
            else:
                await self._ask(pending, reply, partial(self._is_offline, turn.key.platform, pacer))
        except Failure as failure:
            level = logging.ERROR if isinstance(failure, ModelRejected) else logging.WARNING
            log.log(level, "no complete answer", extra={"turn": turn.key.reference, "failure": repr(failure)})
            reply.finish(Ending.FAILED, loop.time(), reason_of(failure))
        except Exception:
            log.exception("turn failed", extra={"turn": turn.key.reference})
            reply.finish(Ending.FAILED, loop.time())

    def _is_offline(self, platform: str, pacer: Pacer) -> bool:
        """Whether the platform is known to be unreachable, from its events or from our writes."""
        return pacer.is_cut_off or not self._ready(platform)

    async def _ask(self, pending: PendingTurn, reply: Reply, is_offline: Callable[[], bool]) -> None:
        config, strings = self._config.prompting, self._config.strings
        turn = await _with_attachments(pending)
        choices = pending.choices or await self._hooks.choices.choices(pending.turn)
        history = messages_after(await pending.channel.history(config.limits.messages), choices.history_after)
        if history.unread and self._is_first_notice(f"unread {turn.conversation}"):
            reply.add_notice(strings.history_unread)
        if is_empty(turn) and not history.messages:
            self._answer_with(reply, strings.empty_direct if turn.direct else strings.empty_question)
            return
        chosen = PromptOverride(choices.system, turn.model or choices.model)
        prepared = prepare(turn, history, config, strings, self._wall_clock(), chosen=chosen)
        for notice in prepared.notices:
            reply.add_notice(notice)
        if prepared.history_cut and self._is_first_notice(turn.conversation):
            reply.add_notice(strings.history_cut)
        loop, policy = asyncio.get_running_loop(), self._config.writing.with_reasoning(shown=choices.reasoning)
        calls = pending.calls
        calls.keeps_text = self._hooks.answers is not None
        calls.prompted(prepared.prompt)
        context = AnswerContext(is_offline, reply.figures.timeline, reply.next_write_at)
        async with aclosing(self._model.answer(prepared.prompt, context)) as deltas:
            async for delta in deltas:
                if type(delta) is Text:  # nearly every delta: no generator or coroutine of its own
                    calls.record(delta)
                    if len(delta.text) > SLICE:
                        await self._feed_slices(reply, delta.text)
                    else:
                        reply.feed(delta, loop.time(), policy)
                elif isinstance(delta, ReducedPrompt | AnsweredBy):
                    self._add_model_notices(reply, delta, turn.conversation)
                else:
                    calls.record(delta)
                    reply.feed(delta, loop.time(), policy)
                if reply.is_final:
                    return  # by itself or by a stop: either way the model's stream is closed

    async def _feed_slices(self, reply: Reply, text: str) -> None:
        """Feed a very long text: a server that does not stream sends megabytes at once."""
        loop = asyncio.get_running_loop()
        for start in range(0, len(text), SLICE):
            reply.feed(Text(text[start : start + SLICE]), loop.time(), self._config.writing)
            if reply.is_final:
                return
            await asyncio.sleep(0)  # let other tasks run

    def _add_model_notices(self, reply: Reply, reduced: ReducedPrompt | AnsweredBy, conversation: str) -> None:
        """Tell the user about a model's refusal to take everything, or about another model's answer."""
        strings, label = self._config.strings, self._config.models.label
        if isinstance(reduced, AnsweredBy):
            names = {"label": label(reduced.model), "missing": label(reduced.missing)}
            reply.add_notice(FilledSentence(strings.answered_by, **names))
            return
        for part in reduced.left_out:
            reply.add_notice(strings.left_out.format(name=part.name, why=part.why))
        if reduced.no_images:
            reply.add_notice(strings.no_images)
        if reduced.history_cut and self._is_first_notice(conversation):
            reply.add_notice(strings.history_cut)

    def _is_first_notice(self, conversation: str) -> bool:
        """Remember that the conversation is notified of missing history; false if it was before."""
        if conversation in self._notified_conversations:
            return False
        self._notified_conversations[conversation] = None
        if len(self._notified_conversations) > self._config.limits.notified:
            self._notified_conversations.pop(next(iter(self._notified_conversations)))
        return True

    def _answer_with(self, reply: Reply, notice: str) -> None:
        """Show our own words. An earlier answer stays above them."""
        now = asyncio.get_running_loop().time()
        reply.offer_no_controls()
        if reply.shows_replaced:
            reply.add_notice(notice)
        else:
            reply.feed(Text(notice), now, self._config.writing)
        reply.finish(Ending.DONE, now)

    def _record_message(
        self, group: asyncio.TaskGroup, key: TurnKey, unrecorded: _UnrecordedMessages, message: str
    ) -> None:
        """Record a posted message in the journal, after those in `unrecorded`. No write waits for it."""
        unrecorded.messages.append(message)
        if not unrecorded.is_recording:
            unrecorded.is_recording = True
            group.create_task(self._record_messages(key, unrecorded), name=f"journal {key.reference}")

    async def _record_messages(self, key: TurnKey, unrecorded: _UnrecordedMessages) -> None:
        """Record them in order. A failed one is retried with the next message, so the record has no gaps.

        Recovery relies on the positions: it looks up only messages posted after the last recorded one.
        """
        while unrecorded.messages and await self._journal.posted(key, unrecorded.messages[0]):
            del unrecorded.messages[0]
        unrecorded.is_recording = False


async def _with_attachments(pending: PendingTurn) -> Turn:
    """The turn with its question's attachments downloaded."""
    turn, parts = pending.turn, await pending.channel.attachments()
    question = replace(turn.question, parts=(*turn.question.parts, *parts))
    return replace(turn, question=question)


async def _show_working(pending: PendingTurn) -> None:
    """Show the typing indicator. A failure must not fail the turn; it is logged."""
    try:
        await pending.channel.show_working()
    except Exception:
        log.exception("typing indicator failed", extra={"turn": pending.turn.key.reference})


def _log_record(turn: Turn, record: TurnRecord) -> None:
    """One line for each turn, with its figures."""
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
