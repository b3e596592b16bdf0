"""Questions read again in Discord, for another answer. Real discord.py against the loopback server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.discord.events.codec import load
from bot.conversation import TurnKey
from bot.errors import Failure, NotFound
from bot.ports import Body, Controls, UnfinishedTurn, Upload
from tests.servers.limits import Kind
from tests.support.discord import Bot, bot_at_work, platform_at_work

FINAL = Controls.RETRY | Controls.FEEDBACK


def again(key: TurnKey) -> TurnKey:
    """The key of the second answer."""
    return replace(key, generation=1)


@pytest.mark.sockets
async def test_a_question_is_read_again() -> None:
    """The turn is that of the first answer, with the edited words and the new generation, also after a restart."""
    async with bot_at_work() as bot:
        bot.ask("one?", reply_to=bot.double.say(bot.general, "see here", author=bot.bob))
        [(turn, _)] = await bot.inbox.wait_for()
        bot.double.revise(bot.general, turn.key.message, f"{bot.me} two?")
        await bot.settled()
        here = await bot.platform.open_question(again(turn.key), ["5"])
        async with platform_at_work(bot) as platform:
            there = await platform.open_question(again(turn.key), ["5"])

        for opened in (here, there):
            assert opened.turn.key == again(turn.key)
            assert opened.turn.author == turn.author
            assert (opened.turn.question.text, opened.turn.conversation) == ("two?", turn.conversation)
            assert (opened.turn.channel_ids, opened.turn.direct) == (turn.channel_ids, False)
            stored = load(opened.event)
            assert (stored.asks, stored.message["member"]["roles"]) == (True, [bot.role])
        assert "guilds" in bot.double.transcript.of("GET")[-1].path


@pytest.mark.sockets
async def test_a_question_in_a_direct_message_and_in_an_archived_thread() -> None:
    """A DM has no member to read; an archived thread is unknown, and read."""
    async with bot_at_work() as bot:
        dm = bot.double.world.dm(bot.bob)
        bot.double.say(dm, "hi", author=bot.bob)
        [(direct, _)] = await bot.inbox.wait_for()
        thread = bot.double.world.thread(bot.general)  # never announced, like an archived one
        said = bot.double.say(thread, f"{bot.me} hi", author=bot.ada, quiet=True)
        in_dm = await bot.platform.open_question(again(direct.key), [])
        in_thread = await bot.platform.open_question(TurnKey("discord", bot.guild, thread, said, 1), [])

        assert (in_dm.turn.direct, in_dm.turn.conversation) == (True, direct.conversation)
        assert in_thread.turn.channel_ids == (thread, bot.general)
        assert in_thread.turn.conversation == f"discord:{thread}"


@pytest.mark.sockets
async def test_a_deleted_question_and_an_unreadable_one() -> None:
    """A missing message is `NotFound`; after any other failure, it may exist."""
    async with bot_at_work() as bot:
        asked = bot.ask("one?")
        [(turn, _)] = await bot.inbox.wait_for()
        bot.double.faults.add("GET", "/messages/", Kind.STATUS, status=503)
        with pytest.raises(Failure) as failed:
            await bot.platform.open_question(again(turn.key), [])
        bot.double.remove(bot.general, asked)
        with pytest.raises(NotFound):
            await bot.platform.open_question(again(turn.key), [])

        assert not isinstance(failed.value, NotFound)


@pytest.mark.sockets
async def test_another_answer_replaces_the_first_in_place() -> None:
    """Edits take over its messages, their controls and files; a new post pings nobody and has its own nonce."""
    async with bot_at_work() as bot:
        bot.ask("one?")
        [(turn, channel)] = await bot.inbox.wait_for()
        first = await channel.post(Body("old", controls=FINAL, files=(Upload("a.txt", "a"),)), turn.key.digest)
        opened = await bot.platform.open_question(again(turn.key), [first])
        await opened.channel.edit(first, Body("new", controls=Controls.STOP))
        shown = bot.double.controls(bot.general, first)
        await opened.channel.edit(first, Body("new"))
        second = await opened.channel.post(Body("more", controls=FINAL), opened.turn.key.digest)

        message = bot.double.world.messages[bot.general][first]
        assert (message["content"], message["attachments"], message["components"]) == ("new", [], [])
        assert shown == [f"stop:{turn.key.message}"]
        assert bot.double.controls(bot.general, second)[0] == f"retry:{turn.key.message}"
        assert bot.double.posts[second].pinged == frozenset()
        assert bot.double.posts[second].nonce != bot.double.posts[first].nonce


@pytest.mark.sockets
async def test_a_crash_in_another_answer_is_recovered() -> None:
    """The next process continues the new generation, in the same messages and under its own key."""

    def unfinished(bot: Bot, event: str, key: TurnKey, *messages: str) -> None:
        bot.inbox.unfinished.append(UnfinishedTurn(key, event, messages))

    async with bot_at_work() as bot:
        bot.ask("one?")
        [(turn, channel)] = await bot.inbox.wait_for()
        first = await channel.post(Body("old"), turn.key.digest)
        opened = await bot.platform.open_question(again(turn.key), [first])
        unfinished(bot, opened.event, again(turn.key), first)
        async with platform_at_work(bot):
            recovered, its_channel = await bot.inbox.turn(2)
            found = await its_channel.find(recovered.key.digest, [first])

        assert (recovered.key, recovered.conversation) == (again(turn.key), turn.conversation)
        assert recovered.author == turn.author
        assert found is None
