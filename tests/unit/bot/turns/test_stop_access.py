"""Who may not ask stops nothing either: by a word, by a button, by a reaction, before or while an answer is written."""

from __future__ import annotations

import asyncio

import pytest

from bot.access import AccessRules, AllowDeny
from bot.conversation import Author, Ending, Turn, TurnKey
from bot.interactions.values import Place
from bot.strings import Strings
from bot.turns.config import TurnLimits
from tests.support.core import running_core
from tests.support.fakes import DANA, FakeChannel, ScriptedModel, turn, words

BO = Author("U2", "Bo")
MALLORY = Author("U9", "Mallory", frozenset({"R9"}))

RULES = {
    "denied": AccessRules(users=AllowDeny(deny=frozenset({"U9"}))),
    "denied by a role": AccessRules(roles=AllowDeny(deny=frozenset({"R9"}))),
    "not allowed": AccessRules(users=AllowDeny(allow=frozenset({"U1"}))),
    "not allowed in this channel": AccessRules(by_channel={"C": AllowDeny(allow=frozenset({"U1"}))}),
}
rules = pytest.mark.parametrize("access", RULES.values(), ids=RULES)


def said(text: str, *, direct: bool = False, asker: Author = MALLORY) -> Turn:
    return turn("S", text=text, direct=direct, asker=asker)


@rules
@pytest.mark.parametrize("direct", [False, True])
async def test_the_word_of_who_may_not_ask_stops_nothing(access: AccessRules, direct: bool) -> None:
    """The answer goes on, and "stop" gets the reply that any other question of theirs gets."""
    replies = []
    for text in ("stop", "why?"):
        channel, other = FakeChannel(), FakeChannel()
        async with running_core(ScriptedModel(words(200)), access=access) as core:
            core.turns.accept(turn("Q"), channel)
            await asyncio.sleep(2)
            core.turns.accept(said(text, direct=direct), other)
            await core.idle()
        assert Strings().stopped not in channel.text
        assert "word199" in channel.text
        assert core.recorder.refusals == ["access"]
        replies.append(other.text)
    assert replies == [Strings().no_access if direct else ""] * 2


@rules
async def test_the_button_of_who_may_not_ask_stops_nothing(access: AccessRules) -> None:
    """Neither what is being answered nor what waits, by its message or by its conversation; the asker still may."""
    channel, waiting = FakeChannel(), FakeChannel()
    async with running_core(ScriptedModel(words(200)), access=access) as core:
        core.turns.accept(turn("Q"), channel)
        core.turns.accept(turn("W"), waiting)
        await asyncio.sleep(2)
        for message in ("Q", "W", next(iter(channel.shown))):
            assert not core.turns.stop(TurnKey("memory", "W", "C", message), by=MALLORY)
        assert not core.turns.stop_conversation("c", by=MALLORY)
        await asyncio.sleep(0.1)
        assert core.turns.stop(TurnKey("memory", "W", "C", "Q"), by="U1")
        await core.idle()
    assert Strings().stopped in channel.text
    assert "word199" in waiting.text
    assert core.journal.endings == [Ending.STOPPED, Ending.DONE]


@pytest.mark.parametrize("by", ["U2", Author("U2", "Bo")])
async def test_who_may_ask_may_stop_the_answers_of_others(by: Author | str) -> None:
    """A reader who is on no list stops what they see, also by their id alone."""
    channel = FakeChannel()
    async with running_core(ScriptedModel(words(200)), access=RULES["denied"]) as core:
        core.turns.accept(turn("Q"), channel)
        await asyncio.sleep(2)
        assert core.turns.stop(TurnKey("memory", "W", "C", "Q"), by=by)
        await core.idle()
    assert Strings().stopped in channel.text


async def test_a_guest_stops_nothing_where_guests_may_not_ask() -> None:
    """What is known of a person counts, beyond the lists of ids."""
    channel = FakeChannel()
    async with running_core(ScriptedModel(words(20))) as core:
        core.turns.accept(turn("Q"), channel)
        await asyncio.sleep(0.3)
        assert not core.turns.stop(TurnKey("memory", "W", "C", "Q"), by=Author("U3", "Gil", guest=True))
        assert not core.turns.stop(TurnKey("memory", "W", "C", "Q"), by=Author("U4", "Eve", external=True))
        await core.idle()
    assert core.journal.endings == [Ending.DONE]


# --------------------------------------------------------------------------------------------------- by a command


async def test_a_command_stops_the_conversation_and_ones_own_answers_in_the_channel() -> None:
    """Running and waiting ones count, others' answers elsewhere go on, and a second command finds none."""
    own, queued, others, elsewhere = (FakeChannel() for _ in range(4))
    async with running_core(ScriptedModel(words(200))) as core:
        core.turns.accept(turn("Q1", conversation="thread"), own)
        core.turns.accept(turn("Q2", conversation="thread", asker=BO), queued)
        core.turns.accept(turn("Q3", conversation="other", asker=BO), others)
        core.turns.accept(turn("Q4", conversation="mine"), elsewhere)
        await asyncio.sleep(2)
        place = Place("memory", "W", "C", "thread")
        assert [core.turns.stop_place(place, by=DANA) for _ in range(2)] == [3, 0]
        await core.idle()
    assert all(Strings().stopped in channel.text for channel in (own, elsewhere))
    assert queued.text == ""
    assert "word199" in others.text


async def test_a_command_where_no_conversation_is_stops_ones_own_answers_alone() -> None:
    """Each mention starts a conversation there, so the command names none of the others'."""
    own, others = FakeChannel(), FakeChannel()
    async with running_core(ScriptedModel(words(200))) as core:
        core.turns.accept(turn("Q1", conversation=""), own)
        core.turns.accept(turn("Q2", conversation="b", asker=BO), others)
        await asyncio.sleep(2)
        assert core.turns.stop_place(Place("memory", "W", "D"), by=DANA) == 0
        assert core.turns.stop_place(Place("memory", "W", "C"), by=DANA) == 1
        await core.idle()
    assert Strings().stopped in own.text
    assert "word199" in others.text


@rules
async def test_the_command_of_who_may_not_ask_stops_nothing(access: AccessRules) -> None:
    """The command has the permissions of the Stop button."""
    channel = FakeChannel()
    async with running_core(ScriptedModel(words(200)), access=access) as core:
        core.turns.accept(turn("Q"), channel)
        await asyncio.sleep(2)
        assert core.turns.stop_place(Place("memory", "W", "C", "c"), by=MALLORY) == 0
        await core.idle()
    assert "word199" in channel.text


async def test_all_answers_to_one_person_stop() -> None:
    """In every channel, running or waiting, and nobody else's."""
    channels = [FakeChannel() for _ in range(4)]
    async with running_core(ScriptedModel(words(200)), limits=TurnLimits(per_user=1)) as core:
        for name, channel in zip("abc", channels, strict=False):
            core.turns.accept(turn(f"Q{name}", conversation=name), channel)
        core.turns.accept(turn("Q4", conversation="d", asker=BO), channels[3])
        await asyncio.sleep(2)
        assert await core.turns.stop_person("memory", DANA.id) == 3
        assert core.journal.endings == [Ending.STOPPED]  # its record is complete
        assert await core.turns.stop_person("slack", BO.id) == 0
        await core.idle()
    assert [Strings().stopped in channel.text for channel in channels] == [True, False, False, False]
    assert "word199" in channels[3].text
