"""A turn from its acceptance to its end, as values for the queue and the runner."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bot.conversation import Ending, Turn
from bot.delivery.reply import Reply
from bot.errors import NotOwner
from bot.ports import Channel
from bot.turns.calls import ModelCalls
from bot.turns.hooks import TurnChoices

# Time from an announced end of the stream until the answer is ended for the next turn in the conversation. Servers that
# send text after their finish reason do so within a second. Seconds.
_END_GRACE_SECONDS = 3.0

# A timer may fire early by a rounding error. Seconds.
_TIMER_ERROR_SECONDS = 1e-3


class TurnProgress:
    """How far a turn is. Shared by the copies of its `PendingTurn`."""

    def __init__(self) -> None:
        self.is_taken = False  # its runner has begun, so its question can no longer be replaced
        self.is_abandoned = False  # another process owns it: nothing is written any more, not even to the journal
        self.is_superseded = False  # another generation takes over; the journal learns of the end from it
        self.shows = asyncio.Event()  # it is among the running turns, or has ended
        self.ended = asyncio.Event()


@dataclass(frozen=True, slots=True)
class PendingTurn:
    """An accepted turn, with the loop's time of its acceptance.

    `replaces` are the messages of an earlier answer to the same question. `notice` is our own answer, given without a
    model. `cancelled`: the question was stopped or deleted, and part of an answer is posted already, so it still needs
    an end. `choices` are None until they are read.
    """

    turn: Turn
    channel: Channel
    accepted_at: float
    replaces: tuple[str, ...] = ()
    notice: str = ""
    cancelled: bool = False
    choices: TurnChoices | None = None
    calls: ModelCalls = field(default_factory=ModelCalls)
    progress: TurnProgress = field(default_factory=TurnProgress)


@dataclass(frozen=True, slots=True)
class RunningTurn:
    """A turn in progress."""

    turn: Turn
    reply: Reply
    reading: asyncio.Task[None]
    progress: TurnProgress

    def end(self, ending: Ending, now: float) -> None:
        """Stop reading, which closes the model's connection at once, and show the text so far."""
        self.reading.cancel()
        self.reply.finish(ending, now)

    def supersede(self, now: float) -> None:
        """Stop reading and writing: another generation takes the messages over."""
        self.progress.is_superseded = True
        self.reading.cancel()
        self.reply.supersede(now)

    def abandon(self) -> None:
        """Stop reading and writing at once: another process has the turn."""
        self.progress.is_abandoned = True
        self.reading.cancel()
        self.reply.fail(NotOwner("another process owns this turn"))

    def message_deleted(self, message: str) -> None:
        """Stop reading after the deletion of one of its messages; the others get an honest end."""
        if self.reply.message_deleted(message):
            self.reading.cancel()

    def end_soon(self) -> None:
        """Another turn is waiting: end this one shortly after its stream's end was announced.

        A server that never closes its stream would otherwise delay the next question by the whole idle timeout.
        """
        loop, reply = asyncio.get_running_loop(), self.reply
        if reply.is_final:
            return
        if reply.announced.ending is None:
            reply.listeners.announced = self.end_soon
        elif (ends_at := reply.announced.at + _END_GRACE_SECONDS) > loop.time() + _TIMER_ERROR_SECONDS:
            loop.call_at(ends_at, self.end_soon)
        else:
            self.end(Ending.STOPPED, loop.time())
