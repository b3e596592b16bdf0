"""Turns of lost lanes: another process answers them, so they end here without another write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from bot.conversation import TurnKey
from bot.turns.pending import RunningTurn
from bot.turns.queues import TurnQueues


class LostTurns:
    """Ends them. `running` holds the running turns by the digest of their key, notices included."""

    def __init__(self, running: Mapping[str, RunningTurn], queues: TurnQueues) -> None:
        self._running = running
        self._queues = queues

    def left(self) -> Iterator[TurnKey]:
        """The turns that are not lost: running and waiting."""
        running = self._running
        yield from (each.turn.key for each in running.values() if not each.progress.is_abandoned)
        for pending in self._queues.turns:
            if pending.turn.key.digest not in running and not pending.progress.is_abandoned:
                yield pending.turn.key

    def abandon(self, concerns: Callable[[TurnKey], bool]) -> int:
        """End turns; returns their number."""
        found = {each.turn.key.digest: each.progress for each in self._queues.turns if concerns(each.turn.key)}
        for progress in found.values():
            progress.is_abandoned = True
        running = {digest: each for digest, each in self._running.items() if concerns(each.turn.key)}
        for each in running.values():
            each.abandon()
        return len(found.keys() | running.keys())

    async def ended(self, digests: Collection[str]) -> None:
        """Wait until these have ended here. Else one that comes back would count as a duplicate."""
        lost = [each for each in self._queues.turns if each.progress.is_abandoned]
        for pending in lost:
            if pending.turn.key.digest in digests:
                await pending.progress.ended.wait()
