"""The desired messages of an answer: the text of one attempt, with files, notices, buttons or a reasoning preview.

Rendering happens here when a permit is available, never ahead of it. Timing and phases are `bot.delivery.reply`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bot.conversation import Ending
from bot.delivery.draft import Draft
from bot.delivery.extracted_files import are_all_extracted, missing_files_notice
from bot.delivery.final_controls import final_controls, with_final_controls
from bot.delivery.mode import with_stream_limit
from bot.delivery.notices import Notices
from bot.delivery.overflow import FileUploads
from bot.delivery.policy import AnswerLimits
from bot.delivery.reasoning_preview import PreviewMessage
from bot.delivery.reconciler import Reconciler
from bot.delivery.start import ReplyStart
from bot.delivery.writes import DesiredMessage, Write
from bot.ports import Body, Channel, ChannelCapabilities, Controls, Upload
from bot.telemetry import Figures

# The limit replaces these endings if the rest of an answer cannot be shown: the model did not cut it.
_CUT_BY_LIMIT = frozenset({Ending.DONE, Ending.LENGTH})


# A message with at least this share of its limit may stay as posted if the text behind it needs another one anyway.
_FULL_ENOUGH = 0.5


class Answer:
    """Text, files and notices of one reply, as desired messages."""

    def __init__(
        self,
        channel: Channel,
        limits: AnswerLimits,
        figures: Figures,
        notices: Notices,
        reconciler: Reconciler,
        *,
        start: ReplyStart,
    ) -> None:
        self._start = start
        self.offered = start.controls  # at the end, as far as the platform has them
        self.reconciler = reconciler
        self.notices = notices
        self.limits = limits
        self.files = FileUploads(channel)
        self.preview = PreviewMessage(channel, notices, is_enabled=not (reconciler.is_recovery or start.replaced))
        self.trims_partial_words = False
        self.frozen: list[DesiredMessage] | None = None  # shown instead of the draft
        self.last_shown: Write | None = None  # the last write, if it wrote text to the last message
        self._channel = channel
        self._figures = figures
        self.draft = self.new_draft()
        self.next_draft: Draft | None = None  # a later attempt, until it is as long as the shown one
        self.rendered = self.draft  # source of the last write

    # ------------------------------------------------------------------------------------------------------------ text

    def new_draft(self) -> Draft:
        """An empty draft behind the messages that cannot be edited."""
        draft = Draft(self._caps, self.limits, self.notices.reserved_room, self._start.preface)
        if self._has_frozen_text:
            draft.keep_posted(self.reconciler.bodies, 0)
        return draft

    def switch_to(self, draft: Draft, now: float) -> None:
        """Replace the shown text with another draft's."""
        if self._has_frozen_text:
            sealed = self.draft.sealed_source
            draft.keep_posted(self.reconciler.bodies, len(sealed) if draft.starts_with(sealed) else 0)
        self.draft, self.next_draft, self.last_shown = draft, None, None
        self._figures.replaced(now, draft.length)

    @property
    def only_grows(self) -> bool:
        """Whether new text most likely changes the last message alone, as posted; see `Draft.grows`."""
        shown, reconciler = self.last_shown, self.reconciler
        if shown is None or self.rendered is not self.draft or self.frozen is not None:
            return False
        return not (reconciler.frozen or reconciler.recovered_count) and self.draft.grows(shown.index)

    def recut(self, index: int) -> None:
        """Cut and render the text again from message `index` on, for the channel's present capabilities."""
        self.draft.recut(index, self._caps)

    def use_stream(self, *, is_used: bool) -> None:
        """Write new messages as native streams, or no longer. Messages not written yet are cut for the new limit."""
        self.reconciler.is_streaming = is_used
        if self.reconciler.is_empty:
            self.reconciler.fits_streams = is_used
            self.recut(0)

    def end_message(self) -> bool:
        """End the open message with the text it shows: the rest goes into the next one. False if that is unknown."""
        shown, self.last_shown = self.last_shown, None
        may_continue = self.reconciler.count < self.limits.messages
        return shown is not None and may_continue and self.draft.end_message(shown.covers, shown.index)

    @property
    def _caps(self) -> ChannelCapabilities:
        """The channel's, with the smaller of both limits if the answer streams."""
        return with_stream_limit(self._channel.caps) if self.reconciler.fits_streams else self._channel.caps

    def record_write(self, write: Write) -> bool:
        """Record a successful write; returns whether a message is known to show its text."""
        is_shown = self.reconciler.shows(write)
        is_last = is_shown and write.index == self.reconciler.written - 1 and self.rendered is self.draft
        self.last_shown = write if is_last and write.covers else None
        if is_last and self.reconciler.is_stream(write.index):
            self.draft.keep_appended(write.covers)
        return is_shown

    def keep_replaced(self) -> None:
        """There is no new text: the earlier answer stays, and the notice goes behind it."""
        self.reconciler.keep_replaced()
        self.notices.ending_line = self.notices.for_kept_answer(self.notices.ending_line)

    def characters_of(self, write: Write) -> int:
        """Characters of the answer up to the end of a written message."""
        return self.draft.characters(write.covers)

    @property
    def _has_frozen_text(self) -> bool:
        return self.reconciler.frozen and not self.preview.is_shown

    @property
    def can_roll_over(self) -> bool:
        """Whether the text may continue in a new message: the last one's text is known, and more are permitted."""
        if self.last_shown is None or self.reconciler.last is None:
            return False
        return self.next_draft is None and self.frozen is None and self.reconciler.count < self.limits.messages

    @property
    def overflows_beyond(self) -> float:
        """The length of the text above which it needs another message, and the last one may stay as posted.

        Infinite if it may not: it must be full enough. No earlier message may have stayed so with its buttons, since
        taking them away is an edit after the end.
        """
        shown, bodies = self.last_shown, self.reconciler.bodies
        if shown is None or not bodies or any(body.controls for body in bodies[:-1]):
            return math.inf
        limit, size = self._channel.caps.limit, len(bodies[-1].text)
        return limit - size + self.characters_of(shown) if size >= limit * _FULL_ENOUGH else math.inf

    def roll_over(self) -> None:
        """Leave the last message as posted, and continue in a new one."""
        shown, body = self.last_shown, self.reconciler.last
        assert shown is not None
        assert body is not None
        self.draft.seal(DesiredMessage(body, shown.covers), shown.index)
        self.last_shown = None

    # ------------------------------------------------------------------------------------------------------ the ending

    def freeze_with_error(self) -> None:
        """Keep the posted text, and add a notice that the platform rejected the rest."""
        if self.reconciler.shows_replaced:
            self.reconciler.keep_replaced()
        else:
            self.reconciler.detach()
        bodies = [body for body in self.reconciler.bodies if body.text and not self.preview.is_shown]
        shown = [Body(body.text, files=body.files) for body in bodies]
        self.frozen = self.notices.frozen(shown, self._figures.visible)

    def freeze_after_deletion(self, message: str) -> bool:
        """Keep the messages left after a reader deleted one, with a stop notice.

        False if none is left, or if the text of one is unknown.
        """
        self.reconciler.remove(message)
        self.reconciler.detach()
        bodies = [Body(body.text, files=body.files) for body in self.reconciler.bodies]
        if not all(body.text for body in bodies) or not bodies:
            return False
        self.frozen = self.notices.stopped(bodies, self._figures.visible)
        return True

    def settle_ending(self, ending: Ending) -> Ending:
        """Replace an ending by `LIMIT`, with its notice, if the rest of the answer can be shown nowhere."""
        if ending in _CUT_BY_LIMIT and self._rest_is_lost():
            self.notices.ending_line = self.notices.strings.limit
            return Ending.LIMIT
        return ending

    def _rest_is_lost(self) -> bool:
        files = self.draft.known_files
        return bool(files) and bool(files[0].rest) and not self.files.accepts(files[0])

    # ------------------------------------------------------------------------------------------------ desired messages

    def desired(self, ending: Ending | None, announced: Ending | None) -> list[DesiredMessage] | None:
        """The messages, as far as the next write needs them; None if that takes another step."""
        if self.frozen is not None:
            return self._with_final_controls(self.frozen, ending or Ending.FAILED)
        draft = self.draft
        reconciler = self.reconciler
        shown = 0 if self.last_shown is None else self.last_shown.covers  # it is never taken away
        whole_words_from = shown if self.trims_partial_words else None
        desired = draft.desired(reconciler.count + 2, whole_words_from=whole_words_from, is_stream=reconciler.is_stream)
        if desired is None or not draft.is_complete:
            return desired
        if ending is None and announced is not None and desired:
            return self._as_announced(desired, announced)
        if ending is None:
            return self._with_controls(desired or self.preview.messages(is_frozen=self.reconciler.frozen))
        if not desired and self.notices.ending_line and not self.reconciler.keeps_replaced:
            desired = draft.preface()
        ended = self._at_end([_without_controls(target) for target in desired], ending)
        return ended and self._with_final_controls(ended, ending)

    def _with_final_controls(self, desired: list[DesiredMessage], ending: Ending) -> list[DesiredMessage]:
        """The controls of an ended answer. A line behind an earlier answer has no text to vote on."""
        has_text = self.draft.shows_text if self.frozen is None else self._figures.visible > 0
        has_text = has_text and not self.reconciler.keeps_replaced
        controls = final_controls(ending, has_text=has_text) & self.offered
        return with_final_controls(desired, controls, self._channel.caps, self.reconciler.bodies)

    def _at_end(self, desired: list[DesiredMessage], ending: Ending) -> list[DesiredMessage] | None:
        """The answer with its files and notices."""
        draft, notices, strings = self.draft, self.notices, self.notices.strings
        if not (self.files.allowed or draft.is_full):
            return self._with_notices(desired, (), notices.ending_line)
        files = draft.files(self.notices.reference, finished=ending is Ending.DONE)
        if files is None:
            return None
        if self._rest_is_lost():
            if ending in _CUT_BY_LIMIT:
                return self._with_notices(desired, (), strings.limit)
            limit = [strings.limit] if ending is not Ending.LIMIT else []
            return self._with_notices(desired, (), *limit, notices.ending_line)
        accepted = tuple(file for file in files if self.files.accepts(file))
        if accepted:
            caption = strings.beside if are_all_extracted(accepted) else strings.code
            line = notices.small_print(strings.rest if files[0].rest else caption)
            desired = [*desired, DesiredMessage(Body(line, files=accepted), draft.length)]
        return self._with_notices(desired, accepted, notices.ending_line)

    def _as_announced(self, desired: list[DesiredMessage], ending: Ending) -> list[DesiredMessage]:
        """As at the end, except for files and the notices about them."""
        desired = [_without_controls(target) for target in desired]
        if self.draft.is_full:
            return desired
        lines = [*self.notices.lines, self.notices.for_ending(ending)]
        placed = self.notices.place(desired, lines, sealed_count=self.draft.sealed_count, is_full=self.draft.is_full)
        # A file behind the last message would need the controls moved.
        has_place = not (self.files.allowed and self.draft.may_have_files)
        return self._with_final_controls(placed, ending) if has_place else placed

    def _with_notices(self, desired: list[DesiredMessage], files: Sequence[Upload], *last: str) -> list[DesiredMessage]:
        draft, notices = self.draft, self.notices
        missing = missing_files_notice(draft.extracted, files, notices.strings)
        lines = [missing, *notices.lines, *last]
        return notices.place(desired, lines, sealed_count=draft.sealed_count, is_full=draft.is_full)

    def _with_controls(self, desired: list[DesiredMessage]) -> list[DesiredMessage]:
        """A stop button on the last message of a live answer, if the platform has buttons."""
        controls = self._channel.caps.controls & Controls.STOP
        if not desired or self.reconciler.is_stream(len(desired) - 1):
            return desired
        if len(desired) > self.draft.sealed_count and controls and not self.reconciler.frozen:
            last = desired[-1]
            desired[-1] = DesiredMessage(Body(last.body.stable, last.body.tail, controls), last.covers)
        return desired


def _without_controls(target: DesiredMessage) -> DesiredMessage:
    """A message sealed by a rollover keeps its buttons until the end."""
    return replace(target, body=replace(target.body, controls=Controls.NONE)) if target.body.controls else target
