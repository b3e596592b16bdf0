"""Questions and answers after a crash: journalled, recovered, found and never doubled."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.connector import Connection
from discord.gateway import KeepAliveHandler

from adapters.discord import DiscordOptions
from adapters.discord.events.codec import dump
from adapters.discord.events.message import BotIdentity, ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import MessagePosted
from adapters.discord.history.lost_posts import is_deleted
from adapters.discord.messages.channel import DiscordChannel
from adapters.discord.rate_limits import MAX_CONCURRENT_LOOKUPS
from bot.conversation import Text, TurnKey
from bot.errors import Failure, NotFound, OutcomeUnknown
from bot.ports import Body, UnfinishedTurn, Verb
from tests.servers.discord import DiscordDouble, Post
from tests.servers.limits import Kind
from tests.support.discord import Bot, bot_at_work, options_for, platform_at_work, process, sharing
from tests.support.fakes import FakeJournal, ScriptedModel, answer_of, words
from tests.support.waiting import until

NONCE_SECONDS = DiscordOptions("").nonce_seconds
LONG_AGO = NONCE_SECONDS + 60.0

Json = dict[str, Any]


def stored(data: Json, channel: ChannelInfo, *, asks: bool) -> str:
    """A question as a process writes it to its journal."""
    message = DiscordMessage(data["id"], data["channel_id"], data["author"]["id"])
    return dump(MessagePosted(message, channel, BotIdentity("9"), data), asks=asks)


def event_of(bot: Bot, message: str, channel: str = "") -> Json:
    """A message as the gateway told of it."""
    return bot.double.world.event(bot.double.world.messages[channel or bot.general][message])


def record_of(
    bot: Bot,
    message: str,
    *,
    channel: str = "",
    messages: Sequence[str] = (),
    age: float = LONG_AGO,
    asks: bool = True,
) -> UnfinishedTurn:
    """The journal's record of a question received by an earlier process, in #general or `channel`."""
    channel = channel or bot.general
    place = ChannelInfo(channel, ChannelKind.CHANNEL, category=bot.category)
    event = stored(event_of(bot, message, channel), place, asks=asks)
    return UnfinishedTurn(TurnKey("discord", bot.guild, channel, message), event, tuple(messages), age)


# ------------------------------------------------------------------------------------------------ receiving and leaving


@pytest.mark.sockets
async def test_a_question_is_journalled_before_its_turn() -> None:
    """Every possible question is journalled first, with its key; other messages are not."""
    async with bot_at_work() as bot:
        asked = bot.ask("hi")
        bot.double.say(bot.general, "just talking", author=bot.bob)
        await bot.settled()

        key = TurnKey("discord", bot.guild, bot.general, asked)
        assert [key for key, _ in bot.inbox.received if key.channel == bot.general] == [key]


@pytest.mark.sockets
async def test_a_message_for_others_is_dismissed_after_the_look_up() -> None:
    """A message in another's thread is journalled, looked up and dismissed."""
    ids: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        ids["thread"] = bot.double.world.thread(bot.general)

    async with bot_at_work(prepare=prepare) as bot:
        bot.double.say(ids["thread"], "talk", author=bot.bob)
        await bot.settled()
        await until(lambda: bool(bot.inbox.dismissed))

        assert [key.channel for key in bot.inbox.dismissed] == [ids["thread"]]
        assert bot.inbox.questions == []


@pytest.mark.sockets
async def test_a_question_deleted_during_its_look_up_is_dismissed() -> None:
    """It is crossed out instead of answered."""
    async with bot_at_work() as bot:
        bot.double.faults.add("GET", "/messages/", Kind.DELAY, seconds=0.3)
        unsaid = {"referenced_message": None, "ping": False}
        answer = bot.double.say(bot.general, "old answer", author=bot.double.world.bot, quiet=True)
        asked = bot.double.say(bot.general, "why?", author=bot.ada, reply_to=answer, **unsaid)  # type: ignore[arg-type]
        await until(lambda: bool(bot.double.faults.fired))
        bot.double.remove(bot.general, asked)
        await until(lambda: bool(bot.inbox.dismissed))

        assert ([key.message for key in bot.inbox.dismissed], bot.inbox.questions) == ([asked], [])


