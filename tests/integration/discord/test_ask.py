"""`/ask` in Discord: answers through an interaction, whole turns with the real discord.py on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.discord.messages.renderer import without_small_print
from bot.conversation import Ending, Finish, FinishReason, Role, Text
from bot.errors import ServiceError
from bot.ports import Body, Verb
from bot.strings import Strings
from tests.contracts.channel import PROMISES, Promise, name_of, play
from tests.servers.discord import DiscordDouble
from tests.servers.discord_interactions import INVALID_TOKEN, MESSAGE_LATER, UNKNOWN_WEBHOOK
from tests.servers.limits import Kind
from tests.support.core import ended
from tests.support.discord import Bot, bot_at_work, interaction_stage, process
from tests.support.fakes import FakeJournal, ScriptedModel, said, words
from tests.support.waiting import until

pytestmark = pytest.mark.sockets


def text_of(count: int) -> str:
    return "".join(f"word{number} " for number in range(count)).strip()


UNKNOWN = b'{"message": "Unknown interaction", "code": 10062}'
QUOTE = "> why\\*?"


@asynccontextmanager
async def asking(
    model: ScriptedModel, *, bot: Bot | None = None, journal: FakeJournal | None = None
) -> AsyncIterator[tuple[Bot, FakeJournal]]:
    """A whole bot; leaving it is a `kill -9`."""
    journal = journal or FakeJournal(durable=True)
    if bot is not None:
        async with process(bot, model, journal, interactions=bot.interactions):
            yield bot, journal
        return
    double = DiscordDouble()
    bot = Bot(double)
    async with double.running(), process(bot, model, journal, interactions=bot.interactions):
        yield bot, journal


def visible(bot: Bot, channel: str = "") -> list[str]:
    """The bot's visible messages, without our own lines."""
    return [without_small_print(text) for text in bot.double.answers(channel or bot.general)]


# ----------------------------------------------------------------------------------------------- the answer


@pytest.mark.quick
async def test_the_answer_streams_into_the_interaction() -> None:
    """The question stands as a quote above the answer, in the interaction's own message, visible to all."""
    model = ScriptedModel(said("Because."))
    async with asking(model) as (bot, journal):
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why*?")
        await ended(journal)

        asked = bot.double.interactions.all[used]
        assert (asked.response, visible(bot)) == (MESSAGE_LATER, [f"{QUOTE}\n\nBecause."])
        assert asked.original is not None
        assert [key.message for key in journal.entries] == [used]
        assert journal.messages == [asked.original["id"]]
        [(_, prompt)] = model.calls
        assert prompt.messages[-1].text == "Countess: why*?"
        assert bot.double.posts[journal.messages[0]].pinged == frozenset()


@pytest.mark.slow
async def test_a_thousand_words_arrive_whole() -> None:
    """They stream into the interaction's message and posts of the channel, without one 429."""
    async with asking(ScriptedModel(words(1000, rate=100.0))) as (bot, journal):
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why*?")
        async with asyncio.timeout(60):
            await ended(journal)

        first, *later = visible(bot)
        asked = bot.double.interactions.all[used]
        assert asked.original is not None
        assert bot.double.shown(bot.general)[0].id == asked.original["id"]
        assert len(later) >= 2
        assert " ".join([first.removeprefix(QUOTE), *later]).split() == text_of(1000).split()
        assert bot.double.limited == []
        assert asked.follow_ups == []
        assert len(bot.double.posts[asked.original["id"]].texts) > 3
        assert {one.reply_to for one in bot.double.shown(bot.general)[1:]} == {asked.original["id"]}


@pytest.mark.parametrize("guild", [True, False])
async def test_where_the_bot_is_not_there_follow_ups_continue_the_answer(guild: bool) -> None:
    """At most five follow-ups, the last of them with the rest as a file; no request needs the bot's access."""
    async with asking(ScriptedModel(said(text_of(5000)))) as (bot, journal):
        channel = bot.double.world.outside_channel(guild=guild)
        used = bot.double.use("ask", channel, user=bot.ada, question="why?")
        await ended(journal)

        asked = bot.double.interactions.all[used]
        assert len(asked.follow_ups) == 5
        assert [len(one["attachments"]) for one in asked.messages] == [0, 0, 0, 0, 0, 1]
        assert bot.double.transcript.of("", "/channels/") == []
        assert bot.double.limited == []
        assert journal.endings == [Ending.DONE]
        controls = bot.double.controls(channel, asked.follow_ups[-1]["id"])
        assert [one.partition(":")[0] for one in controls] == ["up", "down"]  # nothing reads the question again


