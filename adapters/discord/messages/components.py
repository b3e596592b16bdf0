"""The controls of an answer as message components. Presses arrive as `events.interactions.ComponentPressed`.

An id names its question, so that a press works after a restart, on a message of another process, and before our post
is answered (when its message id is still unknown).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.shared.json_fields import as_list
from bot.interactions.values import Choice
from bot.ports import Controls
from bot.strings import ControlStrings

# Component types, and the grey and the red style (https://docs.discord.com/developers/components/reference).
_ROW, _BUTTON, _SELECT = 1, 2, 3
_SECONDARY, _DANGER = 2, 4

# A component's id: one of these and the question (`question_name`).
STOP_PREFIX, RETRY_PREFIX, RETRY_WITH_PREFIX = "stop:", "retry:", "retry_with:"
UP_PREFIX, DOWN_PREFIX = "up:", "down:"

# Options of a selection, and the lengths of texts; same source.
_OPTIONS, _TEXT_LENGTH = 25, 100
_LABEL_LENGTH, _PLACEHOLDER_LENGTH = 80, 150

LABELS = ControlStrings()


def components(
    controls: Controls, question: str, models: Sequence[Choice] = (), labels: ControlStrings = LABELS
) -> list[dict[str, Any]]:
    """All components of a message with `controls`; an edit replaces them. `question` is a `question_name`."""
    buttons: list[dict[str, Any]] = []
    if controls & Controls.STOP:
        buttons.append(button(f"{STOP_PREFIX}{question}", labels.stop_label))
    if controls & Controls.RETRY:
        buttons.append(button(f"{RETRY_PREFIX}{question}", labels.retry_label))
    if controls & Controls.FEEDBACK:
        buttons.append(button(f"{UP_PREFIX}{question}", "", emoji="\N{THUMBS UP SIGN}"))
        buttons.append(button(f"{DOWN_PREFIX}{question}", "", emoji="\N{THUMBS DOWN SIGN}"))
    rows = [row(buttons)] if buttons else []
    by_value = {model.value: _option(model) for model in models if 0 < len(model.value) <= _TEXT_LENGTH}
    options = list(by_value.values())[:_OPTIONS]
    if controls & Controls.RETRY and options:
        selection = {"type": _SELECT, "custom_id": f"{RETRY_WITH_PREFIX}{question}", "options": options}
        rows.append(row([selection | {"placeholder": labels.retry_with_label[:_PLACEHOLDER_LENGTH]}]))
    return rows


def ids_in(rows: object) -> frozenset[str]:
    """The ids of all components in a message's rows; empty for anything else."""
    if not isinstance(rows, list):
        return frozenset()
    below = [each for row in rows if isinstance(row, dict) for each in as_list(row.get("components"))]
    return frozenset(str(each.get("custom_id")) for each in below if isinstance(each, dict))


def question_name(channel: str, question: str, *, shown_in: str) -> str:
    """A question's name in ids; it includes the question's channel if the answer is in another one."""
    return question if channel == shown_in else f"{channel}/{question}"


def split_question_name(name: str, *, shown_in: str) -> tuple[str, str]:
    """The channel and the id of a question by its name."""
    channel, _, question = name.rpartition("/")
    return channel or shown_in, question


def row(components: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A row of at most five buttons, or of one selection."""
    return {"type": _ROW, "components": list(components)}


def button(custom_id: str, label: str, *, emoji: str = "", danger: bool = False) -> dict[str, Any]:
    """A button with a label, or an emoji instead."""
    shown = {"emoji": {"name": emoji}} if emoji else {"label": label[:_LABEL_LENGTH] or "…"}
    return {"type": _BUTTON, "style": _DANGER if danger else _SECONDARY, "custom_id": custom_id, **shown}


def _option(model: Choice) -> dict[str, Any]:
    return {"label": model.label[:_TEXT_LENGTH] or model.value, "value": model.value}
