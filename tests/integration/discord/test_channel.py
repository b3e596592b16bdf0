"""Writing in Discord: the channel contract and Discord's own rules, with real discord.py on loopback."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.errors import Failure, Forbidden, NotFound, OutcomeUnknown, RateLimited, ServiceError
from bot.ports import Body, Verb
from tests.contracts.channel import PROMISES, Promise, name_of, play
from tests.servers.limits import Kind
from tests.support.discord import bot_at_work, discord_stage

pytestmark = pytest.mark.sockets


@pytest.mark.quick
@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
async def test_contract(promise: Promise) -> None:
    """The Discord channel keeps every promise of the port."""
    async with discord_stage() as stage:
        await play(promise, stage)
        assert stage.bot.double.limited == []


async def test_an_answer_replies_to_its_question_and_pings_only_the_asker() -> None:
    """The first message pings only the asker. Later messages and edits ping nobody, also not users in the text."""
    async with bot_at_work() as bot:
        asked = bot.ask("hi")
        [(turn, channel)] = await bot.inbox.wait_for()
        text = f"@everyone @here <@{bot.bob}> <@&{bot.role}>"
        first = await channel.post(Body(text), f"{turn.key.digest}1")
        second = await channel.post(Body(text), f"{turn.key.digest}2")
        await channel.edit(first, Body(text + "!"))

        posts = bot.double.posts
        assert (posts[first].pinged, posts[second].pinged) == (frozenset({bot.ada}), frozenset())
        assert [shown.reply_to for shown in bot.double.shown(bot.general)] == [None, asked, asked]
        [edit] = bot.double.transcript.of("PATCH")
        assert {"content", "allowed_mentions", "tts"} >= set(edit.body)
        assert edit.body["allowed_mentions"] == {"parse": []}
        assert bot.double.transcript.of("GET", "/messages") == []


async def test_a_reply_to_a_deleted_question_is_posted_all_the_same() -> None:
    """When the question is gone before the first write, the answer stands without a reply."""
    async with bot_at_work() as bot:
        asked = bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        bot.double.remove(bot.general, asked)
        await channel.post(Body("hello"), "key")

        assert [(shown.text, shown.reply_to) for shown in bot.double.shown(bot.general)] == [("hello", None)]


@pytest.mark.parametrize("kind", [Kind.RESET_BEFORE, Kind.RESET_AFTER, Kind.GARBLED])
async def test_a_post_that_was_lost_is_made_again_once(kind: Kind) -> None:
    """However its answer was lost, the same post with the same key leaves one message."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        bot.double.faults.add("POST", "/messages", kind)
        with pytest.raises(OutcomeUnknown):
            await channel.post(Body("hello"), "key")
        await channel.post(Body("hello"), "key")

        assert bot.double.answers(bot.general) == ["hello"]


async def test_a_stalled_write_is_unanswered_in_time() -> None:
    """A server without a response costs one write timeout, and the next write succeeds."""
    async with bot_at_work(change=lambda options: replace(options, write_seconds=2.0)) as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        message = await channel.post(Body("one"), "key")
        bot.double.faults.add("PATCH", "/messages", Kind.STALL_BEFORE)
        with pytest.raises(OutcomeUnknown):
            await channel.edit(message, Body("two"))
        await channel.edit(message, Body("three"))

        assert bot.double.answers(bot.general) == ["three"]


async def test_discord_py_neither_waits_nor_sends_again() -> None:
    """Five edits fill a window without a wait. The sixth is sent once and rejected at once with its delay."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        message = await channel.post(Body("0"), "key")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(1, 6):
            await channel.edit(message, Body(str(number)))
        with pytest.raises(RateLimited) as limited:
            await channel.edit(message, Body("6"))

        took = loop.time() - began
        assert limited.value.retry_after is not None
        assert 5.0 - took - 0.5 < limited.value.retry_after <= 5.0
        assert (limited.value.is_global, len(bot.double.transcript.of("PATCH"))) == (False, 6)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524])
async def test_a_server_error_is_sent_once(status: int) -> None:
    """discord.py would sleep and send the old text again; it does not get to."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        bot.double.faults.add("POST", "/messages", Kind.STATUS, status=status, times=9)
        with pytest.raises(OutcomeUnknown):
            await channel.post(Body("one"), "key")

        assert len(bot.double.transcript.of("POST", "/messages")) == 1


