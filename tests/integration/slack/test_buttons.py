"""Buttons of answers: shown, rejected without losing text, and pressed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from adapters.slack import SlackPlatform
from bot.conversation import Author, TurnKey
from bot.errors import Retryable
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.interactions.values import (
    Action,
    Choice,
    Field,
    Form,
    FormSubmitted,
    Notice,
    PrivateFile,
    Response,
    RetryPressed,
    Vote,
    VoteCast,
)
from bot.ports import Body, Channel, Controls, Verb
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.servers.slack_interactive import labels_of
from tests.support.inbox import RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected, soon

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

KEY = "k" * 20
FINAL = Controls.RETRY | Controls.FEEDBACK
REASON = Form("feedback:1", "What was wrong?", (Field("reason", "Reason", multiline=True),), submit="Send")


@dataclass(slots=True)
class Scene:
    """One question in a channel, its asker Ann, and the channel of the answer."""

    double: SlackDouble
    platform: SlackPlatform
    inbox: RecordingInbox
    interactions: RecordingInteractions
    ann: str
    place: str
    question: str

    @property
    def channel(self) -> Channel:
        return self.inbox.turns[0][1]

    def blocks(self, ts: str) -> list[str]:
        return [block["type"] for block in self.double.world.messages[self.place][ts]["blocks"]]

    def labels(self, ts: str) -> list[str]:
        return labels_of(self.double.world.messages[self.place][ts]["blocks"])

    async def ask_again(self) -> Channel:
        """Another question, and the channel of its answer."""
        self.double.say(self.place, "<@UBOT> again", author=self.ann)
        return (await self.inbox.turn(len(self.inbox.turns) + 1))[1]

    async def press(self, ts: str, label: str, author: str = "") -> None:
        envelope = await self.double.press(self.place, ts, label, author=author or self.ann)
        await self.until(lambda: envelope.acked)

    async def until(self, condition: Callable[[], bool]) -> None:
        await soon(self.double, condition)


@asynccontextmanager
async def scene(interactions: Interactions | None = None, *, direct: bool = False) -> AsyncIterator[Scene]:
    double, recording = SlackDouble(), interactions or RecordingInteractions()
    double.post_seconds = 0.0
    ann, place = double.world.user("Ann"), double.world.channel("im" if direct else "channel")
    async with double.running(), connected(double, None, recording) as (platform, inbox):
        question = double.say(place, "<@UBOT> hello", author=ann)
        await inbox.turn(1)
        assert isinstance(recording, RecordingInteractions) or recording is NO_INTERACTIONS
        yield Scene(double, platform, inbox, recording, ann, place, question)  # type: ignore[arg-type]


def respond(response: Response) -> RecordingInteractions:
    return RecordingInteractions(lambda _: response)


# --------------------------------------------------------------------------------------------------------------- shown


async def test_an_answer_has_its_buttons_below_its_text() -> None:
    """A final message shows its text, then Try again, then the votes; each update has new block ids."""
    async with scene() as on:
        ts = await on.channel.post(Body("one", controls=Controls.STOP), KEY + "0")
        assert on.labels(ts) == ["Stop"]
        await on.channel.edit(ts, Body("one two", controls=Controls.STOP))
        await on.channel.edit(ts, Body("one two three", controls=FINAL))
        assert on.blocks(ts) == ["markdown", "actions", "context_actions"]
        assert on.labels(ts) == ["Try again", "Good answer", "Bad answer"]
        assert on.double.answers(on.place) == ["one two three"]
        assert on.double.reused_block_ids == set()


async def test_an_edit_without_controls_removes_the_buttons() -> None:
    """The last edit of an answer takes its stop button away."""
    async with scene() as on:
        ts = await on.channel.post(Body("one", controls=Controls.STOP), KEY + "0")
        await on.channel.edit(ts, Body("one"))
        assert on.blocks(ts) == ["markdown"]


async def test_several_models_are_offered_in_a_menu() -> None:
    """With several models, Try again has a menu; a longest message still fits, with fewer models."""
    interactions = RecordingInteractions()
    interactions.models_offered = tuple(
        Choice(f"model-{number}", f"Model {number} " + "x" * 60) for number in range(99)
    )
    async with scene(interactions) as on:
        short = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        assert len(on.labels(short)) == 1 + 99 + 2
        long = await on.channel.post(Body("a" * on.channel.caps.limit, controls=FINAL), KEY + "1")
        assert 3 <= len(on.labels(long)) < 99
        assert on.double.refused == []


async def test_without_interactions_there_is_nothing_to_press_but_stop() -> None:
    """A platform without the core's interactions offers neither Try again nor votes."""
    async with scene(NO_INTERACTIONS) as on:
        assert on.channel.caps.controls == Controls.STOP


