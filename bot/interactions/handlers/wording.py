"""Settings, values and choices in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.interactions.handlers.context import Caller, literal
from bot.interactions.values import Choice
from bot.markdown import single_line
from bot.preferences import (
    EffectivePreferences,
    PreferenceName,
    ReasoningChoice,
    Source,
    StoredPreferences,
    is_valid,
    words_of,
)
from bot.stored_choices import PreferenceRules
from bot.strings import Strings

# Values of a menu beside the operator's names; none of those contains a colon at its start.
DEFAULT = ":default"
OWN_WORDS = ":own"

# Longest label of a choice, in characters (https://docs.slack.dev/reference/block-kit/composition-objects/option-object).
CHOICE_LENGTH = 75


@dataclass(frozen=True, slots=True)
class Wording:
    """Words for the operator's models, personas and settings."""

    rules: PreferenceRules
    strings: Strings

    def setting(self, name: PreferenceName) -> str:
        """The name of a setting."""
        return {
            PreferenceName.MODEL: self.strings.setting_model,
            PreferenceName.PERSONA: self.strings.setting_persona,
            PreferenceName.REASONING: self.strings.setting_reasoning,
        }[name]

    def value(self, name: PreferenceName, value: str) -> str:
        """A value as plain text."""
        match name:
            case PreferenceName.MODEL:
                return self.rules.catalog.label(value)
            case PreferenceName.REASONING:
                return self.strings.value_shown if value == ReasoningChoice.SHOWN else self.strings.value_hidden
            case PreferenceName.PERSONA:
                if (words := words_of(value)) is not None:
                    return f"{self.strings.value_own_words}: “{single_line(words)}”"
                persona = self.rules.controls.persona(value)
                return self.strings.value_none if persona is None else persona.label

    def line(self, name: PreferenceName, effective: EffectivePreferences) -> str:
        """A setting with its effective value and source, as markdown."""
        source = {
            Source.CHANNEL: self.strings.source_channel,
            Source.USER: self.strings.source_user,
            Source.CHANNEL_TABLE: self.strings.source_channel,
            Source.DEFAULT: self.strings.source_default,
        }[effective[name].source]
        value = literal(self.value(name, effective[name].value))
        return self.strings.setting_line.format(setting=f"**{self.setting(name)}**", value=value, source=source)

    def remarks(self, name: PreferenceName, stored: StoredPreferences, effective: EffectivePreferences) -> list[str]:
        """Lines about a person's own choice without effect here: hidden by the channel's, or removed."""
        own = stored.user.get(name, "")
        if not own or name not in self.rules.controls.users or effective[name].source is Source.USER:
            return []
        value = literal(self.value(name, own))
        if is_valid(name, own, self.rules.catalog, self.rules.controls):
            return [self.strings.own_setting_hidden.format(value=value)]
        return [self.strings.stored_removed.format(name=value if words_of(own) is not None else literal(own))]

    def lines(self, names: Sequence[PreferenceName], stored: StoredPreferences, caller: Caller) -> list[str]:
        """All settings with their effective values, each with its remarks."""
        effective = self.rules.effective(stored, caller.place.channel_ids)
        return [line for name in names for line in (self.line(name, effective), *self.remarks(name, stored, effective))]

    def choices(self, name: PreferenceName, default: str = "") -> tuple[Choice, ...]:
        """The options of a setting, its default first; `default` is the default's value."""
        strings = self.strings
        label = strings.value_default_of.format(value=self.value(name, default))
        options = {
            PreferenceName.MODEL: [Choice(model.name, model.label) for model in self.rules.catalog],
            PreferenceName.PERSONA: [Choice(each.name, each.label) for each in self.rules.controls.personas],
            PreferenceName.REASONING: [
                Choice(ReasoningChoice.SHOWN, strings.value_shown),
                Choice(ReasoningChoice.HIDDEN, strings.value_hidden),
            ],
        }[name]
        return tuple(
            Choice(each.value, single_line(each.label, CHOICE_LENGTH)) for each in (Choice(DEFAULT, label), *options)
        )