async def test_a_bot_that_may_not_post_uses_follow_ups() -> None:
    """The command's permissions say so, or the first refused post does."""
    async with asking(ScriptedModel(said(text_of(700)))) as (bot, journal):
        bot.double.forbidden.add(bot.general)
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        await ended(journal)
        bot.double.forbidden.clear()
        again = bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        bot.double.forbidden.add(bot.general)
        await ended(journal, 2)

        for one in (used, again):
            asked = bot.double.interactions.all[one]
            texts = [without_small_print(each["content"]) for each in asked.messages]
            assert " ".join(texts).replace("> why?", "").split() == text_of(700).split()
        assert len(bot.double.transcript.of("POST", f"/channels/{bot.general}/messages$")) == 1


async def test_a_long_question_is_cut_in_its_quote() -> None:
    """The model reads all of it, and the answer offers no other attempt."""
    model = ScriptedModel(said("Because."))
    async with asking(model) as (bot, journal):
        bot.double.use("ask", bot.general, user=bot.ada, question="long " * 200)
        await ended(journal)

        [(_, prompt)] = model.calls
        [shown] = bot.double.shown(bot.general)
        assert prompt.messages[-1].text.count("long") == 200
        assert shown.text.partition("\n")[0] == "> " + ("long " * 100)[:499] + "…"
        assert not any(one.startswith("retry") for one in bot.double.controls(bot.general, shown.id))


async def test_a_mention_in_a_question_is_a_name() -> None:
    """Ids in the question are names for the model and for readers, and nobody is pinged."""
    model = ScriptedModel(said("Because."))
    async with asking(model) as (bot, journal):
        bot.double.use("ask", bot.general, user=bot.ada, question=f"what does <@&{bot.role}> do in <#{bot.general}>?")
        await ended(journal)

        assert model.calls[0][1].messages[-1].text == "Countess: what does @devs do in #general?"
        assert {post.pinged for post in bot.double.posts.values()} == {frozenset()}


async def test_a_refused_question_is_refused_privately() -> None:
    """Without access, the person alone reads why, and nothing shows in the channel."""
    async with bot_at_work() as bot:
        bot.inbox.refusing = "Not you."
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        await until(lambda: bot.double.private(bot.ada) == ["Not you."])

        assert bot.double.interactions.all[used].response == 4
        assert (bot.inbox.received, bot.double.shown(bot.general)) == ([], [])


async def test_a_question_that_a_shared_journal_does_not_take_is_refused_privately() -> None:
    """An interaction waits for seconds only, so the person is asked to try again; nothing shows in the channel."""
    journal = FakeJournal(durable=True)
    journal.shared = journal.away = True
    async with asking(ScriptedModel(said("Because.")), journal=journal) as (bot, _):
        bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        await until(lambda: bot.double.private(bot.ada) == [Strings().not_now])
        assert bot.double.shown(bot.general) == []
        journal.away = False
        bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        await ended(journal)
        assert visible(bot) == ["> why?\n\nBecause."]


async def test_a_question_beyond_a_quota_is_refused_privately() -> None:
    """The person alone reads it; no message waits for an answer that never comes."""
    async with bot_at_work() as bot:
        bot.interactions.used_up = "Enough for today."
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        await until(lambda: bot.double.private(bot.ada) == ["Enough for today."])

        assert bot.double.interactions.all[used].response == 4
        assert (len(bot.inbox.dismissed), bot.double.shown(bot.general)) == (1, [])


async def test_a_question_is_journalled_before_it_is_acknowledged() -> None:
    """With everything that another process needs to go on."""
    async with bot_at_work() as bot:
        bot.double.faults.add("POST", "/callback", Kind.STALL_BEFORE, seconds=0.5)
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        await bot.inbox.until(lambda: bool(bot.inbox.received))
        [(key, event)] = bot.inbox.received

        asked, stored = bot.double.interactions.all[used], json.loads(event)
        assert (key.message, asked.response) == (used, 0)
        assert stored["token"] == {"id": used, "application": bot.double.world.bot, "token": asked.token}
        assert (stored["by"]["id"], stored["channel"]["id"], stored["question"]) == (bot.ada, bot.general, "why?")


