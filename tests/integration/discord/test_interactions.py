"""Presses, forms and private notices in Discord. Real discord.py against the loopback server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from bot.conversation import TurnKey
from bot.interactions.values import (
    NOTHING,
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
from bot.ports import Body, Controls
from bot.strings import Strings
from tests.servers.discord_interactions import INVALID_TOKEN, UNKNOWN_WEBHOOK
from tests.servers.limits import Kind
from tests.support.discord import Bot, bot_at_work, platform_at_work
from tests.support.interactions import RecordingInteractions
from tests.support.waiting import until

FINAL = Controls.RETRY | Controls.FEEDBACK

REASON = Form("feedback:7", "Why?", (Field("reason", "Reason", multiline=True),))

SETTINGS = Form(
    "settings",
    "Settings",
    (
        Field("model", "Model", "large", (Choice("large", "Large"), Choice("small", "Small"))),
        Field("persona", "Persona", "be brief"),
    ),
    intro="They apply to you.",
)


class SlowInteractions(RecordingInteractions):
    """Responds only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    @override
    async def retry(self, event: RetryPressed) -> Response:
        await self.go.wait()
        return await super().retry(event)

    @override
    async def submit(self, event: FormSubmitted) -> Response:
        await self.go.wait()
        return await super().submit(event)


@asynccontextmanager
async def answered() -> AsyncIterator[tuple[Bot, str, str]]:
    """A bot with an ended answer to Ada's question; the ids of the question and the answer."""
    async with bot_at_work() as bot:
        question = bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        answer = await channel.post(Body("the answer", controls=FINAL), "key")
        yield bot, question, answer


async def acknowledged(bot: Bot, interaction: str) -> int:
    """The type of the first response to an interaction."""
    responses = bot.double.acknowledged
    await until(lambda: interaction in dict(responses))
    return dict(responses)[interaction]


# ------------------------------------------------------------------------------------------------------------- presses


@pytest.mark.sockets
async def test_a_press_says_who_pressed_what_and_where() -> None:
    """Try again, with another model too, and votes reach the core with the question's key; admins are told as such."""
    async with answered() as (bot, question, answer):
        bot.double.permissions[bot.bob] = 1 << 4
        for name, values in (("retry", ()), ("retry_with", ("small",)), ("up", ()), ("down", ())):
            bot.double.press(bot.general, answer, user=bot.bob, custom_id=f"{name}:{question}", values=values)
        await bot.interactions.until(lambda: len(bot.interactions.events) == 4)

        again, other, up, down = bot.interactions.events
        key = TurnKey("discord", bot.guild, bot.general, question)
        assert isinstance(again, RetryPressed)
        assert isinstance(other, RetryPressed)
        assert isinstance(up, VoteCast)
        assert isinstance(down, VoteCast)
        assert (again.question, again.message, again.by.id, again.by.manages) == (key, answer, bot.bob, True)
        assert (again.model, other.model, up.vote, down.vote) == ("", "small", Vote.UP, Vote.DOWN)
        assert again.place.channel_ids == (bot.general, bot.category)


@pytest.mark.sockets
async def test_a_press_on_a_deleted_message_and_after_a_restart() -> None:
    """The id of a button is enough for another process; a deleted answer is not made again, and its asker told."""
    async with answered() as (bot, question, answer):
        async with platform_at_work(bot):
            bot.double.press(bot.general, answer, user=bot.ada, custom_id=f"retry:{question}")
            await bot.interactions.until(lambda: len(bot.interactions.events) >= 2)
        await bot.settled()
        assert {event.message for event in bot.interactions.events if isinstance(event, RetryPressed)} == {answer}
        bot.double.remove(bot.general, answer)
        await bot.settled()
        pressed = bot.double.press(bot.general, answer, user=bot.ada, custom_id=f"retry:{question}")

        assert await acknowledged(bot, pressed) == 4
        assert bot.double.private(bot.ada)[-1] == Strings().retry_no_answer
        assert len(bot.interactions.events) == 2


