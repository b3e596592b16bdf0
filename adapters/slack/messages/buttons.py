"""Buttons of an answer as blocks. Pure. `presses` handles them.

https://docs.slack.dev/reference/block-kit/blocks/actions-block,
https://docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element. Each value begins with the
question's id, so a press needs no memory of the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from adapters.slack.messages.views import BUTTON_LENGTH, PLACEHOLDER_LENGTH, options_of, plain_text
from bot.interactions.values import Choice, Vote
from bot.ports import Controls
from bot.strings import Strings

STOP_ACTION = "tickertape_stop"
RETRY_ACTION = "tickertape_retry"
RETRY_WITH_ACTION = "tickertape_retry_with"
VOTE_ACTION = "tickertape_vote"

# Block types; a server may refuse one and take the other.
ACTIONS = "actions"
CONTEXT_ACTIONS = "context_actions"

# Control by block type.
CONTROLS_BY_TYPE = ((ACTIONS, Controls.STOP | Controls.RETRY), (CONTEXT_ACTIONS, Controls.FEEDBACK))

# Characters of all blocks of a message: 13,297 were refused (msg_blocks_too_long,
# https://github.com/slackapi/bolt-js/issues/2509). Slack does not say what it counts, so everything counts.
MESSAGE_LENGTH = 13_000


def button_blocks(
    controls: Controls,
    types: Collection[str],
    question: str,
    models: Sequence[Choice],
    *,
    strings: Strings,
    serial: str,
    room: int,
) -> list[dict[str, Any]]:
    """The blocks of `types` for the controls of an answer to `question`, in at most `room` characters.

    `serial` differs at each update of a message, as Slack asks for. With too little room, models are missing.
    """
    choices = options_of(models, f"{question} ") if controls & Controls.RETRY else []
    while True:
        blocks: list[dict[str, Any]] = []
        if ACTIONS in types and (buttons := _actions(controls, question, choices, strings)):
            blocks.append({"type": ACTIONS, "block_id": f"actions-{serial}", "elements": buttons})
        if CONTEXT_ACTIONS in types and controls & Controls.FEEDBACK:
            feedback = [_feedback(question, strings)]
            blocks.append({"type": CONTEXT_ACTIONS, "block_id": f"feedback-{serial}", "elements": feedback})
        if not choices or _characters(blocks) <= room:
            return blocks
        choices = choices[: len(choices) // 2]


def _characters(value: object) -> int:
    """The characters of all texts and ids in blocks."""
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 0


def block_types(controls: Controls) -> frozenset[str]:
    """The block types with these controls."""
    return frozenset(type_ for type_, held in CONTROLS_BY_TYPE if controls & held)


def _actions(
    controls: Controls, question: str, choices: list[dict[str, Any]], strings: Strings
) -> list[dict[str, Any]]:
    elements: list[dict[str, Any]] = []
    if controls & Controls.STOP:
        elements.append(_button(STOP_ACTION, strings.stop_label, question))
    if controls & Controls.RETRY:
        elements.append(_button(RETRY_ACTION, strings.retry_label, question))
    if choices:
        menu = {"type": "static_select", "action_id": RETRY_WITH_ACTION, "options": choices}
        elements.append(menu | {"placeholder": plain_text(strings.retry_with_label, PLACEHOLDER_LENGTH)})
    return elements


def _button(action: str, text: str, value: str) -> dict[str, Any]:
    return {"type": "button", "action_id": action, "text": plain_text(text, BUTTON_LENGTH), "value": value}


def _feedback(question: str, strings: Strings) -> dict[str, Any]:
    return {
        "type": "feedback_buttons",
        "action_id": VOTE_ACTION,
        "positive_button": _vote(strings.vote_up_label, f"{question} {Vote.UP}"),
        "negative_button": _vote(strings.vote_down_label, f"{question} {Vote.DOWN}"),
    }


def _vote(text: str, value: str) -> dict[str, Any]:
    label = plain_text(text, BUTTON_LENGTH)
    return {"text": label, "accessibility_label": label["text"], "value": value}
