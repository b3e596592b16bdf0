"""All content visible in Discord reaches the model, through the real client on loopback."""

from __future__ import annotations

from typing import Any

import pytest

from bot.conversation import Finish, FinishReason, Text
from bot.ports import Body
from bot.strings import Strings
from tests.servers.discord import FORUM, DiscordDouble
from tests.support.discord import Bot, bot_at_work, process
from tests.support.fakes import FakeJournal, ScriptedModel, words
from tests.support.waiting import until

pytestmark = pytest.mark.sockets

EMBED = {"type": "rich", "title": "[FIRING:1] DiskFull", "description": "/var at 97 %"}
FORWARD: dict[str, Any] = {
    "message_reference": {"type": 1},
    "message_snapshots": [{"message": {"content": "Moved to Friday 18:00."}}],
}


async def told(bot: Bot, number: int = 1) -> list[str]:
    """The model's input for one turn: the history's messages, then the question's parts."""
    turn, channel = (await bot.inbox.wait_for(number))[number - 1]
    history = await channel.history(25)
    around = [part.text for part in await channel.attachments() if isinstance(part, Text)]
    return [*(message.text for message in history.messages), "\n".join([turn.question.text, *around])]


async def test_a_forward_alone_in_a_direct_message_is_a_question() -> None:
    """The model gets the forward, and no notice about an empty question appears."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot = Bot(double)
    dm = double.world.dm(bot.ada)
    model = ScriptedModel([Text("Noted."), Finish(FinishReason.STOP)])
    async with double.running(), process(bot, model, journal):
        double.say(dm, "", author=bot.ada, **FORWARD)
        await until(lambda: bool(journal.endings))
        double.say(dm, "", author=bot.ada)
        await until(lambda: len(journal.endings) >= 2)

        asked = model.calls[0][1].messages
        assert [message.text for message in asked] == ["[forwarded message]\n> Moved to Friday 18:00."]
        assert double.answers(dm)[0] == "Noted."


async def test_an_empty_direct_message_is_answered_in_words_of_its_own() -> None:
    """Where nobody needs to be mentioned, the line does not speak of mentions; in a channel it does."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot = Bot(double)
    role, dm = double.world.role(bot.guild, "Tickertape", of_bot=True), double.world.dm(bot.ada)
    async with double.running(), process(bot, ScriptedModel(), journal):
        double.say(dm, "", author=bot.ada)
        double.say(bot.general, f"<@&{role}>", author=bot.ada)
        await until(lambda: len(journal.endings) >= 2)

        assert double.answers(dm) == [Strings().empty_direct]
        assert double.answers(bot.general) == [Strings().empty_question]


async def test_what_is_forwarded_and_said_before_is_history() -> None:
    """A forward of somebody's message, an embed of another bot, a poll and a sticker are told to a later question."""
    async with bot_at_work() as bot:
        world, dm = bot.double.world, bot.double.world.dm(bot.ada)
        original = bot.double.say(bot.general, f"see <#{bot.general}>", author=bot.bob, embeds=[EMBED])
        bot.double.forward(bot.general, original, to=dm, author=bot.ada)
        bot.double.say(dm, "", author=bot.ada, poll={"question": {"text": "Lunch?"}, "answers": []})
        bot.double.say(dm, "", author=bot.ada, sticker_items=[{"id": "1", "name": "Wave"}])
        bot.double.say(dm, "well?", author=bot.ada)

        assert await told(bot, 4) == [
            "[forwarded message: from #general]\n> see #general\n> [embed]\n> > [FIRING:1] DiskFull\n> > /var at 97 %",
            "[poll: Lunch?]",
            "[sticker: Wave]",
            "well?",
        ]
        assert world.bot not in {turn.author.id for turn, _ in bot.inbox.turns}


async def test_a_thread_made_from_an_alert() -> None:
    """An alert without a text of its own is the beginning of its thread, with the bot's name; so is the title."""
    async with bot_at_work() as bot:
        alerts = bot.double.world.user("Alertmanager", bot=True)
        alert = bot.double.say(bot.general, "", author=alerts, embeds=[EMBED])
        thread = bot.double.world.thread(bot.general, "Disk of db1", starter=alert, owner=bot.ada)
        bot.double.gateway.dispatch("THREAD_CREATE", bot.double.world.channels[thread])
        bot.double.say(thread, f"{bot.me} please investigate", author=bot.ada)

        assert await told(bot) == [
            "[embed]\n> [FIRING:1] DiskFull\n> /var at 97 %",
            "please investigate\n[thread: Disk of db1]",
        ]
        assert len(bot.inbox.turns) == 1
        history = await bot.inbox.turns[0][1].history(5)
        assert history.messages[0].name == "Alertmanager"


