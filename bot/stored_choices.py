"""The choices for a turn, read from the store of records."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from typing_extensions import override

from bot.access import AccessRules
from bot.conversation import Author, Turn
from bot.interactions.values import Place
from bot.models import ModelCatalog
from bot.preferences import (
    Controls,
    Effective,
    EffectivePreferences,
    PreferenceName,
    ReasoningChoice,
    Source,
    StoredPreferences,
    resolve,
)
from bot.prompt import PromptConfig, is_before
from bot.records import PreferenceStore, RecordsUnavailable, channel_subjects, user_subject
from bot.turns.hooks import ChoiceSource, TurnChoices

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreferenceRules:
    """The operator's choices below the settings made in chat. `reasoning` is the default display."""

    catalog: ModelCatalog
    prompting: PromptConfig
    controls: Controls = field(default_factory=Controls)
    access: AccessRules = field(default_factory=AccessRules)
    reasoning: bool = False

    def defaults(self, channel_ids: Sequence[str]) -> EffectivePreferences:
        """The operator's own settings for a place."""
        tables = self.prompting.by_channel
        model = next((tables[id_].model for id_ in channel_ids if id_ in tables), "")
        return MappingProxyType(
            {
                PreferenceName.MODEL: Effective(model, Source.CHANNEL_TABLE)
                if model
                else Effective(self.catalog.default.name),
                PreferenceName.PERSONA: Effective(""),
                PreferenceName.REASONING: Effective(
                    ReasoningChoice.SHOWN if self.reasoning else ReasoningChoice.HIDDEN
                ),
            }
        )

    def effective(self, stored: StoredPreferences, channel_ids: Sequence[str]) -> EffectivePreferences:
        """The effective settings of a person at a place."""
        return resolve(stored, self.controls, self.catalog, self.defaults(channel_ids))


async def read_preferences(store: PreferenceStore, where: Turn | Place, author: Author) -> StoredPreferences:
    """The settings made in chat for a person and a place. Raises `RecordsUnavailable`."""
    user, channels = user_subject(where, author), channel_subjects(where)
    found = await store.read((user, *channels))
    return StoredPreferences(tuple(found.get(each, {}) for each in channels), found.get(user, {}))


class StoredChoices(ChoiceSource):
    """Settings made in chat as the choices for a turn. A broken store means the operator's defaults."""

    def __init__(self, store: PreferenceStore, rules: PreferenceRules) -> None:
        self._store = store
        self._rules = rules
        self._failing = False

    @override
    async def choices(self, turn: Turn) -> TurnChoices:
        try:
            stored = await read_preferences(self._store, turn, turn.author)
            marker = await self._store.reset_position(turn.key.platform, turn.conversation)
        except RecordsUnavailable:  # the store logs it
            return TurnChoices()
        except Exception as failure:
            if not self._failing:  # once for each time it breaks, not for each question
                log.exception("settings made in chat cannot be read", extra={"failure": repr(failure)})
            self._failing = True
            return TurnChoices()
        self._failing = False
        return self._choices(turn, stored, marker)

    def _choices(self, turn: Turn, stored: StoredPreferences, marker: str) -> TurnChoices:
        effective = self._rules.effective(stored, turn.channel_ids)
        model, reasoning = effective[PreferenceName.MODEL], effective[PreferenceName.REASONING]
        in_chat = {Source.CHANNEL, Source.USER}
        persona = self._rules.controls.persona_prompt(effective[PreferenceName.PERSONA].value)
        return TurnChoices(
            model="" if model.source is Source.DEFAULT else model.value,  # quotas reserve its price and its limit
            system=self._system(turn, persona) if persona else "",
            reasoning=reasoning.value == ReasoningChoice.SHOWN if reasoning.source in in_chat else None,
            # A question from before the reset, asked again, belongs to the earlier conversation.
            history_after="" if is_before(turn.question.id, marker) else marker,
        )

    def _system(self, turn: Turn, persona: str) -> str:
        """The operator's system prompt for the place, then the persona: it adds to the operator's rules."""
        return f"{self._rules.prompting.override_for(turn).system.rstrip()}\n\n{persona}".strip()
