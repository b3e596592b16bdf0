"""A journal of several processes that does not answer: its question is nobody's, until its platform repeats it."""

from __future__ import annotations

import asyncio

import pytest

from bot.conversation import Ending, TurnKey
from bot.errors import ConnectFailed
from tests.support.core import make_turns, running
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, said, turn

QUESTION = TurnKey("memory", "W", "C", "Q")


def journal(*, shared: bool) -> FakeJournal:
    made = FakeJournal(durable=True)
    made.shared, made.away = shared, True
    return made


async def test_a_question_that_was_not_taken_is_refused_and_new_the_next_time() -> None:
    """Another process may have taken it by then, or may take it now; so this one does not answer."""
    stored, channel = journal(shared=True), FakeChannel()
    async with running(make_turns(ScriptedModel(said("Because.")), stored)) as turns:
        for _ in range(2):
            with pytest.raises(ConnectFailed):
                await turns.receive(QUESTION, "event")
        stored.away = False
        assert await turns.receive(QUESTION, "event")
        assert not await turns.receive(QUESTION, "event")
        turns.accept(turn("Q"), channel)
        await turns.idle()
    assert channel.text == "Because."
    assert stored.ends == {QUESTION: Ending.DONE}


async def test_two_deliveries_at_once_are_both_refused_or_taken_once() -> None:
    """The second must not be called known while the first may fail."""
    stored = journal(shared=True)
    async with running(make_turns(ScriptedModel(), stored)) as turns:
        results = await asyncio.gather(*(turns.receive(QUESTION, "event") for _ in range(2)), return_exceptions=True)
        assert all(isinstance(each, ConnectFailed) for each in results)
        stored.away = False
        assert sorted(await asyncio.gather(*(turns.receive(QUESTION, "event") for _ in range(2)))) == [False, True]


@pytest.mark.parametrize("shared", [True, False])
async def test_a_question_that_nobody_else_can_get_is_answered_anyway(*, shared: bool) -> None:
    """A page's question exists in this process alone."""
    channel = FakeChannel()
    async with running(make_turns(ScriptedModel(said("Because.")), journal(shared=shared))) as turns:
        turns.accept(turn("Q"), channel)
        await turns.idle()
    assert channel.text == "Because."


async def test_a_journal_of_one_process_stops_no_answer() -> None:
    """With a broken disk answers continue, as before; only recovery is lost."""
    channel = FakeChannel()
    async with running(make_turns(ScriptedModel(said("Because.")), journal(shared=False))) as turns:
        assert await turns.receive(QUESTION, "event")
        assert turns.degraded
        turns.accept(turn("Q"), channel)
        await turns.idle()
    assert channel.text == "Because."
