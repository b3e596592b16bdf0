"""A person's own page, the welcome, suggested prompts, and the end of the installation."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from adapters.slack.options import SlackTimings
from adapters.slack.rate_limits import POST_SECONDS
from bot.interactions.values import Action, Field, Form, FormSubmitted, Notice, Panel, Response
from bot.ports import Verb
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.servers.slack_interactive import View
from tests.support.inbox import PATIENCE
from tests.support.interactions import RecordingInteractions
from tests.support.slack import connected, soon
from tests.support.waiting import until

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]


def words(view: dict[str, object]) -> str:
    """The text of a page."""
    blocks = view["blocks"]
    assert isinstance(blocks, list)
    return "\n".join(block["text"]["text"] for block in blocks if block["type"] == "section")


async def test_the_page_shows_the_panel() -> None:
    """Opening the home tab publishes the core's panel for that person."""
    double, core = SlackDouble(), RecordingInteractions()
    core.panel = Panel(("**Your** page", "Second part"), (Action("settings", "Settings"),))
    ann = double.world.user("Ann", admin=True)
    async with double.running(), connected(double, None, core):
        double.open_home(ann)
        await soon(double, lambda: ann in double.interactive.homes)
        assert words(double.interactive.homes[ann]) == "*Your* page\nSecond part"
        (opened,) = core.events
        assert isinstance(opened, tuple)
        by, place = opened
        assert (by.id, by.manages, place.channel, place.command_prefix) == (ann, True, "", "/tickertape ")


async def test_a_button_of_the_page_changes_it() -> None:
    """A pressed button reaches the core, and the page is published anew."""
    double, core = SlackDouble(), RecordingInteractions(lambda _: Notice())
    core.panel = Panel(("Before",), (Action("turn", "Turn it"),))
    ann = double.world.user("Ann")
    async with double.running(), connected(double, None, core):
        double.open_home(ann)
        await soon(double, lambda: ann in double.interactive.homes)
        core.panel = Panel(("After",))
        page = double.interactive.homes[ann]
        await double.interactive.press_in_view(View(page["id"], ann, page), "Turn it")
        await soon(double, lambda: words(double.interactive.homes[ann]) == "After")
        assert [event.id for event in core.events if isinstance(event, FormSubmitted)] == ["turn"]


async def test_a_form_of_the_page() -> None:
    """A form opened from the page reaches the core, and the page is published anew."""

    def respond(event: object) -> Response:
        is_press = isinstance(event, FormSubmitted) and event.id == "open"
        return Form("save", "Form", (Field("name", "Name"),)) if is_press else Notice("Saved.")

    double, core = SlackDouble(), RecordingInteractions(respond)
    core.panel = Panel(("Before",), (Action("open", "Open"),))
    ann = double.world.user("Ann")
    async with double.running(), connected(double, None, core):
        double.open_home(ann)
        await soon(double, lambda: ann in double.interactive.homes)
        page = double.interactive.homes[ann]
        await double.interactive.press_in_view(View(page["id"], ann, page), "Open")
        await soon(double, lambda: bool(double.interactive.views))
        core.panel = Panel(("After",))
        await double.interactive.submit(double.interactive.views[0], name="Kim")
        await soon(double, lambda: words(double.interactive.homes[ann]) == "After")
        saved = [event for event in core.events if isinstance(event, FormSubmitted) and event.id == "save"]
        assert [dict(event.values) for event in saved] == [{"name": "Kim"}]