# ----------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("kind", [Kind.RESET_AFTER, Kind.GARBLED, Kind.STATUS])
@pytest.mark.parametrize("call", ["POST /callback", "PATCH /messages/@original"])
async def test_a_lost_response_costs_nothing(kind: Kind, call: str) -> None:
    """The callback and the edits of its message are repeated, and the answer is there once."""
    async with asking(ScriptedModel(said("Because."))) as (bot, journal):
        method, _, path = call.partition(" ")
        bot.double.faults.add(method, path, kind)
        bot.double.use("ask", bot.general, user=bot.ada, question="why*?")
        await ended(journal)

        assert bot.double.faults.fired
        assert visible(bot) == [f"{QUOTE}\n\nBecause."]


async def test_a_follow_up_with_a_lost_response_may_appear_twice() -> None:
    """The documented exception, where nothing shows the bot that it exists. No text is missing."""
    async with asking(ScriptedModel(said(text_of(700)))) as (bot, journal):
        channel = bot.double.world.outside_channel(guild=True)
        bot.double.faults.add("POST", "/webhooks/[^/]+/[^/]+$", Kind.RESET_AFTER)
        used = bot.double.use("ask", channel, user=bot.ada, question="why?")
        await ended(journal)

        texts = [one["content"] for one in bot.double.interactions.all[used].messages]
        assert bot.double.faults.fired
        assert "word699" in texts[-1]
        assert all(f"word{number}" in " ".join(texts) for number in range(700))


@pytest.mark.parametrize("error", [INVALID_TOKEN, UNKNOWN_WEBHOOK])
@pytest.mark.parametrize("early", [True, False])
async def test_an_expired_token_is_no_end(error: tuple[int, int, str], early: bool) -> None:
    """Whatever the clock says: the bot goes on in the channel, by the message's id or with a new message."""
    async with asking(ScriptedModel([Text("One. "), 1.5, Text("Two."), Finish(FinishReason.STOP)])) as (bot, journal):
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why*?")
        asked = bot.double.interactions.all[used]
        await until(lambda: bool(asked.response if early else journal.messages))
        bot.double.interactions.expire(used, error)
        await ended(journal)

        assert visible(bot)[-1] == f"{QUOTE}\n\nOne. Two."
        assert len(visible(bot)) == (2 if early else 1)  # the first one says for ever that the bot thinks
        assert journal.endings == [Ending.DONE]


async def test_without_its_token_every_write_keeps_to_the_bots_budget() -> None:
    """Also one with budgets looked up before, as an answer does at its start."""
    async with bot_at_work() as bot:
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        [(_, channel)] = await bot.inbox.wait_for()
        budgets = {verb: channel.budgets(verb) for verb in Verb}
        bot.double.interactions.expire(used)
        with pytest.raises(ServiceError):
            await channel.post(Body("Because."), "key")
        await channel.post(Body("Because."), "key")
        now = asyncio.get_running_loop().time()
        bot.state.budgets.global_limit.hold(now, 60.0)

        for verb in Verb:
            assert max(budget.ready_at(now, final=True) for budget in budgets[verb]) >= now + 60.0


async def test_an_expired_token_elsewhere_ends_the_turn() -> None:
    """Where the bot sees nothing, an answer can only stop."""
    model = ScriptedModel(words(60, rate=30.0))
    async with asking(model) as (bot, journal):
        channel = bot.double.world.outside_channel(guild=True)
        used = bot.double.use("ask", channel, user=bot.ada, question="why?")
        await until(lambda: bool(journal.messages))
        bot.double.interactions.expire(used)
        await ended(journal)

        assert (journal.endings, model.open) == ([Ending.GONE], 0)


async def test_a_late_callback_is_answered_in_the_channel() -> None:
    """An interaction that is dead before its first response still gets its answer, below its question."""
    async with asking(ScriptedModel(said("Because."))) as (bot, journal):
        bot.double.faults.add("POST", "/callback", Kind.STATUS, status=404, body=UNKNOWN)
        bot.double.use("ask", bot.general, user=bot.ada, question="why*?")
        await ended(journal)

        assert visible(bot) == [f"{QUOTE}\n\nBecause."]
        assert len(bot.double.transcript.of("POST", f"/channels/{bot.general}/messages$")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.RESET_BEFORE, Kind.RESET_AFTER, Kind.STATUS, Kind.GARBLED])
