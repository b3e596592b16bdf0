"""The number of turns that are not lost, by workspace: what the other processes learn of the load in each lane."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bot.turns.config import TurnLimits
from bot.turns.lost_turns import LostTurns
from bot.turns.pending import PendingTurn
from bot.turns.queues import TurnQueues
from tests.support.core import running_core
from tests.support.fakes import FakeChannel, ScriptedModel, turn, words
from tests.support.trips import fixed
from tests.support.waiting import until

# What happens, to which conversation, in which workspace.
STEPS = st.lists(st.tuples(st.sampled_from(["accept", "end", "lose"]), st.integers(0, 3), st.sampled_from("AB")))


@given(STEPS)
def test_the_count_is_that_of_all_queues(steps: list[tuple[str, int, str]]) -> None:
    """In any order of acceptances, ends and losses."""

    async def play() -> None:
        queues = TurnQueues()
        lost = LostTurns({}, queues)
        for number, (step, place, workspace) in enumerate(steps):
            conversation = f"{workspace}{place}"
            if step == "accept":
                asked = turn(str(number), conversation=conversation)
                asked = replace(asked, key=replace(asked.key, workspace=workspace))
                queues.add(PendingTurn(asked, FakeChannel(), 0.0))
            elif step == "end" and queues.by_conversation.get(conversation):
                queues.remove_first(conversation)
            elif step == "lose":
                lost.abandon(lambda key, lane=workspace: key.workspace == lane)  # type: ignore[misc]
            kept = (each.turn.key for each in queues.turns if not each.progress.is_abandoned)
            assert lost.left() == Counter((key.platform, key.workspace) for key in kept)

    asyncio.run(play())


async def test_a_notice_counts_too() -> None:
    """It is no accepted turn, and still writes in the lane."""
    channel = FakeChannel()
    channel.server.trips = fixed(1.0)
    async with running_core(ScriptedModel(words(400)), limits=TurnLimits(waiting=0)) as core:
        core.turns.accept(turn("1"), channel)
        assert sum(core.turns.lost.left().values()) == 1
        core.turns.accept(turn("2"), channel)
        await until(lambda: sum(core.turns.lost.left().values()) == 2)
        await core.idle()
        assert not core.turns.lost.left()