@pytest.mark.sockets
async def test_an_empty_notice_is_not_seen() -> None:
    """A press with nothing to say is acknowledged without a visible effect."""
    async with answered() as (bot, _, answer):
        bot.interactions.respond = lambda _: NOTHING
        pressed = bot.double.press(bot.general, answer, user=bot.ada)

        assert await acknowledged(bot, pressed) == 6
        assert bot.double.private(bot.ada) == []


@pytest.mark.sockets
async def test_a_notice_is_seen_by_one_person_alone() -> None:
    """It is rendered for Discord, pings nobody, and the channel does not show it."""
    async with answered() as (bot, _, answer):
        bot.interactions.respond = lambda _: Notice("#### Not yours\n@everyone, see <@1>")
        before = len(bot.double.shown(bot.general))
        pressed = bot.double.press(bot.general, answer, user=bot.bob)

        assert await acknowledged(bot, pressed) == 4
        assert bot.double.private(bot.bob) == ["**Not yours**\n@everyone, see <@1>"]
        assert bot.double.private(bot.ada) == []
        assert len(bot.double.shown(bot.general)) == before
        [callback] = [entry for entry in bot.double.transcript.entries if entry.path.endswith("/callback")]
        assert callback.body["data"]["allowed_mentions"]["parse"] == []


@pytest.mark.sockets
async def test_a_long_notice_arrives_in_several_messages() -> None:
    """The rest of a long notice follows in order, with its buttons and its file at the end."""
    async with answered() as (bot, _, answer):
        text = "\n\n".join(f"Paragraph {number}: {'word ' * 60}" for number in range(12))
        file = PrivateFile("export.json", b"{}")
        bot.interactions.respond = lambda _: Notice(text, (Action("more", "More"),), file)
        bot.double.press(bot.general, answer, user=bot.bob)
        await until(lambda: "Paragraph 11" in "".join(bot.double.private(bot.bob)))

        first, *_, last = bot.double.interactions.private(bot.bob)
        assert "\n\n".join(bot.double.private(bot.bob)).split() == text.split()
        assert (first["components"], first["attachments"]) == ([], [])
        assert last["components"][0]["components"][0]["custom_id"] == "act:more"
        assert [one["filename"] for one in last["attachments"]] == ["export.json"]
        assert bot.double.limited == []


@pytest.mark.sockets
async def test_a_notice_longer_than_its_messages_is_whole_in_a_file() -> None:
    """Five messages show its beginning, and a file with the last one holds all of it."""
    async with answered() as (bot, _, answer):
        text = "\n\n".join(f"Paragraph {number}: {'word ' * 60}" for number in range(60))
        bot.interactions.respond = lambda _: Notice(text)
        bot.double.press(bot.general, answer, user=bot.bob)
        await until(lambda: len(bot.double.private(bot.bob)) == 5)

        [file] = bot.double.interactions.private(bot.bob)[-1]["attachments"]
        assert (file["filename"], file["size"]) == ("notice.md", len(text))
        assert bot.double.limited == []


@pytest.mark.sockets
async def test_a_press_delivered_twice_counts_once() -> None:
    """A resumed session may repeat a press: the core gets it once."""
    async with answered() as (bot, question, answer):
        pressed = bot.double.press(bot.general, answer, user=bot.bob)
        await acknowledged(bot, pressed)
        bot.double.gateway.repeat(pressed)
        bot.double.press(bot.general, answer, user=bot.bob, custom_id=f"up:{question}")
        await bot.interactions.until(lambda: any(isinstance(each, VoteCast) for each in bot.interactions.events))

        assert [type(each) for each in bot.interactions.events] == [RetryPressed, VoteCast]


@pytest.mark.sockets
async def test_a_slow_response_is_deferred_and_completed() -> None:
    """After 1.5 s the press is acknowledged; the notice follows when it is there."""
    async with bot_at_work(interactions=(slow := SlowInteractions())) as bot:
        bot.ask("hi")
        [(_, channel)] = await bot.inbox.wait_for()
        answer = await channel.post(Body("the answer", controls=FINAL), "key")
        pressed = bot.double.press(bot.general, answer, user=bot.bob)
        assert await acknowledged(bot, pressed) == 6
        slow.go.set()
        await until(lambda: bot.double.private(bot.bob) == ["Done."])


