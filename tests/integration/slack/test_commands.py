"""Slash commands: acknowledged in time, answered in private, and `ask` as a question of its own."""

from __future__ import annotations

import asyncio
import logging

import pytest

from adapters.slack.options import SlackTimings
from bot.conversation import Role, Turn, TurnKey
from bot.errors import Forbidden, NotFound
from bot.interactions.values import CommandInvoked, Field, Form, Notice, Response
from bot.ports import Body, UnfinishedTurn
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.servers.slack_deliveries import Envelope
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected, soon, told
from tests.support.waiting import until

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

# Slack shows people an error of its own for a command without an acknowledgement within three seconds.
ACKNOWLEDGEMENT_SECONDS = 3.0
KEY = "k" * 20 + "1"


async def acknowledged(double: SlackDouble, envelope: Envelope) -> None:
    async with asyncio.timeout(ACKNOWLEDGEMENT_SECONDS):
        await double.until(lambda: envelope.acked)


def named(event: object) -> Response:
    """A response that repeats a command."""
    assert isinstance(event, CommandInvoked)
    return Notice(f"{event.command} {dict(event.arguments)}")


async def test_a_command_reaches_the_core_with_its_person_and_place() -> None:
    """The core gets name, arguments, author and place; its notice is shown to that person alone."""
    double, core = SlackDouble(), RecordingInteractions(named)
    ann, channel = double.world.user("Ann", admin=True), double.world.channel()
    async with double.running(), connected(double, None, core) as (_, inbox):
        await acknowledged(double, await double.command(channel, "Model  gpt-5 &amp; more", author=ann))
        assert await told(double, ann) == ["model {'name': 'gpt-5 &amp; more'}"]
        (event,) = core.invoked
        assert (event.by.id, event.by.name, event.by.manages) == (ann, "Ann", True)
        assert (event.place.workspace, event.place.channel, event.place.conversation) == ("T1", channel, "")
        assert event.arguments == {"name": "gpt-5 & more"}
        assert not double.transcript.of(path="chat.postEphemeral")  # it came to the response address
        assert inbox.received == []
        assert double.answers(channel) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "/tickertape help"),
        ("   ", "/tickertape help"),
        ("ask", "Write me a question"),
        ("ask   ", "Write me a question"),
    ],
)
async def test_a_wrong_command_gets_one_private_line(text: str, words: str) -> None:
    """No word and a missing question each get one line with the way on; nothing is asked."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, core) as (_, inbox):
        await acknowledged(double, await double.command(channel, text, author=ann))
        (line,) = await told(double, ann)
        assert words in line
        assert core.events == []
        assert inbox.received == []


async def test_an_unknown_word_goes_to_the_core() -> None:
    """The core answers an unknown word, with the slash command's own name for what to type."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, core):
        await acknowledged(double, await double.command(channel, "modle gpt-5", author=ann, command="/robot"))
        assert await told(double, ann) == ["Done."]
        (event,) = core.invoked
        assert (event.command, dict(event.arguments), event.place.command_prefix) == ("modle", {}, "/robot ")


async def test_a_form_opens_with_the_trigger() -> None:
    """A form opens as a modal for the person."""
    form = Form("settings", "Settings", (Field("name", "Name"),))
    double, core = SlackDouble(), RecordingInteractions(lambda _: form)
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, core):
        await double.command(channel, "settings", author=ann)
        await soon(double, lambda: bool(double.interactive.views))
        (form_shown,) = double.interactive.views
        assert (form_shown.user, form_shown.view["title"]["text"]) == (ann, "Settings")


