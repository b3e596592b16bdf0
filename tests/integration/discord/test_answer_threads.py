"""Answer threads and forum posts in Discord. Real discord.py on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from adapters.discord import DiscordOptions, ThreadOptions
from bot.conversation import Ending, Role, Text
from bot.interactions.values import QuestionEdited
from tests.servers.discord import FORUM, DiscordDouble
from tests.servers.limits import Kind
from tests.support.core import ended
from tests.support.discord import Bot, bot_at_work, options_for, platform_at_work, process
from tests.support.fakes import FakeJournal, ScriptedModel, said, words
from tests.support.waiting import until

pytestmark = pytest.mark.sockets


def threaded(options: DiscordOptions) -> DiscordOptions:
    return replace(options, threads=ThreadOptions(auto_thread=True))


@asynccontextmanager
async def working(
    model: ScriptedModel, bot: Bot, journal: FakeJournal, change: Callable[[DiscordOptions], DiscordOptions] = threaded
) -> AsyncIterator[None]:
    async with process(bot, model, journal, change=change):
        yield


@pytest.mark.quick
async def test_a_mention_opens_a_thread_for_its_answer() -> None:
    """It has the question's name, the answer is in it, and what follows there is the same conversation."""
    double, journal = DiscordDouble(), FakeJournal()
    bot, model = Bot(double), ScriptedModel(said("Because."), said("More."))
    async with double.running(), working(model, bot, journal):
        asked = bot.ask(f"**why** <@{bot.bob}> " + "so " * 60)
        await ended(journal)
        thread = double.world.channels[asked]
        double.say(asked, "go on", author=bot.bob)
        await ended(journal, 2)

        assert (thread["parent_id"], len(thread["name"])) == (bot.general, 100)
        assert thread["name"].startswith("**why** @Bob so so")
        assert (double.answers(asked), double.answers(bot.general)) == (["Because.", "More."], [])
        roles = [message.role for message in model.calls[1][1].messages]
        assert roles == [Role.USER, Role.ASSISTANT, Role.USER]
        assert len(model.calls[0][1].messages) == 1
        # Nobody wrote in a new thread before, and the gateway tells of all that follows.
        assert double.transcript.of("GET", "/messages") == []
        assert double.limited == []


async def test_a_thread_begun_before_a_gap_is_read() -> None:
    """Somebody may have written in it while no events arrived."""
    async with bot_at_work(change=threaded) as bot:
        bot.double.faults.add("POST", "/threads", Kind.LATE, seconds=0.2)
        asked = bot.ask("why?")
        await bot.double.until(lambda: asked in bot.double.world.channels)
        bot.state.cache.mark_gap()
        bot.double.say(asked, "by the way", author=bot.bob, quiet=True)
        await bot.inbox.wait_for()
        bot.double.say(asked, "and now?", author=bot.ada)
        _, (_, channel) = await bot.inbox.wait_for(2)
        history = await channel.history(50)

    assert [message.text for message in history.messages] == ["@Tickertape why?", "by the way"]


async def test_without_the_permission_the_answer_is_in_the_channel() -> None:
    """One refused request per channel, and nobody waits for the next."""
    double, journal = DiscordDouble(), FakeJournal()
    bot = Bot(double)
    double.unthreadable.add(bot.general)
    async with double.running(), working(ScriptedModel(said("Because.")), bot, journal):
        for number in (1, 2):
            bot.ask(f"why {number}?")
            await ended(journal, number)

        assert double.answers(bot.general) == ["Because.", "Because."]
        assert len(double.transcript.of("POST", "/threads")) == 1


@pytest.mark.parametrize("kind", [Kind.RESET_AFTER, Kind.STATUS])
async def test_a_thread_with_a_lost_response_is_used_or_not(kind: Kind) -> None:
    """The answer is there once, in the thread or in the channel."""
    double, journal = DiscordDouble(), FakeJournal()
    bot = Bot(double)
    double.faults.add("POST", "/threads", kind)
    async with double.running(), working(ScriptedModel(said("Because.")), bot, journal):
        asked = bot.ask("why?")
        await ended(journal)

        assert double.faults.fired
        assert [*double.answers(bot.general), *double.answers(asked)] == ["Because."]


async def test_replies_threads_and_direct_messages_open_none() -> None:
    """They have a place for their answer already."""
    async with bot_at_work(change=threaded) as bot:
        talk = bot.double.say(bot.general, "talk", author=bot.bob)
        bot.ask("why?", reply_to=talk)
        bot.double.say(bot.double.world.dm(bot.ada), "why?", author=bot.ada)
        await bot.inbox.wait_for(2)

        assert bot.double.transcript.of("POST", "/threads") == []