async def test_many_live_answers_have_no_stop_button() -> None:
    """With many answers sharing Slack's edits, a stop button would outlive its answer; the others stay."""
    async with scene() as on:
        budget = on.channel.budgets(Verb.EDIT)[0]
        budget.live = 5
        assert (await on.ask_again()).caps.controls == FINAL
        budget.live = 4
        assert (await on.ask_again()).caps.controls == FINAL | Controls.STOP


async def test_a_server_without_edits_offers_only_votes() -> None:
    """Where messages cannot be edited, no button can be removed, and no answer be replaced in place."""
    async with scene() as on:
        on.double.without.add("chat.update")
        ts = await on.channel.post(Body("one"), KEY + "0")
        with pytest.raises(Exception, match="unknown_method"):
            await on.channel.edit(ts, Body("one two"))
        assert (await on.ask_again()).caps.controls == Controls.FEEDBACK


@pytest.mark.transports("socket")
async def test_no_button_reaches_the_model() -> None:
    """Our own answers, read back from Slack, have no words of their buttons."""
    async with scene() as on:
        await on.channel.post(Body("the answer", controls=FINAL), KEY + "0")
        on.double.say(on.place, "and now?", author=on.ann, thread=on.question)
        _, channel = await on.inbox.turn(2)
        for read_again in (False, True):
            if read_again:
                await on.double.sockets.close()
                await on.until(lambda: on.double.sockets.opened == 2)
            history = await channel.history(10)
            assert [message.text for message in history.messages] == ["hello", "the answer"]


# ------------------------------------------------------------------------------------------------------------ rejected


async def send(channel: Channel, ts: str, body: Body) -> int:
    """Edit until accepted, as the core does; returns the number of refusals."""
    for refusals in range(6):
        try:
            await channel.edit(ts, body)
        except Retryable:
            continue
        return refusals
    raise AssertionError("refused for ever")


@pytest.mark.parametrize("explains", [True, False])
@pytest.mark.parametrize(
    ("unsupported", "left"),
    [
        ({"context_actions"}, ["markdown", "actions"]),
        ({"actions"}, ["markdown", "context_actions"]),
        ({"actions", "context_actions"}, ["markdown"]),
    ],
)
async def test_rejected_buttons_never_cost_text(unsupported: set[str], left: list[str], *, explains: bool) -> None:
    """Refused buttons are dropped by type, the text stays rich, and later answers send none of that type."""
    async with scene() as on:
        on.double.interactive.unsupported, on.double.interactive.explains = unsupported, explains
        for number in range(3):
            channel = await on.ask_again()
            ts = await channel.post(Body("**one**"), KEY + "0")
            refusals = await send(channel, ts, Body("**one** two", controls=FINAL & channel.caps.controls))
            assert on.double.answers(on.place)[-1] == "**one** two"
            assert "markdown" in on.blocks(ts)
            if number == 2:
                assert (on.blocks(ts), refusals) == (left, 0)