async def test_a_used_up_address_falls_back_to_a_private_message() -> None:
    """If the response address refuses, the line comes by chat.postEphemeral."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, core):
        double.faults.add("POST", "/actions/", Kind.STATUS, status=404)
        await double.command(channel, "help", author=ann)
        assert await told(double, ann) == ["Done."]
        assert len(double.transcript.of(path="chat.postEphemeral")) == 1


@pytest.mark.alone
async def test_a_flood_of_commands_is_answered() -> None:
    """A hundred commands by as many people are acknowledged in time, and each person gets an answer alone."""
    double, core = SlackDouble(), RecordingInteractions(named)
    channel = double.world.channel()
    people = [double.world.user(f"P{number}") for number in range(50)]
    double.tiers["users.info"] = 10_000
    async with double.running(), connected(double, None, core):
        envelopes = [await double.command(channel, "usage", author=each) for each in people for _ in range(2)]
        for envelope in envelopes:
            await acknowledged(double, envelope)
        for person in people:
            assert await told(double, person, 2) == ["usage {}"] * 2
        assert double.limited == []


async def ask(double: SlackDouble, inbox: RecordingInbox, channel: str, text: str, *, author: str) -> Turn:
    number = len(inbox.turns) + 1
    envelope = await double.command(channel, f"ask {text}", author=author)
    await acknowledged(double, envelope)
    return (await inbox.turn(number))[0]


async def test_a_question_is_answered_in_a_new_message() -> None:
    """The answer to `ask` begins a thread in the channel; what follows there is for the bot, and has it as history."""
    double = SlackDouble()
    ann, bob, channel = double.world.user("Ann"), double.world.user("Bob"), double.world.channel()
    double.post_seconds = 0.0
    double.say(channel, "chatter", author=bob)
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        turn = await ask(double, inbox, channel, f"Who is <@{bob}|bob>?\nAnd why?", author=ann)
        assert turn.question.text == "Who is @Bob?\nAnd why?"
        assert (turn.author.id, turn.question.name, turn.channel_ids) == (ann, "Ann", (channel,))
        assert turn.preface == "> Who is \\@Bob?\n> And why?"
        assert turn.can_retry
        answers = inbox.turns[0][1]
        assert (await answers.history(10)).messages == ()
        first = await answers.post(Body(f"{turn.preface}\n\nBob is Bob."), KEY)
        await answers.post(Body("More of Bob."), "k" * 20 + "2")
        assert [each.text for each in double.shown(channel, first)] == [
            f"{turn.preface}\n\nBob is Bob.",
            "More of Bob.",
        ]
        double.say(channel, "Really?", author=ann, thread=first)
        follow_up, asked_there = await inbox.turn(2)
        assert follow_up.question.text == "Really?"
        history = await asked_there.history(10)
        assert [(message.role, message.text) for message in history.messages] == [
            (Role.USER, turn.question.text),
            (Role.ASSISTANT, "Bob is Bob.\nMore of Bob."),
        ]


async def test_a_long_question_is_quoted_in_part() -> None:
    """More than 500 characters are cut in the quote, and cannot be read again from there."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        turn = await ask(double, inbox, channel, "a" * 501, author=ann)
        assert turn.question.text == "a" * 501
        assert turn.preface.endswith("a…")
        assert not turn.can_retry


async def test_each_invocation_is_a_question() -> None:
    """The same words twice are two questions; one payload delivered twice is one."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await double.command(channel, "ask why?", author=ann)
        envelope = await double.command(channel, "ask why?", author=ann)
        await inbox.turn(2)
        await double.deliveries.deliver_payload("slash_commands", envelope.payload)
        await ask(double, inbox, channel, "why not?", author=ann)
        assert inbox.questions == ["why?", "why?", "why not?"]


@pytest.mark.parametrize("kind", ["channel", "group"])
async def test_the_bot_is_not_there(kind: str) -> None:
    """Where the bot is no member, one private line says so, and nothing is asked."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel(kind)
    double.outside.add(channel)
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        envelope = await double.command(channel, "ask why?", author=ann)
        await acknowledged(double, envelope)
        (line,) = await told(double, ann)
        assert "invite me" in line
        await inbox.until(lambda: len(inbox.dismissed) == 1)
        assert inbox.turns == []


