"""One answer from its first delta to its last write: its due write, and the outcomes of writes.

Text is rendered when a permit is available and never queued, so every write carries the newest text.
`bot.delivery.reply_input` takes in the model's output, and `bot.delivery.scheduler` decides when to write.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from typing_extensions import override

from bot.conversation import (
    Ending,
    TurnKey,
)
from bot.delivery.answer import Answer
from bot.delivery.backlog import Backlog
from bot.delivery.final_controls import is_tight
from bot.delivery.mode import Mode
from bot.delivery.notices import Notices
from bot.delivery.phases import Event
from bot.delivery.policy import AnswerLimits, WritePolicy
from bot.delivery.reasoning_preview import is_notice_only
from bot.delivery.reconciler import Reconciler
from bot.delivery.rejected_writes import Recovery, after_write, recover
from bot.delivery.reply_streams import ReplyStreams
from bot.delivery.sending import send
from bot.delivery.start import ReplyStart
from bot.delivery.writes import DesiredMessage, Write
from bot.errors import Failure, ModelRejected, NotFound, Permanent, RejectionReason, Retryable
from bot.ports import Channel, Verb
from bot.strings import Strings
from bot.telemetry import Figures

# Added to the time of a write: text that comes just when the next one is due goes with it. Seconds.
_JUST_AFTER_SECONDS = 2e-6


class Reply(ReplyStreams):
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
        start: ReplyStart = ReplyStart(),  # noqa: B008 (a frozen value)
        limits: AnswerLimits = AnswerLimits(),  # noqa: B008 (a frozen value)
    ) -> None:
        reconciler = Reconciler(key.digest, start.recovered, replaced=start.replaced, edits=channel.caps.edits)
        notices = Notices(channel, strings, key.reference)
        limits = limits.within(channel.caps)
        answer = Answer(channel, limits, figures, notices, reconciler, start=start)
        super().__init__(channel, reconciler, answer, figures)
        self.key = key
        self._deleted: list[str] = []  # messages deleted by a reader while a write was in flight

    # -------------------------------------------------------------------------------------------------------- failures

    def freeze_with_error(self, cause: Failure) -> None:
        """Keep the posted text with a notice, since the platform rejects the rest. If it rejects that too, fail."""
        if self._answer.frozen is not None:
            self.fail(cause)
            return
        self._move(Event.FROZEN)
        self._ending = Ending.FAILED
        self._answer.freeze_with_error()

    def message_deleted(self, message: str) -> bool:
        """A reader deleted a message: write no more text, and end the messages left with a notice.

        False if it showed an earlier answer still: the new one goes on without it.
        """
        is_replaced = self._reconciler.is_replaced(message)
        self._deleted.append(message)
        if not self._timing.in_flight:
            self.write_finished()
        return not is_replaced

    def fail(self, cause: BaseException) -> None:
        """Nothing can be written any more: `done` raises the cause."""
        self._timing.verb = None
        self._timing.forget_stream()
        if not self.done.done():
            self._move(Event.FAILED)
            self._ending = self._ending or Ending.FAILED
            self.done.set_exception(cause)

    # --------------------------------------------------------------------------------------------------------- writing

    def roll_over(self) -> None:
        """Continue in a new message, and leave the last one as posted; after a stream, go on by edits."""
        if self.mode is Mode.STREAM:
            self._leave_stream()
        else:
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
            write = self._next_write(desired)
        except Exception as error:  # noqa: BLE001 (a bug in a renderer ends its own turn, at the turn's boundary, and no other)
            self.fail(error)
            return None
        timing.verb = write.verb if write else None
        timing.is_tidying = write is not None and self._reconciler.tidies(write)
        timing.is_preview = not self.is_final and bool(desired) and not desired[-1].covers
        if write is None and self.is_final and not self.done.done():
            self._move(Event.COMPLETED)
            self.done.set_result(None)
        return write

    def _next_write(self, desired: Sequence[DesiredMessage]) -> Write | None:
        reconciler, is_final = self._reconciler, self.is_final
        if self.is_superseded:  # a preview without text must not stay in case that no other text comes
            return reconciler.next(()) if self._answer.preview.is_shown else reconciler.last_duty()
        # Until the reply ends, delete no posted text if there is nothing to replace it.
        is_due = bool(desired) or is_final
        write = reconciler.next(desired, is_final=is_final, is_closing=self.is_closing) if is_due else None
        if write is not None and reconciler.adds_controls(write) and not (is_final and self._may_add_controls()):
            write = None
        return write or (reconciler.lookup_write() if is_final else None)

    def _may_add_controls(self) -> bool:
        """Whether an edit for the final controls alone may be made: it costs no text a permit, and did not fail."""
        now, stake = asyncio.get_running_loop().time(), self.stake
        edits, others_wait = self.budgets[Verb.EDIT], self.listeners.others_wait()
        return not self._failures.count and not is_tight(
            edits, now, others_wait=others_wait, others_live=stake.others_live
        )

    def write_started(self) -> None:
        """A write is being sent."""
        self._timing.in_flight = True
        if self._timing.verb is Verb.START:
            self._stream_started(asyncio.get_running_loop().time())
        elif self.mode is Mode.UNDECIDED:  # a preview, or a whole answer
            self._set_mode(Mode.EDITS)

    async def perform(self, write: Write, policy: WritePolicy) -> None:
        """Send a write. Raises the channel's failures, after recording what is known of the message."""
        rendered, self._backlog = self._backlog, Backlog()
        answer = self._answer
        answer.preview.is_shown = answer.preview.is_shown or is_notice_only(write)
        sent = asyncio.get_running_loop().time() + _JUST_AFTER_SECONDS
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
            self._succeeded(write, rendered, sent, policy)

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
            message = self._deleted.pop()
            if self.is_superseded or self._reconciler.forget_replaced(message):
                continue
            if self._answer.freeze_after_deletion(message):
                self._move(Event.FROZEN)
                self._ending = Ending.STOPPED
            else:
                self.fail(NotFound("a reader deleted the answer"))
        if not self.done.done():
            self._find_due()

    def _succeeded(self, write: Write, rendered: Backlog, sent: float, policy: WritePolicy) -> None:
        """Intervals count from `sent`, as the next one begins when its write is sent."""
        now = asyncio.get_running_loop().time()
        answer, timing = self._answer, self._timing
        live = self.growth_budgets[0].live
        self._failures.clear()
        self.figures.writes += 1
        if is_notice_only(write) and not self.is_final:
            # No gap before the answer's text: a preview must not delay it.
            timing.preview_not_before = sent + policy.reasoning_preview.gap_seconds * max(live, 1)
            self._backlog.join(rendered)
            self.listeners.shown()
            return
        answer.preview.is_shown = answer.preview.is_shown and not write.covers
        answer.trims_partial_words = sent - timing.wrote >= policy.whole_word_gap_seconds and timing.wrote > 0
        timing.wrote = sent
        if not self.is_final:
            timing.not_before = sent + policy.gap(alone=live <= 1)
        if answer.record_write(write):
            shown = answer.characters_of(write)
            self.figures.shown(now, shown)
            # Approximation: text carried into the next message counts as arriving now (at most one message's worth).
            self._backlog.add(max(answer.draft.length - shown - self._backlog.characters, 0), now)
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

    def reconsider(self) -> None:
        """The due write is another one than expected: find it by rendering."""
        self._find_due(by_rendering=True)

    @override
    def _find_due(self, *, by_rendering: bool = False) -> None:
        """Find the due write and tell the pacer, unless one is in flight: its outcome decides.

        Rendering costs most of a write. Text behind a message just written is taken for an edit of it, and rendered
        when the write may be made.
        """
        timing, answer = self._timing, self._answer
        if timing.in_flight:
            return
        self._check_stream()
        if self._reconciler.is_empty and not (self.is_final or by_rendering):
            if self.mode is Mode.UNDECIDED:
                self._choose_mode()
            timing.is_preview = not answer.draft.length
            timing.verb = self._reconciler.first_verb if answer.draft.length or answer.preview.line else None
        elif not (by_rendering or self.is_closing or self.mode is Mode.STREAM) and answer.only_grows:
            timing.verb, timing.is_preview = Verb.EDIT, False
        elif self._waits_for_more():
            timing.verb = None  # an earlier process's text stays until there is more, or the end
        else:
            self.render()
            is_new = timing.verb in {Verb.POST, Verb.START} and not timing.is_preview
            if is_new and not (self._failures.count or self._reconciler.frozen):
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
