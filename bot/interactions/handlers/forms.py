"""The forms of settings: their fields, and the changes in a submitted one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.interactions.handlers.context import Caller, literal
from bot.interactions.handlers.wording import DEFAULT, OWN_WORDS, Wording
from bot.interactions.values import Choice, Field, Form
from bot.preferences import PERSONA_LENGTH, PreferenceName, is_valid, own_words, words_of
from bot.records import Preferences, SubjectKind

# The text field of a persona, beside its menu.
PERSONA_TEXT = "persona_text"

EDIT_PREFIX = "settings:edit:"
SAVE_PREFIX = "settings:save:"

Changes = Mapping[PreferenceName, str | None]  # None unsets


@dataclass(frozen=True, slots=True)
class Submission:
    """The changes asked for by a form, or the line about its first unusable value."""

    changes: dict[PreferenceName, str | None] = field(default_factory=dict)
    refusal: str = ""


def open_settings(wording: Wording, scope: SubjectKind) -> list[PreferenceName]:
    """The settings open to change for a person or a channel. A single model is no choice."""
    controls = wording.rules.controls
    allowed = controls.users if scope is SubjectKind.USER else controls.channels
    return [
        name
        for name in PreferenceName
        if name in allowed and (name is not PreferenceName.MODEL or len(wording.rules.catalog) > 1)
    ]


def settings_form(
    wording: Wording, scope: SubjectKind, names: Sequence[PreferenceName], stored: Preferences, caller: Caller
) -> Form | None:
    """The form of these settings; None if all are closed or without a choice."""
    fields = [each for name in names for each in _fields(wording, name, stored.get(name, ""), caller)]
    if not fields:
        return None
    strings = wording.strings
    title = strings.own_form if scope is SubjectKind.USER else strings.channel_form
    return Form(f"{SAVE_PREFIX}{scope}", title, tuple(fields), submit=strings.save)


def _fields(wording: Wording, name: PreferenceName, stored: str, caller: Caller) -> list[Field]:
    controls, strings = wording.rules.controls, wording.strings
    default = wording.rules.defaults(caller.place.channel_ids)[name].value
    choices = wording.choices(name, default)
    if name is not PreferenceName.PERSONA:
        return [Field(name, wording.setting(name), _selected(stored, choices), choices)]
    words, may_describe = words_of(stored), controls.may_describe(is_admin=caller.is_admin)
    if may_describe or words is not None:
        choices = (*choices, Choice(OWN_WORDS, strings.value_own_words))
    selected = OWN_WORDS if words is not None else _selected(stored, choices)
    fields = [Field(name, wording.setting(name), selected, choices)] if len(choices) > 1 else []
    if may_describe:
        fields.append(
            Field(PERSONA_TEXT, strings.setting_own_words, words or "", multiline=True, max_length=PERSONA_LENGTH)
        )
    return fields


def _selected(stored: str, choices: Sequence[Choice]) -> str:
    return stored if stored in {each.value for each in choices} else DEFAULT


def submitted(wording: Wording, values: Mapping[str, str], stored: Preferences, caller: Caller) -> Submission:
    """The changes in a form's values against the stored ones; a missing value changes nothing."""
    submission = Submission()
    for name in PreferenceName:
        wanted = _wanted(name, values, stored.get(name, ""), caller)
        if wanted is None or wanted == stored.get(name, ""):
            continue
        if wanted and (refusal := refused(wording, name, wanted, caller)):
            return Submission(refusal=refusal)
        submission.changes[name] = wanted or None
    return submission


def _wanted(name: PreferenceName, values: Mapping[str, str], stored: str, caller: Caller) -> str | None:
    """The value chosen in a form: empty for the default, None if the form does not tell."""
    selected = values.get(name)
    if name is PreferenceName.PERSONA:
        text = values.get(PERSONA_TEXT, "").strip()
        described = own_words(text, by_admin=caller.is_admin)
        if text and words_of(described) != words_of(stored):
            return described  # new words mean a choice, whatever the menu says
        if selected == OWN_WORDS:
            return stored if text or PERSONA_TEXT not in values else ""
    if selected is None:
        return None
    return "" if selected in {DEFAULT, ""} else selected


def refused(wording: Wording, name: PreferenceName, value: str, caller: Caller) -> str:
    """The line about a value nobody may choose now; empty for a usable one."""
    strings, controls = wording.strings, wording.rules.controls
    may_describe, words = controls.may_describe(is_admin=caller.is_admin), words_of(value)
    if is_valid(name, value, wording.rules.catalog, controls) and (words is None or may_describe):
        return ""
    if name is PreferenceName.MODEL:
        return strings.model_removed.format(name=literal(value))
    if name is PreferenceName.REASONING:
        return strings.nothing_changed
    if words is None:
        return strings.persona_removed.format(name=literal(value))
    if may_describe and len(words) > PERSONA_LENGTH:
        return strings.persona_too_long.format(limit=f"{PERSONA_LENGTH:,}")
    return strings.own_words_closed