async def test_buttons_in_an_answer_thread_find_their_question() -> None:
    """Stop stops; Try again answers the message in the channel again, in the thread."""
    double, journal = DiscordDouble(), FakeJournal()
    bot, model = Bot(double), ScriptedModel([Text("One "), 9.0], said("Two."))
    async with double.running(), working(model, bot, journal):
        asked = bot.ask("why?")
        await until(lambda: bool(journal.messages))
        [message] = journal.messages
        double.press(asked, message, user=bot.ada)
        await ended(journal)
        assert journal.endings == [Ending.STOPPED]
        double.press(asked, message, user=bot.ada, custom_id=f"retry:{bot.general}/{asked}")
        await until(lambda: double.answers(asked) == ["Two."])

        assert double.answers(bot.general) == []


async def test_an_edited_question_belongs_to_its_thread_after_a_restart() -> None:
    """Its conversation is the thread's, so that a later question there is known to follow it."""
    double, journal = DiscordDouble(), FakeJournal()
    bot = Bot(double)
    async with double.running():
        async with working(ScriptedModel(said("Because.")), bot, journal):
            asked = bot.ask("why?")
            await ended(journal)
        async with platform_at_work(bot, threaded(options_for(double))):
            double.revise(bot.general, asked, f"{bot.me} why, please?")
            await bot.interactions.until(lambda: bool(bot.interactions.events))
            [event] = bot.interactions.events

    assert isinstance(event, QuestionEdited)
    assert (event.question.channel, event.conversation) == (bot.general, f"discord:{asked}")


async def test_a_question_with_an_archived_thread_is_answered_again_there() -> None:
    """After a restart Discord announces no archived thread, but a question read again names its own."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot = Bot(double)
    async with double.running():
        async with working(ScriptedModel(said("One.")), bot, journal):
            asked = bot.ask("why?")
            await ended(journal)
        double.world.channels[asked]["thread_metadata"]["archived"] = True
        [message] = journal.messages
        async with working(ScriptedModel(said("Two.")), bot, FakeJournal(durable=True, of=journal)):
            double.press(asked, message, user=bot.ada, custom_id=f"retry:{bot.general}/{asked}")
            await until(lambda: double.answers(asked) == ["Two."])

        assert double.answers(bot.general) == []


@pytest.mark.parametrize("remembers_nonces", [True, False])
async def test_after_a_kill_the_answer_continues_in_its_thread(remembers_nonces: bool) -> None:
    """In the same messages, also if the journal missed the last one: minutes later Discord has forgotten its nonce."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot = Bot(double)
    async with double.running():
        # It posts another text than the next process does first, however fast the machine is.
        async with working(ScriptedModel([Text("Well, "), 9.0]), bot, journal):
            asked = bot.ask("why?")
            await until(lambda: bool(double.answers(asked)))
        double.remembers_nonces = remembers_nonces
        for messages in journal.answers.values():
            messages.clear()
        journal = FakeJournal(durable=True, of=journal)
        async with working(ScriptedModel(words(20, rate=999.0)), bot, journal):
            await ended(journal)

        [text] = double.answers(asked)
        assert (text.split()[0], text.split()[-1]) == ("word0", "word19")
        assert double.answers(bot.general) == []


# ------------------------------------------------------------------------------------------------------------- forums


@pytest.mark.parametrize("configured", [True, False])
async def test_a_forum_post_is_answered_inside(configured: bool) -> None:
    """A new post asks if it mentions the bot, or in a forum that the operator names; then all that follows does."""
    double, journal = DiscordDouble(), FakeJournal()
    bot = Bot(double)
    forum = double.world.channel(bot.guild, "help", kind=FORUM)
    post = double.world.thread(forum, "My printer", starter=double.world.new_id())
    double.world.messages[post].clear()

    def change(options: DiscordOptions) -> DiscordOptions:
        return replace(options, threads=ThreadOptions(forums=frozenset({forum}) if configured else frozenset()))

    model = ScriptedModel(said("Because."), said("More."))
    async with double.running(), working(model, bot, journal, change):
        text = "it is on fire" if configured else f"{bot.me} it is on fire"
        message = double.world.message(post, bot.ada, text)
        del double.world.messages[post][message["id"]]
        message["id"] = post  # a post's first message has its id
        double.world.messages[post][post] = message
        double.gateway.dispatch("MESSAGE_CREATE", double.world.event(message))
        await ended(journal)
        double.say(post, "and now?", author=bot.bob)
        await ended(journal, 2)

        assert double.answers(post) == ["Because.", "More."]
        assert "My printer" in model.calls[0][1].messages[-1].text


async def test_other_posts_ask_nothing() -> None:
    """In a forum that nobody named, people talk among themselves."""
    ids: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        forum = bot.double.world.channel(bot.guild, "help", kind=FORUM)
        ids["post"] = bot.double.world.thread(forum, "My printer", starter=bot.double.world.new_id())

    async with bot_at_work(prepare=prepare) as bot:
        bot.double.say(ids["post"], "it is on fire", author=bot.ada)
        await bot.settled()

        assert bot.inbox.questions == []
