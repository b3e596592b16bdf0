"""Sentences of the commands: private words for one person. `bot.strings` mixes them in.

Plain text only; `bot.interactions.handlers` adds the markdown.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SettingStrings:
    """Settings made in chat: their names, values and sources."""

    setting_model: str = "Model"
    setting_persona: str = "Persona"
    setting_reasoning: str = "Reasoning preview"
    setting_own_words: str = "Persona in your own words"
    value_default: str = "Default"
    value_default_of: str = "Default: {value}"
    value_none: str = "none"
    value_own_words: str = "in your own words"
    value_shown: str = "shown"
    value_hidden: str = "hidden"


@dataclass(frozen=True)
class SettingListStrings:
    """Lists of settings, and the buttons and forms to change them."""

    source_channel: str = "set for this channel"
    source_user: str = "your choice"
    source_default: str = "the default"
    setting_line: str = "{setting}: {value} ({source})"
    settings_intro: str = "Settings of your answers here:"
    # Another person's setting for the channel hides one's own.
    own_setting_hidden: str = "Your own choice, {value}, applies outside of this channel."
    stored_removed: str = "Your earlier choice {name} is no longer offered."
    change: str = "Change"
    change_own: str = "Change my settings"
    change_channel: str = "Change this channel"
    own_form: str = "My settings"
    channel_form: str = "Channel settings"
    save: str = "Save"


@dataclass(frozen=True)
class ChoosingStrings:
    """Replies to choosing a model, a persona or a setting."""

    saved: str = "Saved. {setting}: {value}"
    saved_for_channel: str = "Saved for everyone in this channel. {setting}: {value}"
    nothing_changed: str = "Nothing was changed."
    choices_intro: str = "You can choose:"
    how_to_choose: str = "Choose one with {command}."
    how_to_describe: str = "Or describe one in your own words with {command}."
    unknown_model: str = "There is no model {name}. Did you mean {closest}?"
    unknown_persona: str = "There is no persona {name}. Did you mean {closest}?"
    no_personas: str = "There are no personas to choose from."
    model_removed: str = "The model {name} is no longer offered, so nothing was changed."
    persona_removed: str = "The persona {name} is no longer offered, so nothing was changed."
    persona_too_long: str = "That is longer than {limit} characters, so nothing was changed."
    own_words_closed: str = "You cannot describe a persona in your own words here, so nothing was changed."
    setting_closed: str = "The bot's operator decides this setting, so nothing was changed."
    admins_only: str = "Only admins of this channel can do that."


@dataclass(frozen=True)
class ConversationStrings:
    """Replies to the commands about a conversation, to unknown commands, and the help."""

    reset_done: str = "A new conversation begins here: I no longer read the earlier messages."
    reset_needless: str = "Each mention starts a new conversation here, so there is nothing to reset."
    stop_done: str = "Stopped answers: {count}"
    stop_nothing: str = "Nothing is being answered here that you could stop."
    similar_name: str = "There is no command {word}. Did you mean {closest}?"
    unknown_name: str = "There is no command {word}. {help} shows them all."
    help_intro: str = "Commands, for you alone unless they say otherwise:"
    help_menu: str = '"{label}" in the menu of a message: {description}'


@dataclass(frozen=True)
class UsageStrings:
    """Replies of the command `usage`."""

    usage_own: str = "Your usage"
    usage_everyone: str = "Everyone's usage here"
    usage_people: str = "People with the largest use this month"
    usage_channels: str = "Channels with the largest use this month"
    usage_today: str = "Today"
    usage_month: str = "This month"
    usage_figures: str = "{subject}: questions {questions}, tokens {tokens}, cost {cost}"
    usage_unpriced: str = "Model calls without a known price: {count}"
    usage_limit: str = "Limit {scope}, {period}: {used} of {limit} {unit}"


@dataclass(frozen=True)
class LimitStrings:
    """Units, periods and scopes of limits."""

    unit_questions: str = "questions"
    unit_tokens: str = "tokens"
    unit_money: str = "US dollars"
    period_day: str = "today"
    period_month: str = "this month"
    scope_user: str = "for you"
    scope_channel: str = "for this channel"
    scope_workspace: str = "for everyone here"


@dataclass(frozen=True)
class PrivacyStrings:
    """Replies of the command `privacy`. `{period}` is one of the last sentences of its kind."""

    privacy_intro: str = "I store this about you:"
    privacy_journal: str = (
        "Journal: the ids of your questions and answers, and a question's text until it is answered; {period}"
    )
    privacy_ledger: str = "Ledger: time, channel, model, tokens and cost of your answers; {period}"
    privacy_feedback: str = "Feedback: your votes on answers, and your reasons; {period}"
    privacy_answers: str = "Answers: the text of the answers to you; {period}"
    privacy_settings: str = "Settings: your choices in chat, and where you reset a conversation; {period}"
    privacy_audit: str = "Audit log: your changes of settings, exports and deletions; {period}"
    period_days: str = "for {days} days"
    period_unlimited: str = "until you delete it"
    privacy_platform: str = "Your questions also go to the model's server, and your messages stay on this platform."
    export_data: str = "Export my data"
    forget_me: str = "Forget me"
    confirm_forget: str = "Delete everything stored about you, and stop your running answers? There is no undo."
    exported: str = "Here is everything stored about you."
    forgotten: str = (
        "Everything stored about you is deleted. Counters for limits stay, without your name, until their period ends. "
        "Messages on this platform stay; delete them there."
    )


@dataclass(frozen=True)
class HomeStrings:
    """A person's own page, and the first contact."""

    home_status: str = "I am here and ready to answer."
    home_start: str = "Getting started"
    home_steps: str = (
        "Write to me in a direct message, or mention me in a channel. In a thread with me, follow-ups need no mention. "
        "A button below each answer asks again."
    )
    home_settings: str = "Your settings"
    welcome: str = "Hello! Write to me here, or mention me in a channel, and watch the answer grow. {help} shows more."


@dataclass(frozen=True)
class HandlerStrings(
    SettingStrings,
    SettingListStrings,
    ChoosingStrings,
    ConversationStrings,
    UsageStrings,
    LimitStrings,
    PrivacyStrings,
    HomeStrings,
):
    """All sentences of the commands."""
