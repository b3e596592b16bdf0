"""Stop requests: which answers they concern, and who may stop them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from bot.access import AccessRules
from bot.conversation import Author, Ending, Turn, TurnKey
from bot.interactions.values import Place
from bot.turns.pending import RunningTurn
from bot.turns.queues import TurnQueues

log = logging.getLogger(__name__)


class StopRequests:
    """Ends running turns and cancels waiting ones. The methods' contracts are those of `bot.ports.Inbox`."""

    def __init__(self, access: AccessRules, running: Mapping[str, RunningTurn], queues: TurnQueues) -> None:
        self._access = access
        self._running = running
        self._queues = queues

    def stop(self, at: TurnKey, by: Author | str) -> bool:
        """Stop one answer."""
        if (running := self._find_running(at)) is not None:
            return self._stop_if_permitted(running, by)
        waiting = self._queues.find(at)
        return waiting is not None and self._may_stop(waiting.turn, by) and self._queues.cancel(at)

    def stop_conversation(self, conversation: str, by: Author | str) -> bool:
        """Stop the running answers of a conversation."""
        found = [each for each in self._running.values() if each.turn.conversation == conversation]
        return sum(self._stop_if_permitted(running, by) for running in found) > 0

    def stop_place(self, place: Place, by: Author) -> int:
        """Stop the answers in a place's conversation, and a reader's own in its channel."""
        channel = (place.platform, place.workspace, place.channel)

        def concerns(turn: Turn) -> bool:
            return (bool(place.conversation) and turn.conversation == place.conversation) or (
                turn.author.id == by.id and _channel_of(turn.key) == channel
            )

        return self._stop_where(concerns, by)

    def stop_person(self, platform: str, person: str) -> int:
        """Stop all answers to one person."""
        return self._stop_where(lambda turn: (turn.key.platform, turn.author.id) == (platform, person), person)

    def stop_own(self, turn: Turn) -> bool:
        """Stop the same user's answers in the same channel: without threads, "stop" names no conversation."""
        where = (_channel_of(turn.key), turn.author.id)
        turns = self._running.values()
        own = [each for each in turns if (_channel_of(each.turn.key), each.turn.author.id) == where]
        for running in own:
            self._stop(running, turn.author.id)
        return bool(own)

    def message_deleted(self, at: TurnKey) -> None:
        """A question or a message of an answer was deleted."""
        running = self._find_running(at)
        if running is None:
            self._queues.cancel(at)
        elif at.message == running.turn.key.message:
            self._stop(running, "the deletion of the question")
        else:
            log.info("the answer was deleted", extra={"turn": running.turn.key.reference})
            running.message_deleted(at.message)

    def _stop_where(self, concerns: Callable[[Turn], bool], by: Author | str) -> int:
        """Stop the running and waiting turns of a kind, as far as permitted; returns their number."""
        running = self._running
        found = [each for each in running.values() if concerns(each.turn) and not each.reply.is_final]
        queued = [each.turn for each in self._queues.turns if concerns(each.turn)]
        settled = running.keys() | self._queues.cancelled
        waiting = [turn for turn in queued if turn.key.digest not in settled]
        stopped = sum(self._stop_if_permitted(each, by) for each in found)
        return stopped + sum(self._may_stop(turn, by) and self._queues.cancel(turn.key) for turn in waiting)

    def _stop_if_permitted(self, running: RunningTurn, by: Author | str) -> bool:
        """Stop an answer unless access is denied to `by`."""
        is_permitted = self._may_stop(running.turn, by)
        if is_permitted:
            self._stop(running, _id_of(by))
        return is_permitted

    def _may_stop(self, turn: Turn, by: Author | str) -> bool:
        """Whether a user may stop the answer to `turn`: everyone with access to its channel may."""
        if _id_of(by) == turn.author.id:
            return True  # access was granted to the question, with the author's roles
        author = by if isinstance(by, Author) else Author(by, by)
        is_permitted = self._access.permit(replace(turn, author=author))
        if not is_permitted:
            log.info("not stopped", extra={"turn": turn.key.reference, "by": author.id, "why": "access"})
        return is_permitted

    def _stop(self, running: RunningTurn, by: str) -> None:
        log.info("stopped", extra={"turn": running.turn.key.reference, "by": by})
        running.end(Ending.STOPPED, asyncio.get_running_loop().time())

    def _find_running(self, at: TurnKey) -> RunningTurn | None:
        """The running turn with this message as its question or in its answer."""
        for running in self._running.values():
            key = running.turn.key
            if _channel_of(key) == _channel_of(at) and at.message in {key.message, *running.reply.messages}:
                return running
        return None


def _id_of(by: Author | str) -> str:
    return by.id if isinstance(by, Author) else by


def _channel_of(key: TurnKey) -> tuple[str, str, str]:
    return key.platform, key.workspace, key.channel
