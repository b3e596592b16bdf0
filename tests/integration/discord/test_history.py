"""The model's view of a Discord conversation: cached, and read over REST if incomplete."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from adapters.discord import SharedRequests
from adapters.shared.attachments import NOT_THERE
from bot.conversation import Image, OmittedAttachment, Text, TurnKey
from bot.ports import Body, Channel
from tests.integration.test_attachments import png, serving
from tests.servers.limits import Kind
from tests.support.discord import Bot, bot_at_work, platform_at_work


async def texts(channel: Channel, limit: int = 50) -> list[tuple[str, str]]:
    history = await channel.history(limit)
    return [(message.name or message.role.value, message.text) for message in history.messages]


@pytest.mark.sockets
async def test_a_cached_chain_is_not_read() -> None:
    """Events and our own writes fill the cache (mention, answer, edit, reply): nothing is read."""
    async with bot_at_work() as bot:
        asked = bot.ask("what is a cat?")
        [(_, channel)] = await bot.inbox.wait_for()
        answer = await channel.post(Body("A cat"), "key1")
        await channel.edit(answer, Body("A cat is"))
        more = await channel.post(Body("an animal.\n-# cut"), "key2")
        bot.double.revise(bot.general, asked, f"{bot.me} what is a CAT?")
        bot.double.say(bot.general, "and a dog?", author=bot.bob, reply_to=more)
        _, (_, second) = await bot.inbox.wait_for(2)

        assert await texts(second) == [
            ("Countess", "@Tickertape what is a CAT?"),
            ("assistant", "A cat is\nan animal."),
        ]
        assert bot.double.transcript.of("GET", "/channels") == []


@pytest.mark.sockets
async def test_a_chain_is_read_at_once_after_a_restart() -> None:
    """A new process reads one list for a whole chain."""
    async with bot_at_work() as bot:
        asked = bot.ask("one")
        [(_, channel)] = await bot.inbox.wait_for()
        answer = await channel.post(Body("first"), "key1")
        bot.double.say(bot.general, "beside", author=bot.bob)
        second = bot.double.say(bot.general, "two", author=bot.ada, reply_to=answer)
        [_, (_, channel)] = await bot.inbox.wait_for(2)
        answer = await channel.post(Body("second"), "key2")
        await bot.platform.close()
        async with platform_at_work(bot):
            bot.double.say(bot.general, "three", author=bot.ada, reply_to=answer)
            [_, _, (turn, channel)] = await bot.inbox.wait_for(3)
            history = await texts(channel)

        assert [text for _, text in history] == ["@Tickertape one", "first", "two", "second"]
        assert len(bot.double.transcript.of("GET", "/messages")) == 1
        assert (asked, second) != (turn.key.message, turn.key.message)


@pytest.mark.sockets
async def test_a_deleted_link_ends_the_chain() -> None:
    """A deleted message ends the reply chain, and the rest does not count as truncated."""
    async with bot_at_work() as bot:
        root = bot.double.say(bot.general, "root", author=bot.bob)
        middle = bot.double.say(bot.general, "middle", author=bot.bob, reply_to=root)
        bot.double.remove(bot.general, root)
        bot.ask("well?", reply_to=middle)
        [(_, channel)] = await bot.inbox.wait_for()
        history = await channel.history(50)

        assert ([message.text for message in history.messages], history.truncated) == (["middle"], False)


@pytest.mark.sockets
async def test_a_dm_is_read_once() -> None:
    """A DM's history is read at its first question; afterwards the cache is complete."""
    rooms: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        rooms["dm"] = bot.double.world.dm(bot.ada)
        for number in range(60):
            bot.double.say(rooms["dm"], f"old {number}", author=bot.ada, quiet=True)

    async with bot_at_work(prepare=prepare) as bot:
        bot.double.say(rooms["dm"], "first", author=bot.ada)
        [(_, channel)] = await bot.inbox.wait_for()
        history = await channel.history(20)
        assert ([m.text for m in history.messages], history.truncated) == ([f"old {n}" for n in range(40, 60)], True)
        await channel.post(Body("answer"), "key")
        bot.double.say(rooms["dm"], "second", author=bot.ada)
        _, (_, channel) = await bot.inbox.wait_for(2)

        assert [text for _, text in await texts(channel, 3)] == ["old 59", "first", "answer"]
        assert len(bot.double.transcript.of("GET", "/messages")) == 1
        assert len((await channel.history(150)).messages) == 62
        assert bot.double.limited == []


@pytest.mark.sockets
@pytest.mark.parametrize("asks_first", [True, False])
async def test_an_old_question_hides_nothing_from_later_ones(asks_first: bool) -> None:
    """After a restart, reading what precedes an old question leaves a gap behind it, which a later question reads."""
    ids: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        ids["dm"] = bot.double.world.dm(bot.ada)
        for text in ("zero", "one", "two"):
            ids[text] = bot.double.say(ids["dm"], text, author=bot.ada, quiet=True)

    async with bot_at_work(prepare=prepare) as bot:
        old = await bot.platform.open_question(TurnKey("discord", "", ids["dm"], ids["one"]), [])
        if asks_first:
            bot.double.say(ids["dm"], "three", author=bot.ada)
            await bot.inbox.wait_for()
        assert [text for _, text in await texts(old.channel)] == ["zero"]
        if not asks_first:
            bot.double.say(ids["dm"], "three", author=bot.ada)
        [(_, channel)] = await bot.inbox.wait_for()
        history = await channel.history(50)

        assert ([m.text for m in history.messages], history.truncated) == (["zero", "one", "two"], False)