async def test_a_refused_text_is_not_blamed_on_its_buttons() -> None:
    """If the text without buttons is refused too, later answers have buttons again."""
    async with scene() as on:
        ts = await on.channel.post(Body("one"), KEY + "0")
        on.double.blocks = False
        await send(on.channel, ts, Body("one two", controls=FINAL))
        assert on.blocks(ts) == []
        on.double.blocks = True
        channel = await on.ask_again()
        assert channel.caps.controls & FINAL == FINAL
        ts = await channel.post(Body("three", controls=FINAL), KEY + "0")
        assert on.labels(ts) == ["Try again", "Good answer", "Bad answer"]


async def test_a_message_too_large_with_buttons_goes_without_them() -> None:
    """If a message fits only without buttons, it goes without, and nothing is held against the buttons."""
    async with scene() as on:
        on.double.blocks_limit = 1
        ts = await on.channel.post(Body("one"), KEY + "0")
        assert await send(on.channel, ts, Body("one two", controls=FINAL)) == 1
        assert on.blocks(ts) == ["markdown"]
        assert (await on.ask_again()).caps.controls & FINAL == FINAL


# ------------------------------------------------------------------------------------------------------------- pressed


async def test_a_stop_without_effect_is_one_private_line() -> None:
    """A stop button of an ended answer, or pressed without permission, tells the presser so."""
    async with scene() as on:
        ts = await on.channel.post(Body("one", controls=Controls.STOP), KEY + "0")
        await on.press(ts, "Stop")
        await on.until(lambda: bool(on.double.interactive.privates))
        assert "nothing to stop" in on.double.interactive.privates[0].text
        assert [key.message for key in on.inbox.stopped] == [ts]


async def test_try_again_reaches_the_core_and_shows_nothing() -> None:
    """A press of Try again names its question, message, person and place; a starting answer shows no notice."""
    async with scene(respond(Notice())) as on:
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Try again")
        await on.interactions.until(lambda: len(on.interactions.events) == 1)
        event = on.interactions.events[0]
        assert isinstance(event, RetryPressed)
        assert event.question == TurnKey("slack", "T1", on.place, on.question)
        assert (event.message, event.model) == (ts, "")
        assert event.by == Author(on.ann, "Ann")
        turn = on.inbox.turns[0][0]
        assert (event.place.conversation, event.place.channel_ids) == (turn.conversation, turn.channel_ids)
        assert on.double.interactive.privates == []


async def test_try_again_with_a_model_names_it() -> None:
    """A chosen option of the menu asks for that model."""
    interactions = respond(Notice())
    interactions.models_offered = (Choice("fast", "Fast"), Choice("deep", "Deep thought"))
    async with scene(interactions) as on:
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Deep thought")
        await interactions.until(lambda: len(interactions.events) == 1)
        event = interactions.events[0]
        assert isinstance(event, RetryPressed)
        assert (event.model, event.question.message) == ("deep", on.question)


async def test_try_again_on_a_deleted_answer_is_one_private_line() -> None:
    """A press just after somebody has deleted the answer makes no new one, and the presser reads why."""
    async with scene(respond(Notice())) as on:
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        message = on.double.world.messages[on.place][ts]
        on.double.remove(on.place, ts)
        await on.inbox.until(lambda: [key.message for key in on.inbox.deleted] == [ts])
        await on.double.interactive.press(on.place, message, "Try again", author=on.ann)
        await on.until(lambda: bool(on.double.interactive.privates))
        assert "The answer was deleted" in on.double.interactive.privates[0].text
        assert on.interactions.events == []


async def test_a_refusal_is_one_private_line_in_the_thread() -> None:
    """A notice goes to the presser alone, in the thread of the answer, and pings nobody."""
    async with scene(respond(Notice("Only the asker may, <!channel> **sorry**."))) as on:
        bob = on.double.world.user("Bob")
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Try again", bob)
        await on.until(lambda: bool(on.double.interactive.privates))
        (private,) = on.double.interactive.privates
        assert (private.channel, private.user, private.thread) == (on.place, bob, on.question)
        assert private.text == "Only the asker may, &lt;!channel&gt; *sorry*."
        assert on.double.answers(on.place) == ["one"]


