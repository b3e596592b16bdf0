"""The real commands on Discord: every one responds, and settings change by buttons and modals."""

from __future__ import annotations

import pytest

from bot.interactions.commands import COMMANDS, Kind
from bot.interactions.service import InteractionService
from bot.prompt import messages_after
from bot.records import Subject, SubjectKind, person
from bot.stored_choices import StoredChoices
from tests.support.discord import Bot, bot_at_work
from tests.support.handlers import WORDS, House
from tests.support.waiting import until

pytestmark = pytest.mark.sockets

# https://docs.discord.com/developers/topics/permissions
MANAGE_CHANNELS = 1 << 4

CALLS = [each.name for each in COMMANDS if each.kind is Kind.CALL]


async def said(bot: Bot, interaction: str) -> str:
    """The private words of a response."""
    one = bot.double.interactions.all[interaction]
    await until(lambda: any(message["content"] for message in one.messages))
    assert all(message["flags"] & 64 for message in one.messages)
    return "\n".join(message["content"] for message in one.messages)


async def test_every_command_responds_to_its_person() -> None:
    """In a channel, a thread and direct messages, with words of its own."""
    async with bot_at_work(interactions=InteractionService(commands=House().handlers)) as bot:
        for place in (bot.general, bot.double.world.dm(bot.ada)):
            texts = {command: await said(bot, bot.double.use(command, place, user=bot.ada)) for command in CALLS}
            assert WORDS.not_now not in texts.values()
            assert "`/model [NAME]`" in texts["help"]
            assert texts["reset"] == (WORDS.reset_needless if place == bot.general else WORDS.reset_done)
        assert "Saved. Model: GPT-5 mini" in await said(
            bot, bot.double.use("model", bot.general, user=bot.ada, name="gpt-5-mini")
        )


async def change(bot: Bot, label: str, values: dict[str, str]) -> str:
    """Open the settings, press a button and fill in the modal; returns the words of its response."""
    shown = bot.double.use("settings", bot.general, user=bot.ada)
    await said(bot, shown)
    (message,) = bot.double.interactions.all[shown].messages
    buttons = {each["label"]: each["custom_id"] for row in message["components"] for each in row["components"]}
    pressed = bot.double.press(bot.general, message["id"], user=bot.ada, custom_id=buttons[label])
    await until(lambda: bot.double.interactions.modal_of(pressed) is not None)
    return await said(bot, bot.double.submit(pressed, values))


async def test_settings_change_by_a_button_and_a_modal() -> None:
    """Own settings by anyone, the channel's with "Manage Channels"; each is stored for the right subject."""
    house = House()

    def prepare(bot: Bot) -> None:
        bot.double.permissions[bot.ada] = MANAGE_CHANNELS

    async with bot_at_work(prepare=prepare, interactions=InteractionService(commands=house.handlers)) as bot:
        own = {"model": "gpt-5-mini", "persona_text": "Be kind."}
        assert "Saved. Model: GPT-5 mini" in await change(bot, WORDS.change_own, own)
        assert "Saved for everyone" in await change(bot, WORDS.change_channel, {"reasoning": "shown"})
        assert house.store.values == {
            person("discord", bot.ada): {"model": "gpt-5-mini", "persona": "admin:Be kind."},
            Subject(SubjectKind.CHANNEL, "discord", bot.guild, bot.general): {"reasoning": "shown"},
        }


@pytest.mark.parametrize("where", ["dm", "thread"])
async def test_a_reset_hides_what_was_said_before(where: str) -> None:
    """The next question's prompt begins after the marker, in the same conversation."""
    house = House()
    places: list[str] = []

    def prepare(bot: Bot) -> None:
        world = bot.double.world
        places.append(world.dm(bot.ada) if where == "dm" else world.thread(bot.general))

    async with bot_at_work(prepare=prepare, interactions=InteractionService(commands=house.handlers)) as bot:
        (place,) = places
        bot.ask("one?", channel=place)
        await bot.inbox.wait_for(1)
        assert await said(bot, bot.double.use("reset", place, user=bot.ada)) == WORDS.reset_done
        bot.ask("two?", channel=place)
        bot.ask("three?", channel=place)
        turn, channel = await bot.inbox.turn(3)
        choices = await StoredChoices(house.store, house.rules).choices(turn)
        kept = messages_after(await channel.history(25), choices.history_after)
        assert [message.text.split()[-1] for message in kept.messages] == ["two?"]
