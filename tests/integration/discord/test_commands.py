"""Application commands in Discord: registration, invocations, and who sees what. Real discord.py on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from typing_extensions import override

from adapters.discord.interactions.command_sync import MISSING_SCOPE, MemoryHashes
from bot.conversation import Author
from bot.interactions.commands import Command
from bot.interactions.values import Choice, CommandInvoked, Field, Form, Notice, Response
from tests.servers.discord_interactions import COMPLETIONS, EPHEMERAL, MESSAGE, MESSAGE_LATER, MODAL
from tests.servers.limits import Kind
from tests.support.discord import Bot, bot_at_work, platform_at_work
from tests.support.interactions import RecordingInteractions
from tests.support.waiting import until

pytestmark = pytest.mark.sockets

NAMES = ["ask", "model", "persona", "reset", "stop", "usage", "settings", "privacy", "help"]


def response(bot: Bot, interaction: str) -> int:
    """The type of the first response; 0: none yet."""
    return bot.double.interactions.all[interaction].response


def notices(bot: Bot, interaction: str) -> list[str]:
    """The texts shown privately."""
    made = bot.double.interactions.all[interaction].messages
    return [str(one["content"]) for one in made if one["flags"] & EPHEMERAL and one["content"]]


class Without(RecordingInteractions):
    """Offers no command."""

    @property
    @override
    def commands(self) -> Sequence[Command]:
        return ()


async def registered(bot: Bot, count: int = 1) -> None:
    await until(lambda: bot.double.commands.registrations >= count)


# --------------------------------------------------------------------------------------------------------- registration


@pytest.mark.quick
async def test_the_commands_are_registered_once() -> None:
    """One bulk request registers all commands, everywhere; no later start, connection or process repeats it."""
    hashes = MemoryHashes()
    async with bot_at_work(interactions=Without()) as bot:
        await bot.platform.close()
        bot.interactions = RecordingInteractions()
        for _ in range(2):
            async with platform_at_work(bot, hashes=hashes):
                await registered(bot)
                await bot.double.gateway.reconnect()
                await bot.settled()
            await bot.platform.close()
        async with platform_at_work(bot):  # a process without the store
            await bot.double.transcript.wait_for("GET", "/commands", 2)
            await bot.settled()

        made = bot.double.commands.registered
        assert [one["name"] for one in made if one["type"] == 1] == NAMES
        assert [one["name"] for one in made if one["type"] == 3] == ["Answer this", "Summarize from here"]
        assert {tuple(one["contexts"]) for one in made} == {(0, 1, 2)}
        assert {tuple(one["integration_types"]) for one in made} == {(0, 1)}
        assert (bot.double.commands.registrations, bot.double.commands.creations) == (1, 11)


async def test_changed_commands_are_registered_again() -> None:
    """A start with other models registers their choices, and keeps the commands' ids."""
    hashes = MemoryHashes()
    async with bot_at_work() as bot:
        await registered(bot)
        await bot.platform.close()
        async with platform_at_work(bot, hashes=hashes):
            await registered(bot)
        await bot.platform.close()
        bot.interactions.models_offered = (Choice("gpt", "GPT"), Choice("opus", "Opus"))
        async with platform_at_work(bot, hashes=hashes):
            await registered(bot, 2)

        model = next(one for one in bot.double.commands.registered if one["name"] == "model")
        assert model["options"][0]["choices"] == [{"name": "GPT", "value": "gpt"}, {"name": "Opus", "value": "opus"}]
        assert bot.double.commands.creations == 11


async def test_without_the_scope_the_bot_answers(caplog: pytest.LogCaptureFixture) -> None:
    """A missing scope is one line of the log, and questions are answered."""

    def prepare(bot: Bot) -> None:
        bot.double.commands.has_scope = False

    async with bot_at_work(prepare=prepare) as bot:
        await until(lambda: MISSING_SCOPE in caplog.text)
        bot.ask("hi")
        await bot.inbox.wait_for()

        assert len(bot.double.transcript.of("PUT", "/commands")) == 1


async def test_a_failed_registration_is_tried_again_later(caplog: pytest.LogCaptureFixture) -> None:
    """A server error costs a warning and a pause; it is no reason to give up, or to try at once."""

    def prepare(bot: Bot) -> None:
        bot.double.faults.add("PUT", "/commands", Kind.STATUS, status=500, times=9)

    async with bot_at_work(prepare=prepare) as bot:
        await until(lambda: "the commands are not registered, trying again" in caplog.text)
        await bot.settled()

        assert len(bot.double.transcript.of("PUT", "/commands")) == 1


# ---------------------------------------------------------------------------------------------------------- invocations


@pytest.mark.quick
async def test_a_command_is_answered_privately() -> None:
    """A command reaches the core with who, where and what; its response is for this person alone."""
    interactions = RecordingInteractions(lambda _: Notice("The model is **GPT**."))
    async with bot_at_work(interactions=interactions) as bot:
        used = bot.double.use("model", bot.general, user=bot.ada, name="gpt")
        await until(lambda: bool(notices(bot, used)))

        [event] = interactions.events
        assert isinstance(event, CommandInvoked)
        assert (event.command, dict(event.arguments)) == ("model", {"name": "gpt"})
        assert event.by == Author(bot.ada, "Countess", frozenset({bot.role}))
        assert (event.place.workspace, event.place.channel, event.place.conversation) == (bot.guild, bot.general, "")
        assert (event.place.channel_ids, event.place.position) == ((bot.general, bot.category), used)
        assert notices(bot, used) == ["The model is **GPT**."]
        assert response(bot, used) == MESSAGE
        assert bot.double.shown(bot.general) == []


