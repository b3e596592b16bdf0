"""What the model is told of a conversation in Discord: assembled from memory, read where it is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.events.message import DiscordMessage
from adapters.discord.history.assembly import channel_history, group_answers, message_of, reply_chain
from adapters.discord.history.cache import (
    CHANNELS,
    CHARACTERS,
    MESSAGES_PER_CHANNEL,
    NAMES,
    MessageCache,
    characters_of,
)
from adapters.shared.attachments import NOT_THERE, Attachment
from bot.conversation import Image, Message, OmittedAttachment, Role, Text
from bot.ports import Body, Channel
from tests.integration.test_attachments import png, serving
from tests.servers.limits import Kind
from tests.support.discord import Bot, bot_at_work, platform_at_work

ME = "1"


def said(number: int, text: str = "", **fields: Any) -> DiscordMessage:
    return DiscordMessage(**{"id": str(number), "channel": "7", "author": "2", "name": "Ada", "text": text, **fields})


def ours(number: int, text: str, reply_to: int) -> DiscordMessage:
    return said(number, text, author=ME, name="", bot=True, reply_to=str(reply_to))


def holding(*seen: DiscordMessage, complete_from: int | None = 0) -> MessageCache:
    cache = MessageCache()
    cache.add_read(seen)
    if complete_from is not None:
        cache.set_complete_from("7", complete_from)
    return cache


# ---------------------------------------------------------------------------------------------------------------- pure


def test_a_chain_goes_back_to_its_root() -> None:
    """The chain of replies is found, with all messages of our answers, and nothing that was said beside it."""
    cache = holding(
        said(10, "root"),
        said(11, "beside"),
        ours(12, "part one", 10),
        ours(13, "part two", 10),
        said(14, reply_to="12"),
    )

    groups, more = reply_chain(cache, said(20, reply_to="14"), bot_id=ME, limit=10)

    assert [[one.id for one in group] for group in groups] == [["10"], ["12", "13"], ["14"]]
    assert not more


def test_a_chain_is_cut_at_the_limit_and_says_so() -> None:
    """The newest of a long chain are kept."""
    cache = holding(said(10), said(11, reply_to="10"), said(12, reply_to="11"))

    groups, more = reply_chain(cache, said(20, reply_to="12"), bot_id=ME, limit=2)

    assert ([group[0].id for group in groups], more) == (["11", "12"], True)


def test_a_chain_that_bites_its_tail_ends() -> None:
    """Nonsense from a server does not hang the bot."""
    cache = holding(said(10, reply_to="11"), said(11, reply_to="10"))

    assert len(reply_chain(cache, said(20, reply_to="11"), bot_id=ME, limit=100)[0]) == 2


def test_a_lane_is_what_was_before_the_question_and_our_answers_to_it() -> None:
    """What was said after the question is not told, but for answers to what was asked before it."""
    cache = holding(said(10, "a"), said(11, "b"), said(12, "c"), ours(13, "to a", 10), said(14, "d"), ours(15, "x", 11))

    groups, more = channel_history(cache, said(11, "b"), bot_id=ME, limit=10)

    assert ([[one.id for one in group] for group in groups], more) == ([["10"], ["13"]], False)


def test_a_lane_says_what_is_missing() -> None:
    """Truncated is what does not go back to the beginning, by the limit or by what is known."""
    cache = holding(said(10), said(11), said(12))
    assert channel_history(cache, said(20), bot_id=ME, limit=2)[1]
    assert not channel_history(cache, said(20), bot_id=ME, limit=3)[1]
    assert channel_history(holding(said(10), complete_from=10), said(20), bot_id=ME, limit=3)[1]


def test_our_answers_are_whole_and_the_systems_words_are_not_told() -> None:
    """Messages of one answer are one, though others spoke between them; what the system says is passed over."""
    cache = holding(said(10, "q"), ours(11, "one", 10), said(12, "!"), ours(13, "two", 10), said(14, "joined", kind=7))

    groups, _ = channel_history(cache, said(20), bot_id=ME, limit=10)

    assert [message_of(group, bot_id=ME).text for group in groups] == ["q", "one\ntwo", "!"]
    assert group_answers([], bot_id=ME) == []


def test_messages_of_the_model() -> None:
    """People have names, we have none; small print is left out, and what is left empty has no parts."""
    assert message_of([said(10, "hi")], bot_id=ME) == Message(Role.USER, (Text("hi"),), "Ada", "10")
    whole = message_of([ours(11, "one", 10), ours(12, "two\n-# cut", 10)], bot_id=ME)
    assert whole == Message(Role.ASSISTANT, (Text("one\ntwo"),), id="11")
    assert message_of([ours(13, "-# it failed", 10)], bot_id=ME).parts == ()


def test_the_memory_is_bounded() -> None:
    """However much is said, the memory holds so much, and knows that it does not know the rest."""
    cache = MessageCache()
    for number in range(1, MESSAGES_PER_CHANNEL + 50):
        cache.add(said(number))
    assert len(cache.messages("7")) == MESSAGES_PER_CHANNEL
    assert cache.complete_from("7") == 50

    for channel in range(CHANNELS + 10):
        cache.add(said(1, channel=str(channel)))
    assert cache.messages("0") == []
    for number in range(NAMES + 10):
        cache.set_conversation(str(number), "c")
    assert cache.conversation_count == NAMES


def real_characters(cache: MessageCache) -> int:
    return sum(characters_of(one) for channel in cache.channels for one in cache.messages(channel))


def test_the_memory_is_bounded_in_characters() -> None:
    """However long the messages of however many channels, so many characters are kept, and those that spoke last."""
    cache = MessageCache()
    longest = "x" * 4000
    for number in range(1, 51):
        for channel in range(50):
            cache.add(said(number, longest, question_text=longest, channel=str(channel)))
            assert cache.characters == real_characters(cache) <= CHARACTERS

    assert [one.id for one in cache.messages("49")][-1] == "50"


def test_a_single_channels_oldest_messages_make_room() -> None:
    """Where one channel alone is too long, its oldest messages go, and that they are not known any more is known."""
    cache = MessageCache()
    for number in range(1, 6):
        cache.add(said(number, "x" * (CHARACTERS // 3)))

    assert ([one.id for one in cache.messages("7")], cache.complete_from("7")) == (["3", "4", "5"], 3)


# A text counts twice, as it was written and as it reads; one alone keeps to the bound.
ACTIONS = st.tuples(st.integers(0, 3), st.integers(1, 8), st.integers(0, 3), st.integers(0, CHARACTERS // 3))


@given(st.lists(ACTIONS, max_size=60))
def test_characters_are_counted_exactly(actions: list[tuple[int, int, int, int]]) -> None:
    """Whatever is told, read, revised and removed, the count is the sum of what is held, and keeps to the bound."""
    cache = MessageCache()
    for what, number, channel, length in actions:
        file = Attachment("a.png", "https://cdn.test/a.png", "image/png", 1)
        message = said(number, "x" * length, channel=str(channel), attachments=(file,))
        match what:
            case 0:
                cache.add(message)
            case 1:
                cache.add_read([message, message])
            case 2:
                cache.set_text(str(channel), str(number), "y" * length)
            case _:
                cache.remove(str(channel), str(number))

        assert cache.characters == real_characters(cache) <= CHARACTERS


def test_a_gap_is_remembered_as_one() -> None:
    """After a new session nobody knows what was said meanwhile, until something is told or read."""
    cache = MessageCache()
    cache.add(said(10))
    cache.mark_gap()
    assert cache.complete_from("7") is None
    cache.add(said(20))
    assert cache.complete_from("7") == 20
    cache.remove("7", "10")
    cache.remove("7", "11")
    cache.set_text("7", "20", "edited")
    assert [one.text for one in cache.messages("7")] == ["edited"]


# ------------------------------------------------------------------------------------------------------- with a server


async def texts(channel: Channel, limit: int = 50) -> list[tuple[str, str]]:
    add = await channel.history(limit)
    return [(message.name or message.role.value, message.text) for message in add.messages]


@pytest.mark.sockets
async def test_a_chain_that_was_told_is_not_read() -> None:
    """What events and our own writes told is known: mention, answer, edit, reply; not one read is made."""
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
            add = await texts(channel)

        assert [text for _, text in add] == ["@Tickertape one", "first", "two", "second"]
        assert len(bot.double.transcript.of("GET", "/messages")) == 1
        assert (asked, second) != (turn.key.message, turn.key.message)


@pytest.mark.sockets
async def test_a_deleted_link_ends_the_chain() -> None:
    """Where somebody deleted a message, the chain is what is left, and that is not called truncated."""
    async with bot_at_work() as bot:
        root = bot.double.say(bot.general, "root", author=bot.bob)
        middle = bot.double.say(bot.general, "middle", author=bot.bob, reply_to=root)
        bot.double.remove(bot.general, root)
        bot.ask("well?", reply_to=middle)
        [(_, channel)] = await bot.inbox.wait_for()
        add = await channel.history(50)

        assert ([message.text for message in add.messages], add.truncated) == (["middle"], False)


@pytest.mark.sockets
async def test_a_dm_is_read_once() -> None:
    """A DM's past is read at its first question; after that everything is known."""
    rooms: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        rooms["dm"] = bot.double.world.dm(bot.ada)
        for number in range(60):
            bot.double.say(rooms["dm"], f"old {number}", author=bot.ada, quiet=True)

    async with bot_at_work(prepare=prepare) as bot:
        bot.double.say(rooms["dm"], "first", author=bot.ada)
        [(_, channel)] = await bot.inbox.wait_for()
        add = await channel.history(20)
        assert ([m.text for m in add.messages], add.truncated) == ([f"old {n}" for n in range(40, 60)], True)
        await channel.post(Body("answer"), "key")
        bot.double.say(rooms["dm"], "second", author=bot.ada)
        _, (_, channel) = await bot.inbox.wait_for(2)

        assert [text for _, text in await texts(channel, 3)] == ["old 59", "first", "answer"]
        assert len(bot.double.transcript.of("GET", "/messages")) == 1
        assert len((await channel.history(150)).messages) == 62
        assert bot.double.limited == []


