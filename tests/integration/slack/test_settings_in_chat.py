"""The real commands on Slack: every one responds, and settings change by buttons, modals and words in threads."""

from __future__ import annotations

import pytest

from bot.interactions.commands import COMMANDS, Kind
from bot.interactions.service import InteractionService
from bot.prompt import messages_after
from bot.records import Subject, SubjectKind, person
from bot.stored_choices import StoredChoices
from tests.servers.slack import SlackDouble
from tests.support.handlers import WORDS, House
from tests.support.slack import connected, soon

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

CALLS = [each.name for each in COMMANDS if each.kind is Kind.CALL]


async def run(double: SlackDouble, channel: str, command: str, user: str) -> None:
    """Use a command, and wait for its private response."""
    count = len(double.interactive.privates)
    await double.command(channel, command, author=user)
    await soon(double, lambda: len(double.interactive.privates) > count)


async def test_every_command_responds_to_its_person() -> None:
    """In a channel and in direct messages, with words of its own."""
    double, house = SlackDouble(), House()
    ann, channel = double.world.user("Ann"), double.world.channel()
    direct = double.world.channel("im")
    service = InteractionService(commands=house.handlers)
    async with double.running(), connected(double, None, service):
        for place in (channel, direct):
            for command in CALLS:
                await run(double, place, command, ann)
    texts = double.interactive.seen_by(ann)
    assert len(texts) == 2 * len(CALLS)
    assert WORDS.not_now not in texts
    assert any("`/tickertape help`" in text for text in texts)
    assert WORDS.reset_needless in texts
    assert WORDS.reset_done in texts


async def change(double: SlackDouble, channel: str, user: str, label: str, **values: str) -> None:
    """Open the settings, press a button, fill in the modal, and wait for its notice."""
    alone = double.interactive
    await run(double, channel, "settings", user)
    await alone.press_private(alone.privates[-1], label)
    await soon(double, lambda: bool(alone.views))
    await alone.submit(alone.views[0], **values)
    # The notice may arrive before the acknowledgement, which closes the modal.
    await soon(double, lambda: alone.seen_by(user)[-1].startswith("Saved") and not alone.views)


async def test_settings_change_by_a_button_and_a_modal() -> None:
    """The modal shows the present values; its channel is known when it is saved; the notice tells the new ones."""
    double, house = SlackDouble(), House()
    ada, channel = double.world.user("Ada", admin=True), double.world.channel()
    async with double.running(), connected(double, None, InteractionService(commands=house.handlers)):
        await change(double, channel, ada, WORDS.change_own, model="gpt-5-mini", persona_text="Be *kind*.")
        await change(double, channel, ada, WORDS.change_channel, reasoning="shown")
        seen = double.interactive.seen_by(ada)
    assert any("*Model*: GPT-5 (the default)" in text for text in seen)
    assert any("Be ∗kind∗." in text for text in seen)
    assert house.store.values == {
        person("slack", ada): {"model": "gpt-5-mini", "persona": "admin:Be *kind*."},
        Subject(SubjectKind.CHANNEL, "slack", "T1", channel): {"reasoning": "shown"},
    }


@pytest.mark.parametrize("where", ["direct", "thread"])
async def test_a_reset_hides_what_was_said_before(where: str) -> None:
    """The next question's prompt begins after the marker, in the same conversation."""
    double, house = SlackDouble(), House()
    ann = double.world.user("Ann")
    channel = double.world.channel("im" if where == "direct" else "channel")
    async with double.running(), connected(double, None, InteractionService(commands=house.handlers)) as (_, inbox):
        first = double.say(channel, "<@UBOT> one?", author=ann)
        thread = first if where == "thread" else ""
        await inbox.wait_for(1)
        if where == "thread":
            double.say(channel, "<@UBOT> !reset", author=ann, thread=thread)
        else:
            await double.command(channel, "reset", author=ann)
        await soon(double, lambda: double.interactive.seen_by(ann) == [WORDS.reset_done])
        double.say(channel, "<@UBOT> two?", author=ann, thread=thread)
        await inbox.wait_for(2)
        double.say(channel, "<@UBOT> three?", author=ann, thread=thread)
        turn, asked = await inbox.turn(3)
        choices = await StoredChoices(house.store, house.rules).choices(turn)
        kept = messages_after(await asked.history(25), choices.history_after)
        assert [message.text.split()[-1] for message in kept.messages] == ["two?"]