@pytest.mark.parametrize("call", ["POST /callback", "PATCH /@original", "POST /messages$", r"PATCH /messages/\d+"])
async def test_a_fault_at_any_call_costs_no_text(call: str, kind: Kind) -> None:
    """At the first, second or third of each call of a long answer: all text is there, and nothing twice."""
    method, _, path = call.partition(" ")
    model = ScriptedModel(words(700, rate=250.0))

    async def once(nth: int) -> None:
        async with asking(model) as (bot, journal):
            bot.double.faults.add(method, path, kind, nth=nth)
            bot.double.use("ask", bot.general, user=bot.ada, question="why*?")
            await ended(journal)

            first, *later = visible(bot)
            assert bot.double.faults.fired or nth > 1  # a call may be made once only
            assert " ".join([first.removeprefix(QUOTE), *later]).split() == text_of(700).split()
            assert (journal.endings, bot.double.limited) == ([Ending.DONE], [])

    async with asyncio.TaskGroup() as group:
        for nth in (1, 2, 3):
            group.create_task(once(nth))


# ----------------------------------------------------------------------------------------------- kills


@pytest.mark.parametrize("moment", ["journalled", "acknowledged", "first text", "second message"])
async def test_after_a_kill_the_answer_continues_in_place(moment: str) -> None:
    """The next process completes it in the same message, with the token of the journal."""
    double, journal = DiscordDouble(), FakeJournal(durable=True)
    bot, model = Bot(double), ScriptedModel([*words(600, rate=400.0, finish=None), 9.0])
    if moment == "journalled":
        double.faults.add("POST", "/callback", Kind.STALL_BEFORE, seconds=9.0)
    async with double.running():
        async with asking(model, bot=bot, journal=journal):
            used = double.use("ask", bot.general, user=bot.ada, question="why*?")
            asked = double.interactions.all[used]
            reached = {
                "journalled": lambda: bool(double.transcript.of("POST", "/callback")),
                "acknowledged": lambda: bool(asked.response),
                "first text": lambda: bool(journal.messages),
                "second message": lambda: len(journal.messages) == 2,
            }
            await until(reached[moment])
        double.faults.clear()
        journal = FakeJournal(durable=True, of=journal)
        async with asking(ScriptedModel(said(text_of(600))), bot=bot, journal=journal):
            await ended(journal)

        shown = [text for text in visible(bot) if text]
        assert " ".join(shown).removeprefix(QUOTE).split() == text_of(600).split()
        assert journal.endings == [Ending.DONE]
        assert double.limited == []
        if moment != "journalled":
            assert asked.original is not None
            assert double.shown(bot.general)[0].id == asked.original["id"]


# ----------------------------------------------------------------------------------------------- conversations


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_reply_to_the_answer_continues_the_conversation(restarted: bool) -> None:
    """It asks without a mention, and the model reads the question and the whole answer."""
    model = ScriptedModel(said(text_of(600)), said("More."))
    async with asking(model) as (bot, journal):
        bot.double.use("ask", bot.general, user=bot.ada, question="why*?")
        await ended(journal)
        last = bot.double.shown(bot.general)[-1].id
        if restarted:
            await bot.platform.close()
            async with asking(model, bot=bot):
                bot.double.say(bot.general, "go on", author=bot.bob, reply_to=last)
                await until(lambda: "More." in visible(bot)[-1])
        else:
            bot.double.say(bot.general, "go on", author=bot.bob, reply_to=last)
            await ended(journal, 2)

        messages = model.calls[-1][1].messages
        name = "Ada" if restarted else "Countess"  # Discord tells no nickname in a message read again
        assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT, Role.USER]
        assert (messages[0].text, messages[2].text) == (f"{name}: why*?", "Bob: go on")
        assert messages[1].text.split() == text_of(600).split()


async def test_a_question_in_a_thread_has_its_history() -> None:
    """As a mention there would have. In a channel each question stands alone, and elsewhere nothing can be read."""
    model = ScriptedModel(said("Because."))
    double = DiscordDouble()
    bot = Bot(double)
    thread = double.world.thread(bot.general)
    for channel in (thread, bot.general):
        double.say(channel, "earlier talk", author=bot.bob, quiet=True)
    outside = double.world.outside_channel(guild=True)
    async with double.running(), asking(model, bot=bot) as (_, journal):
        for number, channel in enumerate((thread, bot.general, outside), start=1):
            double.use("ask", channel, user=bot.ada, question="why?")
            await ended(journal, number)

        texts = [[message.text for message in prompt.messages] for _, prompt in model.calls]
        assert texts[0][0] == "Bob: earlier talk"
        assert [len(each) for each in texts] == [2, 1, 1]


