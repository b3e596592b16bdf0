"""The commands `model`, `persona` and `settings`, with their buttons and forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bot.interactions.handlers.context import Caller, HandlerOptions, bullets, literal
from bot.interactions.handlers.forms import (
    EDIT_PREFIX,
    SAVE_PREFIX,
    Changes,
    Submission,
    open_settings,
    refused,
    settings_form,
    submitted,
)
from bot.interactions.handlers.wording import DEFAULT, Wording
from bot.interactions.matching import match_choice
from bot.interactions.values import Action, Choice, Notice, Response
from bot.preferences import PERSONA_LENGTH, PreferenceName, StoredPreferences, own_words
from bot.records import Preferences, PreferenceStore, Subject, SubjectKind
from bot.stored_choices import read_preferences

# Similarity of one typed name to a persona's from which it is a misspelling, not a description of a persona.
_MISSPELT = 0.75


class SettingsHandler:
    """Shows and changes settings made in chat."""

    def __init__(self, store: PreferenceStore, options: HandlerOptions) -> None:
        self._store = store
        self._strings = options.strings
        self._wording = Wording(options.rules, options.strings)
        self._controls = options.rules.controls

    # -------------------------------------------------------------------------------------------------------- commands

    async def settings(self, caller: Caller, _words: str) -> Response:
        """All settings with their sources, and buttons to change them."""
        lines = self._wording.lines(list(PreferenceName), await self._stored(caller), caller)
        return Notice(f"{self._strings.settings_intro}\n{bullets(lines)}", self.actions(caller))

    async def model(self, caller: Caller, typed: str) -> Response:
        """Choose a model, or list them."""
        return await (self._choose if typed.strip() else self._list)(PreferenceName.MODEL, caller, typed)

    async def persona(self, caller: Caller, typed: str) -> Response:
        """Choose a persona, describe one, or list them."""
        return await (self._choose if typed.strip() else self._list)(PreferenceName.PERSONA, caller, typed)

    def actions(self, caller: Caller, name: PreferenceName | None = None) -> tuple[Action, ...]:
        """Buttons to change one setting, or all open ones."""
        strings = self._strings
        buttons = [(SubjectKind.USER, strings.change_own if name is None else strings.change)]
        if caller.is_admin and caller.channel is not None:
            buttons.append((SubjectKind.CHANNEL, strings.change_channel))
        return tuple(
            Action(f"{EDIT_PREFIX}{scope}:{name or ''}", label)
            for scope, label in buttons
            if any(name in {None, each} for each in open_settings(self._wording, scope))
        )

    async def lines(self, caller: Caller) -> list[str]:
        """All settings with their effective values, for a person's own page."""
        return self._wording.lines(list(PreferenceName), await self._stored(caller), caller)

    async def _list(self, name: PreferenceName, caller: Caller, _typed: str) -> Response:
        strings, wording = self._strings, self._wording
        parts = ["\n".join(wording.lines([name], await self._stored(caller), caller))]
        choices = [each for each in wording.choices(name) if each.value != DEFAULT]
        if choices:
            parts.append(
                strings.choices_intro + "\n" + bullets([f"{literal(each.label)}: `{each.value}`" for each in choices])
            )
        elif name is PreferenceName.PERSONA:
            parts.append(strings.no_personas)
        if name in self._controls.users:
            command = caller.spelled(f"{name} …")
            if len(choices) > 1 or (choices and name is PreferenceName.PERSONA):
                parts.append(strings.how_to_choose.format(command=command))
            if name is PreferenceName.PERSONA and self._controls.may_describe(is_admin=caller.is_admin):
                parts.append(strings.how_to_describe.format(command=command))
        return Notice("\n\n".join(parts), self.actions(caller, name))

    async def _choose(self, name: PreferenceName, caller: Caller, typed: str) -> Response:
        """Change the caller's own setting to a typed value."""
        strings = self._strings
        if name not in self._controls.users:
            return Notice(strings.setting_closed)
        # Without the default's value in its label: a part of that model's name must mean the model.
        choices = [Choice(DEFAULT, strings.value_default), *self._wording.choices(name)[1:]]
        match = match_choice(typed, choices)
        if match.found is None and name is PreferenceName.PERSONA and self._describes(typed, match.similarity):
            value = own_words(typed.strip(), by_admin=caller.is_admin)
        elif match.found is None:
            return self._unknown(name, typed, match.closest.label if match.closest else "")
        else:
            value = "" if match.found.value == DEFAULT else match.found.value
        if value and (refusal := refused(self._wording, name, value, caller)):
            return Notice(refusal)
        return await self._save(caller.user, {name: value or None}, caller)

    def _describes(self, typed: str, similarity: float) -> bool:
        """Whether words describe a persona, rather than misspell a name."""
        return len(typed.split()) > 1 and (similarity < _MISSPELT or len(typed) > PERSONA_LENGTH)

    def _unknown(self, name: PreferenceName, typed: str, closest: str) -> Response:
        strings = self._strings
        sentence = strings.unknown_model if name is PreferenceName.MODEL else strings.unknown_persona
        return Notice(sentence.format(name=literal(typed), closest=literal(closest)))

    # ----------------------------------------------------------------------------------------------- buttons and forms

    async def submit(self, id_: str, values: Mapping[str, str], caller: Caller) -> Response | None:
        """Open or save a form; None for another part's id."""
        for prefix in (EDIT_PREFIX, SAVE_PREFIX):
            scope, _, name = id_.removeprefix(prefix).partition(":")
            if id_.startswith(prefix) and scope in frozenset(SubjectKind):
                return await self._submit(prefix, SubjectKind(scope), name, values, caller)
        return None

    async def _submit(
        self, prefix: str, scope: SubjectKind, name: str, values: Mapping[str, str], caller: Caller
    ) -> Response:
        if scope is SubjectKind.CHANNEL and not caller.is_admin:
            return Notice(self._strings.admins_only)
        subject = caller.user if scope is SubjectKind.USER else caller.channel
        if subject is None:
            return Notice(self._strings.nothing_changed)
        stored = (await self._store.read((subject,))).get(subject, {})
        if prefix == EDIT_PREFIX:
            return self._open(scope, name, stored, caller)
        submission = submitted(self._wording, values, stored, caller)
        if submission.changes.keys() - set(open_settings(self._wording, scope)):
            submission = Submission(refusal=self._strings.setting_closed)
        if submission.refusal or not submission.changes:
            return Notice(submission.refusal or self._strings.nothing_changed)
        return await self._save(subject, submission.changes, caller)

    def _open(self, scope: SubjectKind, name: str, stored: Preferences, caller: Caller) -> Response:
        names = [each for each in open_settings(self._wording, scope) if name in {"", each}]
        return settings_form(self._wording, scope, names, stored, caller) or Notice(self._strings.setting_closed)

    async def _save(self, subject: Subject, changes: Changes, caller: Caller) -> Response:
        """Store changes, and tell the value of each setting with the sources."""
        stored, strings = await self._stored(caller), self._strings  # before the write: a saved change is never denied
        await self._store.write(subject, {str(name): value for name, value in changes.items()}, by=caller.user)
        if subject == caller.user:
            stored = replace(stored, user={**stored.user, **{name: value or "" for name, value in changes.items()}})
        effective = self._wording.rules.effective(stored, caller.place.channel_ids)
        is_own = subject.kind is SubjectKind.USER
        sentence = strings.saved if is_own else strings.saved_for_channel
        lines = []
        for name, value in changes.items():
            shown = value or self._wording.rules.defaults(caller.place.channel_ids)[name].value
            words = literal(self._wording.value(name, shown))
            lines.append(sentence.format(setting=self._wording.setting(name), value=words))
            lines += self._wording.remarks(name, stored, effective) if is_own and value else []
        return Notice("\n".join(lines))

    async def _stored(self, caller: Caller) -> StoredPreferences:
        return await read_preferences(self._store, caller.place, caller.author)