@pytest.mark.sockets
async def test_a_thread_begins_with_the_message_it_was_made_from() -> None:
    """A thread's history starts with the message in the channel that it hangs on."""
    rooms: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        starter = bot.double.say(bot.general, "the server is down", author=bot.bob, quiet=True)
        rooms["thread"] = bot.double.world.thread(bot.general, starter=starter)
        bot.double.say(rooms["thread"], "", author=bot.bob, quiet=True, type=21)
        bot.double.say(rooms["thread"], "since noon", author=bot.bob, quiet=True)

    async with bot_at_work(prepare=prepare) as bot:
        bot.ask("why?", channel=rooms["thread"])
        [(_, channel)] = await bot.inbox.wait_for()
        add = await channel.history(50)

        assert [message.text for message in add.messages] == ["the server is down", "since noon"]
        assert not add.truncated
        await channel.history(50)
        assert len(bot.double.transcript.of("GET", "/messages")) == 2


@pytest.mark.sockets
@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.RESET_BEFORE, Kind.GARBLED])
async def test_a_failed_read_costs_no_answer(kind: Kind) -> None:
    """Where history cannot be read, what is known is told, and that it is not all."""
    async with bot_at_work() as bot:
        dm = bot.double.world.dm(bot.ada)
        bot.double.say(dm, "hidden", author=bot.ada, quiet=True)
        bot.double.say(dm, "first", author=bot.ada)
        bot.double.say(dm, "second", author=bot.ada)
        _, (_, channel) = await bot.inbox.wait_for(2)
        bot.double.faults.add("GET", "/messages", kind, times=99)
        add = await channel.history(50)

        assert ([message.text for message in add.messages], add.truncated) == (["first"], True)
        assert add.unread


