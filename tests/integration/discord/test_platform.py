"""The whole platform with real discord.py on loopback: who gets an answer, and staying connected."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route

from adapters.discord import DiscordOptions, DiscordPlatform, check, file_hosts
from adapters.discord.connection import EVENTS_PER_ITERATION
from adapters.shared.attachments import AttachmentLimits, Attachments
from bot.conversation import Author, Text
from bot.errors import Forbidden
from bot.ports import Body
from tests.servers.discord import DiscordDouble
from tests.servers.limits import Kind
from tests.support.discord import Bot, bot_at_work, options_for, platform_at_work
from tests.support.inbox import RecordingInbox
from tests.support.waiting import until

pytestmark = pytest.mark.sockets

DRAIN_SECONDS = 0.5


# ------------------------------------------------------------------------------------------------------ who is answered


@pytest.mark.quick
async def test_a_mention_is_a_turn() -> None:
    """A mention becomes a turn with every field the core needs, without any read."""
    async with bot_at_work() as bot:
        asked = bot.ask("what is up?")
        [(turn, _)] = await bot.inbox.wait_for()

        assert turn.key.platform == "discord"
        assert (turn.key.workspace, turn.key.channel, turn.key.message) == (bot.guild, bot.general, asked)
        assert turn.author == Author(bot.ada, "Countess", frozenset({bot.role}))
        assert (turn.question.text, turn.question.name) == ("what is up?", "Countess")
        assert turn.channel_ids == (bot.general, bot.category)
        assert not turn.direct
        assert bot.double.transcript.of("GET", "/channels") == []


async def test_a_burst_of_questions_leaves_the_loop_to_others_in_between() -> None:
    """However many events are received at once, only a few are handled in one iteration of the event loop."""
    async with bot_at_work() as bot:
        handled = [0]
        for number in range(200):
            bot.ask(f"q{number}")
        while handled[-1] < 200:
            await asyncio.sleep(0)
            handled.append(len(bot.inbox.received))

        assert max(after - before for before, after in itertools.pairwise(handled)) <= EVENTS_PER_ITERATION


async def test_who_gets_no_answer() -> None:
    """Talk of others, other bots, webhooks, the system, edits and our own echo ask nothing."""
    async with bot_at_work() as bot:
        other = bot.double.world.user("Other", bot=True)
        talk = bot.double.say(bot.general, "just talking", author=bot.ada)
        bot.double.say(bot.general, "and replying", author=bot.bob, reply_to=talk)
        bot.ask("I am a bot", author=other)
        bot.ask("I am a hook", webhook_id="123")
        bot.ask("I pinned something", type=6)
        bot.double.revise(bot.general, talk, f"{bot.me} an edit")
        bot.double.say(bot.general, f"{bot.me} said I", author=bot.double.world.bot)
        bot.double.say(bot.general, "@everyone look", author=bot.ada, mention_everyone=True)
        await bot.settled()

        assert bot.inbox.questions == []


@pytest.mark.quick
async def test_a_reply_to_one_of_our_messages_asks() -> None:
    """A reply to any message of an answer asks, pinging or not, and belongs to the same conversation."""
    async with bot_at_work() as bot:
        bot.ask("first")
        [(first, channel)] = await bot.inbox.wait_for()
        one = await channel.post(Body("part one"), "key1")
        two = await channel.post(Body("part two"), "key2")
        bot.double.say(bot.general, "second", author=bot.bob, reply_to=one, ping=False)
        bot.double.say(bot.general, "third", author=bot.bob, reply_to=two)
        turns = await bot.inbox.wait_for(3)

        assert bot.inbox.questions == ["first", "second", "third"]
        assert {turn.conversation for turn, _ in turns} == {first.conversation}
        assert bot.double.transcript.of("GET", "/channels") == []


async def test_mentions_that_are_no_replies_are_conversations_of_their_own() -> None:
    """Two mentions in one channel run side by side; a reply with a mention joins the conversation it replies to."""
    async with bot_at_work() as bot:
        one = bot.ask("one")
        bot.ask("two")
        bot.ask("three", reply_to=one)
        turns = await bot.inbox.wait_for(3)

        asked = {turn.question.text: turn.conversation for turn, _ in turns}
        first, second, third = (asked[text] for text in ("one", "two", "three"))
        assert (first == third, first != second) == (True, True)


async def test_a_reply_after_a_restart() -> None:
    """A new process knows its predecessor's message by the event alone, or by one read where the event says nothing."""
    async with bot_at_work() as bot:
        bot.ask("first")
        [(_, channel)] = await bot.inbox.wait_for()
        answer = await channel.post(Body("answer"), "key")
        talk = bot.double.say(bot.general, "talk", author=bot.bob)
        await bot.platform.close()
        async with platform_at_work(bot):
            bot.double.say(bot.general, "second", author=bot.ada, reply_to=answer, ping=False)
            await bot.inbox.wait_for(2)
            assert bot.double.transcript.of("GET", "/channels") == []
            await bot.platform.close()
        async with platform_at_work(bot):
            unsaid = {"referenced_message": None, "ping": False}
            bot.double.say(bot.general, "to talk", author=bot.ada, reply_to=talk, **unsaid)  # type: ignore[arg-type]
            bot.double.say(bot.general, "third", author=bot.ada, reply_to=answer, **unsaid)  # type: ignore[arg-type]
            await bot.inbox.wait_for(3)

        assert bot.inbox.questions == ["first", "second", "third"]
        assert len(bot.double.transcript.of("GET", "/messages/")) == 2


