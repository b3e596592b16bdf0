"""Turns of lost lanes: another process answers them, so they end here without another write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping

from bot.conversation import TurnKey
from bot.turns.pending import RunningTurn
from bot.turns.queues import TurnQueues


class LostTurns:
    """Ends them. `running` holds the running turns by the digest of their key, notices included."""

    def __init__(self, running: Mapping[str, RunningTurn], queues: TurnQueues) -> None:
        self._running = running
        self._queues = queues

    def left(self) -> Mapping[tuple[str, str], int]:
        """The number of turns that are not lost, running and waiting, by platform and workspace."""
        kept = (each.turn.key for each in self._running.values() if not each.progress.is_abandoned)
        notices = (key for key in kept if key.digest not in self._queues.accepted)
        return self._queues.by_workspace + Counter((key.platform, key.workspace) for key in notices)

    def abandon(self, concerns: Callable[[TurnKey], bool]) -> int:
        """End turns; returns their number."""
        found = {each.turn.key.digest: each for each in self._queues.turns if concerns(each.turn.key)}
        for pending in found.values():
            self._queues.lose(pending)
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