async def test_the_global_limit_is_everywhere() -> None:
    """A global 429 is reported as global, and does not keep discord.py from sending the next request."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        body = b'{"message": "limited", "retry_after": 30.0, "global": true}'
        headers = {"Via": "1.1 google", "X-RateLimit-Global": "true"}
        bot.double.faults.add("POST", "/messages", Kind.STATUS, status=429, headers=headers, body=body)
        with pytest.raises(RateLimited) as limited:
            await channel.post(Body("one"), "key")
        await channel.post(Body("one"), "key")

        assert (limited.value.is_global, limited.value.retry_after) == (True, 30.0)


async def test_a_stale_connection_is_worth_another_try_at_once() -> None:
    """A reset on a kept-alive connection asks for another try without a delay."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        await channel.post(Body("one"), "key")
        bot.double.faults.add("PATCH", "/messages", Kind.RESET_BEFORE)
        [answer] = [shown.id for shown in bot.double.shown(bot.general) if shown.text == "one"]
        with pytest.raises(OutcomeUnknown) as unanswered:
            await channel.edit(answer, Body("two"))

        assert unanswered.value.retry_after == 0.0


async def test_headers_steer_the_budget() -> None:
    """The budget follows the rate-limit headers of responses."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        window, everything = channel.budgets(Verb.POST)
        loop = asyncio.get_running_loop()
        for number in range(5):
            window.spend(loop.time())
            await channel.post(Body(str(number)), f"key{number}")
            window.record_response(loop.time())

        wait = window.ready_at(loop.time(), final=True) - loop.time()
        assert 3.0 < wait <= 5.1
        assert everything.ready_at(loop.time(), final=True) <= loop.time()


async def test_typing_shows_once_for_all_and_fails_nothing() -> None:
    """Two turns in one channel send typing once; a server without it is no error, and it ends when cancelled."""
    async with bot_at_work() as bot:
        bot.ask("one")
        bot.ask("two")
        (_, first), (_, second) = await bot.inbox.wait_for(2)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(channel.show_working()) for channel in (first, second)]
            await bot.double.transcript.wait_for("POST", "/typing")
            await first.post(Body("one"), "key")
            for task in tasks:
                task.cancel()
        assert len(bot.double.transcript.of("POST", "/typing")) == 1

        bot.double.missing = "/typing"
        dm = bot.double.world.dm(bot.bob)
        bot.double.say(dm, "hello", author=bot.bob)
        _, third = (await bot.inbox.wait_for(3))[-1]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(third.show_working())
            await bot.double.transcript.wait_for("POST", "/typing", count=2)
            await third.post(Body("hello"), "key")
            assert not task.done()
            task.cancel()


async def test_typing_gives_way_to_what_is_said() -> None:
    """Where the bot is busy writing, no typing is sent, though there would be leave for it; later it is."""
    async with bot_at_work() as bot:
        bot.ask("one")
        ((_, channel),) = await bot.inbox.wait_for(1)
        everything, loop = channel.budgets(Verb.POST)[1], asyncio.get_running_loop()
        for _ in range(30):
            everything.spend(loop.time())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(channel.show_working())
            await channel.post(Body("one"), "key")
            assert everything.ready_at(loop.time(), final=False) <= loop.time()
            assert not bot.double.transcript.of("POST", "/typing")
            for _ in range(30):
                everything.record_response(loop.time())
            await bot.double.transcript.wait_for("POST", "/typing")
            task.cancel()


async def test_a_closed_client_is_no_place_to_write() -> None:
    """After `close`, a write fails as one without effect."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        await bot.platform.close()
        with pytest.raises(ServiceError):
            await channel.post(Body("late"), "key")


async def test_a_channel_that_is_gone() -> None:
    """A deleted channel raises `NotFound`."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        del bot.double.world.channels[bot.general]
        with pytest.raises(NotFound):
            await channel.post(Body("late"), "key")


HTML = {"Content-Type": "text/html; charset=UTF-8"}
PAGE = b"<html><title>Sorry, you have been blocked</title></html>"


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_proxys_page_is_worth_another_try(status: int) -> None:
    """A post rejected with an HTML page may be repeated: the page is not Discord's answer."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        bot.double.faults.add("POST", "/messages", Kind.STATUS, status=status, headers=HTML, body=PAGE)
        with pytest.raises(OutcomeUnknown):
            await channel.post(Body("one"), "key")
        await channel.post(Body("one"), "key")

        assert bot.double.answers(bot.general) == ["one"]


@pytest.mark.parametrize(
    ("method", "status", "expected"), [("PATCH", 404, NotFound), ("PATCH", 403, Forbidden), ("POST", 403, Forbidden)]
)
async def test_a_small_servers_refusal_without_json(method: str, status: int, expected: type[Failure]) -> None:
    """Without JSON, a small server's 404 on a message and its 403 still count."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        message = await channel.post(Body("one"), "key1")
        bot.double.faults.add(
            method, "/messages", Kind.STATUS, status=status, headers={"Content-Type": "text/plain"}, body=b"no"
        )
        with pytest.raises(expected):
            await (channel.edit(message, Body("two")) if method == "PATCH" else channel.post(Body("two"), "key2"))