async def test_a_thread_that_is_ours() -> None:
    """In a thread, everything after a mention asks; before it, and in other threads, nothing does."""
    ids: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        ids["ours"] = bot.double.world.thread(bot.general, "ours")
        ids["theirs"] = bot.double.world.thread(bot.general, "theirs")

    async with bot_at_work(prepare=prepare) as bot:
        bot.double.say(ids["ours"], "before", author=bot.ada)
        bot.double.say(ids["theirs"], "elsewhere", author=bot.ada)
        await bot.settled()
        bot.ask("now", channel=ids["ours"])
        bot.double.say(ids["ours"], "after", author=bot.bob)
        bot.double.say(ids["theirs"], "elsewhere still", author=bot.ada)
        turns = await bot.inbox.wait_for(2)
        await bot.settled()

        assert bot.inbox.questions == ["now", "after"]
        assert {turn.conversation for turn, _ in turns} == {f"discord:{ids['ours']}"}
        assert turns[0][0].channel_ids == (ids["ours"], bot.general, bot.category)
        # Each thread was read once, and messages arriving meanwhile are in order.
        assert len(bot.double.transcript.of("GET", "/messages$")) == 2


@pytest.mark.parametrize("trace", ["mentioned", "answered", "starter"])
async def test_a_thread_is_still_ours_after_a_restart(trace: str) -> None:
    """One read tells a new process if it participates in a thread, including the starter message."""
    ids: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        double = bot.double
        if trace == "starter":
            starter = double.say(bot.general, "an answer", author=double.world.bot, quiet=True)
            ids["thread"] = double.world.thread(bot.general, starter=starter)
            return
        ids["thread"] = double.world.thread(bot.general)
        text, author = (f"{bot.me} hi", bot.ada) if trace == "mentioned" else ("hi", double.world.bot)
        double.say(ids["thread"], text, author=author, quiet=True)

    async with bot_at_work(prepare=prepare) as bot:
        for text in ("one", "two", "three"):
            bot.double.say(ids["thread"], text, author=bot.bob)
        await bot.inbox.wait_for(3)

        assert bot.inbox.questions == ["one", "two", "three"]
        assert len(bot.double.transcript.of("GET", "/messages$")) == 1


