"""Notices, forms and panels as Slack's blocks and views. Pure. `events.actions` reads their values back.

Limits: https://docs.slack.dev/reference/block-kit/blocks, https://docs.slack.dev/reference/views/modal-views. Texts are
``mrkdwn`` sections, since forms take no ``markdown`` block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from adapters.slack.events.actions import ButtonValue, Origin
from adapters.slack.messages.blocks import TEXT_BYTES
from adapters.slack.messages.mrkdwn import cut_to_bytes, from_markdown, whole_entities
from bot.interactions.values import Action, Choice, Field, Form, Notice, Panel

# Ids for routing: of all buttons of notices and panels (an index follows, since they differ within a block), of forms,
# and of a form's only element in each input block.
ACTION_PREFIX = "tickertape_action:"
FORM_CALLBACK = "tickertape_form"
NOTICE_CALLBACK = "tickertape_notice"
INPUT_ELEMENT = "value"

# Limits in characters.
SECTION_LENGTH = 3_000
BUTTON_LENGTH = 75
OPTION_LENGTH = 75
OPTION_VALUE_LENGTH = 150
TITLE_LENGTH = 24
LABEL_LENGTH = 2_000
PLACEHOLDER_LENGTH = 150
CONFIRM_LENGTH = 300
CONFIRM_TITLE_LENGTH = 100
CONFIRM_BUTTON_LENGTH = 30
INPUT_LENGTH = 3_000
# Elements of an actions block, and options of a menu.
ELEMENTS = 25
OPTIONS = 100
# Blocks of a message; a view takes a hundred.
MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100

# Code, an escaped mark with its backslash, and the id of a person or a channel.
_SPECIAL = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]+`|\\(&(?:lt|gt|amp);|[!-/:-@\[-`{-~])|&lt;[@#]([A-Z0-9]+)&gt;", re.DOTALL
)
# Slack's own marks have no escape: similar characters stand for them.
_SIMILAR = MappingProxyType(
    {
        "*": "\N{ASTERISK OPERATOR}",
        "_": "\N{FULLWIDTH LOW LINE}",
        "~": "\N{TILDE OPERATOR}",
        "`": "\N{MODIFIER LETTER GRAVE ACCENT}",
    }
)


def private_mrkdwn(text: str, names: Sequence[str] = ()) -> str:
    """Markdown as mrkdwn for one person: ids of `names` show as names, and escaped marks of foreign text only show."""

    def replaced(found: re.Match[str]) -> str:
        mark, id_ = found[1], found[2]
        if mark is not None:
            return _SIMILAR.get(mark, mark)
        return f"<{found[0][4:-4]}>" if id_ in names else found[0]

    return _SPECIAL.sub(replaced, from_markdown(text))


def notice_message(notice: Notice, origin: Origin) -> dict[str, Any]:
    """A notice as the text and blocks of a message. Without buttons, a short one needs no blocks."""
    text, actions = private_mrkdwn(notice.text, notice.names), action_blocks(notice.actions, origin)
    if not actions and len(text) <= SECTION_LENGTH:
        return {"text": text}
    room = MESSAGE_BLOCKS - len(actions)
    return {
        "text": cut_to_bytes(text, TEXT_BYTES),
        "blocks": [*text_sections(notice.text, notice.names)[:room], *actions],
    }


def notice_view(notice: Notice, origin: Origin) -> dict[str, Any]:
    """A notice as a view without inputs, for a place without messages: a person's own page."""
    actions = action_blocks(notice.actions, origin)
    blocks = [*text_sections(notice.text, notice.names)[: VIEW_BLOCKS - len(actions)], *actions]
    return {
        "type": "modal",
        "callback_id": NOTICE_CALLBACK,
        "title": plain_text("Tickertape", TITLE_LENGTH),
        "close": plain_text("Close", TITLE_LENGTH),
        "blocks": blocks,
    }


def form_view(form: Form, origin: Origin) -> dict[str, Any]:
    """A form as a view; it keeps its place, so that it works an hour later and after a restart."""
    kept = ButtonValue(form.id, origin.channel, origin.thread, origin.message)
    return {
        "type": "modal",
        "callback_id": FORM_CALLBACK,
        "title": plain_text(form.title, TITLE_LENGTH),
        "submit": plain_text(form.submit, TITLE_LENGTH),
        "close": plain_text("Cancel", TITLE_LENGTH),
        "private_metadata": kept.dump(),
        "blocks": [*text_sections(form.intro), *map(_input_block, form.fields)],
    }