@pytest.mark.parametrize(("label", "vote"), [("Good answer", Vote.UP), ("Bad answer", Vote.DOWN)])
async def test_votes_reach_the_core(label: str, vote: Vote) -> None:
    """A click on a thumb is a vote of that person on that question."""
    async with scene(respond(Notice())) as on:
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, label)
        await on.interactions.until(lambda: len(on.interactions.events) == 1)
        event = on.interactions.events[0]
        assert isinstance(event, VoteCast)
        assert (event.vote, event.question.message, event.message) == (vote, on.question, ts)


async def test_a_form_opens_and_its_words_reach_the_core() -> None:
    """Thumbs down opens a form; its submission, an hour later, knows the form, the place and the words."""
    async with scene(respond(REASON)) as on:
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Bad answer")
        await on.until(lambda: bool(on.double.interactive.views))
        (view,) = on.double.interactive.views
        on.double.interactive.pass_time(3600.0)
        on.interactions.respond = lambda _: Notice("Thank you.")
        await on.double.interactive.submit(view, reason="too short")
        await on.interactions.until(lambda: len(on.interactions.events) == 2)
        event = on.interactions.events[1]
        assert isinstance(event, FormSubmitted)
        assert (event.id, dict(event.values)) == ("feedback:1", {"reason": "too short"})
        assert event.place.conversation == on.inbox.turns[0][0].conversation
        await on.until(lambda: on.double.interactive.seen_by(on.ann) == ["Thank you."])
        await on.until(lambda: on.double.interactive.views == [])


async def test_a_form_without_its_required_words_stays_open() -> None:
    """White space in a required input is named as missing, and reaches nobody."""
    form = Form("f", "Form", (Field("words", "Words", required=True), Field("more", "More")))
    async with scene(respond(form)) as on:
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Bad answer")
        await on.until(lambda: bool(on.double.interactive.views))
        (view,) = on.double.interactive.views
        await on.double.interactive.submit(view, words="  ")
        await on.until(lambda: bool(view.errors))
        assert list(view.errors) == ["words"]
        assert len(on.interactions.events) == 1


async def test_a_late_form_is_one_private_line() -> None:
    """If the trigger has expired, the person reads one line and can press again."""
    interactions = respond(REASON)
    async with scene(interactions) as on:

        def late(_: object) -> Response:
            on.double.interactive.pass_time(4.0)
            return REASON

        interactions.respond = late
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Bad answer")
        await on.until(lambda: bool(on.double.interactive.privates))
        assert "in time" in on.double.interactive.privates[0].text


async def test_a_confirmed_action_replaces_its_notice() -> None:
    """A button of a private notice asks first, reaches the core, and its notice gives way to the response."""
    notice = Notice("This is stored.", (Action("privacy:forget", "Forget me", "Delete everything?", danger=True),))
    async with scene(respond(notice)) as on:
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Try again")
        await on.until(lambda: bool(on.double.interactive.privates))
        (private,) = on.double.interactive.privates
        button = private.blocks[-1]["elements"][0]
        assert (button["style"], button["confirm"]["text"]["text"]) == ("danger", "Delete everything?")
        on.interactions.respond = lambda _: Notice("Deleted.")
        await on.double.interactive.press_private(private, "Forget me")
        await on.until(lambda: on.double.interactive.seen_by(on.ann) == ["Deleted."])
        event = on.interactions.events[1]
        assert isinstance(event, FormSubmitted)
        assert (event.id, event.place.conversation) == ("privacy:forget", on.inbox.turns[0][0].conversation)
        assert private.blocks == []


