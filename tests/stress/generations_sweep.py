"""Faults in further generations: "try again" after an answer, and an edit of its question while it runs.

The same worlds and processes as in `tests.stress.fault_injection`, with a platform that reads questions again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from typing_extensions import override

from bot.conversation import Ending, TurnKey
from bot.delivery.final_controls import FINAL_CONTROLS
from bot.errors import Failure
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.interactions.values import Notice, Place, QuestionEdited, RetryPressed
from bot.ports import Controls, Inbox, OpenedQuestion, Platform
from bot.turns.generations import DEBOUNCE_SECONDS, Generations
from bot.turns.manager import TurnManager
from tests.stress.fault_injection import (
    SECRET,
    WORDS,
    FaultyChannel,
    Injected,
    Process,
    Scene,
    World,
    play_in,
)
from tests.support.fakes import DANA
from tests.support.generations import ALL_CONTROLS

# Seconds from the question to its edit: in the middle of the answer.
EDITED_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Again:
    """A scene, and what happens beside its question: an edit during the answer, or a press of "try again" after it."""

    scene: Scene
    edits: bool

    @property
    def name(self) -> str:
        return f"{self.scene.name}, {'edited' if self.edits else 'tried again'}"


class FaultyPlatform(Platform):
    """Reads questions again, with faults."""

    def __init__(self, process: AgainProcess) -> None:
        self._process = process

    @property
    def name(self) -> str:
        return "memory"

    @property
    def ready(self) -> bool:
        return True

    async def run(self, inbox: Inbox, interactions: Interactions = NO_INTERACTIONS) -> None:
        raise NotImplementedError

    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        async def opened() -> OpenedQuestion:
            turn = replace(self._process.world.question(key.message), key=key)
            return OpenedQuestion(turn, self._process.channel(key.message), key.message)

        result: OpenedQuestion = await self._process.through("open", opened)
        return result

    async def stop_accepting(self) -> None:
        pass

    async def close(self) -> None:
        pass


class AgainProcess(Process):
    """A process whose reader edits the question, or presses "try again" once."""

    world: AgainWorld

    async def _bring(self, turns: TurnManager) -> None:
        await super()._bring(turns)
        generations = Generations(turns, {"memory": FaultyPlatform(self)}, edit_seconds=300.0)
        (number,) = self.world.places
        key = self.world.question(number).key
        if self.world.is_again_done or self.stop_signal.is_set():
            return
        self.world.is_again_done = True  # a reader acts once, whatever happens to the process
        if self.world.edits:
            await asyncio.sleep(EDITED_AFTER)
            generations.edited(QuestionEdited(key, number, DANA, 1.0))
            await asyncio.sleep(DEBOUNCE_SECONDS + 0.1)
            return
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(turns.idle()), group.create_task(self.stop_signal.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        event = RetryPressed(key, "m1", DANA, Place("memory", "W", "C"))
        response = await generations.retry(event)
        assert isinstance(response, Notice)
        assert SECRET not in response.text

    def channel(self, number: str) -> FaultyChannel:
        return self._channel(number)

    def _channel(self, number: str) -> FaultyChannel:
        channel = super()._channel(number)
        channel.controls = ALL_CONTROLS
        return channel

    async def _take_up(self, turns: TurnManager) -> None:
        for record in await turns.unfinished_turns("memory"):
            question = replace(self.world.question(record.key.message), key=record.key)
            turns.accept(question, self._channel(record.key.message))


class AgainWorld(World):
    """A world in which one reader acts."""

    edits = False
    is_again_done = False

    @override
    def process(self, number: int) -> Process:
        return AgainProcess(self, number)


def fails_again(again: Again, *faults: Injected, drain_seconds: float = 1.0) -> str:
    """The problem after a scene with these faults; empty if there is none."""
    world = AgainWorld(again.scene, faults, drain_seconds)
    world.edits = again.edits
    try:
        play_in(world)
        judge_again(world)
    except BaseExceptionGroup as group:
        return f"{again.name}, {', '.join(map(str, faults))}: {group.exceptions!r}"
    except (AssertionError, Failure, TimeoutError) as error:
        return f"{again.name}, {', '.join(map(str, faults))}: {error}"
    return ""


def judge_again(world: AgainWorld) -> None:
    """At the end readers see the text of one answer: whole, or with an honest line; nothing of another."""
    fired = [fault.fault for fault in world.faults if fault.fired]
    assert world.open == 0, "a stream of the model is open"
    (place,) = world.places.values()
    assert place.server.limited == 0, "a 429 was provoked"
    assert SECRET not in place.text, "a failure's text is shown"
    journal_fails = any(fault.on & {"ended"} for fault in fired)
    for key in () if journal_fails else world.journal.entries:
        ending = world.journal.ends.get(key)
        assert ending is not None, f"the journal says that {key} is live"
        assert ending is not Ending.INTERRUPTED, f"the journal says that {key} is interrupted"
    if any(fault.closed for fault in fired):
        return
    lines = place.text
    names = {word.partition("w")[0] for word in lines.split() if word.startswith("p") and "w" in word}
    assert len(names) <= 1, f"text of several answers: {lines!r}"
    text = " ".join(lines.split())
    honest = ("ref ", WORDS.stopped, WORDS.length, WORDS.filtered, WORDS.kept, WORDS.too_long)
    assert text in world.whole or any(line in text for line in honest), f"neither whole nor honest: {lines!r}"
    controls = [body.controls for body in place.shown.values()]
    if text in world.whole:
        assert Controls.STOP not in controls[-1], "a stop button is left"
        assert not any(controls[:-1]), f"controls in the middle: {controls}"
        assert not fired or controls[-1] in {Controls.NONE, FINAL_CONTROLS}
        assert fired or controls[-1] == FINAL_CONTROLS
    if all(fault.whole for fault in fired):
        assert text in world.whole, f"not whole: {lines!r}"
