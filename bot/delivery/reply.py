"""One answer from its first delta to its last write: its phase, its due write, and the outcomes of writes.

Text is rendered when a permit is available and never queued, so every write carries the newest text.
`bot.delivery.scheduler` decides when to write, and `bot.completion` how often to ask a model.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from bot.completion import Attempt
from bot.conversation import (
    Announced,
    Delta,
    Ending,
    Finish,
    Reasoning,
    Refusal,
    Retraction,
    Text,
    TurnKey,
    Usage,
)
from bot.delivery.announced_end import ending_of
from bot.delivery.answer import Answer
from bot.delivery.backlog import Backlog
from bot.delivery.listeners import Listeners
from bot.delivery.notices import Notices
from bot.delivery.phases import Event, Phase
from bot.delivery.policy import AnswerLimits, WritePolicy
from bot.delivery.reasoning_preview import is_notice_only
from bot.delivery.reconciler import Reconciler, Write
from bot.delivery.rejected_writes import Recovery, after_write, recover
from bot.delivery.reply_state import ReplyState
from bot.delivery.sending import send
from bot.errors import Failure, ModelRejected, NotFound, Permanent, RejectionReason, Retryable
from bot.ports import Channel, Verb
from bot.strings import Strings
from bot.telemetry import Figures


class Reply(ReplyState):
    """What one turn shows and should show.

    `feed` and `finish` change the desired messages. The scheduler reads the due write; the pacer calls `render`,
    `perform` and `write_finished`. `done` resolves once everything desired is posted, or raises the failure that
    prevented it.
    """

    def __init__(
        self,
        key: TurnKey,
        channel: Channel,
        strings: Strings,
        figures: Figures,
        *,
        recovered: Sequence[str] | None = None,
        limits: AnswerLimits = AnswerLimits(),  # noqa: B008 (a frozen value)
    ) -> None:
        """`recovered`: the known message ids of an answer begun by an earlier process."""
        reconciler = Reconciler(key.digest, recovered, edits=channel.caps.edits)
        notices = Notices(channel, strings, key.reference)
        limits = limits.within(channel.caps)
        super().__init__(channel, reconciler, Answer(channel, limits, figures, notices, reconciler))
        self.key = key
        self.channel = channel
        self.figures = figures
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.listeners = Listeners()
        self._is_refusal = False  # the model's refusal has begun
        self._deleted: list[str] = []  # messages deleted by a reader while a write was in flight

    # ---------------------------------------------------------------------------------------------------- model output

    def feed(self, delta: Delta | Attempt, now: float, policy: WritePolicy) -> None:
        """Take in model output; after the end it is ignored."""
        if self._ending is not None:
            return
        match delta:
            case Text(text) if text:
                self._grow(text, now, policy)
            case Refusal(text) if text:
                if not self._is_refusal:  # it replaces the text so far
                    self._is_refusal, self._answer.next_draft = True, self._answer.new_draft()
                self._grow(text, now, policy)
            case Reasoning(text):
                self._feed_preview(text, now, policy)
            case Retraction():
                self._retract(now)
            case Attempt():
                self._begin(delta)
            case Usage():
                self.figures.usage = delta
            case Announced(reason) | Finish(reason):
                end = self.finish if isinstance(delta, Finish) else self._announce
                end(ending_of(reason), now)

    def add_notice(self, line: str) -> None:
        """Show a line of ours under the ended answer."""
        self._answer.notices.add(line)

    def finish(self, ending: Ending, now: float, reason: RejectionReason | None = None) -> None:
        """End the text: show all of it, with a notice unless it is whole. The first ending counts."""
        if self._ending is not None:
            return
        if self.announced.ending is not None and ending in {Ending.STOPPED, Ending.INTERRUPTED}:
            ending = self.announced.ending  # the text is already shown as whole
        self._move(Event.ENDED)
        self._ending = ending
        answer = self._answer
        later = answer.next_draft
        if later is not None and (ending is Ending.DONE or later.length >= answer.draft.length):
            answer.switch_to(later, now)
        self._flush(now, for_good=True)
        answer.notices.ending_line = answer.notices.for_ending(ending, reason, partial=answer.draft.shows_text)
        if not self._failures.count:
            self._timing.hasten(now)
        self._find_due()

    def _begin(self, attempt: Attempt) -> None:
        """Start another attempt without mixing it with an earlier one's text."""
        self.figures.attempts += attempt.streamed
        self.figures.fallback = not attempt.streamed
        self._is_refusal = False
        self._move(Event.RESTARTED)
        self._reopen()
        self._answer.preview.restart()
        self._answer.next_draft = self._answer.new_draft() if attempt.number > 1 else None

    def _grow(self, text: str, now: float, policy: WritePolicy) -> None:
        if self._phase is not Phase.STREAMING:
            self._move(Event.TEXT)
        answer, timing = self._answer, self._timing
        draft = answer.next_draft or answer.draft
        self._reopen()
        had = draft.length
        fits = draft.feed(text)
        text_length = draft.length - had
        if draft is answer.next_draft:
            # Posted text stays until the new text is as long: never take text away before its replacement exists.
            if draft.length < answer.draft.length:
                return
            answer.switch_to(draft, now)
        else:
            self.figures.received(now, text_length)
            timing.began = min(timing.began, now)
        if not self._backlog.characters and self.shows_nothing and not timing.in_flight:
            timing.delay_until(now + policy.first_seconds)
        self._backlog.add(text_length, now)
        if not fits or (draft.is_full and not answer.files.allowed and text.strip()):
            self.finish(Ending.LIMIT, now)  # more text could not be shown
        elif timing.verb is None or timing.is_preview:
            self._find_due()

    def _feed_preview(self, text: str, now: float, policy: WritePolicy) -> None:
        """Update the reasoning preview until there is text."""
        preview, timing = self._answer.preview, self._timing
        if not (text and policy.reasoning_preview.shown and preview.is_enabled) or self._answer.draft.length:
            return
        preview.feed(text)
        if timing.verb is not None or timing.in_flight:
            return
        timing.preview_not_before = max(timing.preview_not_before, now + policy.reasoning_preview.first_seconds)
        if self._reconciler.is_empty:
            self._find_due()
        else:  # `render` sees whether the line changed; checking at each delta costs more
            timing.is_preview, timing.verb = True, Verb.EDIT
            self.listeners.due()

    def _retract(self, now: float) -> None:
        """The text so far was reasoning. It stays posted until there is some answer, however short."""
        self._reopen()
        answer = self._answer
        if answer.next_draft is not None:
            self._move(Event.RESTARTED)
            answer.next_draft = answer.new_draft()
            return
        self._move(Event.RETRACTED)
        answer.preview.disable()
        self._backlog = Backlog()
        answer.switch_to(answer.new_draft(), now)
        self._find_due()

    def _announce(self, ending: Ending, now: float) -> None:
        """Show the text as if it had ended.

        More may come, so do nothing irreversible: upload no file, and judge no later attempt by its length.
        """
        answer = self._answer
        if answer.next_draft is not None or self._reconciler.recovered_count or not answer.draft.length:
            return
        self._flush(now, for_good=False)
        is_trusted = self.announced.announce(ending, now)
        if is_trusted:
            self._move(Event.ANNOUNCED)
            if not self._failures.count:
                self._timing.hasten(now)
        self._find_due()
        if is_trusted:
            self.listeners.announced()

    def _flush(self, now: float, *, for_good: bool) -> None:
        """Show held-back text too; `for_good`: certainly no more text follows."""
        if held := self._answer.draft.finish(for_good=for_good):
            self.figures.received(now, held)
            self._backlog.add(held, now)

    def _reopen(self) -> None:
        """More text follows an announced end."""
        self._answer.draft.reopen()
        self.announced.withdraw()

    # -------------------------------------------------------------------------------------------------------- failures

    def freeze_with_error(self, cause: Failure) -> None:
        """Keep the posted text with a notice, since the platform rejects the rest. If it rejects that too, fail."""
        if self._answer.frozen is not None:
            self.fail(cause)
            return
        self._move(Event.FROZEN)
        self._ending = Ending.FAILED
        self._answer.freeze_with_error()

    def message_deleted(self, message: str) -> None:
        """A reader deleted a message: write no more text, and end the messages left with a notice."""
        self._deleted.append(message)
        if not self._timing.in_flight:
            self.write_finished()

    def fail(self, cause: BaseException) -> None:
        """Nothing can be written any more: `done` raises the cause."""
        self._timing.verb = None
        if not self.done.done():
            self._move(Event.FAILED)
            self._ending = self._ending or Ending.FAILED
            self.done.set_exception(cause)

    # --------------------------------------------------------------------------------------------------------- writing

    def roll_over(self) -> None:
        """Leave the last message as posted, and continue in a new one."""
        self._answer.roll_over()
        if self.render() is not None and not self._failures.count:
            self._timing.not_before = 0.0

    def render(self) -> Write | None:
        """Find the due write, with the newest text; None if there is none. Resolves `done` at the end."""
        answer, timing = self._answer, self._timing
        try:
            desired, answer.rendered = answer.desired(self._ending, self.announced.ending), answer.draft
            if desired is None:
                self._recheck_later()
                return None
            if self._ending is not None:
                self._ending = answer.settle_ending(self._ending)
            # Until the reply ends, delete no posted text if there is nothing to replace it.
            write = self._reconciler.next(desired) if desired or self.is_final else None
            write = write or (self._reconciler.lookup_write() if self.is_final else None)
        except Exception as error:  # noqa: BLE001 (a bug in a renderer ends its own turn, at the turn's boundary, and no other)
            self.fail(error)
            return None
        timing.verb = write.verb if write else None
        timing.is_preview = not self.is_final and bool(desired) and not desired[-1].covers
        if write is None and self.is_final and not self.done.done():
            self._move(Event.COMPLETED)
            self.done.set_result(None)
        return write

    def write_started(self) -> None:
        """A write is being sent."""
        self._timing.in_flight = True

    async def perform(self, write: Write, policy: WritePolicy) -> None:
        """Send a write. Raises the channel's failures, after recording what is known of the message."""
        rendered, self._backlog = self._backlog, Backlog()
        answer = self._answer
        answer.preview.is_shown = answer.preview.is_shown or is_notice_only(write)
        try:
            await send(write, self.channel, self._reconciler, policy, self.listeners.posted)
        except Permanent as failure:
            self._backlog.join(rendered)
            recovery = recover(answer, write, failure, is_final=self.is_final)
            if recovery is Recovery.NONE:
                raise
            self._pause(recovery, policy)
        except Failure:
            self._backlog.join(rendered)
            if write.body is not None and write.body.files:  # tried less often: the text may go without
                answer.files.record_failure(policy.file_failures)
            raise
        else:
            self._succeeded(write, rendered, asyncio.get_running_loop().time(), policy)

    def failed(self, failure: Retryable, now: float, policy: WritePolicy, random_: random.Random) -> None:
        """A write failed: it stays due after a delay, until the policy gives up."""
        self._failures.record(failure, now)
        retry_at = self._failures.retry_at(failure, now, policy, random_)
        if retry_at is not None:
            self._timing.not_before = retry_at
        if self._failures.is_exhausted(now, policy):
            self.fail(failure)

    def write_finished(self) -> None:
        """A write ended, successfully or not: find the next one."""
        self._timing.in_flight = False
        while self._deleted and not self.done.done():
            if self._answer.freeze_after_deletion(self._deleted.pop()):
                self._move(Event.FROZEN)
                self._ending = Ending.STOPPED
            else:
                self.fail(NotFound("a reader deleted the answer"))
        if not self.done.done():
            self._find_due()

    def _succeeded(self, write: Write, rendered: Backlog, now: float, policy: WritePolicy) -> None:
        answer, timing = self._answer, self._timing
        live = self.budgets[Verb.EDIT][0].live
        self._failures.clear()
        self.figures.writes += 1
        if is_notice_only(write) and not self.is_final:
            # No gap before the answer's text: a preview must not delay it.
            timing.preview_not_before = now + policy.reasoning_preview.gap_seconds * max(live, 1)
            self._backlog.join(rendered)
            self.listeners.shown()
            return
        answer.preview.is_shown = answer.preview.is_shown and not write.covers
        answer.trims_partial_words = now - timing.wrote >= policy.whole_word_gap_seconds and timing.wrote > 0
        timing.wrote = now
        if not self.is_final:
            timing.not_before = now + policy.gap(alone=live <= 1)
        if answer.record_write(write):
            self.figures.shown(now, write.covers)
            # Approximation: text carried into the next message counts as arriving now (at most one message's worth).
            self._backlog.add(max(answer.draft.length - write.covers - self._backlog.characters, 0), now)
        else:
            self._backlog.join(rendered)
        self._pause(after_write(answer, write), policy)
        self.listeners.shown()

    def _pause(self, recovery: Recovery, policy: WritePolicy) -> None:
        """Collect text for the next message if posted ones cannot be edited: it should be no shorter than necessary."""
        if recovery is Recovery.PAUSE:
            self._answer.trims_partial_words = True
            if not self.is_final:
                self._timing.delay_until(self._timing.wrote + policy.rollover_after_seconds)

    def _find_due(self) -> None:
        """Find the due write and tell the pacer, unless one is in flight: its outcome decides."""
        timing, answer = self._timing, self._answer
        if timing.in_flight:
            return
        if self._reconciler.is_empty and not self.is_final:
            timing.is_preview = not answer.draft.length
            timing.verb = Verb.POST if answer.draft.length or answer.preview.line else None
        elif self._waits_for_more():
            timing.verb = None  # an earlier process's text stays until there is more, or the end
        else:
            self.render()
            if timing.verb is Verb.POST and not (self._failures.count or timing.is_preview or self._reconciler.frozen):
                timing.not_before = 0.0  # the next message continues text just removed from the last: no gap
        if timing.verb is not None:
            self.listeners.due()

    def _waits_for_more(self) -> bool:
        """Whether an earlier process posted more than there is yet."""
        recovered = self._reconciler.recovered_count
        if not recovered or self.is_final:
            return False
        desired = self._answer.draft.desired(recovered + 1)
        if desired is None:
            self._recheck_later()
        return desired is None or len(desired) <= recovered

    def _recheck_later(self) -> None:
        """Finding the desired messages takes another step: let other tasks run first."""
        self._timing.verb = None
        if self._timing.recheck is None:
            self._timing.recheck = asyncio.get_running_loop().call_soon(self._recheck)

    def _recheck(self) -> None:
        self._timing.recheck = None
        if not self.done.done():
            self._find_due()


def reason_of(failure: BaseException) -> RejectionReason | None:
    """Why a model's server rejected the prompt, if it did."""
    return failure.reason if isinstance(failure, ModelRejected) else None
