"""Message shortcuts: a question from a message's menu, and questions without a message asked again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.conversation import Role, TurnKey
from bot.errors import Forbidden, NotFound
from bot.ports import Body, UnfinishedTurn
from tests.servers.slack import SlackDouble
from tests.support.inbox import RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected, soon, told

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

ANSWER, SUMMARIZE = "tickertape_answer", "tickertape_summarize"
KEY = "k" * 20 + "1"


async def test_answer_this_answers_a_message_in_its_thread() -> None:
    """The chosen message is the question, by its author; the person at the menu asks, and the thread has the answer."""
    double = SlackDouble()
    ann, bob, channel = double.world.user("Ann"), double.world.user("Bob"), double.world.channel()
    root = double.say(channel, "We meet at nine.", author=bob, quiet=True)
    chosen = double.say(channel, f"When, <@{ann}>?", author=bob, thread=root, quiet=True)
    double.say(channel, "Later words.", author=bob, thread=root, quiet=True)
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        envelope = await double.menu(channel, chosen, ANSWER, author=ann)
        turn, answers = await inbox.turn(1)
        await soon(double, lambda: envelope.acked)
        assert (turn.author.id, turn.question.name, turn.question.text) == (ann, "Bob", "When, @Ann?")
        assert (turn.conversation, turn.channel_ids) == (f"slack/T1/{channel}/{root}", (root, channel))
        assert turn.preface == ""
        assert [each.text for each in (await answers.history(9)).messages] == ["We meet at nine."]
        await answers.post(Body("At nine."), KEY)
        assert double.answers(channel, root) == ["At nine."]


async def test_answer_this_on_a_message_outside_a_thread() -> None:
    """The answer begins the message's thread, without the channel as its history."""
    double = SlackDouble()
    ann, bob, channel = double.world.user("Ann"), double.world.user("Bob"), double.world.channel()
    double.say(channel, "chatter", author=bob, quiet=True)
    chosen = double.say(channel, "Why?", author=bob, quiet=True)
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await double.menu(channel, chosen, ANSWER, author=ann)
        _, answers = await inbox.turn(1)
        assert (await answers.history(9)).messages == ()
        await answers.post(Body("Because."), KEY)
        assert double.answers(channel, chosen) == ["Because."]


async def test_summarize_reads_the_thread_up_to_now() -> None:
    """The whole thread is the history, and the instruction is the question."""
    double = SlackDouble()
    ann, bob, channel = double.world.user("Ann"), double.world.user("Bob"), double.world.channel()
    root = double.say(channel, "One.", author=bob, quiet=True)
    chosen = double.say(channel, "Two.", author=bob, thread=root, quiet=True)
    double.say(channel, "Three.", author=ann, thread=root, quiet=True)
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await double.menu(channel, chosen, SUMMARIZE, author=ann)
        turn, answers = await inbox.turn(1)
        assert turn.question.text.startswith("Summarize")
        assert [each.text for each in (await answers.history(9)).messages] == ["One.", "Two.", "Three."]
        await answers.post(Body("Three numbers."), KEY)
        assert double.answers(channel, root) == ["Three numbers."]


async def test_each_choice_is_a_question() -> None:
    """Two people may have the same message answered; each answer is found by its own key."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann, bob, channel = double.world.user("Ann"), double.world.user("Bob"), double.world.channel()
    chosen = double.say(channel, "Why?", author=bob, quiet=True)
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await double.menu(channel, chosen, ANSWER, author=ann)
        await double.menu(channel, chosen, ANSWER, author=bob)
        (first, channel_1), (second, channel_2) = await inbox.wait_for(2)
        assert first.key != second.key
        await channel_1.post(Body("One."), "a" * 20 + "1")
        assert await channel_2.find("b" * 20 + "1") is None


async def test_the_bots_own_answer_and_an_alert_can_be_asked_about() -> None:
    """A message of ours or of an app becomes a question of a person's."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    alert = double.alert(channel, text="The disk is full.")
    fields = {"user": double.world.bot_user, "bot_id": double.world.bot_id, "text": "An answer."}
    ours = double.world.put(channel, fields)["ts"]
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await double.menu(channel, alert, ANSWER, author=ann)
        await double.menu(channel, ours, ANSWER, author=ann)
        (first, _), (second, _) = await inbox.wait_for(2)
        assert (first.question.role, first.question.name, first.question.text) == (
            Role.USER,
            "Alertmanager",
            "The disk is full.",
        )
        assert (second.question.role, second.question.text) == (Role.USER, "An answer.")


