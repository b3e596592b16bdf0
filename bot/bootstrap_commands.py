"""The composition root's part for commands: the limits of settings in chat, and the handlers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING

from bot.access import AccessRules
from bot.bootstrap_models import make_catalog
from bot.bootstrap_records import make_personal_data
from bot.forgotten_people import ForgottenPeople
from bot.interactions.handlers import CommandHandlers, HandlerOptions, HandlerPorts
from bot.preferences import Controls, FreeText, Persona, PreferenceName
from bot.prompt import PromptConfig
from bot.quota_book import QuotaBook
from bot.record_store import RecordStore
from bot.stored_choices import PreferenceRules
from bot.strings import Strings
from bot.turns.manager import TurnManager
from bot.usage import LedgerUsage
from config.settings import Settings

if TYPE_CHECKING:
    from bot.bootstrap_journal import AnyJournal


def make_controls(settings: Settings) -> Controls:
    """The operator's limits of settings in chat."""
    chosen = settings.controls
    return Controls(
        users=frozenset(PreferenceName(each.value) for each in chosen.users),
        channels=frozenset(PreferenceName(each.value) for each in chosen.channels),
        free_text=FreeText[chosen.personas_free_text.name],
        personas=tuple(Persona(each.name, each.shown, each.prompt) for each in settings.personas),
    )


def make_preference_rules(settings: Settings, access: AccessRules, prompting: PromptConfig) -> PreferenceRules:
    """The operator's choices below the settings made in chat."""
    return PreferenceRules(
        make_catalog(settings),
        prompting,
        make_controls(settings),
        access,
        reasoning=settings.writing.reasoning.value == "line",
    )


async def open_handlers(
    settings: Settings,
    stack: AsyncExitStack,
    rules: PreferenceRules,
    records: RecordStore,
    quotas: QuotaBook,
    *,
    journal: AnyJournal,
    turns: TurnManager,
    strings: Strings,
    wall_clock: Callable[[], datetime],
) -> CommandHandlers:
    """The handlers of commands on the store of records; other processes may forget people too."""
    usage = LedgerUsage(records, quotas, wall_clock)
    personal = make_personal_data(settings, records, journal, turns, wall_clock)
    if journal.shared:
        await stack.enter_async_context(
            ForgottenPeople(records, personal, lambda: turns.queues.accepted, turns.live_turns)
        )
    chosen = settings.controls
    return CommandHandlers(
        HandlerPorts(records, usage, personal, turns),
        HandlerOptions(rules, strings, chosen.welcome, chosen.welcome_text),
    )
