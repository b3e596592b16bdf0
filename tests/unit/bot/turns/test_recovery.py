"""Turns that an earlier process left, and turns that readers end: what is taken up, and what is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bot.conversation import Author, Ending, TurnKey
from bot.ports import Controls
from bot.rate_limits import FixedWindow
from bot.strings import Strings
from bot.turns.config import TurnLimits
from bot.turns.manager import TurnManager
from tests.support.core import make_turns, running
from tests.support.fakes import FakeChannel, FakeJournal, ScriptedModel, Server, answer_of, turn, words

LIMITS = TurnLimits()


@asynccontextmanager
async def process(
    model: ScriptedModel, journal: FakeJournal, limits: TurnLimits = LIMITS
) -> AsyncIterator[TurnManager]:
    """The core of one process; leaving it is a `kill -9`."""
    async with running(make_turns(model, journal, limits=limits)) as turns:
        yield turns


def at(message: str) -> TurnKey:
    return TurnKey("memory", "W", "C", message)


async def left_after(seconds: float, channel: FakeChannel, *, count: int = 400) -> FakeJournal:
    """A process that was killed so many seconds after the question."""
    journal = FakeJournal(durable=True)
    async with process(ScriptedModel(words(count)), journal) as turns:
        assert await turns.receive(at("Q"), "the event")
        turns.accept(turn("Q"), channel)
        await asyncio.sleep(seconds)
    return FakeJournal(of=journal)


async def taken_up(
    channel: FakeChannel, journal: FakeJournal, *, count: int, limits: TurnLimits = LIMITS
) -> ScriptedModel:
    """Another process, which finds what was left."""
    model = ScriptedModel(words(count))
    async with process(model, journal, limits) as turns:
        (record,) = await turns.unfinished_turns("memory")
        assert record.event == "the event"
        turns.accept(turn("Q"), channel)
        await turns.idle()
    return model


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.25, 1.0, 4.0, 9.9])
@pytest.mark.parametrize("count", [5, 400, 900])
async def test_an_answer_that_was_left_is_made_again_into_its_own_messages(seconds: float, count: int) -> None:
    """Whenever the process died, and however long the new answer is: whole, once, in the messages that were there."""
    channel = FakeChannel(Server(limit=100), limit=700)
    journal = await left_after(seconds, channel)
    before = list(channel.shown)
    await taken_up(channel, journal, count=count)
    assert channel.text.split() == answer_of(words(count)).split()
    assert list(channel.shown)[: len(before)] == before[: len(channel.shown)]
    assert journal.endings == [Ending.DONE]


async def test_what_was_shown_stays_until_there_is_more() -> None:
    """A reader never sees less of an answer because it is being made again."""
    channel = FakeChannel(Server(limit=100), limit=2000)
    journal = await left_after(6.0, channel)
    (first,), before = channel.shown, len(channel.log)
    shown = len(channel.text)
    await taken_up(channel, journal, count=400)
    again = [wrote for wrote in channel.log[before:] if wrote.message == first]
    assert again
    assert all(len(wrote.text) >= shown for wrote in again)


async def test_what_was_left_too_long_ago_is_only_marked() -> None:
    """Nobody waits for it any more: an honest line instead of an answer, and no model is paid."""
    channel = FakeChannel()
    journal = await left_after(3.0, channel)
    journal.age = LIMITS.repair_seconds + 1
    model = await taken_up(channel, journal, count=400)
    assert model.calls == []
    assert "Please ask again" in channel.text
    assert journal.endings == [Ending.ABANDONED]


async def test_a_second_delivery_is_told_from_the_first() -> None:
    """In the same process and in the next one, live, ended or left."""
    channel, journal = FakeChannel(), FakeJournal(durable=True)
    async with process(ScriptedModel(words(10)), journal) as turns:
        assert await turns.receive(at("Q"), "")
        assert not await turns.receive(at("Q"), "")
        turns.accept(turn("Q"), channel)
        await turns.idle()
        assert not await turns.receive(at("Q"), "")
        assert await turns.receive(at("R"), "")
    async with process(ScriptedModel(words(10)), FakeJournal(of=journal)) as turns:
        (record,) = await turns.unfinished_turns("memory")
        assert record.key == at("R")
        assert not await turns.receive(at("Q"), "")
        assert not await turns.receive(at("R"), "")
        assert await turns.unfinished_turns("memory") == []


async def test_a_durable_journal_keeps_events_unless_it_breaks() -> None:
    """Memory by choice is as the operator wants it; a broken file is not, until it works again."""
    journal = FakeJournal(durable=True)
    async with process(ScriptedModel(words(10)), journal) as turns:
        assert turns.keeps_events()
        journal.durable = False
        assert not turns.keeps_events()
        journal.durable = True
        assert turns.keeps_events()
    broken = FakeJournal(durable=True)
    broken.durable = False
    async with process(ScriptedModel(words(10)), broken) as turns:
        assert not turns.keeps_events()
    async with process(ScriptedModel(words(10)), FakeJournal()) as turns:
        assert turns.keeps_events()


async def test_what_asks_nothing_is_forgotten() -> None:
    """A message that turned out to be for somebody else leaves nothing behind."""
    journal = FakeJournal(durable=True)
    async with process(ScriptedModel(words(10)), journal) as turns:
        assert await turns.receive(at("Q"), "")
        turns.dismiss(at("Q"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not journal.entries


async def test_what_waits_at_a_shutdown_is_left_to_the_next_process() -> None:
    """Nothing is said of it: the next process answers it as if it had just been asked."""
    first, second, journal = FakeChannel(), FakeChannel(), FakeJournal(durable=True)
    async with process(ScriptedModel(words(400)), journal) as turns:
        for message, channel in (("Q", first), ("R", second)):
            assert await turns.receive(at(message), "the event")
            turns.accept(turn(message), channel)
        await asyncio.sleep(2)
        await turns.drain(1.0)
    assert second.log == []
    assert Strings().interrupted.split(":")[0] in first.text
    journal = FakeJournal(of=journal)
    async with process(ScriptedModel(words(400)), journal) as turns:
        records = await turns.unfinished_turns("memory")
        assert [record.key.message for record in records] == ["Q", "R"]
        turns.accept(turn("Q"), first)
        turns.accept(turn("R"), second)
        await turns.idle()
    for channel in (first, second):
        assert channel.text.split() == answer_of(words(400)).split()


# ---------------------------------------------------------------------------------------------------- ended by a reader


async def test_the_word_stop_ends_what_is_answered_there_and_is_not_answered() -> None:
    """Only in its own conversation, and only where something is being answered; elsewhere it is a question."""
    channel, other, said = FakeChannel(), FakeChannel(), FakeChannel()
    async with process(ScriptedModel(words(400)), FakeJournal()) as turns:
        turns.accept(turn("Q", conversation="a"), channel)
        turns.accept(turn("R", conversation="b"), other)
        await asyncio.sleep(2)
        turns.accept(turn("S", conversation="a", text=" Stop! "), said)
        await turns.idle()
    assert Strings().stopped in channel.text
    assert other.text.split() == answer_of(words(400)).split()
    assert (said.log, said.withdrawn) == ([], 1)


async def test_a_deleted_question_ends_the_stream_at_once() -> None:
    """No tokens are paid for an answer to what is there no more; what was shown is marked as stopped."""
    channel, model = FakeChannel(), ScriptedModel(words(4000))
    async with process(model, journal := FakeJournal()) as turns:
        turns.accept(turn("Q"), channel)
        await asyncio.sleep(2)
        turns.message_deleted(at("Q"))
        await asyncio.sleep(0.1)
        assert model.open == 0
        await turns.idle()
    assert Strings().stopped in channel.text
    assert journal.endings == [Ending.STOPPED]


async def test_a_deleted_answer_ends_the_stream_and_is_not_written_again() -> None:
    """Whoever deletes an answer does not want it back."""
    channel, model = FakeChannel(), ScriptedModel(words(4000))
    async with process(model, journal := FakeJournal()) as turns:
        turns.accept(turn("Q"), channel)
        await asyncio.sleep(2)
        writes = len(channel.log)
        turns.message_deleted(at(next(iter(channel.shown))))
        await asyncio.sleep(0.1)
        assert model.open == 0
        await turns.idle()
    assert len(channel.log) <= writes + 1
    assert journal.endings == [Ending.GONE]


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_of_an_answer_in_several_messages_the_others_end_honestly(which: int) -> None:
    """One of three is deleted: the stream is closed, no message comes back, and the last one says that it ended."""
    channel, model = FakeChannel(limit=300, controls=Controls.STOP), ScriptedModel(words(4000))
    async with process(model, journal := FakeJournal()) as turns:
        turns.accept(turn("Q"), channel)
        while len(channel.shown) < 3:
            await asyncio.sleep(0.01)
        message = list(channel.shown)[which]
        del channel.shown[message]
        turns.message_deleted(at(message))
        await asyncio.sleep(0.1)
        assert model.open == 0
        await turns.idle()
    assert len(channel.shown) in {2, 3}, "its last words may need one more"
    assert message not in channel.shown
    assert Strings().stopped in list(channel.shown.values())[-1].text
    assert not any(body.controls for body in channel.shown.values())
    assert journal.endings == [Ending.STOPPED]


async def test_stop_in_a_channel_ends_what_the_same_person_asked_there() -> None:
    """Where each question is a conversation of its own, the word means one's own answer, and nobody else's."""
    own, others = FakeChannel(), FakeChannel()
    async with process(ScriptedModel(words(400)), FakeJournal()) as turns:
        turns.accept(turn("Q", conversation="a"), own)
        turns.accept(turn("R", conversation="b", asker=Author("U2", "Eve")), others)
        await asyncio.sleep(2)
        turns.accept(turn("S", conversation="c", text="stop"), said := FakeChannel())
        await turns.idle()
    assert Strings().stopped in own.text
    assert others.text.split() == answer_of(words(400)).split()
    assert said.log == []


async def test_a_half_answer_to_a_deleted_question_gets_an_end() -> None:
    """It was left by an earlier process, and is taken back before its turn has come: it says that it was stopped."""
    channel, first, journal = FakeChannel(), FakeChannel(), FakeJournal(durable=True)
    async with process(ScriptedModel(words(100)), journal) as turns:
        turns.accept(turn("R"), channel)
        await asyncio.sleep(1)
    half = list(channel.shown)
    model, journal = ScriptedModel(words(100)), FakeJournal(of=journal)
    async with process(model, journal) as turns:
        assert len(await turns.unfinished_turns("memory")) == 1
        turns.accept(turn("Q"), first)
        turns.accept(turn("R"), channel)
        turns.message_deleted(at("R"))
        await turns.idle()
    assert list(channel.shown) == half
    assert Strings().stopped in channel.text
    assert len(model.calls) == 1
    assert journal.ends[at("R")] is Ending.STOPPED


@pytest.mark.parametrize("how", ["stop", "message_deleted"])
async def test_a_question_that_waits_can_be_taken_back(how: str) -> None:
    """Its turn comes, and nothing is said."""
    channel, waiting, journal = FakeChannel(), FakeChannel(), FakeJournal()
    async with process(ScriptedModel(words(100)), journal) as turns:
        turns.accept(turn("Q"), channel)
        turns.accept(turn("R"), waiting)
        await asyncio.sleep(1)
        if how == "stop":
            assert turns.stop(at("R"), by="U1")
        else:
            turns.message_deleted(at("R"))
        await turns.idle()
        await asyncio.sleep(0)
    assert waiting.log == []
    assert (channel.withdrawn, waiting.withdrawn) == (0, 1)
    assert channel.text.split() == answer_of(words(100)).split()
    assert at("R") not in journal.entries


async def test_nothing_happens_to_what_is_nobodys() -> None:
    """Messages of other channels, of earlier answers and of other people are deleted and stopped every day."""
    channel = FakeChannel()
    async with process(ScriptedModel(words(100)), FakeJournal()) as turns:
        turns.accept(turn("Q"), channel)
        await asyncio.sleep(1)
        turns.message_deleted(TurnKey("memory", "W", "other channel", "Q"))
        turns.message_deleted(at("unknown"))
        assert not turns.stop(at("unknown"), by="U1")
        assert not turns.stop_conversation("other conversation", by="U1")
        await turns.idle()
    assert channel.text.split() == answer_of(words(100)).split()


async def test_answers_that_share_few_edits_are_taken_up_once() -> None:
    """A message that shows all there is, and has only its button left to lose, is not gone on from in another one."""
    server, script = Server(limit=5, period=5.0, latency=0.02), words(200, rate=20)
    edits, posts = (FixedWindow(5, 5.0, paced=paced) for paced in (True, False))
    channels = [FakeChannel(server, controls=Controls.STOP, edits=edits, posts=posts) for _ in range(20)]
    journal = FakeJournal(durable=True)
    for number in range(len(channels)):
        await journal.accept(at(f"Q{number}"), "the event")
    async with process(ScriptedModel(script), FakeJournal(of=journal)) as turns:
        await turns.unfinished_turns("memory")
        for number, channel in enumerate(channels):
            turns.accept(turn(f"Q{number}", conversation=f"c{number}"), channel)
        await turns.idle()

    for channel in channels:
        assert " ".join(body.text for body in channel.shown.values()).split() == answer_of(script).split()
        assert not any(body.controls for body in channel.shown.values())
    assert server.limited == 0
