"""Discord refuses writes for their size, their reference, or their thread's state: the text arrives all the same."""

from __future__ import annotations

import asyncio

import pytest

from bot.conversation import Finish, FinishReason, Text
from tests.servers.discord import NO_HISTORY, OLD, DiscordDouble
from tests.servers.discord_interactions import INVALID_FORM, UNKNOWN_MESSAGE
from tests.support.discord import Bot, process
from tests.support.fakes import FakeJournal, ScriptedModel, Step

pytestmark = pytest.mark.sockets

SENTENCE = "This is sentence {number} of an answer that somebody waits for. "


def streamed(count: int) -> list[Step]:
    steps: list[Step] = [Text(SENTENCE.format(number=number)) for number in range(count)]
    return [each for step in steps for each in (step, 0.02)] + [Finish(FinishReason.STOP)]


def answer(count: int) -> list[str]:
    return "".join(SENTENCE.format(number=number) for number in range(count)).split()


async def whole(bot: Bot, count: int, channel: str) -> list[str]:
    """Ask, and wait until the whole answer is shown; returns its messages."""
    double = bot.double
    async with double.running(), process(bot, ScriptedModel(streamed(count)), FakeJournal()):
        double.say(channel, f"<@{double.world.bot}> tell", author=bot.ada)
        async with asyncio.timeout(40):
            await double.until(lambda: " ".join(double.answers(channel)).split() == answer(count))
            await double.until(lambda: not any(double.stop_button(channel, each.id) for each in double.shown(channel)))
        return double.answers(channel)


async def test_less_than_discord_says_is_taken() -> None:
    """Where a message may have 600 characters, the answer goes on in smaller messages."""
    bot = Bot(DiscordDouble())
    bot.double.limit = 600
    messages = await whole(bot, 40, bot.general)
    assert all(len(message) <= 600 for message in messages)


@pytest.mark.parametrize("error", [NO_HISTORY, INVALID_FORM, UNKNOWN_MESSAGE])
async def test_a_post_that_may_not_refer_to_its_question_goes_without(error: tuple[int, int, str]) -> None:
    """A missing permission to read the history, or a deleted question, does not prevent the answer."""
    bot = Bot(DiscordDouble())
    bot.double.reference_error = error
    assert len(await whole(bot, 10, bot.general)) == 1


async def test_a_thread_that_is_archived_meanwhile_is_reopened_by_a_post() -> None:
    """The answer continues in a new message: a post reopens the thread. Then edits work, and no stop button stays."""
    bot = Bot(DiscordDouble())
    double, world = bot.double, bot.double.world
    thread = world.thread(bot.general)

    async def archive() -> None:
        await double.until(lambda: bool(double.answers(thread)))
        double.archived.add(thread)

    async with asyncio.TaskGroup() as group:
        group.create_task(archive())
        messages = await whole(bot, 30, thread)
    assert len(messages) == 2
    assert double.archived == set()


async def test_messages_that_take_no_more_edits_are_followed_by_new_ones() -> None:
    """Where an old message may not be edited again, the rest is posted."""
    bot = Bot(DiscordDouble())
    double = bot.double
    double.components, double.edit_error = "ignored", OLD
    assert len(await whole(bot, 30, bot.general)) == 2