def home_view(panel: Panel, user: str) -> dict[str, Any]:
    """A panel as the view of a person's App Home."""
    actions = action_blocks(panel.actions, Origin(user))
    sections = [block for text in panel.sections for block in text_sections(text)]
    return {"type": "home", "blocks": [*sections[: VIEW_BLOCKS - len(actions)], *actions]}


def text_sections(text: str, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Markdown as sections, divided between lines where possible."""
    parts, rest = [], private_mrkdwn(text, names).strip()
    while rest:
        end = len(rest)
        if end > SECTION_LENGTH:
            end = max(rest.rfind("\n", 0, SECTION_LENGTH), 0) or _whole_end(rest)
        parts.append(rest[:end].strip())
        rest = rest[end:].strip()
    return [{"type": "section", "text": {"type": "mrkdwn", "text": part}} for part in parts if part]


def _whole_end(text: str) -> int:
    """The end of a section within a line; not inside an entity, nor a word if possible."""
    end = text.rfind(" ", 0, SECTION_LENGTH)
    return end if end > SECTION_LENGTH // 2 else len(whole_entities(text[:SECTION_LENGTH]))


def action_blocks(actions: Sequence[Action], origin: Origin) -> list[dict[str, Any]]:
    """Buttons of a notice or a panel, in rows."""
    buttons = [_button(each, index, origin) for index, each in enumerate(actions)]
    rows = [buttons[start : start + ELEMENTS] for start in range(0, len(buttons), ELEMENTS)]
    return [{"type": "actions", "elements": row} for row in rows]


def _button(action: Action, index: int, origin: Origin) -> dict[str, Any]:
    button: dict[str, Any] = {
        "type": "button",
        "action_id": f"{ACTION_PREFIX}{index}",
        "text": plain_text(action.label, BUTTON_LENGTH),
        "value": ButtonValue(action.id, origin.channel, origin.thread, origin.message).dump(),
    }
    style = {"style": "danger"} if action.danger else {}
    if not action.confirm:
        return button | style
    confirm = {
        "title": plain_text(action.label, CONFIRM_TITLE_LENGTH),
        "text": plain_text(action.confirm, CONFIRM_LENGTH),
        "confirm": plain_text(action.label, CONFIRM_BUTTON_LENGTH),
        "deny": plain_text("Cancel", CONFIRM_BUTTON_LENGTH),
    }
    return button | style | {"confirm": confirm | style}


def _input_block(field: Field) -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": field.name,
        "optional": not field.required,
        "label": plain_text(field.label, LABEL_LENGTH),
        "element": _menu(field) if field.choices else _text_input(field),
    }


def _text_input(field: Field) -> dict[str, Any]:
    longest = min(field.max_length, INPUT_LENGTH)
    element: dict[str, Any] = {
        "type": "plain_text_input",
        "action_id": INPUT_ELEMENT,
        "multiline": field.multiline,
        "max_length": longest,
    }
    return element | ({"initial_value": field.value[:longest]} if field.value else {})


def _menu(field: Field) -> dict[str, Any]:
    options = options_of(field.choices)
    chosen = [each for each in options if each["value"] == field.value]
    element = {"type": "static_select", "action_id": INPUT_ELEMENT, "options": options}
    return element | ({"initial_option": chosen[0]} if chosen else {})


def options_of(choices: Sequence[Choice], prefix: str = "") -> list[dict[str, Any]]:
    """Options of a menu; without those whose value Slack would refuse. `prefix` begins each value."""
    return [
        {"text": plain_text(each.label or each.value, OPTION_LENGTH), "value": f"{prefix}{each.value}"}
        for each in choices
        if each.value and len(prefix) + len(each.value) <= OPTION_VALUE_LENGTH
    ][:OPTIONS]


def plain_text(text: str, length: int) -> dict[str, Any]:
    """A plain text object; Slack refuses an empty one."""
    return {"type": "plain_text", "text": _shortened(text.strip(), length) or "-", "emoji": False}


def _shortened(text: str, length: int) -> str:
    """`text` within `length` characters, with an ellipsis if something is missing."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