@pytest.mark.sockets
async def test_a_question_during_the_stop_goes_to_the_next_process() -> None:
    """It is journalled at `close` and not earlier: a process already taking over may have answered it."""
    async with bot_at_work() as bot:
        await bot.platform.stop_accepting()
        late = bot.ask("late")
        await bot.double.gateway.settled()
        bot.double.say(bot.general, "talk", author=bot.bob)
        await until(lambda: bot.state.cache.get(bot.general, late) is not None)
        before = list(bot.inbox.received)
        await bot.platform.close()

        assert (before, bot.inbox.questions) == ([], [])
        assert [key.message for key, _ in bot.inbox.received] == [late]


@pytest.mark.sockets
@pytest.mark.parametrize("asks", [True, False])
async def test_an_unfinished_question_becomes_the_same_turn(asks: bool) -> None:
    """A recovered mention is the same turn with today's names, and is not received twice."""
    async with bot_at_work() as bot:
        await bot.platform.close()
        asked = bot.ask("left", quiet=True)
        bot.inbox.unfinished = [record_of(bot, asked, asks=asks)]
        async with platform_at_work(bot):
            [(turn, _)] = await bot.inbox.wait_for()

        assert (turn.key.message, turn.question.parts, turn.question.name) == (asked, (Text("left"),), "Countess")
        assert turn.channel_ids == (bot.general, bot.category)
        assert (bot.inbox.received, bot.inbox.dismissed) == ([], [])


@pytest.mark.sockets
async def test_an_undecided_message_is_looked_up_by_recovery() -> None:
    """Recovery looks up messages an earlier process had not decided."""
    async with bot_at_work() as bot:
        await bot.platform.close()
        talk = bot.double.say(bot.general, "talk", author=bot.bob, quiet=True)
        reply = bot.double.say(bot.general, "indeed", author=bot.ada, reply_to=talk, ping=False, quiet=True)
        bot.inbox.unfinished = [record_of(bot, reply, asks=False)]
        async with platform_at_work(bot):
            await until(lambda: bool(bot.inbox.dismissed))

        assert ([key.message for key in bot.inbox.dismissed], bot.inbox.questions) == ([reply], [])


@pytest.mark.sockets
async def test_unrecoverable_turns_are_dismissed_with_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """An empty event, another message's event and a deleted channel are given up, with one log line each."""
    async with bot_at_work() as bot:
        await bot.platform.close()
        first, second = bot.ask("one", quiet=True), bot.ask("two", quiet=True)
        good = record_of(bot, first)
        gone = ChannelInfo("77", ChannelKind.CHANNEL)
        event = stored({**event_of(bot, first), "channel_id": "77"}, gone, asks=True)
        bot.inbox.unfinished = [
            replace(good, event=""),
            replace(good, key=replace(good.key, message=second)),
            UnfinishedTurn(TurnKey("discord", bot.guild, "77", first), event),
        ]
        async with platform_at_work(bot):
            await until(lambda: len(bot.inbox.dismissed) >= 3)

        assert {key.channel for key in bot.inbox.dismissed} == {bot.general, "77"}
        assert bot.inbox.questions == []
    assert len([record for record in caplog.records if "giving up" in record.message]) == 3


@pytest.mark.sockets
async def test_turns_of_a_draining_process_are_recovered_later() -> None:
    """A draining process leaves turns after our start: recovery repeats its query."""
    async with bot_at_work(change=sharing(recovery_interval_seconds=0.05)) as bot:
        asked = bot.ask("left", quiet=True)
        await bot.settled()
        bot.inbox.unfinished = [record_of(bot, asked)]
        await bot.inbox.wait_for()

        assert bot.inbox.questions == ["left"]


