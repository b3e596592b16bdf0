"""The core of one process, with ports in memory unless a test brings its own; on virtual or real time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict, Unpack

from bot.access import AccessRules
from bot.completion import Completion, CompletionPolicy
from bot.conversation import Ending
from bot.delivery.policy import WritePolicy
from bot.journal import Journal
from bot.model_fallback import FallbackPolicy
from bot.models import UNNAMED, ModelCatalog
from bot.ports import Model
from bot.prompt import PromptConfig, PromptLimits, PromptOverride
from bot.strings import Strings
from bot.telemetry import NoRecorder, Recorder, TurnRecord
from bot.turns.config import TurnConfig, TurnLimits
from bot.turns.hooks import TurnHooks
from bot.turns.manager import TurnManager
from tests.support.fakes import FakeJournal
from tests.support.waiting import until

TODAY = datetime(2026, 11, 22, tzinfo=UTC)


class CoreOptions(TypedDict, total=False):
    """All that a test may choose of the core; the rest has the product's defaults."""

    access: AccessRules
    completion: CompletionPolicy
    fallback: FallbackPolicy
    hooks: TurnHooks
    limits: TurnLimits
    models: ModelCatalog
    prompt_limits: PromptLimits
    ready: Callable[[str], bool]  # by a platform's name: whether its events arrive
    seed: int
    strings: Strings
    system_prompt: str
    wall_clock: Callable[[], datetime]
    writes: WritePolicy


def make_turns(
    model: Model,
    journal: Journal | None = None,
    recorder: Recorder | None = None,
    **options: Unpack[CoreOptions],
) -> TurnManager:
    """Build the core; it works while `running`."""
    recorder = NoRecorder() if recorder is None else recorder
    random_ = random.Random(options.get("seed", 3))
    limits = options.get("prompt_limits", PromptLimits())
    config = TurnConfig(
        options.get("access", AccessRules()),
        PromptConfig(PromptOverride(options.get("system_prompt", "")), limits=limits),
        options.get("strings", Strings()),
        options.get("writes", WritePolicy()),
        options.get("limits", TurnLimits()),
        models=options.get("models", ModelCatalog((UNNAMED,))),
        fallback=options.get("fallback", FallbackPolicy()),
    )
    return TurnManager(
        config,
        Completion(model, options.get("completion", CompletionPolicy()), recorder, random_),
        FakeJournal() if journal is None else journal,  # an empty journal may be false
        recorder,
        random_=random_,
        wall_clock=options.get("wall_clock", lambda: TODAY),
        ready=options.get("ready", lambda _: True),
        hooks=options.get("hooks", TurnHooks()),
    )


@asynccontextmanager
async def running(turns: TurnManager) -> AsyncIterator[TurnManager]:
    """Let the core work; leaving it while a turn runs is a `kill -9`."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(turns.run())
        await turns.started.wait()
        yield turns
        task.cancel()


async def ended(journal: FakeJournal, count: int = 1) -> list[Ending]:
    """How the turns of a journal ended, once so many have."""
    await until(lambda: len(journal.ends) >= count, seconds=30.0)
    return journal.endings


class TurnRecords(NoRecorder):
    """Records how turns ended, and why others were refused."""

    def __init__(self) -> None:
        self.records: list[TurnRecord] = []
        self.refusals: list[str] = []

    def refused(self, platform: str, why: str) -> None:
        self.refusals.append(why)

    def ended(self, record: TurnRecord) -> None:
        self.records.append(record)

    def of(self, message: str) -> TurnRecord:
        """The record of the question with this id."""
        return next(record for record in self.records if record.key.message == message)


@dataclass(frozen=True, slots=True)
class CoreHarness:
    """The core at work, its journal, and the records of its turns."""

    turns: TurnManager
    recorder: TurnRecords
    journal: FakeJournal

    async def idle(self) -> None:
        """Wait until no turn runs or waits."""
        await self.turns.idle()


@asynccontextmanager
async def running_core(
    model: Model, journal: FakeJournal | None = None, **options: Unpack[CoreOptions]
) -> AsyncIterator[CoreHarness]:
    """Build the core with fakes and let it work; leaving it while a turn runs is a `kill -9`."""
    recorder, journal = TurnRecords(), FakeJournal() if journal is None else journal
    async with running(make_turns(model, journal, recorder, **options)) as turns:
        yield CoreHarness(turns, recorder, journal)
