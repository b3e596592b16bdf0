"""How readers stop an answer in Discord: the button, and deleting. Real discord.py against the loopback server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.discord.messages.renderer import MESSAGE_LIMIT
from bot.conversation import Ending, TurnKey
from bot.errors import InvalidRequest, OutcomeUnknown, ServiceError
from bot.ports import Body, Controls
from tests.servers.discord import DiscordDouble
from tests.servers.limits import Kind
from tests.support.clock import BUSY
from tests.support.core import ended
from tests.support.discord import Bot, bot_at_work, process
from tests.support.fakes import FakeJournal, ScriptedModel, answer_of, words
from tests.support.waiting import until

LIVE = Body("so far", controls=Controls.STOP)
ENDED = Body("so far, and no further")


def writes(double: DiscordDouble) -> list[Any]:
    """The "components" field of each post and edit; "nothing" if it had none."""
    sent = [entry for entry in double.transcript.entries if entry.method in ("POST", "PATCH")]
    return [entry.body.get("components", "nothing") for entry in sent if "/messages" in entry.path]


def final_controls(question: str) -> list[str]:
    """The controls below an ended answer."""
    return [f"retry:{question}", f"up:{question}", f"down:{question}"]


# --------------------------------------------------------------------------------------------------------- the button


@pytest.mark.sockets
async def test_the_button_is_sent_only_when_it_comes_or_goes() -> None:
    """A live message shows it, its last edit takes it away, and the edits between do not mention it."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        message = await channel.post(LIVE, "key")
        shown = bot.double.button(bot.general, message)
        await channel.edit(message, Body("so far, and", controls=Controls.STOP))
        await channel.edit(message, ENDED)
        await channel.edit(message, ENDED)

        assert shown is not None
        assert bot.double.button(bot.general, message) is None
        assert [bool(sent) and sent != "nothing" for sent in writes(bot.double)] == [True, False, False, False]
        assert writes(bot.double)[1:] == ["nothing", [], "nothing"]


@pytest.mark.sockets
async def test_a_full_message_has_room_for_the_button() -> None:
    """The text's limit is the text's alone."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        message = await channel.post(Body("a" * MESSAGE_LIMIT, controls=Controls.STOP), "key")

        assert bot.double.button(bot.general, message) is not None


@pytest.mark.sockets
async def test_after_a_lost_edit_the_button_is_said_again() -> None:
    """After an edit with an unknown outcome, the next edit removes the button again."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        message = await channel.post(LIVE, "key")
        bot.double.faults.add("PATCH", "/messages", Kind.RESET_BEFORE)
        with pytest.raises(OutcomeUnknown):
            await channel.edit(message, ENDED)
        await channel.edit(message, ENDED)

        assert bot.double.button(bot.general, message) is None


@pytest.mark.sockets
@pytest.mark.parametrize("how", ["refused", "malformed"])
async def test_a_server_that_takes_no_components(how: str) -> None:
    """The write is made again at once without; by name, no answer of this connection tries it again."""
    async with bot_at_work() as bot:
        bot.double.components = how
        bot.ask("one")
        bot.ask("two")
        (_, first), (_, second) = await bot.inbox.wait_for(2)
        with pytest.raises(ServiceError) as broken:
            await first.post(LIVE, "key1")
        message = await first.post(LIVE, "key1")
        await first.edit(message, ENDED)

        assert broken.value.retry_after == 0.0
        assert writes(bot.double)[1:] == ["nothing", "nothing"]
        assert first.caps.controls is Controls.NONE
        assert bool(second.caps.controls) is (how == "malformed")


@pytest.mark.sockets
async def test_a_text_that_is_refused_is_refused_for_itself() -> None:
    """A rejection naming the text is final; one without a name is final only after a retry without the button."""
    async with bot_at_work() as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        long, blank = Body("a" * 3000, controls=Controls.STOP), Body(" ", controls=Controls.STOP)
        with pytest.raises(InvalidRequest):
            await channel.post(long, "key")
        with pytest.raises(ServiceError):
            await channel.post(blank, "key")
        with pytest.raises(InvalidRequest):
            await channel.post(blank, "key")


# ---------------------------------------------------------------------------------------------------------- whole turns


@asynccontextmanager
async def live(model: ScriptedModel) -> AsyncIterator[tuple[Bot, FakeJournal, str]]:
    """A bot with a visible partial answer; the question's id."""
    double = DiscordDouble()
    bot, journal = Bot(double), FakeJournal()
    async with double.running(), process(bot, model, journal):
        asked = bot.ask("hi")
        await double.until(lambda: bool(double.answers(bot.general)))
        yield bot, journal, asked


