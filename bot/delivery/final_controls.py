"""Controls below an ended answer: their choice, their place, and the rule for an edit of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bot.conversation import Ending
from bot.delivery.writes import DesiredMessage
from bot.ports import Body, ChannelCapabilities, Controls
from bot.rate_limits import Budget

# Offered once an answer has ended.
FINAL_CONTROLS = Controls.RETRY | Controls.FEEDBACK

# After these nothing is offered: another process continues the answer, or there is no place for it.
_WITHOUT_CONTROLS = frozenset({Ending.INTERRUPTED, Ending.GONE})


def final_controls(ending: Ending, *, has_text: bool) -> Controls:
    """The controls below an answer with this ending. Votes need a text."""
    if ending in _WITHOUT_CONTROLS:
        return Controls.NONE
    return FINAL_CONTROLS if has_text else Controls.RETRY


def with_final_controls(
    desired: list[DesiredMessage], controls: Controls, caps: ChannelCapabilities, posted: Sequence[Body]
) -> list[DesiredMessage]:
    """Put controls on the last message able to show them.

    If a message has them already (an announced end, followed by a file), they stay there: moving them costs an edit.
    """
    controls &= caps.controls
    able = [index for index, target in enumerate(desired) if caps.file_controls or not target.body.files]
    if not (controls and able):
        return desired
    shown = (
        index
        for index, (body, target) in enumerate(zip(posted, desired, strict=False))
        if body.controls & FINAL_CONTROLS and body.text == target.body.text
    )
    place = next(shown, able[-1])
    target = desired[place]
    return [
        *desired[:place],
        replace(target, body=replace(target.body, controls=controls)),
        *desired[place + 1 :],
    ]


def is_tight(
    budgets: Sequence[Budget], now: float, *, others_wait: bool, others_live: Callable[[Budget], bool]
) -> bool:
    """Whether an edit for controls alone would take a permit from text.

    `others_wait`: another reply waits for one of these budgets. Beside other live replies (`others_live`), a permit
    reserved for final writes is not taken either.
    """
    return others_wait or any(budget.ready_at(now, final=not others_live(budget)) > now for budget in budgets)
