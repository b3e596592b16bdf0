"""One answer, from its first delta to its last write.

What belongs here: which text is wanted (of which attempt, with which closing line), whether a write is due and how
urgent it is, and making the write that the pacer chose. What does not: when that is (`bot.delivery.pacer`), how often a
model is asked (`bot.completion`), what the turn means for others (`bot.turns.manager`).

A reply never renders ahead: text is cut and rendered when a permit is there, so what is sent is always the newest.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bot.completion import Attempt
from bot.conversation import (
    Announced,
    Delta,
    Ending,
    Finish,
    FinishReason,
    Reasoning,
    Refusal,
    Retraction,
    Text,
    TurnKey,
    Usage,
)
from bot.delivery.announced_end import AnnouncedEnd
from bot.delivery.draft import AnswerLimits, Draft
from bot.delivery.extracted_files import are_all_extracted, missing_files_notice
from bot.delivery.reasoning_preview import ReasoningPreview
from bot.delivery.reconciler import DesiredMessage, Reconciler, Write
from bot.errors import (
    ConnectFailed,
    Failure,
    InvalidRequest,
    ModelRejected,
    NotEditable,
    NotFound,
    OutcomeUnknown,
    Permanent,
    RateLimited,
    RejectionReason,
    Retryable,
    TooLarge,
)
from bot.ports import Body, Channel, Controls, Upload, Verb
from bot.strings import FilledSentence, Strings
from bot.telemetry import Figures

_ENDINGS = {
    FinishReason.LENGTH: Ending.LENGTH,
    FinishReason.FILTERED: Ending.FILTERED,
    FinishReason.THOUGHT_ONLY: Ending.THOUGHT_ONLY,
    FinishReason.TOOLS_ONLY: Ending.TOOLS_ONLY,
}

# Where the rest of an answer can be shown nowhere, it was not the model that cut it there.
_CUT_BY_LIMIT = frozenset({Ending.DONE, Ending.LENGTH})


# A line of ours is not cut to less than this, in characters.
_MIN_NOTICE_LENGTH = 10


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """How an answer is written. Times in seconds."""

    # From the first delta to the first post: long enough for a few words, so that a notification says something, and
    # for an answer of a few tokens to be complete and take one write.
    first_seconds: float = 0.2
    # From one write of a reply to its next, unless that is the last: below, readers see flicker and no more text. It
    # also keeps the first edit from following the first post at once, where the two have budgets of their own.
    gap_seconds: float = 0.6
    # The same where several replies share a budget: their budget keeps them further apart than that anyway, but for
    # the first edit of all, which opens a fixed window; the sooner that is done, the sooner it closes and the next
    # permits are there (10 replies in a Discord channel: the last end shows 5.4 s late instead of 5.9).
    shared_gap_seconds: float = 0.1
    # Where writes come this far apart, what is shown ends with a whole word: it may stand for a while, and stays if the
    # answer goes on in a new message. Where they come faster, half a word is there for a moment, and sooner.
    whole_word_gap_seconds: float = 2.0
    # Text waits for an edit no longer than this, where posts are not counted with edits: then it goes on in a new
    # message; and an answer that could show its first words only by taking the write kept for another's end waits as
    # long, since it may be complete by then and go up whole. Long enough that an answer does not fall to pieces.
    rollover_after_seconds: float = 12.0
    # From the first failure in a row, 429s among them, until the channel is given up: longer than any pause that a
    # platform is known to order, short enough that a turn does not hold its place for ever.
    patience_seconds: float = 900.0
    # For one write to be answered; after that it is taken as unanswered. Platforms answer within one or two seconds.
    write_seconds: float = 10.0
    # The same for a message with files: they have to get there first, and Slack shows them seconds later.
    file_seconds: float = 60.0
    # Failed writes of a message with files, after which the answer goes on without them: a reader waits, and a server
    # may have everything but a place for files.
    file_failures: int = 4
    # An answer takes so many messages; the rest goes up as a file at its end, where that can be done. 0: any number.
    max_messages: int = 20
    # An answer has so many characters; where a model sends more, its stream is closed there. A million is a novel of
    # 500 pages; who sends more has no end.
    max_characters: int = 1_000_000
    # For a look whether a post was made: pages of a history, and above all the wait for leave to read them, of which a
    # hundred turns that are taken up at once have to share a few a second.
    lookup_seconds: float = 120.0
    # Failed writes in a row, before the channel is given up: with the delays below, after about four minutes. Writes
    # that met nobody do not count, since they fail at once for as long as a network is down: `patience_seconds` does.
    failures: int = 40
    # The longest delay after a first failed write, doubled for each further one up to the limit, drawn evenly from
    # half of it to all (a platform that is down is asked by every live reply). A reader waits, so the limit is low.
    backoff_seconds: float = 0.5
    backoff_limit_seconds: float = 8.0
    # Whether a line of what a model thinks aloud is shown for as long as its answer has not begun.
    shows_reasoning: bool = False
    # From the first thought that is not shown to such a line: who thinks no longer than this has answered before it
    # could be read, and a thought that has just begun says little.
    reasoning_first_seconds: float = 1.0
    # From the line to its next, for each reply that is live there: so all lines together spend at most one edit in
    # this time (10 of a Slack workspace's 50 a minute), and the fewer of those the more answers there are to show.
    # Long enough to read a sentence, and more than Discord's window of 5 s: at its very edge an edit may count in two.
    reasoning_gap_seconds: float = 6.0

    def gap(self, *, alone: bool) -> float:
        """Seconds from one write of a reply to its next."""
        return self.gap_seconds if alone else self.shared_gap_seconds

    def delay(self, failures: int, failure: Retryable, random_: random.Random) -> float:
        """Seconds to wait after this many failures in a row: what the server asked for, or ours if that is longer.

        A first failure that may be made good at once (a kept-alive connection had gone stale) is.
        """
        longest = min(self.backoff_seconds * 2 ** (failures - 1), self.backoff_limit_seconds)
        ours = random_.uniform(longest / 2, longest)
        if failure.retry_after is None:
            return ours
        asked = min(failure.retry_after, self.patience_seconds)
        return asked if failures == 1 else max(asked, ours)


@dataclass(slots=True)
class Backlog:
    """Characters received and in no write yet, with the sum of their arrival times: all that their total wait needs."""

    characters: int = 0
    arrivals: float = 0.0

    def add(self, characters: int, now: float) -> None:
        """Count characters that arrive now."""
        self.characters += characters
        self.arrivals += characters * now

    def join(self, other: Backlog) -> None:
        """Count the characters of another backlog, too."""
        self.characters += other.characters
        self.arrivals += other.arrivals


class Reply:
    """What one turn shows and wants shown.

    `feed` and `finish` change the desired messages. The pacer reads the due write (`verb`, `budgets`, `is_final`,
    `shows_nothing`, `is_preview`, `due_at`, `backlog`), then calls `render`, `perform` and `write_finished`. `done`
    resolves once everything desired is shown, or raises the failure that prevented it.
    """

    def __init__(
        self,
        key: TurnKey,
        channel: Channel,
        strings: Strings,
        figures: Figures,
        *,
        left: Sequence[str] | None = None,
        max_messages: int = 0,
        max_characters: int = 0,
    ) -> None:
        """`left` are the messages that an earlier process is known to have posted, if one began this answer.

        `max_messages` and `max_characters`: see `WritePolicy`.
        """
        self.key = key
        self.channel = channel
        self.budgets = {verb: tuple(channel.budgets(verb)) for verb in Verb}
        self.figures = figures
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wake: Callable[[], object] = ignored  # set by the pacer that admits it
        # Called (a task or a queue for each would be most of what a reply holds) after a write that the reader sees,
        # and with the id of a message that has come to exist.
        self.on_shown: Callable[[], object] = ignored
        self.on_posted: Callable[[str], object] = ignored
        self.ending: Ending | None = None
        self.announced = AnnouncedEnd()
        self.verb: Verb | None = None  # of the next write, or None when none is due
        self.not_before = 0.0  # the next write is not due before this
        self.is_preview = False  # whether the next write shows a line of its thinking and nothing else
        self.began = float("inf")  # when its first text came
        self.wrote = float("-inf")  # when it last changed what is seen
        # A write is on its way; it shows something and is not at its end, so that a write is kept for it.
        self.in_flight = self.needs_final_write = False
        self._writes_slowly = False  # whether writes come far apart
        # Since the last write that worked; of those, the ones that met somebody, or may have.
        self._failures = self._refusals = 0
        self._failing_since: float | None = None  # when the first of those came, or the first 429
        self._strings = strings
        self._reconciler = Reconciler(key.digest, left, edits=channel.caps.edits)
        self._recovered_count = len(left or ())  # messages that show what an earlier process wrote
        self._shows_preview = False  # a line of its thinking, and no text of the answer
        self._limits = AnswerLimits(max_messages or sys.maxsize, max_characters or sys.maxsize)
        self._draft = self._new_draft()
        self._next_draft: Draft | None = None  # a later attempt, until it has as much to show
        self._rendered = self._draft  # what the last write was rendered from
        self._is_refusal = False  # the model's refusal has begun
        self._deleted: list[str] = []  # messages that a reader deleted, until no write is in flight
        self._override: list[DesiredMessage] | None = None  # shown instead, once the platform rejects our text
        self._notices: list[str] = []  # our own lines, for under the answer
        self._ending_line = ""  # the one that says how it ended
        self._backlog = Backlog()
        self._shown_last: Write | None = None  # the last write, if it was of the last message
        # None where it is not shown: in an answer that an earlier process began, its text may be there already.
        self._preview = ReasoningPreview() if left is None else None
        self._preview_at = 0.0  # the next line of it is not due before this
        self._without_files = False  # the platform refuses them, or fails whenever there are some
        self._file_failures = 0
        self._scheduled_check: asyncio.Handle | None = None  # what is wanted takes more than one step to find

    # ------------------------------------------------------------------------------------------------ what is wanted

    def feed(self, delta: Delta | Attempt, now: float, policy: WritePolicy) -> None:
        """Take in what a model sent; what changes nothing for the reader is passed over, and all after the end is."""
        if self.ending is not None:
            return
        match delta:
            case Text(text) if text:
                self._grow(text, now, policy)
            case Refusal(text) if text:
                if not self._is_refusal:  # it stands in the place of what was said before
                    self._is_refusal, self._next_draft = True, self._new_draft()
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
                end(_ENDINGS.get(reason, Ending.DONE), now)

    def add_notice(self, line: str) -> None:
        """Add a line of our own, shown under the answer once it has ended; what is foreign in it is made harmless."""
        self._notices.append(
            line.escaped(self.channel.caps.renderer.escape) if isinstance(line, FilledSentence) else line
        )

    def finish(self, ending: Ending, now: float, reason: RejectionReason | None = None) -> None:
        """Nothing more will be fed: show what there is, with an honest line where it is not whole."""
        if self.ending is not None:
            return
        if self.announced.ending is not None and ending in {Ending.STOPPED, Ending.INTERRUPTED}:
            ending = self.announced.ending  # what there is was shown as the whole by then
        self.ending = ending
        if self._next_draft is not None and (ending is Ending.DONE or self._next_draft.length >= self._draft.length):
            self._switch(self._next_draft, now)
        self._flush(now, for_good=True)
        self._ending_line = self._strings.ending(ending, self.key.reference, reason, partial=self._draft.shows_text)
        if not self._failures:
            self.not_before = min(self.not_before, now)
        self._due()

    def freeze_with_error(self, cause: Failure) -> None:
        """The platform refuses our text itself: leave what it shows, without controls and with an honest line.

        When it refuses that too, `done` raises the cause.
        """
        if self._override is not None:
            self.fail(cause)
            return
        self.ending = Ending.FAILED
        bodies = [body for body in self._reconciler.bodies if body.text and not self._shows_preview]
        shown = [Body(body.text, files=body.files) for body in bodies]
        line = self._strings.refused.format(reference=self.key.reference)
        # In a message of its own: perhaps it is edits that are refused.
        bodies = [*shown, Body(self._notice(line))]
        self._override = [DesiredMessage(body, self.figures.visible) for body in bodies]

    def message_deleted(self, message: str) -> None:
        """A reader deleted one of the messages: nothing more is written but, where others are left, an honest end."""
        self._deleted.append(message)
        if not self.in_flight:
            self.write_finished()

    def _leave_rest(self, message: str) -> None:
        self._reconciler.remove(message)
        bodies = [Body(body.text, files=body.files) for body in self._reconciler.bodies]
        if not all(body.text for body in bodies) or not bodies:  # none is left, or what one shows is not known
            self.fail(NotFound("a reader deleted the answer"))
            return
        self.ending = Ending.STOPPED
        caps = self.channel.caps
        notice = caps.renderer.notice(self._strings.ending(Ending.STOPPED, self.key.reference, None, partial=True))
        together = Body(f"{bodies[-1].text}\n\n{notice}")
        fits = caps.measure(together.text) <= caps.limit and not bodies[-1].files
        bodies[-1:] = [together] if fits else [bodies[-1], Body(notice)]
        self._override = [DesiredMessage(body, self.figures.visible) for body in bodies]

    def fail(self, cause: BaseException) -> None:
        """Nothing can be written any more: `done` raises the cause."""
        self.verb = None
        if not self.done.done():
            self.done.set_exception(cause)

    def _begin(self, attempt: Attempt) -> None:
        """An attempt begins: none of what an earlier one sent is added to."""
        self.figures.attempts += attempt.streamed
        self.figures.fallback = not attempt.streamed
        self._is_refusal = False
        self._reopen()
        if self._preview is not None:
            self._preview.clear()
        self._next_draft = self._new_draft() if attempt.number > 1 else None

    def _announce(self, ending: Ending, now: float) -> None:
        """The end is near, or here already: show at once what there is, as it would be at the end.

        More may come, so nothing is done that could not be undone: no file goes up, and an answer that is to replace
        another is not judged by its length yet.
        """
        if self._next_draft is not None or self._recovered_count or not self._draft.length:
            return
        self._flush(now, for_good=False)
        stands = self.announced.announce(ending, now)
        if stands and not self._failures:
            self.not_before = min(self.not_before, now)
        self._due()
        if stands:
            self.announced.on_announced()

    def _flush(self, now: float, *, for_good: bool) -> None:
        """Nothing more is fed, `for_good` or as far as is known: what was held back is shown as well."""
        if held := self._draft.finish(for_good=for_good):
            self.figures.received(now, held)
            self._backlog.add(held, now)

    def _reopen(self) -> None:
        """More has come behind the end that was announced."""
        self._draft.reopen()
        self.announced.withdraw()

    def _feed_preview(self, text: str, now: float, policy: WritePolicy) -> None:
        """The model thinks aloud: told in a line where that is wanted, for as long as there is no text."""
        if self._preview is None or self._draft.length or not (text and policy.shows_reasoning):
            return
        self._preview.feed(text)
        if self.verb is not None or self.in_flight:
            return
        self._preview_at = max(self._preview_at, now + policy.reasoning_first_seconds)
        if self._reconciler.empty:
            self._due()
        else:  # whether it reads differently by then is seen then, not at each chunk
            self.is_preview, self.verb = True, Verb.EDIT
            self.wake()

    def _retract(self, now: float) -> None:
        """What was said was thinking: what is shown of it stays until there is some answer, however short."""
        self._reopen()
        if self._next_draft is not None:
            self._next_draft = self._new_draft()
            return
        self._preview, self._backlog = None, Backlog()
        self._switch(self._new_draft(), now)
        self._due()

    def _grow(self, text: str, now: float, policy: WritePolicy) -> None:
        draft = self._next_draft or self._draft
        self._reopen()
        had = draft.length
        fits = draft.feed(text)
        text_length = draft.length - had
        if draft is self._next_draft:
            # What is shown stays until the new text is as long: no text is taken away before its better is there.
            if draft.length < self._draft.length:
                return
            self._switch(draft, now)
        else:
            self.figures.received(now, text_length)
            self.began = min(self.began, now)
        if not self._backlog.characters and self.shows_nothing and not self.in_flight:
            self.not_before = max(self.not_before, now + policy.first_seconds)
        self._backlog.add(text_length, now)
        if not fits or (draft.is_full and not self._may_file and text.strip()):
            self.finish(Ending.LIMIT, now)  # nobody would see what is still to come
        elif self.verb is None or self.is_preview:
            self._due()

    def _switch(self, draft: Draft, now: float) -> None:
        if self._reconciler.frozen and not self._shows_preview:
            sealed_count = self._draft.sealed_source
            draft.keep_posted(self._reconciler.bodies, len(sealed_count) if draft.starts_with(sealed_count) else 0)
        self._draft, self._next_draft, self._shown_last = draft, None, None
        self.figures.replaced(now, draft.length)

    def _new_draft(self) -> Draft:
        draft = Draft(self.channel.caps, self._limits, self._notice_room)
        if self._reconciler.frozen and not self._shows_preview:  # what an earlier process left stays, whatever it shows
            draft.keep_posted(self._reconciler.bodies, 0)
        return draft

    def _desired(self) -> list[DesiredMessage] | None:
        """What the messages should be, as far as the next write needs it; None if that takes another step."""
        if self._override is not None:
            return self._override
        desired = self._draft.desired(self._reconciler.count + 2, trim_partial_word=self._writes_slowly)
        if desired is None or not self._draft.is_complete:
            return desired
        if self.ending is None and self.announced.ending is not None and desired:
            return self._as_announced(desired, self.announced.ending)
        if self.ending is None:
            return self._with_controls(desired or self._preview_message())
        return self._at_end([_without_controls(target) for target in desired])

    def _at_end(self, desired: list[DesiredMessage]) -> list[DesiredMessage] | None:
        """The answer with its files and our own lines."""
        if not (self._may_file or self._draft.is_full):
            return self._with_notices(desired, [self._missing(), *self._notices, self._ending_line])
        files = self._draft.files(self.key.reference, finished=self.ending is Ending.DONE)
        if files is None:
            return None
        has_rest = bool(files) and bool(files[0].rest)
        if has_rest and not (self._may_file and len(files[0].data) <= self.channel.caps.files):
            if self.ending in _CUT_BY_LIMIT:
                self.ending, self._ending_line = Ending.LIMIT, self._strings.limit
            limit = [self._strings.limit] if self.ending is not Ending.LIMIT else []
            return self._with_notices(desired, [self._missing(), *self._notices, *limit, self._ending_line])
        files = tuple(file for file in files if self._may_file and len(file.data) <= self.channel.caps.files)
        if files:
            said = self._strings.beside if are_all_extracted(files) else self._strings.code
            line = self._notice(self._strings.rest if has_rest else said)
            desired = [*desired, DesiredMessage(Body(line, files=files), self._draft.length)]
        return self._with_notices(desired, [self._missing(files), *self._notices, self._ending_line])

    def _missing(self, files: Sequence[Upload] = ()) -> str:
        """The line about pictures and addresses that no message and none of these files holds, if there are any."""
        return missing_files_notice(self._draft.extracted, files, self._strings)

    def _as_announced(self, desired: list[DesiredMessage], ending: Ending) -> list[DesiredMessage]:
        """As at the end, but for a rest that would go up as a file, and so for the lines that stand under it."""
        desired = [_without_controls(target) for target in desired]
        if self._draft.is_full:
            return desired
        line = self._strings.ending(ending, self.key.reference, None, partial=True)
        return self._with_notices(desired, [*self._notices, line])

    def _preview_message(self) -> list[DesiredMessage]:
        """What stands in the answer's place until it begins; nothing, where nothing is to be told."""
        if self._preview is None or self._reconciler.frozen or not (thought := self._preview.line):
            return []
        caps = self.channel.caps
        notice = caps.renderer.notice(self._strings.thinking.format(thought=thought))
        return [DesiredMessage(Body("", notice), 0)] if caps.measure(notice) <= caps.limit else []

    @property
    def _may_file(self) -> bool:
        """Whether a file may go up with the answer."""
        return bool(self.channel.caps.files) and not self._without_files

    def _notice_room(self) -> int:
        """How much of the last message that there may be is left to our own lines: half of it at the most."""
        endings = [self._strings.ending(ending, self.key.reference, None, partial=True) for ending in Ending]
        lines = [*self._notices, self._strings.limit, max(endings, key=len)]
        caps = self.channel.caps
        return min(sum(caps.measure(f"\n\n{self._notice(line)}") for line in lines), caps.limit // 2)

    def _notice(self, line: str) -> str:
        """A line of our own as small print; no message is too short for it."""
        caps = self.channel.caps
        notice = caps.renderer.notice(line)
        while caps.measure(notice) > caps.limit and len(line) > _MIN_NOTICE_LENGTH:
            line = line[: len(line) // 2].rstrip("\\ ") + "…"
            notice = caps.renderer.notice(line)
        return notice

    def _with_notices(self, desired: list[DesiredMessage], lines: list[str]) -> list[DesiredMessage]:
        """Our own lines stand under the last message, or in one more where there is no room.

        Where the answer has all the messages that it may have, lines are left out instead, the last one never.
        """
        caps = self.channel.caps
        lines = [line for line in lines if line]
        for number, line in enumerate(lines, 1):
            notice = self._notice(line)
            last = desired[-1] if desired else DesiredMessage(Body(""), 0)
            together = f"{last.body.text}\n\n{notice}".lstrip("\n")
            if len(desired) > self._draft.sealed_count and caps.measure(together) <= caps.limit:
                desired[-1:] = [DesiredMessage(Body(together, files=last.body.files), last.covers)]
            elif number == len(lines) or not self._draft.is_full:
                desired.append(DesiredMessage(Body(notice), last.covers))
        return desired

    def _with_controls(self, desired: list[DesiredMessage]) -> list[DesiredMessage]:
        """The last message of a live answer can be stopped, where the platform has something to press."""
        controls = self.channel.caps.controls & Controls.STOP
        if len(desired) > self._draft.sealed_count and controls and not self._reconciler.frozen:
            last = desired[-1]
            desired[-1] = DesiredMessage(Body(last.body.stable, last.body.tail, controls), last.covers)
        return desired

    # ----------------------------------------------------------------------------------------- what the pacer asks for

    @property
    def messages(self) -> tuple[str, ...]:
        """The ids of the messages that are known to exist."""
        return self._reconciler.messages

    @property
    def is_final(self) -> bool:
        """Whether what is wanted will not change any more."""
        return self.ending is not None

    @property
    def is_closing(self) -> bool:
        """Whether what is wanted will not change any more, as far as is known."""
        return self.ending is not None or self.announced.ending is not None

    @property
    def shows_nothing(self) -> bool:
        """Whether the reader still sees nothing of the answer."""
        return self._reconciler.empty or self._shows_preview

    @property
    def due_at(self) -> float:
        """The next write is not due before this."""
        return max(self.not_before, self._preview_at) if self.is_preview else self.not_before

    def backlog(self, now: float) -> float:
        """How long unseen text has waited in total, in character-seconds."""
        return self._backlog.characters * now - self._backlog.arrivals

    @property
    def can_roll_over(self) -> bool:
        """Whether an edit that cannot be made soon may be left, and the text go on in a new message.

        Not if what is due is no edit of the last message, or what that one shows is not known.
        """
        if self.verb is not Verb.EDIT or self._shown_last is None or self._reconciler.last is None:
            return False
        return self._next_draft is None and self._override is None and self._reconciler.count < self._limits.messages

    def roll_over(self) -> None:
        """Leave the last message as it is shown, and go on in a new one."""
        shown, body = self._shown_last, self._reconciler.last
        assert shown is not None
        assert body is not None
        self._draft.seal(DesiredMessage(body, shown.covers), shown.index)
        self._shown_last = None
        if self.render() is not None and not self._failures:
            self.not_before = 0.0

    def render(self) -> Write | None:
        """The write that is due now, with the newest text; None if nothing is."""
        try:
            desired, self._rendered = self._desired(), self._draft
            if desired is None:
                self._check_later()
                return None
            # Before the end, nothing is taken away for the sake of nothing.
            write = self._reconciler.next(desired) if desired or self.is_final else None
            write = write or (self._reconciler.lookup_write() if self.is_final else None)
        except Exception as error:  # noqa: BLE001 (a bug in a dialect ends its own turn, at the turn's boundary, and no other)
            self.fail(error)
            return None
        self.verb = write.verb if write else None
        self.is_preview = not self.is_final and bool(desired) and not desired[-1].covers
        if write is None and self.is_final and not self.done.done():
            self.done.set_result(None)
        return write

    def _check_later(self) -> None:
        """What is wanted is not known yet: others have their turn, then it is looked for a step further."""
        self.verb = None
        if self._scheduled_check is None:
            self._scheduled_check = asyncio.get_running_loop().call_soon(self._check_again)

    def _check_again(self) -> None:
        self._scheduled_check = None
        if not self.done.done():
            self._due()

    async def perform(self, write: Write, policy: WritePolicy) -> None:
        """Make a write. Raises what the channel raises, after noting what is known of the message then."""
        rendered, self._backlog = self._backlog, Backlog()
        self._shows_preview = self._shows_preview or _is_notice_only(write)
        has_files = write.body is not None and bool(write.body.files)
        try:
            # A look-up waits for its own budget of reading, which may take longer than any write.
            async with asyncio.timeout(policy.lookup_seconds):
                found = await self._find(write) if write.lookup else None
            async with asyncio.timeout(policy.file_seconds if has_files else policy.write_seconds):
                await self._send(write, found)
        except (OutcomeUnknown, TimeoutError) as error:
            self._reconciler.outcome_unknown(write)
            self._backlog.join(rendered)
            self._count_failure(policy, has_files=has_files)
            if isinstance(error, OutcomeUnknown):
                raise
            raise OutcomeUnknown(f"no answer to a {write.verb.value} in time") from error
        except Permanent as failure:
            self._backlog.join(rendered)
            if not (self._goes_on_otherwise(write, failure, policy) or self._goes_on_without(write, failure)):
                raise
        except Failure:
            self._backlog.join(rendered)
            self._count_failure(policy, has_files=has_files)
            raise
        else:
            self._wrote(write, rendered, asyncio.get_running_loop().time(), policy)

    def _count_failure(self, policy: WritePolicy, *, has_files: bool) -> None:
        """A write did not work. One with files is not tried for as long as others: its text may go without."""
        self._file_failures += has_files
        self._without_files = self._without_files or self._file_failures >= policy.file_failures

    def _goes_on_otherwise(self, write: Write, failure: Permanent, policy: WritePolicy) -> bool:
        """Whether what was refused is written in another form: in smaller or plainer messages, or in a new one."""
        if isinstance(failure, TooLarge) and not (write.body is None or write.body.files):
            if write.verb is Verb.POST:
                self._reconciler.mark_not_found(write)  # it certainly was not made
            if _is_notice_only(write) and not self.is_final:
                self._preview = None
            if self._override is None:
                self._draft.recut(write.index, self.channel.caps)
            return True
        if isinstance(failure, NotEditable) and write.verb is Verb.EDIT:
            self._leave_as_shown(write, policy)
            return True
        if write.verb is Verb.DELETE and self._reconciler.frozen and not isinstance(failure, NotFound):
            self._draft.keep_posted(self._reconciler.bodies, 0)
            self._shows_preview = False
            return self._override is None
        return False

    def _leave_as_shown(self, write: Write, policy: WritePolicy) -> None:
        """No message can be edited: what is shown stays, and the text goes on behind it."""
        bodies, text = self._reconciler.bodies, write.body.text if write.body is not None else ""
        self._reconciler.freeze()
        last, self._shown_last = self._shown_last, None
        if self._override is not None or self._shows_preview or bodies[write.index].text == text:
            return
        covers = last.covers if last is not None else self._draft.covered_by(bodies)
        self._draft.keep_posted(bodies, covers)
        self._wait_to_go_on(policy)

    def _wait_to_go_on(self, policy: WritePolicy) -> None:
        """What cannot be edited is posted in messages that are no shorter than they must be."""
        self._writes_slowly = True
        if not self.is_final:
            self.not_before = max(self.not_before, self.wrote + policy.rollover_after_seconds)

    def _after_refused_edits(self, write: Write, policy: WritePolicy) -> None:
        """A post has worked where edits were refused: those of the new message are tried, or it stays as well."""
        if write.verb is not Verb.POST or not self._reconciler.frozen:
            return
        last = self._shown_last
        if not self._reconciler.thaw() and self._override is None and last is not None:
            self._draft.keep_posted(self._reconciler.bodies, last.covers)
            self._shown_last = None
            self._wait_to_go_on(policy)

    def _goes_on_without(self, write: Write, failure: Permanent) -> bool:
        """Whether what cannot be done need not be: a message that was taken away, or a look for one too many."""
        if write.body is not None and write.body.files and write.verb is Verb.POST:
            self._without_files = True  # whether we may write there at all shows with what is written instead
            return True
        if isinstance(failure, NotFound):
            return self._reconciler.drop_missing(write)
        if isinstance(failure, InvalidRequest) and _is_notice_only(write) and not self.is_final:
            self._preview = None  # an answer can do without
            return True
        if write.verb is Verb.POST and write.body is None:
            self._reconciler.end_lookups()
            self._reconciler.mark_not_found(write)
            return True
        return False

    def write_finished(self) -> None:
        """A write has come back, well or not: see what is due next."""
        self.in_flight = False
        while self._deleted and not self.done.done():
            self._leave_rest(self._deleted.pop())
        if not self.done.done():
            self._due()

    def failed(self, failure: Retryable, now: float, policy: WritePolicy, random_: random.Random) -> None:
        """A write did not work: it stays due, after a delay, until the policy's patience is at its end."""
        if self._failing_since is None:
            self._failing_since = now
        if not isinstance(failure, RateLimited):  # then its budget is held, and knows for how long
            self._failures += 1
            self._refusals += not isinstance(failure, ConnectFailed)
            self.not_before = now + policy.delay(self._failures, failure, random_)
        if self._refusals >= policy.failures or now - self._failing_since > policy.patience_seconds:
            self.fail(failure)

    def _wrote(self, write: Write, rendered: Backlog, now: float, policy: WritePolicy) -> None:
        self._failures, self._refusals, self._failing_since = 0, 0, None
        self.figures.writes += 1
        if _is_notice_only(write) and not self.is_final:
            # No gap of an answer's, and nothing of it is shown: neither is kept waiting for the sake of a line.
            self._preview_at = now + policy.reasoning_gap_seconds * max(self.budgets[Verb.EDIT][0].live, 1)
            self._backlog.join(rendered)
            self.on_shown()
            return
        self._shows_preview = self._shows_preview and not write.covers
        self._writes_slowly = now - self.wrote >= policy.whole_word_gap_seconds and self.wrote > 0
        self.wrote = now
        if not self.is_final:
            self.not_before = now + policy.gap(alone=self.budgets[Verb.EDIT][0].live <= 1)
        if not self._reconciler.shows(write):
            self._shown_last = None
            self._backlog.join(rendered)
        else:
            self.figures.shown(now, write.covers)
            last = write.index == len(self._reconciler.messages) - 1 and self._rendered is self._draft
            self._shown_last = write if last and write.covers else None
            # Text that is left for a further message counts as just received: a small lie, about one message's.
            self._backlog.add(max(self._draft.length - write.covers - self._backlog.characters, 0), now)
        self._after_refused_edits(write, policy)
        self.on_shown()

    async def _find(self, write: Write) -> str | None:
        found = await self.channel.find(write.key, self._reconciler.messages[: write.index])
        if found is None:
            self._reconciler.end_lookups()  # posts are made in order: there is no later one either
        return found

    async def _send(self, write: Write, found: str | None) -> None:
        if write.verb is Verb.DELETE:
            await self.channel.delete(write.message)
            self._reconciler.deleted(write)
            return
        if write.verb is Verb.EDIT:
            assert write.body is not None
            await self.channel.edit(write.message, write.body)
            self._reconciler.edited(write)
            return
        message = found or (await self.channel.post(write.body, write.key) if write.body else "")
        if not message:
            self._reconciler.mark_not_found(write)
            return
        self._reconciler.posted(write, message, found=found is not None)
        self.on_posted(message)

    def _due(self) -> None:
        """See whether a write is due, and tell the pacer. With one in flight, what is shown is not known yet."""
        if self.in_flight:
            return
        if self._reconciler.empty and not self.is_final:
            self.is_preview = not self._draft.length
            self.verb = Verb.POST if self._draft.length or (self._preview and self._preview.line) else None
        elif self._waits_for_more():
            self.verb = None  # what an earlier process showed stays until there is more, or the end
        else:
            self.render()
            if self.verb is Verb.POST and not (self._failures or self.is_preview or self._reconciler.frozen):
                self.not_before = 0.0  # the next message takes over text that has just left the last one: no gap
        if self.verb is not None:
            self.wake()

    def _waits_for_more(self) -> bool:
        """Whether an earlier process showed more than there is yet."""
        if not self._recovered_count or self.is_final:
            return False
        desired = self._draft.desired(self._recovered_count + 1)
        if desired is None:
            self._check_later()
        return desired is None or len(desired) <= self._recovered_count


def _is_notice_only(write: Write) -> bool:
    """Whether a write shows a line of our own and no text: of thinking, unless the answer has ended."""
    return write.body is not None and not (write.covers or write.lookup)


def _without_controls(target: DesiredMessage) -> DesiredMessage:
    """A message that was left as it is shown, to go on in a new one, has its buttons until the end."""
    return replace(target, body=replace(target.body, controls=Controls.NONE)) if target.body.controls else target


def ignored(*_: object) -> None:
    """For whom nobody listens."""


def reason_of(failure: BaseException) -> RejectionReason | None:
    """Why a model's server declined, if that is what happened."""
    return failure.reason if isinstance(failure, ModelRejected) else None