def answer_in(bot: Bot, channel: str = "") -> str:
    """The id of the bot's newest message."""
    return [one.id for one in bot.double.shown(channel or bot.general) if one.author == "Tickertape"][-1]


@pytest.mark.sockets
async def test_anybody_may_stop_an_answer() -> None:
    """A press ends the model's stream and the answer, with a line and without its button, and is acknowledged."""
    model = ScriptedModel(words(2000))
    async with live(model) as (bot, journal, asked):
        answer = answer_in(bot)
        pressed = bot.double.press(bot.general, answer, user=bot.bob)
        assert await ended(journal) == [Ending.STOPPED]
        await bot.double.until(lambda: bool(bot.double.acknowledged))

        assert model.open == 0
        assert "Stopped." in bot.double.answers(bot.general)[0]
        assert bot.double.controls(bot.general, answer) == final_controls(asked)
        assert bot.double.acknowledged == [(pressed, 6)]


@pytest.mark.sockets
async def test_a_press_in_a_direct_message() -> None:
    """A DM has no guild and no member, and is stopped all the same."""
    double = DiscordDouble()
    bot, journal, model = Bot(double), FakeJournal(), ScriptedModel(words(2000))
    async with double.running(), process(bot, model, journal):
        dm = double.world.dm(bot.ada)
        double.say(dm, "hi", author=bot.ada)
        await double.until(lambda: bool(double.answers(dm)))
        double.press(dm, answer_in(bot, dm), user=bot.ada)

        assert await ended(journal) == [Ending.STOPPED]


@pytest.mark.sockets
async def test_a_press_on_a_message_that_we_do_not_know_yet() -> None:
    """Before our post is answered, the button's id names the question."""
    double = DiscordDouble()
    bot, journal, model = Bot(double), FakeJournal(), ScriptedModel(words(2000))
    double.faults.add("POST", "/messages", Kind.STALL_AFTER, seconds=1.0)
    async with double.running(), process(bot, model, journal):
        bot.ask("hi")
        await double.until(lambda: bool(double.gateway.sessions) and bool(double.world.messages[bot.general]))
        await until(lambda: bool(double.answers(bot.general)))
        double.press(bot.general, answer_in(bot), user=bot.bob)
        await until(lambda: not model.open)

        assert await ended(journal) == [Ending.STOPPED]
        assert len(double.answers(bot.general)) == 1
        assert double.stop_button(bot.general, answer_in(bot)) is None


@pytest.mark.sockets
async def test_a_press_on_a_finished_answer_is_answered_privately() -> None:
    """A press on an outdated button gives one private line; other bots' buttons are ignored."""
    async with live(ScriptedModel(words(20))) as (bot, journal, _):
        answer, custom = answer_in(bot), bot.double.button(bot.general, answer_in(bot))
        await ended(journal)
        before = len(bot.double.transcript.of("PATCH"))
        bot.double.press(bot.general, answer, user=bot.bob, custom_id="vote:1")
        pressed = bot.double.press(bot.general, answer, user=bot.bob, custom_id=custom or "")
        await bot.double.until(lambda: bool(bot.double.acknowledged))

        assert bot.double.acknowledged == [(pressed, 4)]
        assert len(bot.double.transcript.of("PATCH")) == before


@pytest.mark.sockets
async def test_a_press_that_cannot_be_acknowledged_stops_all_the_same() -> None:
    """A failed acknowledgement shows the user an error, and the answer stops all the same."""
    async with live(ScriptedModel(words(2000))) as (bot, journal, _):
        bot.double.faults.add("POST", "/interactions/", Kind.STATUS, status=404)
        bot.double.press(bot.general, answer_in(bot), user=bot.bob)

        assert await ended(journal) == [Ending.STOPPED]


@pytest.mark.sockets
async def test_an_answer_of_five_tokens_is_one_write() -> None:
    """An answer complete before its first write is posted once, with the controls of its end."""
    double = DiscordDouble()
    bot, journal, script = Bot(double), FakeJournal(), words(5, rate=500.0)
    async with double.running(), process(bot, ScriptedModel(script), journal):
        asked = bot.ask("hi")
        await ended(journal)

        assert (double.answers(bot.general), len(writes(double))) == ([answer_of(script).strip()], 1)
        assert double.controls(bot.general, answer_in(bot)) == final_controls(asked)