@pytest.mark.quick
async def test_the_stop_button_stops_an_answer_to_a_command() -> None:
    """Its id is the interaction's."""
    async with asking(ScriptedModel([*words(20, rate=100.0, finish=None), 9.0])) as (bot, journal):
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        await until(lambda: bool(journal.messages))
        message = journal.messages[0]
        assert bot.double.button(bot.general, message) == f"stop:{used}"
        bot.double.press(bot.general, message, user=bot.bob)
        await ended(journal)

        assert journal.endings == [Ending.STOPPED]


@pytest.mark.quick
@pytest.mark.parametrize("promise", PROMISES, ids=name_of)
async def test_contract(promise: Promise) -> None:
    """The channel of a command keeps the promises of the port."""
    async with interaction_stage() as stage:
        await play(promise, stage)
        assert stage.bot.double.limited == []


@pytest.mark.alone
async def test_a_flood_of_questions_is_acknowledged() -> None:
    """Fifty at once are acknowledged in time, and each is answered once."""
    async with asking(ScriptedModel(said("Because."))) as (bot, journal):
        used = [bot.double.use("ask", bot.general, user=bot.ada, question=f"q{n}") for n in range(50)]
        await ended(journal, 50)

        assert {bot.double.interactions.all[one].response for one in used} == {MESSAGE_LATER}
        assert sorted(visible(bot)) == sorted(f"> q{n}\n\nBecause." for n in range(50))
        assert bot.double.limited == []


async def test_a_question_that_ends_without_an_answer_does_not_think_for_ever() -> None:
    """Nothing of it stays in the channel, and its asker alone gets a line."""
    async with asking(ScriptedModel([*words(5, rate=50.0, finish=None), 9.0])) as (bot, journal):
        bot.double.use("ask", bot.general, user=bot.ada, question="why?")
        await until(lambda: bool(journal.messages))
        bot.double.use("ask", bot.general, user=bot.ada, question="stop")
        await until(lambda: bool(bot.double.private(bot.ada)))

        assert bot.double.private(bot.ada) == [Strings().not_answered]
        assert len(bot.double.shown(bot.general)) == 1
        assert journal.endings == [Ending.STOPPED]


async def test_a_question_while_stopping_is_left_to_the_next_process() -> None:
    """It is acknowledged at once and journalled at the end, and the next process answers it in place."""
    double = DiscordDouble()
    bot, journal = Bot(double), FakeJournal(durable=True)
    async with double.running():
        async with asking(ScriptedModel(said("No.")), bot=bot, journal=journal):
            await bot.platform.stop_accepting()
            used = double.use("ask", bot.general, user=bot.ada, question="why*?")
            await until(lambda: bool(double.interactions.all[used].response))
            assert journal.entries == {}
            await bot.platform.close()
        journal = FakeJournal(durable=True, of=journal)
        async with asking(ScriptedModel(said("Because.")), bot=bot, journal=journal):
            await ended(journal)

        assert visible(bot) == [f"{QUOTE}\n\nBecause."]


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_answer_to_a_command_is_tried_again_in_place(restarted: bool) -> None:
    """The question is read from its quote, also by another process; the old text is gone, and no message is added."""
    model = ScriptedModel(said(text_of(500)), said("Better."))
    async with asking(model) as (bot, journal):
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why*?")
        await ended(journal)
        first, last = (bot.double.shown(bot.general)[place].id for place in (0, -1))
        if restarted:
            await bot.platform.close()
            async with asking(model, bot=bot, journal=FakeJournal(durable=True, of=journal)):
                bot.double.press(bot.general, last, user=bot.ada, custom_id=f"retry:{used}")
                await until(lambda: visible(bot) == [f"{QUOTE}\n\nBetter."])
        else:
            bot.double.press(bot.general, last, user=bot.ada, custom_id=f"retry:{used}")
            await until(lambda: visible(bot) == [f"{QUOTE}\n\nBetter."])

        assert [one.id for one in bot.double.shown(bot.general)] == [first]
        assert [message.text for message in model.calls[1][1].messages][-1].endswith(": why*?")
        assert bot.double.limited == []


async def test_an_answer_without_its_quote_is_not_tried_again() -> None:
    """The presser alone reads why."""
    async with asking(ScriptedModel(said("Because."))) as (bot, journal):
        used = bot.double.use("ask", bot.general, user=bot.ada, question="why*?")
        await ended(journal)
        [shown] = bot.double.shown(bot.general)
        bot.double.world.messages[bot.general][shown.id]["content"] = "Because."
        bot.double.press(bot.general, shown.id, user=bot.ada, custom_id=f"retry:{used}")
        await until(lambda: bot.double.private(bot.ada) == [Strings().retry_gone])

        assert visible(bot) == ["Because."]
