"""Turns of a lost lane: another process has them, so they end here without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.conversation import TurnKey
from bot.turns.config import TurnLimits
from bot.turns.hooks import ADMITTED, ModelCall, QuestionMeter, QuotaDecision, TurnHooks
from tests.support.core import running_core
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, turn, words
from tests.support.trips import fixed
from tests.support.waiting import until


class Settlements(QuestionMeter):
    """Remembers whether turns were settled as ended."""

    def __init__(self) -> None:
        self.ended: list[bool] = []

    async def admit(self, turn: object) -> QuotaDecision:
        return ADMITTED

    async def settle(self, turn: object, calls: Sequence[ModelCall], *, has_text: bool, ended: bool = True) -> None:
        self.ended.append(ended)


def everything(_: TurnKey) -> bool:
    return True


async def test_a_running_answer_stops_without_another_write() -> None:
    """No notice, no final edit; the model's stream is closed, and the journal has the turn as unfinished."""
    model, journal, channel, meter = ScriptedModel(words(400)), FakeJournal(durable=True), FakeChannel(), Settlements()
    async with running_core(model, journal, hooks=TurnHooks(meter=meter)) as core:
        core.turns.accept(turn(), channel)
        await until(lambda: len(channel.log) >= 3)
        assert core.turns.abandon(everything) == 1
        await core.idle()
        written = len(channel.log)
        await asyncio.sleep(30.0)
    assert len(channel.log) == written
    assert model.open == 0
    assert journal.ends == {}
    assert core.recorder.records == []
    assert meter.ended == [False]  # its calls are counted; its reservation is the next owner's


async def test_waiting_turns_never_begin() -> None:
    """Neither behind another turn of their conversation, nor without a slot."""
    model, journal, channel = ScriptedModel(words(400)), FakeJournal(durable=True), FakeChannel()
    async with running_core(model, journal, limits=TurnLimits(live=1)) as core:
        core.turns.accept(turn("1"), channel)
        core.turns.accept(turn("2"), channel)
        core.turns.accept(turn("3", conversation="another"), channel)
        await until(lambda: len(channel.log) >= 3)
        assert core.turns.abandon(everything) == 3
        await core.idle()
    assert len(model.calls) == 1
    assert journal.ends == {}


async def test_turns_of_other_lanes_go_on() -> None:
    """Only the lost lane's turns end."""
    journal = FakeJournal(durable=True)
    channels = {name: FakeChannel() for name in "12"}
    async with running_core(ScriptedModel(words(80)), journal) as core:
        for name, channel in channels.items():
            core.turns.accept(turn(name, conversation=name), channel)
        await until(lambda: all(channel.log for channel in channels.values()))
        core.turns.abandon(lambda key: key.message == "1")
        await core.idle()
    assert [key.message for key in journal.ends] == ["2"]
    assert len(channels["2"].text.split()) == 80


async def test_a_write_in_flight_changes_nothing() -> None:
    """Its response comes after the lane is lost."""
    journal, channel = FakeJournal(durable=True), FakeChannel()
    channel.server.trips = fixed(1.0)
    async with running_core(ScriptedModel(words(80)), journal) as core:
        core.turns.accept(turn(), channel)
        await until(lambda: core.turns.scheduling_steps > 0, seconds=1.0)
        await asyncio.sleep(0.4)
        assert channel.log == []  # the post is on its way
        core.turns.abandon(everything)
        await core.idle()
        await asyncio.sleep(5.0)
    assert len(channel.log) == 1
    assert journal.ends == {}
