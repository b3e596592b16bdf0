"""A snapshot of the turns in progress, for the operator."""

from __future__ import annotations

from dataclasses import dataclass

from bot.conversation import Author, TurnKey
from bot.delivery.phases import Phase
from bot.turns.pending import PendingTurn, RunningTurn


@dataclass(frozen=True, slots=True)
class LiveTurn:
    """One turn, waiting or running. Times in seconds before the snapshot.

    `received` and `shown` count characters of the answer. `next_write` is the time until the due write; None if none is
    due. A waiting turn has no `phase`.
    """

    key: TurnKey
    author: Author
    accepted: float
    phase: Phase | None = None
    received: int = 0
    shown: int = 0
    messages: int = 0
    writes: int = 0
    attempts: int = 0
    last_write: float | None = None
    next_write: float | None = None


def running_turn(running: RunningTurn, now: float) -> LiveTurn:
    """The snapshot of a running turn. `now` is the event loop's time."""
    reply, figures = running.reply, running.reply.figures
    has_written = reply.wrote > float("-inf")
    return LiveTurn(
        key=running.turn.key,
        author=running.turn.author,
        accepted=now - figures.began,
        phase=reply.phase,
        received=figures.received_characters,
        shown=figures.visible,
        messages=len(reply.messages),
        writes=figures.writes,
        attempts=figures.timeline.streamed_attempts,
        last_write=now - reply.wrote if has_written else None,
        next_write=max(reply.due_at - now, 0.0) if reply.verb is not None else None,
    )


def waiting_turn(pending: PendingTurn, now: float) -> LiveTurn:
    """The snapshot of a turn without a reply yet."""
    return LiveTurn(pending.turn.key, pending.turn.author, now - pending.accepted_at)
