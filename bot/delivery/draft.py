"""The text of one attempt, cut into rendered messages, with the files for its end.

However much text arrives at once, a call cuts at most `_CUTS` messages, or reads one step of the text for files. A call
without a result returns None; the caller repeats it in the next round of the event loop, so that other tasks run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

from bot.callbacks import returns_false
from bot.delivery.extracted_files import extracted_files
from bot.delivery.overflow import MAX_FILES, uploads_in_steps
from bot.delivery.policy import AnswerLimits
from bot.delivery.writes import DesiredMessage
from bot.markdown import Piece, Splitter, grapheme_boundary
from bot.markdown.model_text import ExtractedAddress, ModelText
from bot.markdown.settled_text import NOTHING_SETTLED, SettledText, render_growing
from bot.ports import Body, ChannelCapabilities, Upload

# Cuts in one call. One takes one to ten milliseconds, or a hundred for adversarial text. A streaming answer needs two
# when a message becomes full.
_CUTS = 2

# Above this share of a message's limit, the next text may begin a new message.
_ROOMY_SHARE = 0.9

# Appended text cannot move into the next message. So a streamed one that is nearly full ends between two blocks, or
# later between two lines, rather than in the middle of one. Shares of the limit: 1,800 and 450 bytes are left on Slack,
# for a paragraph or a line.
_BETWEEN_BLOCKS, _BETWEEN_LINES = 0.8, 0.95

_FENCE = re.compile("```|~~~")
_VISIBLE = re.compile(r"\S")


class _Input(NamedTuple):
    """All that the open message depends on."""

    length: int  # of the source
    is_ended: bool
    whole_words_from: int | None
    appends: bool
    room: int


class _Found(NamedTuple):
    """The desired messages for an input, and what is settled of the open one."""

    given: _Input
    messages: Sequence[DesiredMessage]
    settled: SettledText


class Draft:
    """The text of one attempt."""

    def __init__(
        self, caps: ChannelCapabilities, limits: AnswerLimits, notice_room: Callable[[], int], preface: str = ""
    ) -> None:
        """`notice_room`: size reserved for our own lines in the last permitted message.

        `preface` is markdown above the text. It is cut and rendered with the text, and is no part of its length.
        """
        self._caps = caps
        self._limits = limits
        self._notice_room = notice_room
        self._incoming = ModelText(caps.limit, caps.measure)
        self._splitter = Splitter(self._measured, caps.limit)
        self._preface_length = 0
        if preface:
            self._splitter.feed(f"{preface.rstrip()}\n\n")
            self._preface_length = self._splitter.length
        self._sealed: list[DesiredMessage] = []  # final messages, rendered once
        self._pieces_sealed = 0
        self._covered = 0  # characters of the sealed pieces
        self._last: _Found | None = None  # the desired messages found last
        self._ended = False  # no more text follows, so the end is final
        self.is_complete = False  # the last desired messages show all text, or as much as they may
        self.sealed_count = 0  # messages kept as posted
        self._files: tuple[Upload, ...] | None = None
        self._file_steps: Generator[None, None, tuple[Upload, ...]] | None = None

    @property
    def length(self) -> int:
        """Characters of the text, without the preface and the extracted addresses."""
        return self._splitter.length - self._preface_length

    def characters(self, covers: int) -> int:
        """Characters of the text in the messages that cover so much."""
        return max(covers - self._preface_length, 0)

    @property
    def extracted(self) -> Sequence[ExtractedAddress]:
        """Addresses left out of the messages."""
        return self._incoming.extracted

    def feed(self, text: str) -> bool:
        """Append text; false if it exceeds the limit and was cut there."""
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
        """End the text, `for_good` or as far as known. Returns the number of characters held back until now."""
        had = self.length
        self._append(self._incoming.finish(for_good=for_good))
        self._ended = True
        return self.length - had

    @property
    def may_have_files(self) -> bool:
        """Whether a file may follow the messages: a long code block, or an extracted address."""
        return bool(self.extracted) or (len(self._sealed) > 0 and bool(_FENCE.search(self._splitter.source)))

    def reopen(self) -> None:
        """More text follows after all."""
        self._ended = False

    def seal(self, shown: DesiredMessage, index: int) -> None:
        """Keep message `index` as posted; the text behind it goes into the next one."""
        self._last = None
        self._covered = self._splitter.seal(shown.covers)
        self._pieces_sealed = self._splitter.sealed
        self._sealed[index:] = [DesiredMessage(shown.body, self._covered)]
        self.sealed_count = index + 1

    def keep_appended(self, covers: int) -> None:
        """Cut no message before the end of these characters: they cannot be taken out of it."""
        self._splitter.kept = covers

    def end_message(self, covers: int, index: int) -> bool:
        """End the open message `index` behind `covers` characters; False if it is not the open one."""
        if index != len(self._sealed):
            return False
        self._last = None
        self._splitter.seal(covers)
        return True

    def keep_posted(self, posted: Sequence[Body], covers: int) -> None:
        """Keep these messages as posted, covering `covers` characters; the text continues behind them."""
        pairs = zip(posted, self._sealed, strict=False)
        kept = [DesiredMessage(body, min(sealed.covers, covers)) for body, sealed in pairs]
        kept += [DesiredMessage(body, covers) for body in posted[len(kept) :]]
        if kept:
            self.seal(DesiredMessage(kept[-1].body, covers), len(kept) - 1)
            self._sealed[:] = [*kept[:-1], self._sealed[-1]]

    def covered_by(self, bodies: Sequence[Body]) -> int:
        """Characters shown by posted messages, as far as they match the sealed ones."""
        covers = 0
        for body, sealed in zip(bodies, self._sealed, strict=False):
            if body.text != sealed.body.text:
                break
            covers = sealed.covers
        return covers

    @property
    def sealed_source(self) -> str:
        """The source text of the messages kept as posted."""
        return self._splitter.source[: self._sealed[self.sealed_count - 1].covers] if self.sealed_count else ""

    def starts_with(self, text: str) -> bool:
        """Whether this text continues another."""
        return bool(text) and self._splitter.source.startswith(text)

    def recut(self, index: int, caps: ChannelCapabilities) -> None:
        """Cut and render again for other capabilities, from message `index` on; earlier messages are accepted."""
        self._caps, self._last = caps, None
        before = self._sealed[:index]
        self._covered = before[-1].covers if before else 0
        self._splitter.recut(caps.limit, self._covered)
        self._sealed, self._pieces_sealed = before, self._splitter.sealed
        self.sealed_count = min(self.sealed_count, index)
        self._files = self._file_steps = None

    @property
    def is_full(self) -> bool:
        """Whether all permitted messages are final: more text changes none."""
        return len(self._sealed) >= self._limits.messages

    @property
    def shows_text(self) -> bool:
        """Whether any text is visible; a guess if it begins with very many blank lines."""
        desired = None if self._preface_length else self.desired(1)
        if desired is not None:
            return bool(desired)
        return _VISIBLE.search(self._splitter.source, self._preface_length) is not None

    def desired(
        self, count: int, *, whole_words_from: int | None = None, is_stream: Callable[[int], bool] = returns_false
    ) -> list[DesiredMessage] | None:
        """The first `count` messages or more, as far as there is text; None if that takes another call.

        Blank pieces take no message. An incomplete word or line of code at the end is left out if it begins behind
        `whole_words_from` characters. The open message shows its stable text only if it `is_stream`, by index.
        """
        if self._preface_length and not self.shows_text:
            self.is_complete = True
            return []
        return self._desired(count, whole_words_from=whole_words_from, is_stream=is_stream)

    def preface(self) -> list[DesiredMessage]:
        """The preface, for an answer that ended without any text."""
        return (self._desired(self._limits.messages) or []) if self._preface_length else []

    def _desired(
        self, count: int, *, whole_words_from: int | None = None, is_stream: Callable[[int], bool] = returns_false
    ) -> list[DesiredMessage] | None:
        count = min(count, self._limits.messages)
        is_open = len(self._sealed) < count  # unless more is cut now
        if is_open and (known := self._known(self._input(whole_words_from, is_stream))) is not None:
            return known
        if not self._cut(count):
            return None
        if len(self._sealed) >= count:
            self.is_complete = self.is_full
            return list(self._sealed)
        if is_stream(len(self._sealed)) and self._end_early(count):
            return self._desired(count, whole_words_from=whole_words_from, is_stream=is_stream)
        self.is_complete = True
        given = self._input(whole_words_from, is_stream)
        open_, settled = self._open_message(given)
        self._last = _Found(given, (*self._sealed, *open_), settled)
        return list(self._last.messages)

    def _known(self, given: _Input) -> list[DesiredMessage] | None:
        """The desired messages as found before, unless anything has changed: a write's outcome asks for them again."""
        if self._last is None or self._last.given != given:
            return None
        self.is_complete = True
        return list(self._last.messages)

    def _input(self, whole_words_from: int | None, is_stream: Callable[[int], bool]) -> _Input:
        index = len(self._sealed)
        room = self._notice_room() if index + 1 >= self._limits.messages else 0
        whole_words_from = None if self._ended else whole_words_from  # an end's last word is whole
        return _Input(self._splitter.length, self._ended, whole_words_from, is_stream(index), room)

    def _open_message(self, given: _Input) -> tuple[list[DesiredMessage], SettledText]:
        """The open message, if it shows any text, and what is settled of it."""
        last = self._splitter.last
        if given.appends and not given.is_ended:
            return self._stable(last), NOTHING_SETTLED
        if not given.is_ended:
            if given.whole_words_from is not None:
                trimmed = last.trim_partial_word()
                last = trimmed if self._covered + len(trimmed.source) >= given.whole_words_from else last
            last = last.shown()
        settled = NOTHING_SETTLED if self._last is None else self._last.settled
        text, settled = render_growing(self._caps.renderer.render, last, settled)
        body = Body(text) if given.appends else Body("", text)
        return ([DesiredMessage(body, self._covered + len(last.source))] if text else []), settled

    def grows(self, index: int) -> bool:
        """Whether there is new text, most likely for the open message `index` alone. A guess: only cutting knows."""
        if self._last is None or index != len(self._sealed) or self._last.given.length == self._splitter.length:
            return False
        return self._splitter.expected_size <= _ROOMY_SHARE * self._caps.limit

    def _end_early(self, count: int) -> bool:
        """End the open message of a stream where it is nearly full; whether it was."""
        if self._ended or len(self._sealed) + 1 >= count:
            return False
        limit = self._caps.limit
        return self._splitter.end_early(int(limit * _BETWEEN_BLOCKS), int(limit * _BETWEEN_LINES))

    def _stable(self, last: Piece) -> list[DesiredMessage]:
        """The open message with its stable text, if there is any."""
        piece, space = last.stable()
        text = self._caps.renderer.render(piece)
        return [DesiredMessage(Body(text + space), self._covered + len(piece.source))] if text else []

    def files(self, reference: str, *, finished: bool) -> tuple[Upload, ...] | None:
        """The files of the ended answer, once it `is_complete`; None if that takes another call."""
        if self._files is None:
            if self._file_steps is None:
                shown = self._sealed[-1].covers if self.is_full and self._sealed else self._splitter.length
                source = self._splitter.source
                self._file_steps = uploads_in_steps(source, shown, self._is_long, reference, finished=finished)
            try:
                next(self._file_steps)
            except StopIteration as end:
                files, self._file_steps = end.value, None
                self._files = (*files, *extracted_files(self.extracted, reference, MAX_FILES - len(files)))
        return self._files

    @property
    def known_files(self) -> tuple[Upload, ...]:
        """The files found by `files`; empty until then."""
        return self._files or ()

    def _cut(self, count: int) -> bool:
        """Render final pieces, up to `count` messages; false if there may be more."""
        missing = count - len(self._sealed)
        if missing <= 0:
            return True
        last_of_all = self._pieces_sealed + missing
        room = self._notice_room() if count == self._limits.messages else 0
        is_cut = self._splitter.cut(last_of_all, steps=_CUTS, room=room)
        for piece in self._splitter.final(self._pieces_sealed):
            self._covered += len(piece.source)
            if text := self._caps.renderer.render(piece):
                self._sealed.append(DesiredMessage(Body(text), self._covered))
        self._pieces_sealed = self._splitter.sealed
        return len(self._sealed) >= count or (is_cut and self._pieces_sealed < last_of_all)

    def _is_long(self, text: str) -> bool:
        return self._caps.measure(text) > self._caps.limit

    def _measured(self, piece: Piece) -> int:
        return self._caps.measure(piece.closed()) + self._caps.renderer.padding(piece)