async def test_a_thread_that_cannot_be_looked_into() -> None:
    """A server without the endpoint costs no answer to a mention, and nothing else asks."""
    ids: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        ids["thread"] = bot.double.world.thread(bot.general)
        bot.double.missing = "/messages$"

    async with bot_at_work(prepare=prepare) as bot:
        bot.double.say(ids["thread"], "before", author=bot.ada)
        bot.ask("now", channel=ids["thread"])
        bot.double.say(ids["thread"], "after", author=bot.ada)
        await bot.inbox.wait_for(2)

        assert bot.inbox.questions[-2:] == ["now", "after"]


@pytest.mark.quick
async def test_a_direct_message_asks() -> None:
    """A DM is one conversation, and every message in it is a question."""
    async with bot_at_work() as bot:
        dm = bot.double.world.dm(bot.ada)
        bot.double.say(dm, "hi", author=bot.ada)
        bot.double.say(dm, "and?", author=bot.ada)
        turns = await bot.inbox.wait_for(2)

        assert [(t.direct, t.key.workspace, t.channel_ids, t.conversation) for t, _ in turns] == [
            (True, "", (dm,), f"discord:{dm}")
        ] * 2


async def test_our_role_is_mentioned_by_mistake() -> None:
    """A mention of the bot's managed role, easily confused with the bot, counts as a mention."""
    ids: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        ids["role"] = bot.double.world.role(bot.guild, "Tickertape", of_bot=True)

    async with bot_at_work(prepare=prepare) as bot:
        bot.double.say(bot.general, f"<@&{ids['role']}> hi", author=bot.ada)
        bot.double.say(bot.general, f"<@&{bot.role}> hi", author=bot.ada)
        await bot.inbox.wait_for()
        await bot.settled()

        assert bot.inbox.questions == ["hi"]


@pytest.mark.quick
async def test_the_same_event_twice_is_one_question() -> None:
    """An event delivered twice is received once and has no further effect."""
    async with bot_at_work() as bot:
        bot.ask("hi", times=2)
        await bot.settled()

        assert bot.inbox.questions == ["hi"]


async def test_files_are_read_when_the_turn_is_answered() -> None:
    """Attachments are downloaded when the core asks the channel for them, and not before."""
    async with bot_at_work() as bot:
        dm = bot.double.world.dm(bot.ada)
        file = {"id": "1", "filename": "a.zip", "size": 5, "url": "https://cdn.discordapp.com/a.zip"}
        bot.double.say(dm, "look", author=bot.ada, attachments=[file])
        [(question, channel)] = await bot.inbox.wait_for()

        assert question.question.parts == (Text("look"),)
        assert [getattr(part, "name", "") for part in await channel.attachments()] == ["a.zip"]


async def test_quiet_brings_no_more_turns_and_lets_channels_work() -> None:
    """After `quiet`, nothing more is taken in, and live answers are finished."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        await bot.platform.stop_accepting()
        bot.ask("more")
        await bot.double.gateway.settled()
        message = await channel.post(Body("one"), "key")
        await channel.edit(message, Body("done"))

        assert (bot.inbox.questions, bot.double.answers(bot.general)) == (["hi"], ["done"])


async def ask_of_somebody_unknown(bot: Bot) -> None:
    """Ada replies to a message from before the bot's start, with an event without the replied-to message."""
    unsaid = {"referenced_message": None, "ping": False}
    answer = bot.double.say(bot.general, "old answer", author=bot.double.world.bot, quiet=True)
    bot.double.say(bot.general, "looked up", author=bot.ada, reply_to=answer, **unsaid)  # type: ignore[arg-type]
    await until(lambda: bool(bot.double.faults.fired))


async def test_a_look_up_running_at_the_stop_is_finished() -> None:
    """A question received before `stop_accepting` becomes a turn, because Discord does not repeat it.

    later ones do not.
    """
    async with bot_at_work() as bot:
        bot.double.faults.add("GET", "/messages/", Kind.DELAY, seconds=0.5)
        await ask_of_somebody_unknown(bot)
        async with asyncio.TaskGroup() as group:
            group.create_task(bot.platform.stop_accepting())
            await asyncio.sleep(0)
            bot.ask("too late")
        await bot.double.gateway.settled()

        assert bot.inbox.questions == ["looked up"]


