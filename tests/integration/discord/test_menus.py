"""The menu of a message in Discord: "Answer this" and "Summarize from here". Real discord.py on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.discord.messages.renderer import without_small_print
from bot.conversation import Text
from bot.strings import Strings
from tests.servers.discord import DiscordDouble
from tests.servers.limits import Kind
from tests.support.core import ended
from tests.support.discord import Bot, bot_at_work, process
from tests.support.fakes import FakeJournal, ScriptedModel, said
from tests.support.waiting import until

pytestmark = pytest.mark.sockets

ANSWER, SUMMARIZE = "Answer this", "Summarize from here"
WORDS = Strings()


@asynccontextmanager
async def choosing(model: ScriptedModel) -> AsyncIterator[tuple[Bot, FakeJournal]]:
    """A whole bot, and a journal."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot = Bot(double)
    async with double.running(), process(bot, model, journal, interactions=bot.interactions):
        yield bot, journal


@pytest.mark.quick
async def test_a_message_is_answered_with_a_reply() -> None:
    """Its words are the question, the answer is visible to all and pings nobody; the presser alone gets a line."""
    model = ScriptedModel(said("Because."))
    async with choosing(model) as (bot, journal):
        target = bot.double.say(bot.general, "why is it so?", author=bot.bob)
        bot.double.use_menu(ANSWER, bot.general, target, user=bot.ada)
        await ended(journal)

        answer = bot.double.shown(bot.general)[-1]
        assert (answer.text, answer.reply_to) == ("Because.", target)
        assert model.calls[0][1].messages[-1].text == "Bob: why is it so?"
        assert bot.double.posts[answer.id].pinged == frozenset()
        assert bot.double.private(bot.ada) == [WORDS.answering]
        assert bot.double.button(bot.general, answer.id) == f"retry:{target}"


async def test_a_message_beyond_a_quota_is_not_answered() -> None:
    """The presser learns why, and not that an answer comes; the message may be answered later."""
    async with bot_at_work() as bot:
        bot.interactions.used_up = "Enough for today."
        target = bot.double.say(bot.general, "why is it so?", author=bot.bob)
        for menu in (ANSWER, SUMMARIZE):
            bot.double.use_menu(menu, bot.general, target, user=bot.ada)
        await until(lambda: bot.double.private(bot.ada) == ["Enough for today."] * 2)
        assert len(bot.inbox.dismissed) == 2


async def test_a_message_is_answered_once() -> None:
    """A second press, also by somebody else, gets a private line; so does an answer of ours, and an empty message."""
    async with choosing(ScriptedModel(said("Because."))) as (bot, journal):
        target = bot.double.say(bot.general, "why is it so?", author=bot.bob)
        bot.double.use_menu(ANSWER, bot.general, target, user=bot.ada)
        await ended(journal)
        bot.double.use_menu(ANSWER, bot.general, target, user=bot.bob)
        await until(lambda: bot.double.private(bot.bob) == [WORDS.answered_before])
        bot.double.use_menu(ANSWER, bot.general, bot.double.shown(bot.general)[-1].id, user=bot.bob)
        empty = bot.double.say(bot.general, "", author=bot.bob, quiet=True)
        bot.double.use_menu(ANSWER, bot.general, empty, user=bot.bob)
        await until(lambda: len(bot.double.private(bot.bob)) == 3)

        assert bot.double.private(bot.bob)[1:] == [WORDS.nothing_to_answer] * 2
        assert bot.double.answers(bot.general) == ["Because."]


async def test_where_the_bot_may_not_post_the_answer_is_the_interactions() -> None:
    """Visible to all, below the message as a quote."""
    async with choosing(ScriptedModel(said("Because."))) as (bot, journal):
        for number, channel in enumerate((bot.general, bot.double.world.outside_channel(guild=True)), start=1):
            bot.double.forbidden.add(bot.general)
            target = bot.double.say(channel, "why is it so?", author=bot.bob, quiet=True)
            used = bot.double.use_menu(ANSWER, channel, target, user=bot.ada)
            await ended(journal, number)

            [shown] = bot.double.interactions.all[used].messages
            assert without_small_print(shown["content"]) == "> why is it so?\n\nBecause."


@pytest.mark.quick
async def test_a_summary_begins_at_the_message() -> None:
    """The model reads everything from there on, with names; earlier messages and later ones are left out."""
    model = ScriptedModel(said("In short."))
    async with choosing(model) as (bot, journal):
        bot.double.say(bot.general, "before", author=bot.bob)
        first = bot.double.say(bot.general, "the plan?", author=bot.bob)
        for number in range(120):
            bot.double.say(bot.general, f"idea {number}", author=bot.ada, quiet=True)
        bot.double.use_menu(SUMMARIZE, bot.general, first, user=bot.ada)
        await ended(journal)

        [(_, prompt)] = model.calls
        [question] = prompt.messages
        lines = question.text.splitlines()
        assert WORDS.summarize in lines[0]
        assert lines[1:] == ["Bob: the plan?", *(f"Ada: idea {number}" for number in range(120))]
        answer = bot.double.shown(bot.general)[-1]
        assert (answer.text, answer.reply_to) == ("In short.", first)
        assert not any(one.startswith("retry") for one in bot.double.controls(bot.general, answer.id))


async def test_a_summary_beside_an_earlier_answer() -> None:
    """A lost post of the summary is not mistaken for the answer to the same message."""
    async with choosing(ScriptedModel(said("Because."), said("In short."))) as (bot, journal):
        first = bot.ask("why?")
        await ended(journal)
        bot.double.faults.add("POST", f"/channels/{bot.general}/messages$", Kind.RESET_AFTER)
        bot.double.use_menu(SUMMARIZE, bot.general, first, user=bot.bob)
        await ended(journal, 2)

        assert bot.double.faults.fired
        assert bot.double.answers(bot.general) == ["Because.", "In short."]


async def test_where_the_bot_cannot_read_it_says_so_privately() -> None:
    """Nothing is journalled, and nothing shows in the channel."""
    async with choosing(ScriptedModel(said("In short."))) as (bot, journal):
        channel = bot.double.world.outside_channel(guild=True)
        target = bot.double.say(channel, "why is it so?", author=bot.bob, quiet=True)
        bot.double.use_menu(SUMMARIZE, channel, target, user=bot.ada)
        await until(lambda: bot.double.private(bot.ada) == [WORDS.not_invited])

        assert (journal.entries, bot.double.answers(channel)) == ({}, [])


@pytest.mark.parametrize("title", [ANSWER, SUMMARIZE])
async def test_after_a_kill_the_answer_continues(title: str) -> None:
    """The next process finishes the same message, for the same person."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot = Bot(double)
    async with double.running():
        async with process(bot, ScriptedModel([Text("One "), 9.0]), journal, interactions=bot.interactions):
            target = double.say(bot.general, "why is it so?", author=bot.bob)
            double.use_menu(title, bot.general, target, user=bot.ada)
            await until(lambda: bool(journal.messages))
        journal = FakeJournal(durable=True, of=journal)
        async with process(bot, ScriptedModel(said("One and two.")), journal, interactions=bot.interactions):
            await ended(journal)

        assert double.answers(bot.general) == ["One and two."]
