"""Edited questions in Discord. Real discord.py against the loopback server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.conversation import TurnKey
from bot.interactions.values import QuestionEdited
from bot.ports import Body
from tests.support.discord import Bot, bot_at_work, platform_at_work


def edits(bot: Bot) -> list[QuestionEdited]:
    """The edits brought to the core."""
    return [event for event in bot.interactions.events if isinstance(event, QuestionEdited)]


async def edited(bot: Bot, count: int = 1) -> list[QuestionEdited]:
    """The edits brought to the core, once there are so many."""
    await bot.interactions.until(lambda: len(edits(bot)) >= count)
    return edits(bot)


@pytest.mark.sockets
async def test_an_edited_question_is_told_with_its_key() -> None:
    """The key, conversation and author are those of the question; the age is the time since its post."""
    async with bot_at_work() as bot:
        asked = bot.ask("whats teh time?")
        [(turn, _)] = await bot.inbox.wait_for()
        bot.double.revise(bot.general, asked, f"{bot.me} what's the time?")
        [event] = await edited(bot)

        assert (event.question, event.conversation) == (turn.key, turn.conversation)
        assert (event.by.id, event.by.roles) == (bot.ada, frozenset({bot.role}))
        assert 0 <= event.age < 10


@pytest.mark.sockets
async def test_an_edit_that_adds_the_mention() -> None:
    """A message without a mention is no question; its edit with one is."""
    async with bot_at_work() as bot:
        said = bot.double.say(bot.general, "what's the time?", author=bot.ada)
        await bot.settled()
        assert edits(bot) == []
        kept = bot.double.world.messages[bot.general][said]
        kept["mentions"] = [bot.double.world.mentioned(bot.double.world.bot, bot.guild)]
        bot.double.revise(bot.general, said, f"{bot.me} what's the time?")

        assert [event.question.message for event in await edited(bot)] == [said]


PREVIEW: dict[str, Any] = {"embeds": [{"type": "link", "url": "https://example.org", "title": "Example"}]}


@pytest.mark.sockets
@pytest.mark.parametrize("change", [PREVIEW, {"pinned": True}, {"flags": 4}], ids=["preview", "pin", "flags"])
async def test_other_changes_of_a_question_are_no_edit(change: dict[str, Any]) -> None:
    """Neither before an edit nor after it, where Discord repeats the edit's time."""
    async with bot_at_work() as bot:
        asked = bot.ask("one?")
        await bot.inbox.wait_for()
        bot.double.change(bot.general, asked, **change)
        await bot.settled()
        assert edits(bot) == []
        bot.double.revise(bot.general, asked, f"{bot.me} two?")
        bot.double.change(bot.general, asked, **change)
        await bot.settled()

        assert len(edits(bot)) == 1


@pytest.mark.sockets
async def test_whose_edits_are_ignored() -> None:
    """Edits of bots, of messages to others, to an empty text, and our own."""
    async with bot_at_work() as bot:
        asked = bot.ask("one?")
        [(_, channel)] = await bot.inbox.wait_for()
        answer = await channel.post(Body("answer"), "key")
        other = bot.double.say(bot.general, "hello Bob", author=bot.ada)
        hook = bot.double.say(bot.general, f"{bot.me} hi", author=bot.bob, webhook_id="5")
        bot.double.revise(bot.general, other, "hello, Bob")
        bot.double.revise(bot.general, hook, f"{bot.me} hi there")
        bot.double.revise(bot.general, asked, "")
        await channel.edit(answer, Body("answer, longer"))
        await bot.settled()

        assert edits(bot) == []


@pytest.mark.sockets
async def test_an_edit_of_an_uncached_question() -> None:
    """After a restart, a fresh edit is told; a pin that repeats an old edit's time is not."""
    async with bot_at_work() as bot:
        old, new = bot.ask("old?"), bot.ask("new?")
        await bot.inbox.wait_for(2)
        async with platform_at_work(bot):
            bot.interactions.events.clear()
            kept = bot.double.world.messages[bot.general][old]
            kept["edited_timestamp"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
            bot.double.change(bot.general, old, pinned=True)
            bot.double.revise(bot.general, new, f"{bot.me} newer?")
            found = await edited(bot)

        assert {event.question.message for event in found} == {new}


@pytest.mark.sockets
async def test_an_edit_in_a_thread_and_in_a_direct_message() -> None:
    """Without a mention: in a thread with our participation, after a look-up if need be, and in a DM."""
    async with bot_at_work() as bot:
        thread = bot.double.world.thread(bot.general)
        bot.double.gateway.dispatch("THREAD_CREATE", bot.double.world.channels[thread])
        bot.double.say(thread, f"{bot.me} hi", author=bot.ada, quiet=True)
        said = bot.double.say(thread, "and then?", author=bot.ada, quiet=True)
        bot.double.revise(thread, said, "and then, please?")
        dm = bot.double.world.dm(bot.bob)
        direct = bot.double.say(dm, "hi", author=bot.bob)
        bot.double.revise(dm, direct, "hi there")
        found = {event.question.message: event for event in await edited(bot, 2)}

        assert found[said].conversation == f"discord:{thread}"
        assert found[direct].question == TurnKey("discord", "", dm, direct)


@pytest.mark.sockets
async def test_an_edit_with_the_changed_fields_only() -> None:
    """An update may name only what changed; the rest is known from the message."""
    async with bot_at_work() as bot:
        asked = bot.ask("one?")
        [(turn, _)] = await bot.inbox.wait_for()
        changed = {"content": f"{bot.me} two?", "edited_timestamp": datetime.now(UTC).isoformat()}
        unknown = {"id": "77", "channel_id": bot.general}
        bot.double.gateway.dispatch("MESSAGE_UPDATE", {**unknown, **changed})
        bot.double.gateway.dispatch("MESSAGE_UPDATE", {"id": asked, "channel_id": bot.general, **changed})
        [event] = await edited(bot)

        assert (event.question, event.by) == (turn.key, turn.author)