async def test_the_stop_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """A hanging look-up delays the stop by `drain_seconds`, and the log counts the unanswered conversations."""
    async with bot_at_work(
        change=lambda options: replace(options, read_seconds=600.0, drain_seconds=DRAIN_SECONDS)
    ) as bot:
        bot.double.faults.add("GET", "/messages/", Kind.STALL_BEFORE, seconds=600.0)
        await ask_of_somebody_unknown(bot)
        await bot.platform.stop_accepting()

        assert bot.inbox.questions == []
    assert [record.args for record in caplog.records if "being looked up" in record.message] == [(1,)]


async def test_closing_leaves_the_attachments_to_their_owner() -> None:
    """Attachments stay readable after `close`: their creator closes them."""

    class StoredQuestion(Attachments):
        closed = False

        async def close(self) -> None:
            self.closed = True

    attachments = StoredQuestion(AttachmentLimits(), hosts=frozenset())
    await DiscordPlatform(DiscordOptions("t"), attachments).close()

    assert not attachments.closed


# ---------------------------------------------------------------------------------------------------- staying connected


async def test_no_class_or_module_is_changed() -> None:
    """Only this client's addresses change, and it asks only for the needed intents."""
    async with bot_at_work() as bot:
        assert Route.BASE == "https://discord.com/api/v10"
        assert str(DiscordWebSocket.DEFAULT_GATEWAY) == "wss://gateway.discord.gg/"
        assert bot.double.gateway.identifies[0]["intents"] == 1 << 0 | 1 << 9 | 1 << 12 | 1 << 15


async def test_the_api_says_where_its_gateway_is() -> None:
    """With a custom API address, the API names the gateway."""
    async with bot_at_work(change=lambda options: replace(options, gateway_url="")) as bot:
        bot.ask("hi")
        await bot.inbox.wait_for()

        assert len(bot.double.transcript.of("GET", "/gateway$")) == 1


async def test_ready_comes_with_ready() -> None:
    """The bot is ready when events arrive, and not ready while the connection is lost."""
    async with bot_at_work() as bot:
        assert bot.platform.ready
        await bot.platform.close()
        assert not bot.platform.ready


@pytest.mark.parametrize("how", ["reconnect", "invalid", "resumable", "close", "reset"])
async def test_a_lost_connection_is_made_again(how: str) -> None:
    """The bot reconnects however the connection ends, and answers questions replayed after it."""
    async with bot_at_work() as bot:
        gateway = bot.double.gateway
        bot.ask("before")
        await bot.inbox.wait_for()
        before = gateway.connections
        match how:
            case "reconnect":
                await gateway.reconnect()
            case "invalid":
                await gateway.invalidate(resumable=False)
            case "resumable":
                await gateway.invalidate(resumable=True)
            case "close":
                await gateway.close_all(4000)
            case _:
                gateway.abort_all()
        if how != "invalid":
            bot.ask("meanwhile")
        await bot.double.until(lambda: gateway.connections > before and gateway.connected > 0)
        await bot.platform.connected()
        bot.ask("after")
        await bot.inbox.wait_for(2 if how == "invalid" else 3)

        assert bot.inbox.questions == ["before", *([] if how == "invalid" else ["meanwhile"]), "after"]
        assert bool(gateway.resumes) is (how != "invalid")


