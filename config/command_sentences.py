"""The sentences of the commands in the ``[words]`` table, in place of ours in ``bot/interactions/strings.py``."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from config.declarations import SettingsGroup
from config.types import LONGEST_SENTENCE, sentence_of

# Longest label of a field, a choice or a button, and longest title of a form, in characters. Discord allows 45 for a
# field (https://docs.discord.com/developers/components/reference#label), Slack 24 for a title.
LABEL = 45
TITLE = 24


def phrase(use: str, *braces: str, limit: int = LONGEST_SENTENCE) -> Any:  # noqa: ANN401 (it stands where a value of any type is declared)
    """Declare one sentence by its `use`, with the names allowed in braces and its longest length in characters."""
    return Field(default=None, description=use, max_length=limit, json_schema_extra={"braces": list(braces)})


class Phrases(SettingsGroup):
    """Sentences that each declare their own braces."""

    @field_validator("*")
    @classmethod
    def _check(cls, value: object, info: ValidationInfo) -> object:
        """Accept one line with only the declared names in braces; leave other sentences to their types."""
        extra = cls.model_fields[info.field_name or ""].json_schema_extra
        if not isinstance(value, str) or not isinstance(extra, dict) or "braces" not in extra:
            return value
        braces = extra["braces"]
        return sentence_of(*map(str, braces if isinstance(braces, list) else ()))(value)


class SettingSentences(Phrases):
    """Settings made in chat: their names, values and sources."""

    setting_model: str | None = phrase("Name of the setting: the model.", limit=LABEL)
    setting_persona: str | None = phrase("Name of the setting: the persona.", limit=LABEL)
    setting_reasoning: str | None = phrase("Name of the setting: the reasoning preview.", limit=LABEL)
    setting_own_words: str | None = phrase("Label of a field: a persona in own words.", limit=LABEL)
    value_default: str | None = phrase("Choice of the default in a form.", limit=LABEL)
    value_default_of: str | None = phrase("The same, with the default {value}.", "value")
    value_none: str | None = phrase("No persona.", limit=LABEL)
    value_own_words: str | None = phrase("A persona in a person's own words.", limit=LABEL)
    value_shown: str | None = phrase("The reasoning preview is shown.", limit=LABEL)
    value_hidden: str | None = phrase("The reasoning preview is hidden.", limit=LABEL)


class SettingListSentences(Phrases):
    """Lists of settings, and the buttons and forms to change them."""

    source_channel: str | None = phrase("Source of a value: the channel.")
    source_user: str | None = phrase("Source of a value: the person.")
    source_default: str | None = phrase("Source of a value: the operator.")
    setting_line: str | None = phrase("One {setting} with its {value} and {source}.", "setting", "value", "source")
    settings_intro: str | None = phrase("Above the settings.")
    own_setting_hidden: str | None = phrase("Below a channel's setting: the person's own {value}.", "value")
    stored_removed: str | None = phrase("Below a setting: the chosen {name} was removed.", "name")
    change: str | None = phrase("Button to change a setting.", limit=LABEL)
    change_own: str | None = phrase("Button to change own settings.", limit=LABEL)
    change_channel: str | None = phrase("Button to change a channel's settings.", limit=LABEL)
    own_form: str | None = phrase("Title of a form.", limit=TITLE)
    channel_form: str | None = phrase("Title of a channel's form.", limit=TITLE)
    save: str | None = phrase("Button of a form.", limit=LABEL)


class ChoosingSentences(Phrases):
    """Replies to choosing a model, a persona or a setting."""

    saved: str | None = phrase("Reply to a changed {setting} with its {value}.", "setting", "value")
    saved_for_channel: str | None = phrase("The same, for a channel.", "setting", "value")
    nothing_changed: str | None = phrase("Reply to a form without a change.")
    choices_intro: str | None = phrase("Above the models or personas.")
    how_to_choose: str | None = phrase("Below them, with the {command}.", "command")
    how_to_describe: str | None = phrase("The same, for own words.", "command")
    unknown_model: str | None = phrase("Reply to an unknown model {name}, with the {closest}.", "name", "closest")
    unknown_persona: str | None = phrase("The same for a persona.", "name", "closest")
    no_personas: str | None = phrase("In place of personas, if there are none.")
    model_removed: str | None = phrase("Reply to a form with a removed model {name}.", "name")
    persona_removed: str | None = phrase("The same for a persona.", "name")
    persona_too_long: str | None = phrase("Reply to own words above the {limit}.", "limit")
    own_words_closed: str | None = phrase("Reply to own words, if closed.")
    setting_closed: str | None = phrase("Reply to a closed setting.")
    admins_only: str | None = phrase("Reply to others than admins.")


class ConversationSentences(Phrases):
    """Replies to the commands about a conversation, to unknown commands, and the help."""

    reset_done: str | None = phrase("Reply to `reset`.")
    reset_needless: str | None = phrase("The same, where each mention starts a conversation.")
    stop_done: str | None = phrase("Reply to `stop`, with the {count} of stopped answers.", "count")
    stop_nothing: str | None = phrase("The same, without an answer to stop.")
    similar_name: str | None = phrase("Reply to an unknown command {word}, with the {closest}.", "word", "closest")
    unknown_name: str | None = phrase("The same without a similar one, with the {help} command.", "word", "help")
    help_intro: str | None = phrase("Above the commands.")
    help_menu: str | None = phrase(
        "A command with this {label} in a message's menu: {description}.", "label", "description"
    )


class UsageSentences(Phrases):
    """Replies of the command `usage`."""

    usage_own: str | None = phrase("Above a person's usage.")
    usage_everyone: str | None = phrase("Above everyone's usage, for admins.")
    usage_people: str | None = phrase("Above the most active people.")
    usage_channels: str | None = phrase("Above the most active channels.")
    usage_today: str | None = phrase("Subject of a line: today.")
    usage_month: str | None = phrase("Subject of a line: this month.")
    usage_figures: str | None = phrase(
        "Usage of one {subject}: {questions}, {tokens}, {cost}.", "subject", "questions", "tokens", "cost"
    )
    usage_unpriced: str | None = phrase("Below it, the {count} of calls without a price.", "count")
    usage_limit: str | None = phrase(
        "One limit: {scope}, {period}, {used}, {limit}, {unit}.", "scope", "period", "used", "limit", "unit"
    )


class LimitSentences(Phrases):
    """Units, periods and scopes of limits."""

    unit_questions: str | None = phrase("Unit of a limit.")
    unit_tokens: str | None = phrase("Unit of a limit.")
    unit_money: str | None = phrase("Unit of a limit.")
    period_day: str | None = phrase("Period of a limit.")
    period_month: str | None = phrase("Period of a limit.")
    scope_user: str | None = phrase("Scope of a limit: one person.")
    scope_channel: str | None = phrase("Scope of a limit: the channel.")
    scope_workspace: str | None = phrase("Scope of a limit: the workspace.")


class PrivacySentences(Phrases):
    """Replies of the command `privacy`. `{period}` is one of the last sentences of its kind."""

    privacy_intro: str | None = phrase("Above the kinds of stored data.")
    privacy_journal: str | None = phrase("The journal, with its {period}.", "period")
    privacy_ledger: str | None = phrase("The ledger, with its {period}.", "period")
    privacy_feedback: str | None = phrase("Votes, with their {period}.", "period")
    privacy_answers: str | None = phrase("Answer texts, with their {period}, if stored.", "period")
    privacy_settings: str | None = phrase("Settings, with their {period}.", "period")
    privacy_audit: str | None = phrase("The audit log, with its {period}.", "period")
    period_days: str | None = phrase("A period in {days}.", "days")
    period_unlimited: str | None = phrase("A period without an end.")
    privacy_platform: str | None = phrase("Below them.")
    export_data: str | None = phrase("Button to export data.", limit=LABEL)
    forget_me: str | None = phrase("Button to delete data.", limit=LABEL)
    confirm_forget: str | None = phrase("Question before the deletion.")
    exported: str | None = phrase("Above the exported file.")
    forgotten: str | None = phrase("Reply to the deletion.")


class HomeSentences(Phrases):
    """A person's own page, and the first contact."""

    home_status: str | None = phrase("First line of a person's own page.")
    home_start: str | None = phrase("Title of its first steps.")
    home_steps: str | None = phrase("The first steps.")
    home_settings: str | None = phrase("Title of its settings.")
    welcome: str | None = phrase("Greeting at the first contact, with the {help} command.", "help")


class HandlerSentences(
    HomeSentences,
    PrivacySentences,
    LimitSentences,
    UsageSentences,
    ConversationSentences,
    ChoosingSentences,
    SettingListSentences,
    SettingSentences,
):
    """All sentences of the commands."""