async def test_many_questions_at_once_ask_once_for_the_channel() -> None:
    """A flood of questions in one channel is taken in, with one look at the bot's membership."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        envelopes = [await double.command(channel, f"ask {number}?", author=ann) for number in range(60)]
        for envelope in envelopes:
            await acknowledged(double, envelope)
        await inbox.wait_for(60)
        assert len(double.transcript.of(path="conversations.info")) == 1
        assert len({turn.key for turn, _ in inbox.turns}) == 60


async def test_the_first_post_is_refused() -> None:
    """If only the post shows that the bot may not write, the person is told once, in private."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.scopes -= {"channels:read"}  # nothing tells of membership before the post
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await ask(double, inbox, channel, "why?", author=ann)
        double.outside.add(channel)
        with pytest.raises(Forbidden):
            await inbox.turns[0][1].post(Body("text"), KEY)
        (line,) = await told(double, ann)
        assert "invite me" in line


async def test_a_foreign_direct_message() -> None:
    """A command typed in a conversation of two other people is answered in private; a question finds no place."""
    double = SlackDouble()
    ann = double.world.user("Ann")
    async with double.running(), connected(double, None, RecordingInteractions()) as (_, inbox):
        await double.command("D9999", "help", author=ann)
        assert await told(double, ann) == ["Done."]
        await ask(double, inbox, "D9999", "why?", author=ann)
        with pytest.raises(NotFound):
            await inbox.turns[0][1].post(Body("text"), KEY)
        assert "invite me" in (await told(double, ann, 2))[1]


async def test_a_refused_question_is_told_in_private() -> None:
    """A person without access learns it alone, and the question is dropped."""
    double, inbox = SlackDouble(), RecordingInbox()
    inbox.refusing = "Not for you."
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, inbox, RecordingInteractions()):
        await double.command(channel, "ask why?", author=ann)
        assert await told(double, ann) == ["Not for you."]
        await inbox.until(lambda: len(inbox.dismissed) == 1)
        assert inbox.turns == []


async def test_a_question_beyond_a_quota_is_told_in_private() -> None:
    """The person learns it alone, each time, and the question is dropped."""
    double, inbox, core = SlackDouble(), RecordingInbox(), RecordingInteractions()
    core.used_up = "Enough for today."
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, inbox, core):
        await double.command(channel, "ask why?", author=ann)
        assert await told(double, ann) == ["Enough for today."]
        await inbox.until(lambda: len(inbox.dismissed) == 1)
        assert inbox.turns == []


async def test_a_broken_journal_is_told_in_private() -> None:
    """A question that cannot be journalled is not started, and its author is told."""

    class BrokenInbox(RecordingInbox):
        async def receive(self, key: object, event: str) -> bool:
            raise OSError("the disk is full")

    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, BrokenInbox(), RecordingInteractions()) as (_, inbox):
        await acknowledged(double, await double.command(channel, "ask why?", author=ann))
        assert "try again" in (await told(double, ann))[0]
        assert inbox.turns == []


@pytest.mark.transports("socket")
async def test_a_connection_lost_during_the_journal_write(caplog: pytest.LogCaptureFixture) -> None:
    """A question is answered even if its acknowledgement is lost: Slack never sends it again."""
    caplog.set_level(logging.DEBUG, "adapters.slack.socket_connection")
    release = asyncio.Event()

    class SlowInbox(RecordingInbox):
        async def receive(self, key: TurnKey, event: str) -> bool:
            is_new = await super().receive(key, event)
            await release.wait()
            return is_new

    double, core, timings = SlackDouble(), RecordingInteractions(), SlackTimings(socket_close=0.01)
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, SlowInbox(), core, timings=timings) as (_, inbox):
        envelope = await double.command(channel, "ask why?", author=ann)
        await inbox.until(lambda: len(inbox.received) == 1)
        double.sockets.abort()
        await until(lambda: "left unacknowledged" in caplog.text)
        release.set()
        await inbox.turn(1)
        assert inbox.questions == ["why?"]
        assert not envelope.acked