async def test_a_file_goes_to_the_person_alone() -> None:
    """An export arrives in the person's direct messages with the bot, not in the channel."""
    export = Notice("Here.", file=PrivateFile("export.json", b'{"all": 1}'))
    async with scene(respond(export)) as on:
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Try again")
        await on.until(lambda: on.ann in on.double.direct and bool(on.double.attached(on.double.direct[on.ann])))
        assert on.double.attached(on.double.direct[on.ann]) == [("export.json", '{"all": 1}')]
        assert on.double.attached(on.place) == []


async def test_without_the_scope_the_person_reads_why_no_file_came() -> None:
    """If direct messages cannot be opened, a private line says so."""
    export = Notice("Here.", file=PrivateFile("export.json", b"{}"))
    async with scene(respond(export)) as on:
        on.double.scopes -= {"im:write"}
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Try again")
        await on.until(lambda: len(on.double.interactive.privates) == 2)
        assert "direct message" in on.double.interactive.seen_by(on.ann)[1]


async def test_admins_are_named_and_bots_ignored() -> None:
    """An admin's press carries the permission to manage; a program's press does nothing."""
    async with scene(respond(Notice())) as on:
        boss, robot = on.double.world.user("Boss"), on.double.world.user("Robot", bot=True)
        on.double.world.users[boss]["is_admin"] = True
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        await on.press(ts, "Good answer", robot)
        await on.press(ts, "Good answer", boss)
        await on.interactions.until(lambda: len(on.interactions.events) == 1)
        event = on.interactions.events[0]
        assert isinstance(event, VoteCast)
        assert (event.by.id, event.by.manages) == (boss, True)


# -------------------------------------------------------------------------------------------------------------- faults

FAULTS = {
    "429": {"kind": Kind.STATUS, "status": 429, "headers": {"Retry-After": "1"}, "body": b'{"ok": false}'},
    "500": {"kind": Kind.STATUS, "status": 500, "body": b"<html>"},
    "reset": {"kind": Kind.RESET_BEFORE},
    "refused": {"kind": Kind.STATUS, "status": 200, "body": b'{"ok": false, "error": "invalid_blocks"}'},
    "gone": {"kind": Kind.STATUS, "status": 200, "body": b'{"ok": false, "error": "channel_not_found"}'},
    "not Slack": {"kind": Kind.GARBLED},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("path", "response"),
    [
        ("users.info", Notice("A line.")),
        ("users.info", REASON),
        ("chat.postEphemeral", Notice("A line.")),
        ("views.open", REASON),
    ],
    ids=["users.info-notice", "users.info-form", "chat.postEphemeral", "views.open"],
)
async def test_a_fault_in_any_call_of_a_press_still_ends_in_words(path: str, fault: str, response: Response) -> None:
    """Whichever call fails, the person sees the form, the notice or one other line, and the press counts once."""
    async with scene(respond(response)) as on:
        bob = on.double.world.user("Bob")
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        verb = "GET" if path == "users.info" else "POST"
        on.double.faults.add(verb, path, **FAULTS[fault])  # type: ignore[arg-type]
        await on.press(ts, "Bad answer", bob)
        await on.until(lambda: bool(on.double.interactive.seen_by(bob) or on.double.interactive.views))
        assert on.double.faults.fired
        assert len(on.interactions.events) == (0 if on.double.interactive.seen_by(bob) == [UNKNOWN] else 1)


UNKNOWN = "I cannot look up your account right now. Please try again in a minute."


@pytest.mark.alone
async def test_a_flood_of_presses_is_answered_without_a_429() -> None:
    """Each of 150 presses within a minute is acknowledged and answered privately, by one way or the other."""
    async with scene(respond(Notice("No."))) as on:
        ts = await on.channel.post(Body("one", controls=FINAL), KEY + "0")
        for _ in range(150):
            await on.double.press(on.place, ts, "Try again", author=on.ann)
        await on.until(lambda: len(on.double.interactive.privates) == 150)
        assert all(envelope.acked for envelope in on.double.deliveries.envelopes)
        assert on.double.limited == []