@pytest.mark.sockets
@pytest.mark.parametrize("how", ["ignored", "refused", "malformed"])
async def test_an_answer_is_whole_where_there_are_no_buttons(how: str) -> None:
    """If the server ignores or rejects components, the answer is the same and appears once."""
    double = DiscordDouble()
    double.components = how
    bot, journal, script = Bot(double), FakeJournal(), words(100)
    async with double.running(), process(bot, ScriptedModel(script), journal):
        bot.ask("hi")

        assert await ended(journal) == [Ending.DONE]
        assert (double.answers(bot.general), double.limited) == ([answer_of(script).strip()], [])


@pytest.mark.sockets
async def test_an_answer_is_whole_if_only_its_last_buttons_are_refused() -> None:
    """Its text is written without them; the next answer has its stop button and tries no others."""
    double = DiscordDouble()
    double.components = "unended"
    bot, journal, script = Bot(double), FakeJournal(), words(100, rate=100.0)
    async with double.running(), process(bot, ScriptedModel(script), journal):
        bot.ask("hi")
        await ended(journal)
        refused = len(writes(double))
        bot.ask("again")
        await ended(journal, 2)
        sent = [str(each) for each in writes(double)]

        assert double.answers(bot.general) == [answer_of(script).strip()] * 2
        assert [double.controls(bot.general, one.id) for one in double.shown(bot.general)] == [[]] * 4
        assert any("stop:" in each for each in sent[refused:])
        assert not any("retry:" in each for each in sent[refused:])
        assert double.limited == []


@pytest.mark.sockets
async def test_an_answer_of_many_messages_ends_with_its_controls() -> None:
    """Only the last message of an answer has controls; those of the end replace the stop button."""
    double = DiscordDouble()
    bot, journal, script = Bot(double), FakeJournal(), words(1000, rate=500.0)
    async with double.running(), process(bot, ScriptedModel(script), journal):
        asked = bot.ask("hi")
        await ended(journal)
        *earlier, last = [one.id for one in double.shown(bot.general) if one.author == "Tickertape"]

        assert len(earlier) > 2
        assert [double.button(bot.general, one) for one in earlier] == [None] * len(earlier)
        assert double.controls(bot.general, last) == final_controls(asked)


# ------------------------------------------------------------------------------------------------------------- deleting


@pytest.mark.sockets
@pytest.mark.parametrize("what", ["question", "answer", "bulk"])
async def test_deleting_ends_the_models_stream_within_a_second(what: str) -> None:
    """The question, the answer, or both with many others at once: no tokens are paid for nobody."""
    model = ScriptedModel(words(2000))
    async with live(model) as (bot, journal, asked):
        match what:
            case "question":
                bot.double.remove(bot.general, asked)
            case "answer":
                bot.double.remove(bot.general, answer_in(bot))
            case _:
                bot.double.remove_all(bot.general, [asked, answer_in(bot)])
        before = model.given
        await until(lambda: not model.open)
        assert model.given - before <= 40 * BUSY  # the words of a second: of a few on a busy machine
        await ended(journal)

        assert len(bot.double.answers(bot.general)) == (1 if what == "question" else 0)


@pytest.mark.sockets
async def test_what_is_deleted_is_told_with_the_key_of_its_turn() -> None:
    """Each message of a bulk is told, in a guild and in a DM; where the event names no guild, it is known."""
    async with bot_at_work() as bot:
        one, two = bot.ask("one"), bot.ask("two")
        dm = bot.double.world.dm(bot.ada)
        three = bot.double.say(dm, "three", author=bot.ada)
        taken = await bot.inbox.wait_for(3)
        bot.double.remove_all(bot.general, [one])
        bot.double.gateway.dispatch("MESSAGE_DELETE", {"id": two, "channel_id": bot.general})
        bot.double.remove(dm, three)
        await bot.settled()

        assert set(bot.inbox.deleted) == {turn.key for turn, _ in taken}


@pytest.mark.sockets
async def test_what_we_delete_ourselves_is_no_news() -> None:
    """Deleting our own surplus message does not end the answer."""
    async with bot_at_work() as bot:
        bot.ask("one")
        [(_, channel)] = await bot.inbox.wait_for()
        await channel.post(Body("first"), "key1")
        surplus = await channel.post(Body("second"), "key2")
        await channel.delete(surplus)
        await bot.settled()
        assert bot.inbox.deleted == []

        first = answer_in(bot)
        bot.double.remove(bot.general, first)
        await bot.settled()
        assert bot.inbox.deleted == [TurnKey("discord", bot.guild, bot.general, first)]