@pytest.mark.sockets
async def test_a_server_without_lists_is_read_one_by_one() -> None:
    """A server that knows single messages only still gives a chain."""
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
    async with bot_at_work(change=lambda options: replace(options, read_seconds=1.0)) as bot:
        last = bot.double.say(bot.general, "0", author=bot.bob, quiet=True)
        for number in range(1, 9):
            last = bot.double.say(bot.general, str(number), author=bot.bob, reply_to=last, quiet=True)
        bot.double.missing = "/messages$"
        bot.ask("well?", reply_to=last)
        [(_, channel)] = await bot.inbox.wait_for()
        add = await channel.history(50)

        assert [message.text for message in add.messages][-5:] == ["4", "5", "6", "7", "8"]
        assert (add.truncated, bot.double.limited) == (True, [])


@pytest.mark.sockets
async def test_images_of_the_conversation_are_told() -> None:
    """What was attached to earlier messages goes along; what cannot be had is named."""
    async with serving() as files, bot_at_work(file_hosts=frozenset({files.address})) as bot:
        dm = bot.double.world.dm(bot.ada)
        attachments = [{"id": "1", "filename": "a.png", "content_type": "image/png", "url": f"{files.address}/a.png"}]
        gone = [{"id": "2", "filename": "b.png", "content_type": "image/png", "url": f"{files.address}/gone"}]
        bot.double.say(dm, "look", author=bot.ada, attachments=attachments)
        bot.double.say(dm, "and", author=bot.ada, attachments=gone)
        bot.double.say(dm, "well?", author=bot.ada)
        *_, (_, channel) = await bot.inbox.wait_for(3)
        add = await channel.history(10)

        assert [message.parts for message in add.messages] == [
            (Text("look"), Image("a.png", "image/png", png(5, 5))),
            (Text("and"), OmittedAttachment("b.png", NOT_THERE)),
        ]