@pytest.mark.parametrize("error", ["not_enabled", "missing"])
async def test_an_app_without_a_home_tab(error: str) -> None:
    """An older manifest has no home tab: it is not tried again for a while, and questions are answered."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    double.home_enabled = error != "not_enabled"
    if error == "missing":
        double.without.add("views.publish")
    async with double.running(), connected(double, None, core) as (_, inbox):
        double.open_home(ann)
        await soon(double, lambda: bool(double.transcript.of(path="views.publish")))
        double.open_home(ann)
        double.say(dm, "Why?", author=ann)
        await inbox.turn(1)
        assert len(double.transcript.of(path="views.publish")) == 1


async def test_a_person_without_a_page_concerns_nobody_else() -> None:
    """A refusal for one person, such as an outsider, leaves the pages of others."""
    double, core = SlackDouble(), RecordingInteractions()
    ann, bob = double.world.user("Ann"), double.world.user("Bob")
    async with double.running(), connected(double, None, core):
        body = b'{"ok": false, "error": "user_not_found"}'
        double.faults.add("POST", "views.publish", Kind.STATUS, status=200, body=body)
        double.open_home(ann)
        await soon(double, lambda: bool(double.transcript.of(path="views.publish")))
        double.open_home(bob)
        await soon(double, lambda: bob in double.interactive.homes)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, b'{"ok": false, "error": "hash_conflict"}', {}),
        (200, b'{"ok": false, "error": "internal_error"}', {}),
        (429, b'{"ok": false, "error": "ratelimited"}', {"Retry-After": "0"}),
        (503, b"", {}),
    ],
)
async def test_a_failed_page_is_published_again(status: int, body: bytes, headers: dict[str, str]) -> None:
    """A conflict with another publication, a limit or a failure of Slack is tried again with a new page."""
    double, core = SlackDouble(), RecordingInteractions()
    ann = double.world.user("Ann")
    async with double.running(), connected(double, None, core):
        double.faults.add("POST", "views.publish", Kind.STATUS, status=status, body=body, headers=headers)
        double.open_home(ann)
        await soon(double, lambda: ann in double.interactive.homes)
        assert len(core.events) == 2


async def test_the_welcome_comes_once() -> None:
    """The first contact brings the welcome into the direct messages; later ones bring nothing."""
    double, core = SlackDouble(), RecordingInteractions()
    core.greeting = "Hello! **Ask** me, not <!channel>."
    ann = double.world.user("Ann")
    dm = double.direct_with(ann)
    async with double.running(), connected(double, None, core):
        double.open_home(ann, "messages")
        await soon(double, lambda: bool(double.answers(dm)))
        (text,) = double.answers(dm)
        assert text.startswith("Hello! **Ask** me")
        assert "<!channel>" not in text
        double.open_home(ann, "messages")
        await core.until(lambda: len(core.greeted) == 2)
        assert len(double.answers(dm)) == 1
        assert double.prompts == []  # those of the manifest stay


async def test_the_first_question_after_the_welcome() -> None:
    """The welcome delays the answer to the next question by the time between two posts, and no longer."""
    double, core = SlackDouble(), RecordingInteractions()
    core.greeting = "Hello!"
    ann = double.world.user("Ann")
    dm = double.direct_with(ann)
    async with double.running(), connected(double, None, core) as (_, inbox):
        double.open_home(ann, "messages")
        await soon(double, lambda: double.answers(dm) == ["Hello!"])
        double.say(dm, "A question", author=ann)
        await inbox.until(lambda: bool(inbox.turns))
        ((_, channel),) = inbox.turns
        (posts,) = channel.budgets(Verb.POST)
        later = asyncio.get_running_loop().time() + 3 * POST_SECONDS
        assert posts.ready_at(later, final=False) <= later


async def test_a_welcome_without_blocks() -> None:
    """Where markdown blocks are refused, the welcome comes as text."""
    double, core = SlackDouble(), RecordingInteractions()
    double.blocks, core.greeting = False, "Hello!"
    ann = double.world.user("Ann")
    dm = double.direct_with(ann)
    async with double.running(), connected(double, None, core):
        double.post_seconds = 0.0
        double.open_home(ann, "messages")
        await soon(double, lambda: double.answers(dm) == ["Hello!"])


async def test_the_operators_prompts_are_offered() -> None:
    """The operator's prompts replace those of the manifest, once for a conversation."""
    double, core = SlackDouble(), RecordingInteractions()
    ann = double.world.user("Ann")
    dm = double.direct_with(ann)
    prompts = (("Draft", "Draft a reply."), ("Explain", "Explain this."))
    async with double.running(), connected(double, None, core, suggested_prompts=prompts):
        for _ in range(2):
            double.open_home(ann, "messages")
        await core.until(lambda: len(core.greeted) == 2)
        offered = [{"title": title, "message": message} for title, message in prompts]
        assert double.prompts == [(dm, "", offered)]


async def test_refused_prompts_are_remembered() -> None:
    """Without the scope, prompts are tried once, and everything else works."""
    double, core = SlackDouble(), RecordingInteractions()
    double.scopes -= {"assistant:write"}
    people = [double.world.user(name) for name in ("Ann", "Bob")]
    async with double.running(), connected(double, None, core, suggested_prompts=(("Draft", "Draft it."),)):
        for person in people:
            double.open_home(person, "messages")
            await core.until(lambda person=person: person in core.greeted)  # type: ignore[misc]  # bound now
        assert len(double.transcript.of(path="setSuggestedPrompts")) == 1


async def test_an_odd_event_is_survived() -> None:
    """Without a person, with an unknown tab, and for an unknown person, nothing happens; the next event counts."""
    double, core = SlackDouble(), RecordingInteractions()
    ann = double.world.user("Ann")
    async with double.running(), connected(double, None, core):
        for odd in ({}, {"user": ann, "tab": "about"}, {"user": 7, "tab": "home"}, {"user": ann, "tab": "messages"}):
            double.event({"type": "app_home_opened", **odd})
        double.open_home(ann)
        await soon(double, lambda: ann in double.interactive.homes)
        assert len(core.events) == 1


@pytest.mark.parametrize("how", ["uninstall", "revoke"])
async def test_the_end_of_the_installation(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """One clear line and no readiness, until the token is valid again."""
    double = SlackDouble()
    timings = replace(SlackTimings(), token_retry=0.05)
    async with double.running(), connected(double, timings=timings) as (platform, _):
        double.uninstall() if how == "uninstall" else double.revoke()
        await until(lambda: not platform.ready, seconds=PATIENCE)
        double.event({"type": "app_uninstalled"})
        await soon(double, lambda: len(double.transcript.of(path="auth.test")) >= 3)
        assert not platform.ready
        lines = [record.getMessage() for record in caplog.records if "nothing is answered" in record.getMessage()]
        assert len(lines) == 1
        assert "SLACK_BOT_TOKEN" in lines[0]
        double.revoked = ""
        await until(lambda: platform.ready, seconds=PATIENCE)


async def test_a_persons_own_token_is_none_of_ours() -> None:
    """A revoked token of a person changes nothing for the bot."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double) as (platform, inbox):
        double.event({"type": "tokens_revoked", "tokens": {"oauth": [ann], "bot": []}})
        double.say(dm, "Why?", author=ann)
        await inbox.turn(1)
        assert platform.ready