async def test_a_message_without_content() -> None:
    """A message that holds nothing is told in private, and nothing is asked."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    joined = double.world.put(channel, {"user": ann, "subtype": "channel_join", "text": "joined"})["ts"]
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await double.menu(channel, joined, ANSWER, author=ann)
        (line,) = await told(double, ann)
        assert "nothing to answer" in line
        assert inbox.turns == []


@pytest.mark.parametrize("callback", [ANSWER, SUMMARIZE])
async def test_the_bot_is_not_there(callback: str) -> None:
    """In a channel without the bot, one private line says so."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    chosen = double.say(channel, "Why?", author=ann, quiet=True)
    double.outside.add(channel)
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await double.menu(channel, chosen, callback, author=ann)
        (line,) = await told(double, ann)
        assert "invite me" in line
        assert inbox.turns == []


@pytest.mark.parametrize("callback", [ANSWER, SUMMARIZE])
async def test_a_crash_before_the_answer(callback: str) -> None:
    """A choice journalled by a killed process is answered by the next one, with the same question and history."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, channel = double.world.user("Ann"), double.world.channel()
    root = double.say(channel, "One.", author=ann, quiet=True)
    chosen = double.say(channel, "Why?", author=ann, thread=root, quiet=True)
    async with double.running():
        async with connected(double, inbox, RecordingInteractions()):
            await double.menu(channel, chosen, callback, author=ann)
            turn, answers = await inbox.turn(1)
            texts = [each.text for each in (await answers.history(9)).messages]
        (key, event), later = inbox.received[0], RecordingInbox()
        later.unfinished = [UnfinishedTurn(key, event)]
        async with connected(double, later, RecordingInteractions()):
            resumed, answers = await later.turn(1)
            assert (resumed.key, resumed.question) == (turn.key, turn.question)
            assert [each.text for each in (await answers.history(9)).messages] == texts
            assert await answers.find(KEY) is None


async def test_a_message_deleted_during_a_crash() -> None:
    """A chosen message that was deleted in the meantime is not answered."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, channel = double.world.user("Ann"), double.world.channel()
    root = double.say(channel, "One.", author=ann, quiet=True)
    chosen = double.say(channel, "Why?", author=ann, thread=root, quiet=True)
    async with double.running():
        async with connected(double, inbox, RecordingInteractions()):
            await double.menu(channel, chosen, ANSWER, author=ann)
            await inbox.turn(1)
        (key, event), later = inbox.received[0], RecordingInbox()
        later.unfinished = [UnfinishedTurn(key, event)]
        del double.world.messages[channel][chosen]
        async with connected(double, later, RecordingInteractions()):
            await later.until(lambda: later.dismissed == [key])
            assert later.turns == []