async def test_an_odd_event_is_passed_over() -> None:
    """A malformed event costs a line in the log, not the connection."""
    async with bot_at_work() as bot:
        odd: list[tuple[str, dict[str, Any]]] = [
            ("MESSAGE_CREATE", {"nothing": "here"}),
            ("MESSAGE_CREATE", {"id": "x", "channel_id": bot.general, "author": {"id": "1"}}),
            ("MESSAGE_UPDATE", {"id": "5", "channel_id": bot.general}),
            ("MESSAGE_DELETE", {"id": "5"}),
            ("MESSAGE_DELETE_BULK", {"ids": ["5"], "channel_id": bot.general}),
            ("CHANNEL_CREATE", {"odd": True}),
            ("SOMETHING_NEW", {}),
        ]
        for name, data in odd:
            bot.double.gateway.dispatch(name, data)
        bot.ask("still there?")
        await bot.inbox.wait_for()

        assert (bot.inbox.questions, bot.double.gateway.connections) == (["still there?"], 1)


async def refusal(bot: DiscordDouble, options: DiscordOptions) -> str:
    """The error raised by `run`."""
    platform = DiscordPlatform(options, Attachments(AttachmentLimits(), hosts=file_hosts(options)))
    try:
        with pytest.raises(Forbidden) as forbidden:
            await platform.run(RecordingInbox())
    finally:
        await platform.close()
    return str(forbidden.value)


async def test_a_wrong_token_ends_with_a_line_for_the_operator() -> None:
    """A token refused by REST ends `run`, with advice for a new one and without the token itself."""
    double = DiscordDouble()
    async with double.running():
        line = await refusal(double, replace(options_for(double), token="sEcReT"))

        assert "Reset Token" in line
        assert "sEcReT" not in line + repr(replace(options_for(double), token="sEcReT"))


async def test_a_missing_intent_ends_with_a_line_for_the_operator() -> None:
    """Without the Message Content intent `run` ends, and says where it is switched on."""
    double = DiscordDouble()
    double.gateway.content_allowed = False
    async with double.running():
        assert "Message Content Intent" in await refusal(double, options_for(double))


async def test_a_token_revoked_in_mid_run(caplog: pytest.LogCaptureFixture) -> None:
    """The operator gets one line, the process continues, and a restored token works again."""
    double = DiscordDouble()
    bot = Bot(double)
    async with double.running(), platform_at_work(bot, replace(options_for(double), refused_seconds=0.05)):
        await double.gateway.close_all(4004)
        await double.until(lambda: double.gateway.connected > 0)
        bot.ask("hi")
        await bot.inbox.wait_for()

    assert [record.levelname for record in caplog.records if "Reset Token" in record.message] == ["ERROR"]


async def test_a_server_that_is_down_at_first() -> None:
    """A failing REST API and a refusing gateway only delay the start."""
    double = DiscordDouble()
    bot = Bot(double)
    double.faults.add("GET", "/users/@me", Kind.STATUS, status=503)
    double.faults.add("GET", "/oauth2", Kind.RESET_BEFORE)
    async with double.running(), platform_at_work(bot):
        bot.ask("hi")
        await bot.inbox.wait_for()

        assert len(double.transcript.of("GET", "/users/@me")) >= 2


@pytest.mark.parametrize("how", ["page", "json"])
async def test_a_403_at_login_is_tried_again(how: str) -> None:
    """Only a refused token ends the start: a proxy's page, or any other 403, delays it."""
    double = DiscordDouble()
    bot = Bot(double)
    kind, body = ("text/html", b"<html>") if how == "page" else ("application/json", b'{"code": 0, "message": "no"}')
    double.faults.add("GET", "/users/@me", Kind.STATUS, status=403, headers={"Content-Type": kind}, body=body)
    async with double.running(), platform_at_work(bot):
        bot.ask("hi")
        await bot.inbox.wait_for()

        assert len(double.transcript.of("GET", "/users/@me")) == 2


async def test_a_frame_that_cannot_be_read() -> None:
    """A frame discord.py cannot read costs a new session and nothing else."""
    async with bot_at_work() as bot:
        bot.double.gateway.dispatch("RESUMED", None)  # type: ignore[arg-type] # that is the point
        await bot.double.until(lambda: bot.double.gateway.connections == 2)
        await bot.platform.connected()
        await bot.double.until(lambda: len(bot.double.gateway.identifies) == 2)
        bot.double.gateway.sessions.pop("session1", None)
        bot.ask("still there?")
        await bot.inbox.wait_for()

        assert bot.inbox.questions == ["still there?"]


