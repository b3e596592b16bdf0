"""The input of a reply: the model's deltas and the end change its phase and its desired messages.

Writing belongs to `bot.delivery.reply`.
"""

from __future__ import annotations

from abc import abstractmethod

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
    Usage,
)
from bot.delivery.announced_end import ending_of
from bot.delivery.answer import Answer
from bot.delivery.backlog import Backlog
from bot.delivery.listeners import Listeners
from bot.delivery.phases import Event, Phase
from bot.delivery.policy import WritePolicy
from bot.delivery.reconciler import Reconciler
from bot.delivery.reply_state import ReplyState
from bot.errors import RejectionReason
from bot.ports import Channel, Controls, Verb
from bot.telemetry import Figures


class ReplyInput(ReplyState):
    """The desired messages of a reply, as its model's stream changes them."""

    def __init__(self, channel: Channel, reconciler: Reconciler, answer: Answer, figures: Figures) -> None:
        super().__init__(channel, reconciler, answer)
        self.figures = figures
        self.listeners = Listeners()
        self.is_superseded = False  # another generation takes the messages over
        self._is_refusal = False  # the model's refusal has begun

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
                self.figures.counted(delta)
            case Announced() | Finish():
                self._end_stream(delta, now)

    def add_notice(self, line: str) -> None:
        """Show a line of ours under the ended answer."""
        self._answer.notices.add(line)

    def offer_no_controls(self) -> None:
        """The text is ours: there is nothing to vote on, nor to ask again."""
        self._answer.offered = Controls.NONE

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
        partial = answer.draft.shows_text
        answer.notices.ending_line = answer.notices.for_ending(ending, reason, partial=partial)
        if self._reconciler.shows_replaced and not (partial or self._timing.in_flight):
            answer.keep_replaced()
        if not self._failures.count:
            self._timing.hasten(now)
        self._find_due()

    def supersede(self, now: float) -> None:
        """Write nothing more: another generation takes the messages over, and replaces their text.

        Only a post with an unknown outcome is repeated, so that its message is known, and a preview is deleted.
        """
        self.is_superseded = True
        if self._ending is None:
            self._move(Event.ENDED)
            self._ending = Ending.STOPPED
        self._timing.hasten(now)
        self._find_due()

    def _begin(self, attempt: Attempt) -> None:
        """Start another attempt without mixing it with an earlier one's text."""
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
            timing.collects_until = now + policy.first_seconds
        self._backlog.add(text_length, now)
        if not fits or (draft.is_full and not answer.files.allowed and text.strip()):
            self.finish(Ending.LIMIT, now)  # more text could not be shown
        elif timing.verb is None or timing.is_preview:
            self._look()
        elif had <= self._overflows_beyond < draft.length:
            self.listeners.due()

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

    def _end_stream(self, end: Announced | Finish, now: float) -> None:
        if isinstance(end, Announced):
            self._announce(ending_of(end.reason), now)
        else:
            self.figures.timeline.attempt_finished(end.reason)
            self.finish(ending_of(end.reason), now)

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

    @abstractmethod
    def _find_due(self, *, by_rendering: bool = False) -> None:
        """Find the due write, certainly if `by_rendering`."""

    @abstractmethod
    def _look(self) -> None:
        """Find the due write for new text."""