async def test_a_command_is_asked_again_from_its_quote() -> None:
    """Another answer to the slash command's question reads it above the present one, in the same messages."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, RecordingInteractions()) as (platform, inbox):
        await double.command(channel, "ask Is 1 &lt; *2* &amp; why?", author=ann)
        turn, answers = await inbox.turn(1)
        first = await answers.post(Body(f"{turn.preface}\n\nYes."), KEY)
        key = TurnKey(turn.key.platform, turn.key.workspace, channel, turn.key.message, 1)
        opened = await platform.open_question(key, [first])
        assert (opened.turn.key, opened.turn.question, opened.turn.preface) == (key, turn.question, turn.preface)
        assert (opened.turn.author, opened.turn.can_retry) == (turn.author, True)
        assert (await opened.channel.history(9)).messages == ()
        await opened.channel.edit(first, Body(f"{turn.preface}\n\nIndeed."))
        await opened.channel.post(Body("And more."), "n" * 20 + "2")
        assert [each.text for each in double.shown(channel, first)] == [f"{turn.preface}\n\nIndeed.", "And more."]
        later = RecordingInbox()
        later.unfinished = [UnfinishedTurn(key, opened.event, (first,))]
        async with connected(double, later, RecordingInteractions()):
            assert (await later.turn(1))[0].question == turn.question


async def test_a_long_thread_costs_one_read() -> None:
    """Another answer reads one page for its question, however many messages follow it."""
    double = SlackDouble()
    double.post_seconds, double.page_limit = 0.0, 2
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, RecordingInteractions()) as (platform, inbox):
        await double.command(channel, "ask why?", author=ann)
        turn, answers = await inbox.turn(1)
        first = await answers.post(Body(f"{turn.preface}\n\nBecause."), KEY)
        for number in range(5):
            double.say(channel, f"reply {number}", author=ann, thread=first, quiet=True)
        opened = await platform.open_question(replace(turn.key, generation=1), [first])
        assert opened.turn.question.text == "why?"
        assert len(double.transcript.of(path="conversations.replies")) == 1


async def test_a_deleted_quote_cannot_be_asked_again() -> None:
    """If the answer with the question is gone or changed, the question is gone too."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, RecordingInteractions()) as (platform, inbox):
        await double.command(channel, "ask why?", author=ann)
        turn, answers = await inbox.turn(1)
        first = await answers.post(Body("No quote here."), KEY)
        key = TurnKey(turn.key.platform, turn.key.workspace, channel, turn.key.message, 1)
        for messages in ([first], []):
            with pytest.raises(NotFound):
                await platform.open_question(key, messages)
        del double.world.messages[channel][first]
        with pytest.raises(NotFound):
            await platform.open_question(key, [first])


async def test_a_chosen_message_is_asked_again() -> None:
    """Another answer reads the chosen message as it is now, without our first answer; a deleted one is gone."""
    double = SlackDouble()
    double.post_seconds = 0.0
    ann, bob, channel = double.world.user("Ann"), double.world.user("Bob"), double.world.channel()
    root = double.say(channel, "One.", author=bob, quiet=True)
    chosen = double.say(channel, "Why?", author=bob, thread=root, quiet=True)
    async with double.running(), connected(double, None, RecordingInteractions()) as (platform, inbox):
        await double.menu(channel, chosen, ANSWER, author=ann)
        turn, answers = await inbox.turn(1)
        first = await answers.post(Body("Because."), KEY)
        double.revise(channel, chosen, "Why not?")
        key = TurnKey(turn.key.platform, turn.key.workspace, channel, turn.key.message, 1)
        opened = await platform.open_question(key, [first])
        assert (opened.turn.question.text, opened.turn.question.name) == ("Why not?", "Bob")
        assert opened.turn.author.id == ann
        assert [each.text for each in (await opened.channel.history(9)).messages] == ["One."]
        del double.world.messages[channel][chosen]
        with pytest.raises(NotFound):
            await platform.open_question(key, [first])


async def test_a_refused_post_is_told_in_private() -> None:
    """If only the post shows that the bot may not write, the person at the menu is told."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    chosen = double.say(channel, "Why?", author=ann, quiet=True)
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await double.menu(channel, chosen, ANSWER, author=ann)
        _, answers = await inbox.turn(1)
        double.outside.add(channel)
        with pytest.raises(Forbidden):
            await answers.post(Body("text"), KEY)
        (line,) = await told(double, ann)
        assert "invite me" in line
