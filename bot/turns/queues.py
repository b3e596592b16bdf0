"""The accepted turns of each conversation, in order. No tasks belong here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from bot.conversation import Turn, TurnKey
from bot.ports import Channel
from bot.turns.pending import PendingTurn

# Conversations whose newest question is remembered. An edit in a forgotten one is answered. 10,000 are some megabytes.
_REMEMBERED = 10_000


class TurnQueues:
    """Queues by conversation, the running turn first; an entry exists as long as its worker."""

    def __init__(self) -> None:
        self.by_conversation: dict[str, list[PendingTurn]] = {}
        self.accepted: set[str] = set()  # digests of turns until their end
        self.cancelled: set[str] = set()  # ... of waiting turns, stopped or deleted
        self._lost: set[str] = set()  # ... of turns now another process's
        self.by_workspace: Counter[tuple[str, str]] = Counter()  # turns not lost, by platform and workspace
        self._newest: dict[str, TurnKey] = {}  # the newest question of each conversation

    @property
    def turns(self) -> Iterator[PendingTurn]:
        """All turns, waiting or running."""
        return (pending for queue in self.by_conversation.values() for pending in queue)

    def add(self, pending: PendingTurn) -> bool:
        """Add a turn; whether its conversation needs a worker."""
        conversation, question = pending.turn.conversation, pending.turn.key.question
        self.accepted.add(pending.turn.key.digest)
        self.by_workspace[pending.turn.key.platform, pending.turn.key.workspace] += 1
        if not pending.turn.key.generation:
            self._newest.pop(conversation, None)
            self._newest[conversation] = question
            if len(self._newest) > _REMEMBERED:
                del self._newest[next(iter(self._newest))]
        is_first = conversation not in self.by_conversation
        self.by_conversation.setdefault(conversation, []).append(pending)
        return is_first

    def remove_first(self, conversation: str) -> None:
        """A turn has ended."""
        pending = self.by_conversation[conversation].pop(0)
        digest = pending.turn.key.digest
        self.accepted.discard(digest)
        self.cancelled.discard(digest)
        if digest in self._lost:
            self._lost.remove(digest)
        else:
            self._leave(pending.turn.key)
        pending.progress.shows.set()
        pending.progress.ended.set()

    def lose(self, pending: PendingTurn) -> None:
        """A turn is another process's. It stays in its queue until it has ended here."""
        pending.progress.is_abandoned = True
        if pending.turn.key.digest not in self._lost:
            self._lost.add(pending.turn.key.digest)
            self._leave(pending.turn.key)

    def _leave(self, key: TurnKey) -> None:
        workspace = key.platform, key.workspace
        self.by_workspace[workspace] -= 1
        if not self.by_workspace[workspace]:
            del self.by_workspace[workspace]

    def is_newest(self, conversation: str, question: TurnKey) -> bool:
        """Whether no later question of this conversation is known."""
        return self._newest.get(conversation, question) == question

    def find(self, at: TurnKey) -> PendingTurn | None:
        """The turn of this question, waiting or running, in any generation."""
        return next((pending for pending in self.turns if pending.turn.key.question == at.question), None)

    def cancel(self, at: TurnKey) -> bool:
        """Cancel the waiting turn of this question; false if there is none."""
        pending = self.find(at)
        if pending is not None:
            self.cancelled.add(pending.turn.key.digest)
        return pending is not None

    def is_cancelled(self, key: TurnKey) -> bool:
        """Whether a waiting turn was stopped, or its question deleted."""
        return key.digest in self.cancelled

    def replace_question(self, pending: PendingTurn, turn: Turn, channel: Channel) -> bool:
        """Give a waiting turn its edited question; false if it has begun or ended."""
        queue = self.by_conversation.get(pending.turn.conversation, [])
        for index, each in enumerate(queue):
            if each.progress is pending.progress and not each.progress.is_taken:
                turn = replace(turn, conversation=each.turn.conversation)
                queue[index] = replace(each, turn=turn, channel=channel)
                return True
        return False
