"""One answer, from its first delta to its last write.

What belongs here: which text is wanted (of which attempt, with which closing line), whether a write is due and how
urgent it is, and making the write that the pacer chose. What does not: when that is (`bot.pacer`), how often a model is
asked (`bot.completion`), what the turn means for others (`bot.turns`).

A reply never renders ahead: text is cut and rendered when a permit is there, so what is sent is always the newest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bot.completion import Attempt
from bot.conversation import Delta, Ending, Finish, FinishReason, Refusal, Text, TurnKey, Usage
from bot.errors import Because, Declined, Unanswered
from bot.markdown import Piece, Splitter
from bot.page import Page, Wanted, Write
from bot.ports import Body, Caps, Channel, Controls, Verb
from bot.telemetry import Figures
from bot.words import Words

_ENDINGS = {
    FinishReason.LENGTH: Ending.LENGTH,
    FinishReason.FILTERED: Ending.FILTERED,
}


@dataclass(frozen=True, slots=True)
class WritingPolicy:
    """How an answer is written. Times in seconds."""

    # From the first delta to the first post: long enough for a few words, so that a notification says something, and
    # for an answer of a few tokens to be complete and take one write.
    first_seconds: float = 0.2
    # From one write of a reply to its next, unless that is the last: below, readers see flicker and no more text. It
    # also keeps the first edit from following the first post at once, where the two have budgets of their own.
    gap_seconds: float = 0.6
    # For one write to be answered; after that it is taken as unanswered. Platforms answer within one or two seconds.
    write_seconds: float = 15.0
    # Failed writes in a row, before the channel is given up: with the delays below, after about four minutes.
    failures: int = 12
    # The longest delay after a first failed write, doubled for each further one up to the limit, drawn evenly from
    # half of it to all (a platform that is down is asked by every live reply).
    backoff_seconds: float = 0.5
    backoff_limit_seconds: float = 30.0


class _Draft:
    """The text of one attempt, and its messages as they should be."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._splitter = Splitter(self._measured, caps.limit)
        self._sealed: list[Wanted] = []  # rendered once, since they do not change any more
        self._pieces_sealed = 0
        self._covered = 0  # characters of the pieces that are sealed

    @property
    def length(self) -> int:
        """Characters received."""
        return self._splitter.length

    def feed(self, text: str) -> None:
        self._splitter.feed(text)

    def wanted(self) -> list[Wanted]:
        """One for each message; pieces that show nothing (blank lines alone) take none."""
        *sealed, last = self._splitter.pieces() or [Piece("")]
        for piece in sealed[self._pieces_sealed :]:
            self._covered += len(piece.source)
            if text := self._caps.dialect.render(piece):
                self._sealed.append(Wanted(Body(text), self._covered))
        self._pieces_sealed = len(sealed)
        text = self._caps.dialect.render(last)
        open_ = [Wanted(Body("", text), self._covered + len(last.source))] if text else []
        return [*self._sealed, *open_]

    def _measured(self, piece: Piece) -> int:
        return self._caps.measure(self._caps.dialect.render(piece))


