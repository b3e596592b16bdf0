"""The state shared by the turns of one bot."""

from __future__ import annotations

import asyncio

from adapters.discord.options import DiscordOptions
from adapters.discord.state import WITHOUT_CONTROLS_SECONDS, BotState, Typing
from adapters.shared.attachments import AttachmentLimits, Attachments
from bot.ports import Controls


def test_typing_is_due_once_in_a_while() -> None:
    """One indicator serves all turns of a channel, and the memory of it is bounded."""
    typing = Typing()
    due = [typing.due("1", now) for now in (0.0, 1.0, 7.9, 8.0, 9.0)]
    for number in range(5_000):
        typing.hold(str(number), 100.0)

    assert due == [True, False, False, True, False]
    assert len(typing) <= 1_000


async def test_refused_buttons_are_offered_again_later() -> None:
    """One rejected message does not cost the buttons of all answers until the next start."""
    state = BotState(DiscordOptions(token="t"), Attachments(AttachmentLimits(), hosts=frozenset()))
    left_out: list[Controls] = []
    state.refuse_controls(Controls.RETRY | Controls.FEEDBACK)
    for seconds in (WITHOUT_CONTROLS_SECONDS - 1.0, 2.0, WITHOUT_CONTROLS_SECONDS):
        await asyncio.sleep(seconds)
        left_out.append(state.refused_controls)
        if len(left_out) == 1:
            state.refuse_controls(Controls.FEEDBACK)
    assert left_out == [Controls.RETRY | Controls.FEEDBACK, Controls.FEEDBACK, Controls.NONE]
