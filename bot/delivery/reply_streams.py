"""The native stream of a reply: the choice for it, its longest life, and the way back to edits.

Writing belongs to `bot.delivery.reply`.
"""

from __future__ import annotations

import asyncio

from typing_extensions import override

from bot.delivery.answer import Answer
from bot.delivery.mode import Mode, choose_mode, may_preview, starts_in_time
from bot.delivery.reconciler import Reconciler
from bot.delivery.reply_input import ReplyInput
from bot.ports import Channel
from bot.telemetry import Figures

# The stable text of an open message is found by rendering, so new text is looked at after this time. Seconds.
_LOOK_SECONDS = 0.1


class ReplyStreams(ReplyInput):
    """Chooses whether a reply streams, and ends its streams in time."""

    def __init__(self, channel: Channel, reconciler: Reconciler, answer: Answer, figures: Figures) -> None:
        super().__init__(channel, reconciler, answer, figures)
        self.channel = channel
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stream_seconds = 0.0  # the longest life of a stream

    def _choose_mode(self) -> None:
        """The first write is due: of text, or of a preview. The mode is open until either is sent."""
        stream = self.channel.caps.stream
        now = asyncio.get_running_loop().time()
        if not self._answer.draft.length:
            if self._answer.preview.line and not may_preview(stream, self.budgets, now):
                self._answer.preview.disable()
            return
        mode = choose_mode(stream, self.budgets, now)
        if stream is not None and mode is Mode.STREAM:
            self._stream_seconds = stream.seconds
            self._answer.use_stream(is_used=True)
        self._set_mode(mode)

    def _leave_stream(self) -> None:
        """The answer goes on by edits; an open stream is stopped first."""
        self._answer.use_stream(is_used=False)
        self._set_mode(Mode.EDITS)

    def _set_mode(self, mode: Mode) -> None:
        self.mode = mode
        self.listeners.budgets(self.stake.use(mode))

    def _stream_started(self, now: float) -> None:
        """A start is being sent: the platform counts the stream's life from now on at the earliest."""
        timing = self._timing
        timing.stream_until = now + self._stream_seconds
        timing.stream_end = asyncio.get_running_loop().call_at(timing.stream_until, self._stream_is_old)

    def _stream_is_old(self) -> None:
        self._timing.stream_end = None
        if not self.done.done():
            self._find_due()

    def _check_stream(self) -> None:
        """Follow the outcome of a write, and end a stream at the end of its life."""
        timing = self._timing
        if self.mode is Mode.STREAM and not self._reconciler.is_streaming:
            self._set_mode(Mode.EDITS)
        if not self._reconciler.has_open_stream:
            timing.forget_stream()
            return
        now = asyncio.get_running_loop().time()
        if now < timing.stream_until or self.is_closing:
            return
        timing.stream_until = float("inf")
        may_start = self.mode is Mode.STREAM and starts_in_time(self.budgets, now)
        if not (may_start and self._answer.end_message()):
            self._leave_stream()
        timing.hasten(now)

    @override
    def _look(self) -> None:
        """Find the due write for new text: at once, or soon if it appends."""
        timing = self._timing
        if self.mode is not Mode.STREAM:
            self._find_due()
        elif timing.look is None:
            timing.look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_now)

    def _look_now(self) -> None:
        self._timing.look = None
        if not self.done.done() and (self._timing.verb is None or self._timing.is_preview):
            self._find_due()