async def test_a_process_ended_during_a_lookup_leaves_the_question_to_the_next() -> None:
    """The journal keeps a question that has not become a turn yet."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.faults.add("GET", "users.info", Kind.STALL_BEFORE, seconds=PATIENCE)
    async with double.running():
        async with connected(double, inbox, RecordingInteractions()):
            await acknowledged(double, await double.command(channel, "ask why?", author=ann))
            await double.transcript.wait_for(path="users.info")
        assert len(inbox.received) == 1
        assert inbox.dismissed == []


async def test_a_restart_is_told_in_private() -> None:
    """Slack sends a command only once, so its author learns that this process takes no more; nothing is journalled."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, RecordingInteractions()) as (platform, inbox):
        await platform.stop_accepting()
        await acknowledged(double, await double.command(channel, "ask why?", author=ann))
        assert "restarted" in (await told(double, ann))[0]
        assert inbox.received == []


async def test_a_failing_core_is_told_in_private() -> None:
    """A defect in a command ends in one plain line without the exception's words."""

    def fail(event: object) -> Response:
        raise RuntimeError("a secret detail")

    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double, None, RecordingInteractions(fail)):
        await acknowledged(double, await double.command(channel, "usage", author=ann))
        (line,) = await told(double, ann)
        assert "secret" not in line


async def test_reset_in_direct_messages_names_the_newest_message() -> None:
    """A new conversation in direct messages begins after the newest message there."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    double.say(dm, "one", author=ann, quiet=True)
    newest = double.say(dm, "two", author=ann, quiet=True)
    async with double.running(), connected(double, None, core):
        await double.command(dm, "reset", author=ann)
        await told(double, ann)
        place = core.invoked[0].place
        assert (place.position, place.conversation, place.direct) == (newest, f"slack/T1/{dm}", True)


async def test_a_crash_before_the_first_post() -> None:
    """A question journalled by a killed process is answered by the next one, as the same turn."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running():
        async with connected(double, inbox, RecordingInteractions()):
            await ask(double, inbox, channel, "why?", author=ann)
        (key, _), later = inbox.received[0], RecordingInbox()
        later.unfinished = [UnfinishedTurn(key, inbox.updated_events[-1][1], age=3.0)]
        async with connected(double, later, RecordingInteractions()):
            turn, answers = await later.turn(1)
            assert (turn.key, turn.question.text, turn.preface) == (key, "why?", "> why?")
            assert await answers.find(KEY) is None
            first = await answers.post(Body("> why?\n\nBecause."), KEY)
            assert [each.ts for each in double.shown(channel)] == [first]


@pytest.mark.parametrize("known", [True, False])
async def test_a_crash_after_the_first_post(known: bool) -> None:
    """The next process finds the answer's first message among others, and goes on in it and in its thread."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, channel = double.world.user("Ann"), double.world.channel()
    double.post_seconds = 0.0
    async with double.running():
        async with connected(double, inbox, RecordingInteractions()):
            await ask(double, inbox, channel, "why?", author=ann)
            first = await inbox.turns[0][1].post(Body("> why?\n\nBec"), KEY)
            double.say(channel, "chatter", author=ann)
        (key, event), later = inbox.received[0], RecordingInbox()
        later.unfinished = [UnfinishedTurn(key, event, (first,) if known else ())]
        async with connected(double, later, RecordingInteractions()):
            _, answers = await later.turn(1)
            assert known or await answers.find(KEY) == first
            await answers.edit(first, Body("> why?\n\nBecause."))
            await answers.post(Body("And more."), "k" * 20 + "2")
            assert [each.text for each in double.shown(channel, first)] == ["> why?\n\nBecause.", "And more."]


async def test_an_unreadable_journal_entry_is_given_up() -> None:
    """A stored command in an unknown form is dropped, and the rest goes on."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running():
        async with connected(double, inbox, RecordingInteractions()):
            await ask(double, inbox, channel, "why?", author=ann)
        (key, _), later = inbox.received[0], RecordingInbox()
        later.unfinished = [UnfinishedTurn(key, '{"invocation":{"id":"ask/U1"}}')]
        async with connected(double, later, RecordingInteractions()):
            await later.until(lambda: later.dismissed == [key])


async def test_a_platform_without_commands_acknowledges() -> None:
    """Without a core for commands, a command is acknowledged and nothing follows."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double):
        await acknowledged(double, await double.command(channel, "help", author=ann))
        assert double.interactive.seen_by(ann) == []