@pytest.mark.sockets
async def test_commands_in_a_dm_read_it_once() -> None:
    """A command shows that events arrive, as a message does."""
    async with bot_at_work() as bot:
        dm = bot.double.world.dm(bot.ada)
        bot.double.say(dm, "talk", author=bot.ada, quiet=True)
        for number in (1, 2):
            bot.double.use("ask", dm, user=bot.ada, question=f"why {number}?")
            _, channel = (await bot.inbox.wait_for(number))[-1]
            assert [text for _, text in await texts(channel)][:1] == ["talk"]

        assert len(bot.double.transcript.of("GET", "/messages$")) == 1


@pytest.mark.sockets
async def test_a_thread_begins_with_its_starter_message() -> None:
    """A thread's history starts with its starter message in the parent channel."""
    rooms: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        starter = bot.double.say(bot.general, "the server is down", author=bot.bob, quiet=True)
        rooms["thread"] = bot.double.world.thread(bot.general, starter=starter)
        bot.double.say(rooms["thread"], "", author=bot.bob, quiet=True, type=21)
        bot.double.say(rooms["thread"], "since noon", author=bot.bob, quiet=True)

    async with bot_at_work(prepare=prepare) as bot:
        bot.ask("why?", channel=rooms["thread"])
        [(_, channel)] = await bot.inbox.wait_for()
        history = await channel.history(50)

        assert [message.text for message in history.messages] == ["the server is down", "since noon"]
        assert not history.truncated
        await channel.history(50)
        assert len(bot.double.transcript.of("GET", "/messages")) == 2


@pytest.mark.sockets
@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.RESET_BEFORE, Kind.GARBLED])
async def test_a_failed_read_does_not_fail_the_answer(kind: Kind) -> None:
    """If the history is unreadable, the model gets the cached part and learns of the gap."""
    async with bot_at_work() as bot:
        dm = bot.double.world.dm(bot.ada)
        bot.double.say(dm, "hidden", author=bot.ada, quiet=True)
        bot.double.say(dm, "first", author=bot.ada)
        bot.double.say(dm, "second", author=bot.ada)
        _, (_, channel) = await bot.inbox.wait_for(2)
        bot.double.faults.add("GET", "/messages", kind, times=99)
        history = await channel.history(50)

        assert ([message.text for message in history.messages], history.truncated) == (["first"], True)
        assert history.unread


@pytest.mark.sockets
async def test_a_server_without_lists_is_read_one_by_one() -> None:
    """A server without lists of messages still gives a reply chain."""
    async with bot_at_work() as bot:
        root = bot.double.say(bot.general, "root", author=bot.bob, quiet=True)
        middle = bot.double.say(bot.general, "middle", author=bot.bob, reply_to=root, quiet=True)
        bot.double.missing = "/messages$"
        bot.ask("well?", reply_to=middle)
        [(_, channel)] = await bot.inbox.wait_for()

        assert [text for _, text in await texts(channel)] == ["root", "middle"]


@pytest.mark.sockets
async def test_reads_keep_to_the_limit() -> None:
    """A long chain without lists is read as far as time and the limit allow, without a 429, and then answered."""
    async with bot_at_work(change=lambda options: replace(options, read_seconds=3.0)) as bot:
        last = bot.double.say(bot.general, "0", author=bot.bob, quiet=True)
        for number in range(1, 9):
            last = bot.double.say(bot.general, str(number), author=bot.bob, reply_to=last, quiet=True)
        bot.double.missing = "/messages$"
        bot.ask("well?", reply_to=last)
        [(_, channel)] = await bot.inbox.wait_for()
        history = await channel.history(50)

        assert [message.text for message in history.messages][-5:] == ["4", "5", "6", "7", "8"]
        assert (history.truncated, bot.double.limited) == (True, [])


@pytest.mark.sockets
async def test_a_read_waits_for_the_first_share() -> None:
    """After an outage of the engine nobody may send requests for longer than a read lasts: the history is whole."""
    shared = SharedRequests()
    shared.set_limit(45)
    async with bot_at_work(change=lambda options: replace(options, read_seconds=0.5), shared=shared) as bot:
        dm = bot.double.world.dm(bot.ada)
        bot.double.say(dm, "before", author=bot.ada, quiet=True)
        bot.double.say(dm, "well?", author=bot.ada)
        [(_, channel)] = await bot.inbox.wait_for()
        shared.set_limit(0)
        asyncio.get_running_loop().call_later(1.0, shared.set_limit, 45)
        history = await channel.history(10)

        assert ([message.text for message in history.messages], history.unread) == (["before"], "")


@pytest.mark.sockets
async def test_images_of_the_conversation_reach_the_model() -> None:
    """Attachments of earlier messages reach the model; unreadable ones are named."""
    async with serving() as files, bot_at_work(file_hosts=frozenset({files.address})) as bot:
        dm = bot.double.world.dm(bot.ada)
        attachments = [{"id": "1", "filename": "a.png", "content_type": "image/png", "url": f"{files.address}/a.png"}]
        gone = [{"id": "2", "filename": "b.png", "content_type": "image/png", "url": f"{files.address}/gone"}]
        bot.double.say(dm, "look", author=bot.ada, attachments=attachments)
        bot.double.say(dm, "and", author=bot.ada, attachments=gone)
        bot.double.say(dm, "well?", author=bot.ada)
        *_, (_, channel) = await bot.inbox.wait_for(3)
        history = await channel.history(10)

        assert [message.parts for message in history.messages] == [
            (Text("look"), Image("a.png", "image/png", png(5, 5))),
            (Text("and"), OmittedAttachment("b.png", NOT_THERE)),
        ]
