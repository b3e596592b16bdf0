"""Who may not ask stops nothing either: by a word, by a button, by a reaction, before or while an answer is written."""

from __future__ import annotations

import asyncio

import pytest

from bot.access import AccessRules, AllowDeny
from bot.conversation import Author, Ending, Turn, TurnKey
from bot.strings import Strings
from tests.support.core import running_core
from tests.support.fakes import FakeChannel, ScriptedModel, turn, words

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