# --------------------------------------------------------------------------------------------------- actions and forms


@pytest.mark.sockets
async def test_an_action_is_confirmed_first() -> None:
    """A dangerous button asks its own question; the second press submits."""
    async with answered() as (bot, _, answer):
        forget = Action("forget", "Forget me", confirm="Delete everything stored about you?", danger=True)
        bot.interactions.respond = lambda event: (
            Notice("Your data", (forget,)) if isinstance(event, VoteCast) else NOTHING
        )
        bot.double.press(bot.general, answer, user=bot.bob, custom_id="up:1")
        await until(lambda: len(bot.double.private(bot.bob)) == 1)
        [shown] = bot.double.interactions.private(bot.bob)
        bot.double.press(bot.general, shown["id"], user=bot.bob)
        await until(lambda: len(bot.double.private(bot.bob)) == 2)
        asked = bot.double.interactions.private(bot.bob)[1]
        assert (asked["content"], len(bot.interactions.events)) == (forget.confirm, 1)
        bot.double.press(bot.general, asked["id"], user=bot.bob)
        await bot.interactions.until(lambda: len(bot.interactions.events) == 2)

        submitted = bot.interactions.events[-1]
        assert isinstance(submitted, FormSubmitted)
        assert (submitted.id, submitted.by.id, dict(submitted.values)) == ("forget", bot.bob, {})


@pytest.mark.sockets
async def test_a_form_is_filled_in() -> None:
    """A form opens at once; its values arrive by name, also in another process an hour later."""
    async with answered() as (bot, _, answer):
        bot.interactions.respond = lambda event: SETTINGS if isinstance(event, VoteCast) else Notice("Saved.")
        pressed = bot.double.press(bot.general, answer, user=bot.bob, custom_id="down:1")
        assert await acknowledged(bot, pressed) == 9
        sent = bot.double.submit(pressed, {"model": "small"})
        assert await acknowledged(bot, sent) == 4
        modal = bot.double.interactions.modal_of(pressed)
    assert modal is not None
    bot.interactions.events.clear()
    async with bot.double.running(), platform_at_work(bot):
        bot.double.submit_form(modal, {"persona": "sing"}, channel=bot.general, user=bot.ada)
        await bot.interactions.until(lambda: bool(bot.interactions.events))

    [submitted] = bot.interactions.events
    assert isinstance(submitted, FormSubmitted)
    assert (submitted.id, dict(submitted.values)) == ("settings", {"model": "large", "persona": "sing"})
    assert bot.double.private(bot.bob) == ["Saved."]


@pytest.mark.sockets
async def test_a_late_form_is_offered_by_a_button() -> None:
    """A form after another form, or after a deferral, cannot open by itself."""
    async with answered() as (bot, _, answer):
        bot.interactions.respond = lambda _: REASON
        pressed = bot.double.press(bot.general, answer, user=bot.bob, custom_id="down:1")
        assert await acknowledged(bot, pressed) == 9
        sent = bot.double.submit(pressed)
        assert await acknowledged(bot, sent) == 4
        [offer] = bot.double.interactions.private(bot.bob)
        opened = bot.double.press(bot.general, offer["id"], user=bot.bob)
        assert await acknowledged(bot, opened) == 9

        bot.double.press(bot.general, offer["id"], user=bot.bob, custom_id="open:forgotten")
        await until(lambda: len(bot.double.private(bot.bob)) == 2)


