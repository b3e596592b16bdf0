"""The text of one attempt, and its messages as they should be.

What belongs here: which pieces are final, how each is rendered, and which files go up at the end. What does not: which
attempt is shown, our own lines, and writing (`bot.delivery.reply`).

No call cuts more than `_CUTS` messages or reads more than a step of the text for files, however much has come at once:
who gets None calls again in the next round of the event loop, and others have their turn between.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from bot.delivery.extracted_files import extracted_files
from bot.delivery.overflow import MAX_FILES, uploads_in_steps
from bot.delivery.policy import AnswerLimits
from bot.delivery.reconciler import DesiredMessage
from bot.markdown import Piece, Splitter, grapheme_boundary
from bot.markdown.model_text import ExtractedAddress, ModelText
from bot.ports import Body, ChannelCapabilities, Upload

# Cuts in one call. One takes one to ten milliseconds, of text made to be hard a hundred; two are what an answer that
# streams needs where one message has become full.
_CUTS = 2


class Draft:
    """See the module. `room` says how much of the last message that the answer may take is left to our own lines."""

    def __init__(self, caps: ChannelCapabilities, limits: AnswerLimits, room: Callable[[], int]) -> None:
        self._caps = caps
        self._limits = limits
        self._notice_room = room
        self._incoming = ModelText(caps.limit, caps.measure)
        self._splitter = Splitter(self._measured, caps.limit)
        self._sealed: list[DesiredMessage] = []  # rendered once, since they do not change any more
        self._pieces_sealed = 0
        self._covered = 0  # characters of the pieces that are sealed
        self._ended = False  # nothing more is fed, so nothing at the end is unfinished
        self.is_complete = False  # whether what was wanted last shows all that there is, or all that the messages take
        self.sealed_count = 0  # messages that stay as they are shown
        self._files: tuple[Upload, ...] | None = None
        self._filing: Generator[None, None, tuple[Upload, ...]] | None = None

    @property
    def length(self) -> int:
        """Characters kept of what was received, but for what is in no message."""
        return self._splitter.length

    @property
    def extracted(self) -> Sequence[ExtractedAddress]:
        """The addresses that no message holds."""
        return self._incoming.extracted

    def feed(self, text: str) -> bool:
        """Take in more; false if that is more than an answer may have, and what is too much was left out."""
        return self._append(self._incoming.feed(text))

    def _append(self, text: str) -> bool:
        room = self._limits.characters - self.length
        if len(text) <= room:
            self._splitter.feed(text)
            return True
        if room:
            self._splitter.feed(text[: grapheme_boundary(text[: room + 1], room)])
        return False

    def finish(self, *, for_good: bool) -> int:
        """Nothing more will be fed, `for_good` or as far as is known: the end is shown as it is.

        Returns how many characters were held back until now.
        """
        had = self.length
        self._append(self._incoming.finish(for_good=for_good))
        self._ended = True
        return self.length - had

    def reopen(self) -> None:
        """More is fed after all."""
        self._ended = False

    def seal(self, shown: DesiredMessage, index: int) -> None:
        """Message `index` stays as it is shown; what it does not cover yet goes into the next one."""
        self._covered = self._splitter.seal(shown.covers)
        self._pieces_sealed = self._splitter.sealed
        self._sealed[index:] = [DesiredMessage(shown.body, self._covered)]
        self.sealed_count = index + 1

    def keep_posted(self, shown: Sequence[Body], covers: int) -> None:
        """These messages stay as they are, and cover so many characters; the text goes on behind them."""
        sealed = self._sealed
        sealed_count = [DesiredMessage(body, min(old.covers, covers)) for body, old in zip(shown, sealed, strict=False)]
        sealed_count += [DesiredMessage(body, covers) for body in shown[len(sealed_count) :]]
        if sealed_count:
            self.seal(DesiredMessage(sealed_count[-1].body, covers), len(sealed_count) - 1)
            self._sealed[:] = [*sealed_count[:-1], self._sealed[-1]]

    def covered_by(self, bodies: Sequence[Body]) -> int:
        """How many characters messages are known to show, where the first of them are those of this text."""
        covers = 0
        for body, sealed in zip(bodies, self._sealed, strict=False):
            if body.text != sealed.body.text:
                break
            covers = sealed.covers
        return covers

    @property
    def sealed_source(self) -> str:
        """What the messages cover that stay as they are shown."""
        return self._splitter.source[: self._sealed[self.sealed_count - 1].covers] if self.sealed_count else ""

    def starts_with(self, text: str) -> bool:
        """Whether this text goes on from another."""
        return bool(text) and self._splitter.source.startswith(text)

    def recut(self, index: int, caps: ChannelCapabilities) -> None:
        """Cut and render again, for other caps, from message `index` on; those before it have been taken."""
        self._caps = caps
        before = self._sealed[:index]
        self._covered = before[-1].covers if before else 0
        self._splitter.recut(caps.limit, self._covered)
        self._sealed, self._pieces_sealed = before, self._splitter.sealed
        self.sealed_count = min(self.sealed_count, index)
        self._files = self._filing = None

    @property
    def is_full(self) -> bool:
        """Whether all the messages that there may be are final: what comes further changes none."""
        return len(self._sealed) >= self._limits.messages

    @property
    def shows_text(self) -> bool:
        """Whether a reader can see anything of it; at worst, of blank lines in great number, a guess."""
        desired = self.desired(1)
        return bool(desired) if desired is not None else bool(self._splitter.source.strip())

    def desired(self, most: int, *, trim_partial_word: bool = False) -> list[DesiredMessage] | None:
        """One for each message, `most` of them at least if there are so many; None if that takes more than one call.

        Pieces that show nothing (blank lines alone) take no message. `trim_partial_word` leaves out a word, or a line
        of code, that has only begun.
        """
        most = min(most, self._limits.messages)
        if not self._cut(most):
            return None
        if len(self._sealed) >= most:
            self.is_complete = self.is_full
            return list(self._sealed)
        self.is_complete = True
        last = self._splitter.last
        last = last if self._ended else (last.trim_partial_word() if trim_partial_word else last).shown()
        text = self._caps.renderer.render(last)
        open_ = [DesiredMessage(Body("", text), self._covered + len(last.source))] if text else []
        return [*self._sealed, *open_]

    def files(self, reference: str, *, finished: bool) -> tuple[Upload, ...] | None:
        """What goes up with the answer, now that all of it `is_complete`; None if that takes more than one call."""
        if self._files is None:
            if self._filing is None:
                shown = self._sealed[-1].covers if self.is_full and self._sealed else self.length
                source = self._splitter.source
                self._filing = uploads_in_steps(source, shown, self._is_long, reference, finished=finished)
            try:
                next(self._filing)
            except StopIteration as end:
                files, self._filing = end.value, None
                self._files = (*files, *extracted_files(self.extracted, reference, MAX_FILES - len(files)))
        return self._files

    @property
    def known_files(self) -> tuple[Upload, ...]:
        """The files found by `files`; empty until then."""
        return self._files or ()

    def _cut(self, most: int) -> bool:
        """Render the pieces that have become final, up to `most` messages; false if there may be more of them."""
        missing = most - len(self._sealed)
        if missing <= 0:
            return True
        last_of_all = self._pieces_sealed + missing
        room = self._notice_room() if most == self._limits.messages else 0
        is_cut = self._splitter.cut(last_of_all, steps=_CUTS, room=room)
        for piece in self._splitter.final(self._pieces_sealed):
            self._covered += len(piece.source)
            if text := self._caps.renderer.render(piece):
                self._sealed.append(DesiredMessage(Body(text), self._covered))
        self._pieces_sealed = self._splitter.sealed
        return len(self._sealed) >= most or (is_cut and self._pieces_sealed < last_of_all)

    def _is_long(self, text: str) -> bool:
        return self._caps.measure(text) > self._caps.limit

    def _measured(self, piece: Piece) -> int:
        return self._caps.measure(piece.closed()) + self._caps.renderer.padding(piece)
