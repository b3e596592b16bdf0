"""Forms as modals. Pure.

https://docs.discord.com/developers/components/reference#label: one to five labels, each around a text input or a
selection; a text shows the introduction. A modal has no room for more: further fields are left out, and so are choices
beyond 25, except the present one.
"""

from __future__ import annotations

from typing import Any

from bot.interactions.values import Choice, Field, Form

# The id of a modal: this prefix and the form's id.
FORM_PREFIX = "form:"

# Component types and styles; same source.
_SELECT, _INPUT, _TEXT, _LABEL = 3, 4, 10, 18
_SHORT, _PARAGRAPH = 1, 2

# Greatest numbers, and lengths in characters.
_COMPONENTS = 5
_CHOICES = 25
_TITLE_LENGTH = _LABEL_LENGTH = 45
_TEXT_LENGTH = 100  # of a choice's label and value, and of a label's description
_INPUT_LENGTH = 4_000
_INTRO_LENGTH = 2_000


def modal(form: Form) -> dict[str, Any]:
    """A modal's callback data."""
    fields = form.fields[:_COMPONENTS]
    components = [_label(field) for field in fields]
    if form.intro and len(fields) < _COMPONENTS:
        components.insert(0, {"type": _TEXT, "content": form.intro[:_INTRO_LENGTH]})
    elif form.intro and components:
        components[0]["description"] = form.intro[:_TEXT_LENGTH]
    title = form.title[:_TITLE_LENGTH] or "…"
    return {"custom_id": f"{FORM_PREFIX}{form.id}", "title": title, "components": components}


def _label(field: Field) -> dict[str, Any]:
    choices = [choice for choice in field.choices if 0 < len(choice.value) <= _TEXT_LENGTH]
    label: dict[str, Any] = {"type": _LABEL, "label": field.label[:_LABEL_LENGTH] or field.name[:_LABEL_LENGTH]}
    if len(choices) > _CHOICES:
        label["description"] = f"{_CHOICES} of {len(choices)} are shown."
    return {**label, "component": _select(field, choices) if choices else _input(field)}


def _select(field: Field, choices: list[Choice]) -> dict[str, Any]:
    unique = list({choice.value: choice for choice in choices}.values())
    present = [choice for choice in unique[_CHOICES:] if choice.value == field.value]
    shown = [*unique[: _CHOICES - len(present)], *present]
    return {
        "type": _SELECT,
        "custom_id": field.name,
        "required": field.required,
        "min_values": int(field.required),
        "max_values": 1,
        "options": [_option(choice, is_default=choice.value == field.value) for choice in shown],
    }


def _option(choice: Choice, *, is_default: bool) -> dict[str, Any]:
    label = choice.label[:_TEXT_LENGTH] or choice.value
    return {"label": label, "value": choice.value, "default": is_default}


def _input(field: Field) -> dict[str, Any]:
    length = min(max(field.max_length, 1), _INPUT_LENGTH)
    value = {"value": field.value[:length]} if field.value else {}
    return {
        "type": _INPUT,
        "custom_id": field.name,
        "style": _PARAGRAPH if field.multiline else _SHORT,
        "required": field.required,
        "max_length": length,
        **value,
    }