@pytest.mark.sockets
async def test_recovered_channels_are_held_for_one_window() -> None:
    """Its windows are taken for used up, for writes and for reads; those of other channels are not."""
    async with recovered_channel(messages=1, hold_seconds=60.0) as (bot, channel, _):
        dm = bot.double.world.dm(bot.ada)
        bot.double.say(dm, "hi", author=bot.ada)
        _, (_, other) = await bot.inbox.wait_for(2)
        now = asyncio.get_running_loop().time()

        for verb in Verb:
            assert 20.0 < channel.budgets(verb)[0].ready_at(now, final=True) - now <= 60.0
            assert other.budgets(verb)[0].ready_at(now, final=True) <= now


# -------------------------------------------------------------------------------------------------------------- finding


@pytest.mark.sockets
@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("others", [0, 3])
async def test_a_question_deleted_meanwhile_is_not_recovered(others: int, half: bool) -> None:
    """Recovery checks if a question was deleted; its partial answer gets an end, and other questions their answers."""
    async with bot_at_work() as bot:
        await bot.platform.close()
        double = bot.double
        asked = [bot.ask(f"{number}", quiet=True) for number in range(1 + others)]
        gone = asked[len(asked) // 2]
        answers = [str(double.world.message(bot.general, double.world.bot, "half", reply_to=gone)["id"])] * half
        bot.inbox.unfinished = [record_of(bot, one, messages=answers if one == gone else ()) for one in asked]
        del double.world.messages[bot.general][gone]
        async with platform_at_work(bot):
            await bot.inbox.wait_for(others + half)
            await until(lambda: [key.message for key in (bot.inbox.deleted if half else bot.inbox.dismissed)] == [gone])

        assert {turn.key.message for turn, _ in bot.inbox.turns} == {*asked} - ({gone} if not half else set())
        assert list_reads(double) <= 2


@asynccontextmanager
async def recovered_channel(
    *, age: float = LONG_AGO, messages: int = 0, hold_seconds: float = 0.0
) -> AsyncIterator[tuple[Bot, DiscordChannel, str]]:
    """A new process's channel for a question with `messages` known messages of its answer."""
    async with bot_at_work() as bot:
        await bot.platform.close()
        asked = bot.ask("left", quiet=True)
        known = [
            bot.double.world.message(bot.general, bot.double.world.bot, "m", reply_to=asked) for _ in range(messages)
        ]
        bot.inbox.unfinished = [record_of(bot, asked, messages=[str(one["id"]) for one in known], age=age)]
        async with platform_at_work(bot, sharing(recovery_hold_seconds=hold_seconds)(options_for(bot.double))):
            [(_, channel)] = await bot.inbox.wait_for()
            assert isinstance(channel, DiscordChannel)
            # Forget the messages read by recovery, so that later searches read again.
            if not messages:
                bot.state.cache.mark_gap()
                bot.double.transcript.entries.clear()
            yield bot, channel, asked


def add_lost_post(bot: Bot, asked: str, text: str = "half an ans") -> str:
    """A message the earlier process posted without journalling it."""
    double = bot.double
    message = double.world.message(bot.general, double.world.bot, text, reply_to=asked)
    double.posts[message["id"]] = Post(None, frozenset())
    return str(message["id"])


def list_reads(double: DiscordDouble) -> int:
    """How often a list of messages was read."""
    return len(double.transcript.of("GET", "/messages$"))


@pytest.mark.sockets
async def test_a_first_message_is_found_in_the_history() -> None:
    """Minutes later, one read finds our reply to the question among other messages."""
    async with recovered_channel() as (bot, channel, asked):
        other = bot.ask("another", quiet=True)
        add_lost_post(bot, other)
        mine = add_lost_post(bot, asked)
        add_lost_post(bot, other)

        assert await channel.find("key") == mine
        assert await channel.find("key", [mine]) is None
        assert list_reads(bot.double) == 1
        assert bot.double.posts[await channel.post(Body("more"), "key2")].pinged == frozenset()


@pytest.mark.sockets
async def test_a_search_begun_before_a_gap_does_not_stand_for_later_ones() -> None:
    """What was posted between the read and the new session came neither with the one nor the other."""
    async with recovered_channel() as (bot, channel, asked):
        bot.double.faults.add("GET", "/messages$", Kind.LATE, seconds=0.2)
        async with asyncio.TaskGroup() as group:
            search = group.create_task(channel.find("key"))
            await bot.double.transcript.wait_for("GET", "/messages$")
            bot.state.cache.mark_gap()
        assert search.result() is None
        mine = add_lost_post(bot, asked)

        assert await channel.find("key") == mine


@pytest.mark.sockets
async def test_a_check_begun_before_a_gap_does_not_stand_for_later_ones() -> None:
    """The check if a question was deleted reads as a search does."""
    async with recovered_channel() as (bot, channel, asked):
        bot.double.faults.add("GET", "/messages$", Kind.LATE, seconds=0.2)
        async with asyncio.TaskGroup() as group:
            check = group.create_task(is_deleted(bot.state, DiscordMessage(asked, bot.general, bot.ada)))
            await bot.double.transcript.wait_for("GET", "/messages$")
            bot.state.cache.mark_gap()
        assert not check.result()
        mine = add_lost_post(bot, asked)

        assert await channel.find("key") == mine


@pytest.mark.sockets
async def test_a_later_message_is_found_after_those_that_are_known() -> None:
    """The second message of an answer is looked for after the first."""
    async with recovered_channel(messages=1) as (bot, channel, asked):
        [first] = [one.id for one in bot.double.shown(bot.general) if one.reply_to == asked]
        second = add_lost_post(bot, asked)

        assert await channel.find("key", [first]) == second


@pytest.mark.sockets
async def test_a_cached_post_is_found_without_a_read() -> None:
    """Where Discord told of our own message although its post was not answered, nothing is read."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        bot.double.faults.add("POST", "/messages", Kind.RESET_AFTER)
        with pytest.raises(OutcomeUnknown):
            await channel.post(Body("hello"), "key")
        await bot.settled()

        assert await channel.find("key") == bot.double.shown(bot.general)[-1].id
        assert list_reads(bot.double) == 0


@pytest.mark.sockets
async def test_within_minutes_the_nonce_finds_it() -> None:
    """A live answer's recent post is not looked for, but made again; later it is looked for."""
    async with bot_at_work() as bot:
        bot.double.echoes = False
        asked = bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        mine = add_lost_post(bot, asked)
        bot.state.cache.mark_gap()
        assert (await channel.find("key"), list_reads(bot.double)) == (None, 0)
    async with bot_at_work(change=lambda options: replace(options, nonce_seconds=0.0)) as bot:
        bot.double.echoes = False
        asked = bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        mine = add_lost_post(bot, asked)
        bot.state.cache.mark_gap()
        assert (await channel.find("key"), list_reads(bot.double)) == (mine, 1)


@pytest.mark.sockets
@pytest.mark.parametrize("has_history", [True, False])
async def test_a_repeated_post_with_a_known_nonce_is_followed_by_an_edit(has_history: bool) -> None:
    """The repeated post returns the old message: its outcome is unknown, then it is found and edited.

    So it is where a search finds nothing, and nobody is pinged once more.
    """
    async with recovered_channel() as (bot, channel, asked):
        mine = add_lost_post(bot, asked)
        if not has_history:
            plain = {"Content-Type": "text/plain"}
            bot.double.faults.add("GET", "/messages$", Kind.STATUS, times=9, status=404, headers=plain, body=b"none")
            assert await channel.find("key") is None
        bot.double.posts[mine].nonce = "key"
        bot.double.world.messages[bot.general][mine]["components"] = [{"type": 1, "components": [{"custom_id": "x"}]}]

        with pytest.raises(OutcomeUnknown):
            await channel.post(Body("the whole answer"), "key")
        assert await channel.find("key") == mine
        assert bot.double.answers(bot.general) == ["half an ans"]
        await channel.edit(mine, Body("the whole answer"))
        assert (bot.double.answers(bot.general), bot.double.button(bot.general, mine)) == (["the whole answer"], None)
        assert bot.double.posts[await channel.post(Body("more"), "key2")].pinged == frozenset()


@pytest.mark.sockets
async def test_many_recovered_turns_of_one_channel_share_a_read() -> None:
    """The read for the first question tells of the later ones as well, found or not."""
    async with bot_at_work() as bot:
        await bot.platform.close()
        asked = [bot.ask(f"{number}", quiet=True) for number in range(8)]
        last = add_lost_post(bot, asked[-1])
        bot.inbox.unfinished = [record_of(bot, one) for one in asked]
        async with platform_at_work(bot):
            taken = await bot.inbox.wait_for(8)
            looked = await asyncio.gather(*(channel.find("key") for _, channel in taken))
            found = {turn.key.message: one for (turn, _), one in zip(taken, looked, strict=True)}

        assert found == dict.fromkeys(asked) | {asked[-1]: last}
        # One read serves all later questions; the first one recovered need not be the oldest.
        assert (list_reads(bot.double) <= 2, bot.double.limited) == (True, [])


@pytest.mark.sockets
async def test_searches_leave_permits_to_writes() -> None:
    """Where the history does not answer, a few look and wait, the others are told to come again; nobody is stuck."""
    rooms: list[str] = []

    def prepare(bot: Bot) -> None:
        rooms.extend(
            bot.double.world.channel(bot.guild, f"room{number}") for number in range(MAX_CONCURRENT_LOOKUPS + 3)
        )

    async with bot_at_work(prepare=prepare) as bot:
        await bot.platform.close()
        asked = [(room, bot.ask("left", channel=room, quiet=True)) for room in rooms]
        bot.inbox.unfinished = [record_of(bot, one, channel=room) for room, one in asked]
        bot.double.faults.add("GET", "/messages$", Kind.RESET_BEFORE, times=99)
        async with platform_at_work(bot):
            taken = await bot.inbox.wait_for(len(rooms))
            global_limit = taken[0][1].budgets(Verb.POST)[-1]
            looking = asyncio.gather(*(channel.find("key") for _, channel in taken), return_exceptions=True)
            await bot.double.transcript.wait_for("GET", "/messages$", count=5)
            now = asyncio.get_running_loop().time()
            free = global_limit.ready_at(now, final=False) <= now
            results = await looking

        assert free
        assert (
            sorted(str(type(one).__name__) for one in results)
            == ["OutcomeUnknown"] * MAX_CONCURRENT_LOOKUPS + ["RateLimited"] * 3
        )


@pytest.mark.sockets
async def test_a_busy_channel_is_read_page_by_page_and_not_for_ever() -> None:
    """A message among hundreds is found; beyond five pages it is taken not to be there."""
    async with recovered_channel() as (bot, channel, asked):
        for _ in range(230):
            bot.double.say(bot.general, "talk", author=bot.bob, quiet=True)
        mine = add_lost_post(bot, asked)
        assert (await channel.find("key"), list_reads(bot.double)) == (mine, 3)
    async with recovered_channel() as (bot, channel, asked):
        for _ in range(510):
            bot.double.say(bot.general, "talk", author=bot.bob, quiet=True)
        add_lost_post(bot, asked)
        assert (await channel.find("key"), list_reads(bot.double), bot.double.limited) == (None, 5, [])


@pytest.mark.sockets
@pytest.mark.parametrize("status", [500, 503, 403])
async def test_a_failed_search_raises(status: int) -> None:
    """A failed search raises instead of reporting "not found"."""
    async with recovered_channel() as (bot, channel, _):
        bot.double.faults.add("GET", "/messages$", Kind.STATUS, status=status, body=b'{"code": 0, "message": "no"}')
        with pytest.raises(Failure):
            await channel.find("key")


@pytest.mark.sockets
async def test_a_server_without_history_does_not_block_posts() -> None:
    """A server without lists of messages counts as "not found"; a deleted channel raises."""
    async with recovered_channel() as (bot, channel, _):
        bot.double.missing = "/messages$"
        assert await channel.find("key") is None
        bot.double.missing = ""
        plain = {"Content-Type": "text/plain"}
        bot.double.faults.add("GET", "/messages$", Kind.STATUS, status=404, headers=plain, body=b"404: Not Found")
        assert await channel.find("key") is None
        del bot.double.world.channels[bot.general]
        with pytest.raises(NotFound):
            await channel.find("key")


# ---------------------------------------------------------------------------------------------------------------- whole


@pytest.mark.sockets
@pytest.mark.parametrize("age", [0.0, LONG_AGO])
@pytest.mark.parametrize("written_down", [True, False])
@pytest.mark.parametrize("writes", [0, 1, 3])
async def test_a_recovered_answer_continues_in_its_messages(writes: int, written_down: bool, age: float) -> None:
    """Whenever the process died, and whether it knew of its post or not: one answer, whole and no longer live."""
    double = DiscordDouble()
    bot, journal = Bot(double), FakeJournal(durable=True)
    async with double.running():
        async with process(bot, ScriptedModel(words(150)), journal):
            bot.ask("hi")
            await until(lambda: bool(journal.entries))
            await until(lambda: len(double.transcript.of(path="/messages")) >= writes)
        if not written_down:
            for messages in journal.answers.values():
                messages.clear()
        double.remembers_nonces = age < NONCE_SECONDS
        journal = FakeJournal(of=journal)
        journal.age = age
        script = words(30, rate=100.0)
        async with process(bot, ScriptedModel(script), journal) as turns:
            await until(lambda: bool(journal.ends))
            await turns.idle()

        [answer] = [shown for shown in double.shown(bot.general) if shown.author == "Tickertape"]
        assert answer.text == answer_of(script).strip()
        assert (double.stop_button(bot.general, answer.id), double.limited) == (None, [])


@pytest.mark.sockets
async def test_an_unknown_surplus_message_is_deleted() -> None:
    """A shorter new answer deletes a surplus message of the old one, however young."""
    double = DiscordDouble()
    bot, journal = Bot(double), FakeJournal(durable=True)
    async with double.running():
        async with process(bot, ScriptedModel(words(400, rate=4000.0, finish=None)), journal):
            bot.ask("hi")
            await double.until(lambda: len(double.answers(bot.general)) == 2)
        for messages in journal.answers.values():
            del messages[1:]
        journal, script = FakeJournal(of=journal), words(30, rate=100.0)
        async with process(bot, ScriptedModel(script), journal) as turns:
            await until(lambda: bool(journal.ends))
            await turns.idle()

        assert (double.answers(bot.general), double.limited) == ([answer_of(script).strip()], [])


@pytest.mark.sockets
async def test_an_unknown_message_of_a_direct_answer_is_found() -> None:
    """The journal missed its second message, and a read of the history before the question does not bring it."""
    double = DiscordDouble()
    bot, journal = Bot(double), FakeJournal(durable=True)
    dm = double.world.dm(bot.ada)
    async with double.running():
        async with process(bot, ScriptedModel([*words(400, rate=4000.0, finish=None), 9.0]), journal):
            double.say(dm, "hi", author=bot.ada)
            await double.until(lambda: len(double.answers(dm)) == 2)
        for messages in journal.answers.values():
            del messages[1:]
        double.remembers_nonces = False
        # The check if the question was deleted reads what follows it; the history's read ends before.
        double.faults.add("GET", "/messages$", Kind.DELAY, seconds=0.5)
        journal, script = FakeJournal(of=journal), words(400, rate=4000.0)
        async with process(bot, ScriptedModel(script), journal) as turns:
            await until(lambda: bool(journal.ends))
            await turns.idle()

        assert (" ".join(double.answers(dm)), double.limited) == (answer_of(script).strip(), [])


@pytest.mark.sockets
@pytest.mark.parametrize("how", ["reconnect", "invalid", "reset"])
async def test_a_live_answer_outlives_its_gateway(how: str) -> None:
    """An answer under way is finished, its window still counted, and a replayed event asks nothing again."""
    double = DiscordDouble()
    bot, journal, script = Bot(double), FakeJournal(), words(100, rate=50.0)
    async with double.running(), process(bot, ScriptedModel(script), journal):
        bot.ask("hi", times=2)
        await double.until(lambda: bool(double.answers(bot.general)))
        match how:
            case "reconnect":
                await double.gateway.reconnect()
            case "invalid":
                await double.gateway.invalidate(resumable=False)
            case _:
                double.gateway.abort_all()
        await until(lambda: bool(journal.ends))

        assert double.answers(bot.general) == [answer_of(script).strip()]
        assert (len(journal.entries), double.limited) == (1, [])


@pytest.mark.sockets
async def test_reconnect_attempts_become_rare_during_an_outage() -> None:
    """Reconnect attempts become rare; then the session resumes, and questions asked meanwhile arrive."""
    async with bot_at_work() as bot:
        gateway = bot.double.gateway
        gateway.refuse_with = 4000
        gateway.abort_all()
        bot.ask("meanwhile")
        before, began = gateway.connections, asyncio.get_running_loop().time()
        await until(lambda: gateway.connections >= before + 4)
        seconds = asyncio.get_running_loop().time() - began
        gateway.refuse_with = None
        await bot.inbox.wait_for()

        assert seconds >= 1.5  # after 0, 0.5 to 1, and 1 to 2 s
        assert (bot.inbox.questions, len(gateway.resumes)) == (["meanwhile"], 1)


def heartbeats() -> set[threading.Thread]:
    """The heartbeat threads of all connections."""
    return {thread for thread in threading.enumerate() if isinstance(thread, KeepAliveHandler)}


@pytest.mark.sockets
async def test_no_heartbeat_outlives_its_connection() -> None:
    """A connection given up between HELLO and IDENTIFY leaves no heartbeat thread."""
    async with bot_at_work() as bot:
        before = heartbeats()
        await bot.double.gateway.invalidate(resumable=False)
        await until(lambda: bool(heartbeats() - before))  # the greeting; IDENTIFY follows 5 s later
        begun = heartbeats()

    assert begun
    for thread in begun:
        thread.join(timeout=60.0)
    assert not any(thread.is_alive() for thread in begun)


@pytest.mark.sockets
@pytest.mark.parametrize("how", ["in the greeting", "closed", "aborted", "asked to go"])
async def test_no_connection_is_left_to_the_garbage_collector(how: str) -> None:
    """Every connection is closed by us and not by the garbage collector, whose warning would fail the test."""
    async with bot_at_work() as bot:
        gateway = bot.double.gateway
        before = heartbeats()
        match how:
            case "in the greeting":
                await gateway.invalidate(resumable=False)
            case "closed":
                await gateway.close_all(4000)
            case "aborted":
                gateway.abort_all()
            case _:
                await gateway.reconnect()
        # The greeting; where the session is a new one, IDENTIFY follows 5 s later.
        await until(lambda: bool(heartbeats() - before))
    left = [each for each in gc.get_objects() if isinstance(each, Connection) and each.protocol is not None]
    assert not left
