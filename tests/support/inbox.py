"""An inbox for tests of platforms: it accepts everything and records what the platform brings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from bot.conversation import Author, Turn, TurnKey
from bot.interactions.values import Place
from bot.ports import Channel, UnfinishedTurn

# A test fails if it waits longer for something; real seconds.
PATIENCE = 60.0


class RecordingInbox:
    """Receives each key once, stops nothing unless told, and records every call."""

    def __init__(self) -> None:
        self.turns: list[tuple[Turn, Channel]] = []
        self.received: list[tuple[TurnKey, str]] = []
        self.updated_events: list[tuple[TurnKey, str]] = []
        self.dismissed: list[TurnKey] = []
        self.deleted: list[TurnKey] = []
        self.stopped: list[TurnKey] = []
        self.stopped_conversations: list[str] = []
        self.stoppable = 0  # answers stopped by `stop_place`
        self.stopped_places: list[Place] = []
        self.stopped_persons: list[tuple[str, str]] = []
        self.unfinished: list[UnfinishedTurn] = []  # of an earlier process, returned once
        self.answered: set[TurnKey] = set()  # questions with an answer of an earlier process
        self.refusing = ""  # the sentence for every turn
        self.is_keeping = True  # whether the journal works
        self._changed = asyncio.Event()

    # -------------------------------------------------------------------------------------------------- bot.ports.Inbox

    async def receive(self, key: TurnKey, event: str) -> bool:
        if key in (known for known, _ in self.received):
            return False
        self.received.append((key, event))
        self._changed.set()
        return True

    def keeps_events(self) -> bool:
        return self.is_keeping

    async def has_answer(self, question: TurnKey) -> bool:
        return question in self.answered

    def refusal(self, turn: Turn) -> str:
        return self.refusing

    def accept(self, turn: Turn, channel: Channel) -> None:
        self.turns.append((turn, channel))
        self._changed.set()

    def update_event(self, key: TurnKey, event: str) -> None:
        self.updated_events.append((key, event))
        self._changed.set()

    def dismiss(self, key: TurnKey) -> None:
        self.dismissed.append(key)
        self._changed.set()

    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:
        unfinished, self.unfinished = self.unfinished, []
        return unfinished

    def stop(self, at: TurnKey, *, by: Author | str) -> bool:
        self.stopped.append(at)
        self._changed.set()
        return False

    def stop_conversation(self, conversation: str, *, by: Author | str) -> bool:
        self.stopped_conversations.append(conversation)
        self._changed.set()
        return False

    def stop_place(self, place: Place, *, by: Author) -> int:
        self.stopped_places.append(place)
        self._changed.set()
        return self.stoppable

    async def stop_person(self, platform: str, person: str) -> int:
        self.stopped_persons.append((platform, person))
        self._changed.set()
        return 0

    def message_deleted(self, at: TurnKey) -> None:
        self.deleted.append(at)
        self._changed.set()

    # -------------------------------------------------------------------------------------------------------- for tests

    @property
    def questions(self) -> list[str]:
        """The texts of the turns, in order."""
        return [turn.question.text for turn, _ in self.turns]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on the records."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def wait_for(self, count: int = 1) -> list[tuple[Turn, Channel]]:
        """Wait for `count` turns."""
        await self.until(lambda: len(self.turns) >= count)
        return self.turns

    async def turn(self, number: int) -> tuple[Turn, Channel]:
        """Wait for the turn with this number, counted from one."""
        return (await self.wait_for(number))[number - 1]