class Reply:
    """What one turn shows and wants shown.

    `feed` and `finish` change what is wanted; the pacer reads `verb`, `final`, `shows_nothing`, `not_before` and
    `unseen`, and calls `render` and `perform`. `over` is done when everything wanted is shown, or raises what made that
    impossible.
    """

    def __init__(self, key: TurnKey, channel: Channel, words: Words, figures: Figures) -> None:
        self.channel = channel
        self.figures = figures
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.visible = asyncio.Event()  # set once the reader can see something
        self.posts: asyncio.Queue[str] = asyncio.Queue()  # ids of messages as they come to exist, for the journal
        self.wake: Callable[[], None] = lambda: None  # set by the pacer that admits it
        self.ending: Ending | None = None
        self.verb: Verb | None = None  # of the next write, or None when none is due
        self.not_before = 0.0  # the next write is not due before this
        self.failures = 0  # since the last write that worked
        self.in_flight = False
        self._key = key
        self._words = words
        self._page = Page(key.digest)
        self._draft = _Draft(channel.caps)
        self._coming: _Draft | None = None  # a later attempt, until it has as much to show
        self._notices: list[str] = []
        self._unseen = 0  # characters received and in no write yet
        self._unseen_since = 0.0  # the sum of their arrival times

    # ------------------------------------------------------------------------------------------------ what is wanted

    def feed(self, delta: Delta | Attempt, now: float, policy: WritingPolicy) -> None:
        """Take in what a model sent; kinds that change nothing for the reader are passed over."""
        match delta:
            case Text(text) | Refusal(text) if text:
                self._grow(text, now, policy)
            case Attempt(number, streamed):
                self.figures.attempts += streamed
                self.figures.fallback = not streamed
                self._coming = _Draft(self.channel.caps) if number > 1 else None
            case Usage():
                self.figures.usage = delta
            case Finish(reason):
                self.finish(_ENDINGS.get(reason, Ending.DONE), now)
            case _:
                pass

    def note(self, line: str) -> None:
        """Add a line of our own, shown under the answer once it has ended."""
        self._notices.append(line)

    def finish(self, ending: Ending, now: float, because: Because | None = None) -> None:
        """Nothing more will be fed: show what there is, with an honest line where it is not whole."""
        if self.ending is not None:
            return
        self.ending = ending
        if self._coming is not None and (ending in {Ending.DONE, Ending.LENGTH} or not self._draft.length):
            self._switch(self._coming, now)
        line = self._words.ending(ending, self._key.reference, because, partial=self._draft.length > 0)
        if line:
            self._notices.append(line)
        self.not_before = min(self.not_before, now) if self.failures == 0 else self.not_before
        self._due()

    def abort(self, cause: BaseException) -> None:
        """Nothing can be written any more: `over` raises the cause."""
        self.verb = None
        if not self.over.done():
            self.over.set_exception(cause)

    def _grow(self, text: str, now: float, policy: WritingPolicy) -> None:
        draft = self._coming or self._draft
        draft.feed(text)
        if draft is self._coming:
            # What is shown stays until the new text is as long: no text is taken away before its better is there.
            if draft.length < self._draft.length:
                return
            self._switch(draft, now)
        else:
            self.figures.received(now, len(text))
        if self._unseen == 0 and self._page.empty and not self.in_flight:
            self.not_before = max(self.not_before, now + policy.first_seconds)
        self._unseen += len(text)
        self._unseen_since += len(text) * now
        if self.verb is None:
            self._due()

    def _switch(self, draft: _Draft, now: float) -> None:
        self._draft, self._coming = draft, None
        self.figures.replaced(now, draft.length)

    def _wanted(self) -> list[Wanted]:
        wanted = self._draft.wanted()
        if self.ending is None:
            return self._with_controls(wanted)
        caps = self.channel.caps
        for line in self._notices:
            notice = caps.dialect.notice(line)
            if not wanted:
                wanted = [Wanted(Body(notice), 0)]
                continue
            last = wanted[-1]
            together = f"{last.body.text}\n\n{notice}"
            if caps.measure(together) <= caps.limit:
                wanted[-1] = Wanted(Body(together), last.covers)
            else:
                wanted.append(Wanted(Body(notice), last.covers))
        return wanted

    def _with_controls(self, wanted: list[Wanted]) -> list[Wanted]:
        """The last message of a live answer can be stopped, where the platform has something to press."""
        controls = self.channel.caps.controls & Controls.STOP
        if wanted and controls:
            last = wanted[-1]
            wanted[-1] = Wanted(Body(last.body.stable, last.body.tail, controls), last.covers)
        return wanted

    # ----------------------------------------------------------------------------------------- what the pacer asks for

    @property
    def messages(self) -> tuple[str, ...]:
        """The ids of the messages that are known to exist."""
        return self._page.messages

    @property
    def final(self) -> bool:
        """Whether what is wanted will not change any more."""
        return self.ending is not None

    @property
    def shows_nothing(self) -> bool:
        """Whether the reader still sees no message of ours."""
        return self._page.empty

    def unseen(self, now: float) -> float:
        """How long unseen text has waited in total, in character-seconds."""
        return self._unseen * now - self._unseen_since

    def render(self) -> Write | None:
        """The write that is due now, with the newest text; None if nothing is."""
        write = self._page.next(self._wanted())
        self.verb = write.verb if write else None
        if write is None and self.final and not self.over.done():
            self.over.set_result(None)
        return write

    async def perform(self, write: Write, policy: WritingPolicy) -> None:
        """Make a write. Raises what the channel raises, after noting what is known of the message then."""
        unseen, self._unseen = self._unseen, 0
        since, self._unseen_since = self._unseen_since, 0.0
        try:
            try:
                async with asyncio.timeout(policy.write_seconds):
                    await self._send(write)
            except TimeoutError as error:
                raise Unanswered(f"no answer to a write in {policy.write_seconds:g} s") from error
        except BaseException as error:
            self._unseen += unseen
            self._unseen_since += since
            if isinstance(error, Unanswered):
                self._page.unanswered(write)
            raise
        self.failures = 0
        self._seen(write, policy)

    def settled(self) -> None:
        """A write has come back, well or not: see what is due next."""
        self.in_flight = False
        if not self.over.done():
            self._due()

    async def _send(self, write: Write) -> None:
        if write.verb is Verb.DELETE:
            await self.channel.delete(write.message)
            self._page.deleted(write)
            return
        assert write.body is not None
        if write.verb is Verb.EDIT:
            await self.channel.edit(write.message, write.body)
            self._page.edited(write)
            return
        found = await self.channel.find(write.key) if write.lookup else None
        message = found or await self.channel.post(write.body, write.key)
        self._page.posted(write, message)
        self.posts.put_nowait(message)

    def _seen(self, write: Write, policy: WritingPolicy) -> None:
        now = asyncio.get_running_loop().time()
        if not self.final:
            self.not_before = now + policy.gap_seconds
        self.figures.writes += 1
        if write.verb is not Verb.DELETE and not write.lookup:
            self.figures.shown(now, write.covers)
            # Text that the write left for a further message counts as just received: a small lie, about one segment.
            self._unseen_since += max(self._draft.length - write.covers - self._unseen, 0) * now
            self._unseen = max(self._draft.length - write.covers, 0)
        self.visible.set()

    def _due(self) -> None:
        """See whether a write is due, and tell the pacer. Which verb it is hardly ever needs the text rendered."""
        if self._page.empty and not self.final:
            self.verb = Verb.POST if self._draft.length else None
        else:
            self.render()
        if self.verb is not None:
            self.wake()


def because_of(failure: BaseException) -> Because | None:
    """Why a model's server declined, if that is what happened."""
    return failure.because if isinstance(failure, Declined) else None