@pytest.mark.sockets
@pytest.mark.parametrize("response", [SETTINGS, Notice("Really?", (Action("yes", "Yes"),))], ids=["form", "buttons"])
async def test_a_refused_response_is_said_in_plain_words(response: Response) -> None:
    """A server without forms or buttons shows the text alone."""
    async with answered() as (bot, _, answer):
        bot.double.interactions.refuses = lambda data: bool(data.get("components"))
        bot.interactions.respond = lambda _: response
        bot.double.press(bot.general, answer, user=bot.bob)
        await until(lambda: len(bot.double.private(bot.bob)) == 1)

        expected = response.text if isinstance(response, Notice) else "The form cannot be shown here."
        assert bot.double.private(bot.bob) == [expected]


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.sockets
@pytest.mark.parametrize("kind", [Kind.RESET_BEFORE, Kind.RESET_AFTER, Kind.STATUS, Kind.GARBLED, Kind.STALL_AFTER])
async def test_a_first_response_is_repeated_within_its_time(kind: Kind) -> None:
    """After a failure it is sent again; "already acknowledged" is a success, and the notice appears once."""
    async with answered() as (bot, _, answer):
        bot.double.faults.add("POST", "/callback", kind)
        pressed = bot.double.press(bot.general, answer, user=bot.bob)

        assert await acknowledged(bot, pressed) == 4
        await until(lambda: len(bot.double.transcript.of("POST", "/callback")) == 2)
        assert bot.double.private(bot.bob) == ["Done."]


@pytest.mark.sockets
@pytest.mark.parametrize("error", [INVALID_TOKEN, UNKNOWN_WEBHOOK])
async def test_an_expired_token_ends_a_notice(error: tuple[int, int, str], caplog: pytest.LogCaptureFixture) -> None:
    """A late notice without a valid token is logged without the token, and the bot goes on."""
    caplog.set_level("INFO", "adapters.discord")
    async with bot_at_work(interactions=(slow := SlowInteractions())) as bot:
        question = bot.ask("hi")
        pressed = bot.double.press(bot.general, question, user=bot.bob, custom_id=f"retry:{question}")
        await acknowledged(bot, pressed)
        bot.double.interactions.expire(pressed, error)
        slow.go.set()
        await until(lambda: "came too late" in caplog.text)

        ours = [record.getMessage() for record in caplog.records if record.name.startswith("adapters.")]
        assert not any("token-of" in line for line in ours)
        assert len(bot.double.transcript.of("POST", "/webhooks/")) == 1
        bot.ask("still there?")
        await bot.inbox.wait_for(2)


@pytest.mark.sockets
@pytest.mark.parametrize("kind", [Kind.RESET_BEFORE, Kind.STATUS, Kind.STALL_BEFORE])
async def test_a_late_notice_is_repeated(kind: Kind) -> None:
    """A follow-up that failed is sent again; a 429 is waited for."""
    async with bot_at_work(interactions=(slow := SlowInteractions())) as bot:
        question = bot.ask("hi")
        pressed = bot.double.press(bot.general, question, user=bot.bob, custom_id=f"retry:{question}")
        await acknowledged(bot, pressed)
        bot.double.faults.add("POST", "/webhooks/", kind, seconds=0.1)
        slow.go.set()
        await until(lambda: bot.double.private(bot.bob) == ["Done."])
        assert bot.double.faults.fired


@pytest.mark.sockets
async def test_an_unforeseen_error_of_a_response_ends_nothing() -> None:
    """A broken handler leaves the press acknowledged and the bot at work."""

    def broken(_: object) -> Response:
        raise RuntimeError("broken")

    async with answered() as (bot, _, answer):
        bot.interactions.respond = broken
        pressed = bot.double.press(bot.general, answer, user=bot.bob)

        assert await acknowledged(bot, pressed) == 6
        bot.ask("still there?")
        await bot.inbox.wait_for(2)


@pytest.mark.sockets
@pytest.mark.alone
async def test_in_a_flood_every_press_is_acknowledged() -> None:
    """Three hundred presses at once, each answered in its time with its own notice."""
    async with answered() as (bot, _, answer):
        pressed = [bot.double.press(bot.general, answer, user=bot.bob) for _ in range(300)]
        await until(lambda: len(bot.double.acknowledged) == len(pressed))

        assert {kind for _, kind in bot.double.acknowledged} == {4}
        assert bot.double.private(bot.bob) == ["Done."] * len(pressed)
