"""Files in Discord: the rest of a long answer, and long code, through the real client to the loopback server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from adapters.discord.events.parse import parse_posted
from adapters.discord.messages.channel import DiscordChannel
from bot.backoff import Backoff
from bot.conversation import Finish, FinishReason, Role, Text
from bot.delivery.policy import WritePolicy
from bot.errors import Forbidden, InvalidRequest
from bot.ports import Body, UnfinishedTurn, Upload
from bot.strings import Strings
from tests.servers.discord import FILE_LIMIT, DiscordDouble
from tests.servers.limits import Kind
from tests.support.core import ended
from tests.support.discord import Bot, bot_at_work, process
from tests.support.fakes import FakeJournal, ScriptedModel

pytestmark = pytest.mark.sockets

PROSE = "".join(f"Sentence number {number} says something. " for number in range(220))  # about 8,000 characters
CODE = "".join(f"print({number}, 'é')\n" for number in range(150))
NOTE = f"-# {Strings().rest}"
SMALL = WritePolicy(max_messages=2, backoff=Backoff(0.05, 0.1))


@asynccontextmanager
async def answered(
    text: str, prepare: Callable[[Bot], object] = lambda bot: None
) -> AsyncIterator[tuple[Bot, FakeJournal]]:
    """One question, answered whole."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot = Bot(double)
    prepare(bot)
    model = ScriptedModel([Text(text), Finish(FinishReason.STOP)])
    async with double.running(), process(bot, model, journal, writing=SMALL):
        bot.ask("tell me")
        await ended(journal)
        yield bot, journal


def read(bot: Bot) -> tuple[list[str], list[tuple[str, str]]]:
    """The texts of the bot's messages, and the files of all."""
    ours = [m for m in bot.double.world.messages[bot.general].values() if m["author"]["id"] == bot.double.world.bot]
    named = [each["filename"] for m in ours for each in m["attachments"]]
    files = [(name, data.decode()) for m in ours for name, data in bot.double.files.get(m["id"], [])]
    assert [name for name, _ in files] == named
    return [m["content"] for m in ours], files


async def test_the_rest_is_attached() -> None:
    """Two messages, then one with a line and a file; together they are the answer."""
    async with answered(PROSE) as (bot, _):
        texts, [(name, text)] = read(bot)
        assert (len(texts), texts[-1]) == (3, NOTE)
        assert name.startswith("answer-")
        assert name.endswith(".md")
        assert " ".join([*texts[:-1], text]).split() == PROSE.split()
        assert not bot.double.limited


async def test_long_code_is_attached_beside_the_messages() -> None:
    """The whole block as a file of its language, byte for byte."""
    async with answered(f"Look:\n\n```python\n{CODE}```\n") as (bot, _):
        texts, [(name, text)] = read(bot)
        assert (text, name.endswith(".py")) == (CODE, True)
        assert texts[-1] == f"-# {Strings().code}"


def unattachable(bot: Bot) -> None:
    bot.double.unattachable.add(bot.general)


def losing(bot: Bot) -> None:
    bot.double.loses_files = True


def too_large(bot: Bot) -> None:
    bot.double.faults.add("POST", "/messages", Kind.STATUS, nth=3, status=413, body=b'{"code": 40005}')


def failing(bot: Bot) -> None:
    bot.double.faults.add("POST", "/messages", Kind.STATUS, nth=3, status=500, times=4)


@pytest.mark.parametrize("prepare", [unattachable, losing, too_large, failing])
async def test_where_files_do_not_go_up(prepare: Callable[[Bot], object]) -> None:
    """The answer ends at its last message and says so, without a word of a file; no further message is posted."""
    async with answered(PROSE, prepare) as (bot, _):
        texts, files = read(bot)
        said, line, after = " ".join(texts).partition(f"\n\n-# {Strings().limit}")
        assert (files, len(texts), bool(line), after) == ([], 2, True, "")
        words = said.split()
        assert len(words) > 400
        assert words == PROSE.split()[: len(words)]
        assert not bot.double.limited


@pytest.mark.parametrize("kind", [Kind.RESET_BEFORE, Kind.RESET_AFTER, Kind.GARBLED, Kind.STATUS])
async def test_one_file_whatever_becomes_of_its_post(kind: Kind) -> None:
    """A post with a file and a lost response exists once."""
    async with answered(PROSE, lambda bot: bot.double.faults.add("POST", "/messages", kind, nth=3)) as (bot, _):
        texts, files = read(bot)
        assert (len(texts), len(files), texts[-1]) == (3, 1, NOTE)
        assert " ".join([*texts[:-1], files[0][1]]).split() == PROSE.split()


async def test_what_does_not_go_up_is_not_tried_again_at_once() -> None:
    """After a rejected file, later answers in this channel use messages only; other channels keep files."""
    async with bot_at_work() as bot:
        bot.double.unattachable.add(bot.general)
        bot.ask("one")
        [(_, channel)] = await bot.inbox.wait_for()
        assert channel.caps.files == FILE_LIMIT
        with pytest.raises(Forbidden):
            await channel.post(Body("look", files=(Upload("a.txt", "x"),)), "key1")
        bot.ask("two")
        bot.double.say(bot.double.world.dm(bot.bob), "three", author=bot.bob)
        _, (_, second), (_, third) = await bot.inbox.wait_for(3)
        assert (channel.caps.files, second.caps.files, third.caps.files) == (0, 0, FILE_LIMIT)
        with pytest.raises(InvalidRequest):
            await third.post(Body("look", files=(Upload("a.txt", "x" * (FILE_LIMIT + 1)),)), "key2")


async def test_the_file_of_an_earlier_process_does_not_stay() -> None:
    """A message of an earlier process is edited to have no files; one of this process is left as it is."""
    async with bot_at_work() as bot:
        asked = bot.ask("one")
        [(turn, channel)] = await bot.inbox.wait_for()
        first = await channel.post(Body("text"), "key1")
        second = await channel.post(Body("look", files=(Upload("a.txt", "x"),)), "key2")
        await channel.edit(first, Body("text"))
        state = bot.state
        event = parse_posted(bot.double.world.event(bot.double.world.messages[bot.general][asked]), state.client)
        unfinished = UnfinishedTurn(turn.key, "", (first, second))
        later = DiscordChannel(state, event, conversation="c", unfinished=unfinished)
        await later.edit(first, Body("text!"))
        await later.edit(second, Body("more text"))
        await later.edit(second, Body("more text!"))
        edits = bot.double.transcript.of("PATCH")
        assert ["attachments" in edit.body for edit in edits] == [False, False, True, False]
        assert bot.double.world.messages[bot.general][second]["attachments"] == []


async def test_the_next_question_knows_the_rest() -> None:
    """The next prompt contains the text of the file as part of the answer, without our notice and without the file."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot = Bot(double)
    model = ScriptedModel([Text(PROSE), Finish(FinishReason.STOP)])
    async with double.running(), process(bot, model, journal, writing=SMALL):
        bot.ask("tell me")
        await ended(journal)
        answer = double.shown(bot.general)[1]
        bot.ask("and?", reply_to=answer.id)
        await ended(journal, 2)
    messages = model.calls[-1][1].messages
    said = [message for message in messages if message.role is Role.ASSISTANT]
    assert [message.text.split() for message in said] == [PROSE.split()]
    assert all(isinstance(part, Text) for message in said for part in message.parts)