@pytest.mark.parametrize("where", ["dm", "outside server", "outside dm"])
async def test_commands_work_where_no_message_reaches_the_bot(where: str) -> None:
    """In the bot's DMs, and for people who brought the bot to a server or a DM of their own."""
    interactions = RecordingInteractions()
    async with bot_at_work(interactions=interactions) as bot:
        world = bot.double.world
        channel = world.dm(bot.ada) if where == "dm" else world.outside_channel(guild=where == "outside server")
        used = bot.double.use("help", channel, user=bot.ada)
        await until(lambda: bool(notices(bot, used)))

        [event] = interactions.events
        assert isinstance(event, CommandInvoked)
        assert (event.by.id, event.by.name) == (bot.ada, "Countess" if where == "outside server" else "Ada")
        assert (event.place.channel, event.place.direct) == (channel, where != "outside server")


async def test_a_form_opens() -> None:
    """A response with a form is a modal."""
    form = Form("settings:u", "Settings", (Field("model", "Model"),))
    async with bot_at_work(interactions=RecordingInteractions(lambda _: form)) as bot:
        used = bot.double.use("settings", bot.general, user=bot.ada)
        await until(lambda: response(bot, used) != 0)

        assert response(bot, used) == MODAL
        assert (bot.double.interactions.modal_of(used) or {})["title"] == "Settings"


async def test_an_unknown_command_gets_one_private_line() -> None:
    """Discord's clients may show an old list of commands; the core knows the closest one."""
    async with bot_at_work(interactions=RecordingInteractions(lambda _: Notice("Try /model."))) as bot:
        used = bot.double.use("modle", bot.general, user=bot.ada, name="gpt")
        await until(lambda: notices(bot, used) == ["Try /model."])

        [event] = bot.interactions.events
        assert isinstance(event, CommandInvoked)
        assert event.command == "modle"


async def test_an_argument_is_completed() -> None:
    """With more models than Discord takes as choices, those with the typed text are offered while somebody types."""
    interactions = RecordingInteractions()
    interactions.models_offered = tuple(Choice(f"m{number}", f"Model {number}") for number in range(40))
    async with bot_at_work(interactions=interactions) as bot:
        await registered(bot)
        model = next(one for one in bot.double.commands.registered if one["name"] == "model")
        typed = bot.double.complete("model", bot.general, user=bot.ada, name="3")
        await until(lambda: response(bot, typed) != 0)

        assert model["options"][0]["autocomplete"] is True
        [sent] = bot.double.transcript.of("POST", "/callback")
        choices = sent.body["data"]["choices"]
        assert (response(bot, typed), len(choices)) == (COMPLETIONS, 13)
        assert {"name": "Model 3", "value": "m3"} in choices


@pytest.mark.alone
async def test_in_a_flood_every_command_is_answered() -> None:
    """Two hundred commands at once are all acknowledged in time, and each is answered privately."""
    async with bot_at_work() as bot:
        used = [bot.double.use("usage", bot.general, user=bot.ada) for _ in range(200)]
        await until(lambda: all(notices(bot, one) for one in used))

        assert {response(bot, one) for one in used} == {MESSAGE}
        assert bot.double.limited == []


async def test_a_slow_command_is_acknowledged_first() -> None:
    """A response that takes longer than three seconds comes late, and privately."""
    gate = asyncio.Event()

    class Slow(RecordingInteractions):
        async def invoke(self, event: CommandInvoked) -> Response:
            await gate.wait()
            return Notice("At last.")

    async with bot_at_work(interactions=Slow()) as bot:
        used = bot.double.use("usage", bot.general, user=bot.ada)
        await until(lambda: response(bot, used) != 0)
        gate.set()
        await until(lambda: notices(bot, used) == ["At last."])

        assert response(bot, used) == MESSAGE_LATER


async def test_a_command_delivered_twice_runs_once() -> None:
    """A resumed session may repeat a command: the core gets it once."""
    async with bot_at_work() as bot:
        used = bot.double.use("reset", bot.general, user=bot.ada)
        await until(lambda: bool(notices(bot, used)))
        bot.double.gateway.repeat(used)
        other = bot.double.use("usage", bot.general, user=bot.ada)
        await until(lambda: bool(notices(bot, other)))

        invoked = [event.command for event in bot.interactions.events if isinstance(event, CommandInvoked)]
        assert invoked == ["reset", "usage"]


async def test_after_a_lost_response_a_command_shows_its_notice_once() -> None:
    """The response is sent again, and Discord says that it had it."""
    async with bot_at_work() as bot:
        bot.double.faults.add("POST", "/callback", Kind.RESET_AFTER)
        used = bot.double.use("usage", bot.general, user=bot.ada)
        await bot.double.transcript.wait_for("POST", "/callback", 2)
        await bot.settled()

        assert notices(bot, used) == ["Done."]
