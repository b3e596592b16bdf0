"""Controls below ended answers: tables of rules."""

from __future__ import annotations

import pytest

from bot.conversation import Ending
from bot.delivery.final_controls import FINAL_CONTROLS, final_controls, is_tight, with_final_controls
from bot.delivery.writes import DesiredMessage
from bot.markdown import PlainMarkdown
from bot.ports import Body, ChannelCapabilities, Controls, Upload
from bot.rate_limits import FixedWindow

ALL = Controls.STOP | FINAL_CONTROLS
CAPS = ChannelCapabilities(2_000, len, PlainMarkdown(), controls=ALL)
FILE = (Upload("code.py", "pass"),)


@pytest.mark.parametrize("ending", Ending)
def test_each_ending_has_its_controls(ending: Ending) -> None:
    """An answer without text has no votes; an answer that goes on elsewhere, or nowhere, has no controls."""
    none = ending in {Ending.INTERRUPTED, Ending.GONE}
    assert final_controls(ending, has_text=True) == (Controls.NONE if none else FINAL_CONTROLS)
    assert final_controls(ending, has_text=False) == (Controls.NONE if none else Controls.RETRY)


def messages(*bodies: Body) -> list[DesiredMessage]:
    return [DesiredMessage(body, 1) for body in bodies]


@pytest.mark.parametrize(
    ("caps", "desired", "posted", "expected"),
    [
        (CAPS, ("a", "b"), (), (Controls.NONE, FINAL_CONTROLS)),
        (CAPS, (), (), ()),
        (
            ChannelCapabilities(2_000, len, PlainMarkdown(), controls=Controls.FEEDBACK),
            ("a",),
            (),
            (Controls.FEEDBACK,),
        ),
        (ChannelCapabilities(2_000, len, PlainMarkdown()), ("a",), (), (Controls.NONE,)),
        (CAPS, ("a", "files"), (), (Controls.NONE, FINAL_CONTROLS)),
        (
            ChannelCapabilities(2_000, len, PlainMarkdown(), controls=ALL, file_controls=False),
            ("a", "files"),
            (),
            (FINAL_CONTROLS, Controls.NONE),
        ),
        (CAPS, ("a", "files"), (FINAL_CONTROLS,), (FINAL_CONTROLS, Controls.NONE)),
        (CAPS, ("a", "b"), (Controls.STOP,), (Controls.NONE, FINAL_CONTROLS)),
    ],
)
def test_the_last_able_message_has_the_controls(
    caps: ChannelCapabilities, desired: tuple[str, ...], posted: tuple[Controls, ...], expected: tuple[Controls, ...]
) -> None:
    """The last one, unless it has files and the platform shows none there, or an earlier one has them already."""
    wanted = messages(*(Body(text, files=FILE if text == "files" else ()) for text in desired))
    shown = [Body(text, controls=controls) for text, controls in zip(desired, posted, strict=False)]
    placed = with_final_controls(wanted, FINAL_CONTROLS, caps, shown)
    assert tuple(target.body.controls for target in placed) == expected


@pytest.mark.parametrize(
    ("spent", "live", "held", "others_wait", "expected"),
    [
        (0, 1, False, False, False),
        (4, 1, False, False, False),
        (5, 1, False, False, True),  # no permit is left in the window
        (0, 2, False, False, False),
        (4, 2, False, False, True),  # the last permit is kept for the other reply's final write
        (0, 1, True, False, True),  # after a 429
        (0, 2, False, True, True),  # another reply waits for the budget
    ],
)
def test_an_edit_for_controls_alone_waits_for_nobody(
    spent: int, live: int, held: bool, others_wait: bool, expected: bool
) -> None:
    """It is made only if a permit is free at once and no text needs it."""
    budget = FixedWindow(5, 5.0, paced=True)
    for _ in range(spent):
        budget.spend(0.0)
        budget.record_response(0.0, sent=0.0)
    budget.live, budget.reserved_finals = live, live - 1
    if held:
        budget.hold(0.0, 3.0)
    budgets = (FixedWindow(50, 1.0, paced=False), budget)
    is_found = is_tight(budgets, 1.0, others_wait=others_wait, others_live=lambda each: each.live > 1)
    assert is_found is expected