async def test_a_post_in_a_forum() -> None:
    """The title of a post is often the question itself."""
    ids: dict[str, str] = {}

    def prepare(bot: Bot) -> None:
        forum = bot.double.world.channel(bot.guild, "help", kind=FORUM)
        ids["post"] = bot.double.world.thread(forum, "How do I restart db1?", owner=bot.ada)

    async with bot_at_work(prepare=prepare) as bot:
        bot.double.say(ids["post"], bot.me, author=bot.ada)

        assert await told(bot) == ["\n[post in the forum #help: How do I restart db1?]"]


async def test_another_bots_answer_to_a_command() -> None:
    """A bot thinks, then answers a command in an embed or in components: all of it is told, and asks nothing."""
    async with bot_at_work() as bot:
        weather, dm = bot.double.world.user("Weather", bot=True), bot.double.world.dm(bot.ada)
        asked: dict[str, Any] = {"interaction_metadata": {"type": 2, "user": bot.double.world.public(bot.ada)}}
        answer = bot.double.say(dm, "", author=weather, type=20, flags=128, interaction={"name": "rain"}, **asked)
        bot.double.change(dm, answer, flags=0, embeds=[{"type": "rich", "title": "Rain at 6"}])
        text = {"type": 10, "content": "Sun at 9"}
        bot.double.say(dm, "", author=weather, type=20, flags=1 << 15, components=[{"type": 17, "components": [text]}])
        bot.double.say(dm, "so?", author=bot.ada)

        assert await told(bot) == ["[answer to a command: /rain of Ada]\n[embed]\n> Rain at 6", "Sun at 9", "so?"]
        assert len(bot.inbox.turns) == 1


async def test_which_message_a_reply_is_about() -> None:
    """In a DM, a reply's label has the beginning of its target, or all of it if it is old."""
    async with bot_at_work() as bot:
        dm = bot.double.world.dm(bot.ada)
        old = bot.double.say(dm, "line one\nline two", author=bot.ada, quiet=True)
        for number in range(30):
            bot.double.say(dm, f"message {number}", author=bot.ada, quiet=True)
        bot.double.say(dm, "and this?", author=bot.ada, reply_to=old)
        ((turn, channel),) = await bot.inbox.wait_for(1)
        (label,) = await channel.attachments()
        assert label == Text("[in reply to a message of Ada]\n> line one\n> line two")
        posted = await channel.post(Body("An answer of ours."), "k")
        bot.double.say(dm, "why?", author=bot.ada, reply_to=posted)
        assert (await told(bot, 2))[-1] == "why?\n[in reply to your own message: An answer of ours.]"
        bot.double.say(dm, "never mind", author=bot.ada)
        history = await told(bot, 3)
        assert "[in reply to a message of Ada: line one line two]\nand this?" in history
        assert turn.question.text == "and this?"


async def test_a_link_that_gets_a_preview_later() -> None:
    """Discord adds a preview after the message: a later question is told of it, and of its address only once."""
    async with bot_at_work() as bot:
        dm = bot.double.world.dm(bot.ada)
        link = bot.double.say(dm, "https://a.example/x", author=bot.ada)
        preview = {"type": "link", "url": "https://a.example/x", "title": "The page", "description": "About it"}
        bot.double.change(dm, link, embeds=[preview])
        bot.double.say(dm, "well?", author=bot.ada)
        await bot.inbox.wait_for(2)
        _, first = bot.inbox.turns[0]
        assert await first.attachments() == (Text("[link preview]\n> The page\n> About it"),)

        assert await told(bot, 2) == ["https://a.example/x\n[link preview]\n> The page\n> About it", "well?"]


async def test_without_the_intent_nothing_breaks() -> None:
    """If Discord withholds message text, a mention is still answered, with or without a forward."""
    async with bot_at_work() as bot:
        bot.double.say(bot.general, bot.me, author=bot.ada, embeds=[], poll=None, message_snapshots=None)
        bot.double.say(bot.general, "", author=bot.ada, mentions=[bot.double.world.public(bot.double.world.bot)])

        assert await told(bot, 2) == [""]


async def test_a_forward_survives_a_restart() -> None:
    """A recovered question still has its forwarded message."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot = Bot(double)
    dm = double.world.dm(bot.ada)
    async with double.running():
        async with process(bot, ScriptedModel(words(400, finish=None)), journal):
            double.say(dm, "", author=bot.ada, **FORWARD)
            await double.until(lambda: bool(double.answers(dm)))
        journal, model = FakeJournal(of=journal), ScriptedModel(words(5, rate=100.0))
        async with process(bot, model, journal):
            await until(lambda: bool(journal.ends))
        assert model.calls[0][1].messages[-1].text == "[forwarded message]\n> Moved to Friday 18:00."