async def test_a_frame_that_does_not_unpack(caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen exception (here from zlib) costs a new session and a trace in the log, not the platform."""
    async with bot_at_work() as bot:
        for socket in bot.double.gateway.sockets():
            await socket.send_bytes(b"\x00garbage\x00\x00\xff\xff")
        await bot.double.until(lambda: len(bot.double.gateway.identifies) == 2)
        bot.double.gateway.sessions.pop("session1", None)
        await bot.double.until(lambda: bot.double.gateway.connected > 0)
        bot.ask("still there?")
        await bot.inbox.wait_for()

        assert bot.inbox.questions == ["still there?"]
    assert [record.exc_info is not None for record in caplog.records if "unforeseen" in record.message] == [True]


async def test_a_server_with_next_to_nothing() -> None:
    """No rate limit headers, no echoes, no typing, no history, nothing about the application: answers all the same."""

    def prepare(bot: Bot) -> None:
        bot.double.headers = bot.double.echoes = False
        bot.double.missing = "/typing$|/applications/|/gateway|messages$"

    async with bot_at_work(prepare=prepare) as bot:
        bot.double.missing = "/typing$"
        bot.ask("one")
        [(_, channel)] = await bot.inbox.wait_for()
        answer = await channel.post(Body("first"), "key1")
        await channel.edit(answer, Body("first, edited"))
        bot.double.say(bot.general, "two", author=bot.ada, reply_to=answer, referenced_message=None, ping=False)
        _, (_, channel) = await bot.inbox.wait_for(2)
        bot.double.missing = "/typing$|/messages$|/messages/"
        told = await channel.history(50)

        assert [message.text for message in told.messages] == ["@Tickertape one", "first, edited"]
        assert bot.double.answers(bot.general) == ["first, edited"]


async def test_a_gateway_that_is_down_at_first() -> None:
    """A failed first connection to the gateway ends discord.py's own loop, but not the bot."""
    double = DiscordDouble()
    bot = Bot(double)
    double.gateway.refuse_with = 4000
    async with double.running(), asyncio.TaskGroup() as group:

        async def let_in() -> None:
            await double.until(lambda: double.gateway.connections == 1)
            double.gateway.refuse_with = None

        group.create_task(let_in())
        async with platform_at_work(bot):
            bot.ask("hi")
            await bot.inbox.wait_for()

        assert bot.inbox.questions == ["hi"]


async def test_voice_is_not_mentioned_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The log does not mention missing voice libraries."""
    with caplog.at_level(logging.WARNING):
        async with bot_at_work():
            pass

    assert "voice" not in caplog.text
    assert not logging.getLogger("discord.client").filters


# ---------------------------------------------------------------------------------------------------------------- check


async def findings(double: DiscordDouble, **changes: str) -> list[tuple[str, bool]]:
    return [(f.subject, f.ok) for f in await check(replace(options_for(double), **changes))]  # type: ignore[arg-type]


async def test_check_of_a_good_bot() -> None:
    """Token, intent and gateway are right."""
    double = DiscordDouble()
    async with double.running():
        assert await findings(double) == [
            ("Discord token", True),
            ("Discord Message Content intent", True),
            ("Discord gateway", True),
            ("Discord slash commands", True),
        ]


async def test_check_tells_a_wrong_token_from_a_missing_intent() -> None:
    """Each has its own finding, with the way to get it right and without the token."""
    double = DiscordDouble()
    async with double.running():
        [token] = await check(replace(options_for(double), token="sEcReT"))
        double.gateway.content_allowed = False
        _, intent = await check(options_for(double))

    assert (token.subject, token.ok, intent.subject, intent.ok) == (
        "Discord token",
        False,
        "Discord Message Content intent",
        False,
    )
    assert "Reset Token" in token.fix
    assert "Message Content Intent" in intent.fix
    assert "sEcReT" not in repr(token)


@pytest.mark.parametrize("flags", [None, 0, "unknown"])
async def test_flags_that_say_nothing_are_a_warning_and_the_gateway_is_tried(flags: object) -> None:
    """If the gateway accepts the intents, the portal's flags are no failure."""
    double = DiscordDouble()
    body = json.dumps({"id": "1", **({} if flags is None else {"flags": flags})}).encode()
    double.faults.add("GET", "applications/@me", Kind.STATUS, status=200, body=body, times=2)
    async with double.running():
        token, intent, gateway, _ = await check(options_for(double))
    assert (token.ok, intent.ok, intent.warning, gateway.ok) == (True, True, True, True)


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_an_application_that_cannot_be_read_is_a_warning(status: int) -> None:
    """An application page missing or forbidden on a server is only a warning."""
    double = DiscordDouble()
    double.faults.add("GET", "applications/@me", Kind.STATUS, status=status, times=2)
    async with double.running():
        _, intent, gateway, _ = await check(options_for(double))
    assert (intent.ok, intent.warning, gateway.ok) == (True, True, True)


async def test_a_malformed_token_is_said_to_be_one() -> None:
    """Discord's 400 and a token invalid in a header differ from a server without an answer."""
    double = DiscordDouble()
    double.faults.add("GET", "users/@me", Kind.STATUS, status=400, body=b'{"message": "Bad Request", "code": 0}')
    async with double.running():
        for token in (double.token, "two words", "sEcReT\nline"):
            [finding] = await check(replace(options_for(double), token=token))
            assert "malformed" in finding.message
            assert "Reset Token" in finding.fix
            assert token not in repr(finding)


async def test_check_where_only_the_gateway_knows() -> None:
    """Where the application's flags cannot be read, the gateway's refusal is the finding."""
    double = DiscordDouble()
    double.gateway.content_allowed = False
    for path in ("/api/v10/applications/@me", "/oauth2/applications/@me"):
        double.faults.add("GET", path, Kind.STATUS, status=404, times=1)
    async with double.running():
        assert await findings(double) == [
            ("Discord token", True),
            ("Discord Message Content intent", True),
            ("Discord Message Content intent", False),
            ("Discord slash commands", True),
        ]


@pytest.mark.parametrize(("status", "says"), [(200, "may be registered"), (403, "may not be"), (404, "cannot be read")])
async def test_check_of_the_commands(status: int, says: str) -> None:
    """A missing scope is a warning with its fix: the bot answers without commands."""
    double = DiscordDouble()
    if status != 200:
        double.faults.add("GET", "/commands", Kind.STATUS, status=status)
    async with double.running():
        commands = (await check(options_for(double)))[-1]

    assert (commands.ok, commands.warning, says in commands.message) == (True, status != 200, True)
    assert ("applications.commands" in commands.fix) == (status == 403)


async def test_check_of_a_server_that_is_not_there() -> None:
    """No answer is neither a wrong token nor a missing intent."""
    double = DiscordDouble()
    async with double.running():
        pass
    [finding] = await check(options_for(double))

    assert (finding.ok, "did not answer" in finding.message) == (False, True)


@pytest.mark.parametrize(
    ("api_url", "more"),
    [
        ("", set()),
        ("http://127.0.0.1:80/api/v10", {"http://127.0.0.1"}),
        ("http://127.0.0.1:8000/api/v10", {"http://127.0.0.1:8000"}),
        ("https://proxy.test/api/v10", {"https://proxy.test"}),
    ],
)
async def test_files_are_read_from_discord_and_the_server_that_is_set(api_url: str, more: set[str]) -> None:
    """Attachments may come from Discord's file servers and from the configured server at its own port."""
    assert file_hosts(DiscordOptions("t", api_url=api_url)) == {"cdn.discordapp.com", "media.discordapp.net", *more}
