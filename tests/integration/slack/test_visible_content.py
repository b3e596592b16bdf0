"""All visible content in Slack reaches the model: through the real client, from the loopback server."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from adapters.shared.attachments import NO_ACCESS
from adapters.slack.events.content import DELETED
from bot.conversation import File, OmittedAttachment, Text
from bot.ports import Channel, UnfinishedTurn
from tests.integration.test_attachments import serving
from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.support.inbox import RecordingInbox
from tests.support.slack import connected

pytestmark = pytest.mark.sockets

# Faults of an optional look-up.
FAULTS: dict[str, dict[str, Any]] = {
    "silence": {"kind": Kind.STALL_BEFORE, "seconds": math.inf, "times": 5},
    "limit": {"kind": Kind.STATUS, "status": 429, "headers": {"Retry-After": "600"}, "times": 5},
}

ALERT: dict[str, Any] = {"attachments": [{"title": "[FIRING:1] DiskFull", "text": "/var at 97 %"}]}
ALERT_TEXT = "[attachment]\n> [FIRING:1] DiskFull\n> /var at 97 %"


async def past(slack_channel: Channel) -> list[tuple[str, str]]:
    """Names and texts of the history, as the model gets them."""
    return [(message.name, message.text) for message in (await slack_channel.history(25)).messages]


async def test_an_alert_is_the_root_of_its_thread() -> None:
    """An alert without text is in the history of a mention below it, under its app's name."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        root = double.alert(channel, **ALERT)
        double.say(channel, "<@UBOT> please investigate", author=ann, thread=root)
        turn, slack_channel = await inbox.turn(1)
        assert turn.question.text == "please investigate"
        assert await past(slack_channel) == [("Alertmanager", ALERT_TEXT)]
        double.alert(channel, thread=root, text="still firing", blocks=[{"type": "header", "text": {"text": "97 %"}}])
        double.say(channel, "and now?", author=ann, thread=root)
        _, slack_channel = await inbox.turn(2)
        assert (await past(slack_channel))[-1] == ("Alertmanager", "still firing\n97 %")
        assert inbox.questions == ["please investigate", "and now?"]


async def test_a_shared_message_alone_is_a_question() -> None:
    """A shared message without own words is the question, with its files; so is a link with its preview."""
    double = SlackDouble()
    ann, place, general = double.world.user("Ann"), double.world.channel("im"), double.world.channel(name="general")
    async with serving() as files, double.running(), connected(double, files=files.address) as (_, inbox):
        file = {"id": "F1", "name": "a.txt", "mimetype": "text/plain", "url_private": f"{files.address}/a.txt"}
        share = {"is_share": True, "author_id": ann, "channel_id": general, "text": "Moved to Friday.", "files": [file]}
        double.say(place, "", author=ann, attachments=[share])
        turn, slack_channel = await inbox.turn(1)
        assert turn.question.text == "[shared message: of @Ann in #general]\n> Moved to Friday.\n> [file: a.txt]"
        assert await slack_channel.attachments() == (File("a.txt", "hello"),)
        link = double.say(place, "<https://a.example>", author=ann)
        double.change(place, link, attachments=[{"from_url": "https://a.example", "title": "Page", "text": "About"}])
        await double.settled()
        turn, slack_channel = await inbox.turn(2)  # with the preview, if it came during the lookup of the author
        more = [part.text for part in await slack_channel.attachments() if isinstance(part, Text)]
        told = "\n".join([turn.question.text, *more])
        assert told == "https://a.example\n[link preview]\n> Page\n> About"
        double.say(place, "well?", author=ann)
        _, slack_channel = await inbox.turn(3)
        assert (await past(slack_channel))[-1] == ("Ann", "https://a.example\n[link preview]\n> Page\n> About")


async def test_a_mention_with_a_shared_message_comes_as_two_events() -> None:
    """The shared content of a mention comes from its plain copy."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        double.say(channel, "anything", author=ann)  # proves that plain messages arrive
        double.say(channel, "<@UBOT>", author=ann, **ALERT)
        turn, _ = await inbox.turn(1)
        assert turn.question.text.strip() == ALERT_TEXT


async def test_a_clip_and_a_canvas() -> None:
    """A clip's transcript and a canvas's title are read; the reader learns about the rest."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel("im")
    clip: dict[str, Any] = {
        "id": "F1",
        "name": "clip.mp4",
        "mimetype": "video/mp4",
        "url_private": "https://files.slack.com/clip",
    }
    clip["transcription"] = {"status": "complete", "preview": {"content": "restart it please", "has_more": False}}
    canvas = {"id": "F2", "mode": "quip", "filetype": "quip", "title": "Runbook", "url_private": "https://x"}
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, "", author=ann, subtype="file_share", files=[clip, canvas])
        turn, slack_channel = await inbox.turn(1)
        assert turn.question.text == "[transcript of: clip.mp4]\n> restart it please\n[canvas: Runbook]"
        assert [type(part) for part in await slack_channel.attachments()] == [OmittedAttachment, OmittedAttachment]


async def test_a_stub_is_looked_up() -> None:
    """Files given by id only are read, with one call each."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel("im")
    async with serving() as files, double.running(), connected(double, files=files.address) as (_, inbox):
        text = double.stub(name="a.txt", mimetype="text/plain", url_private=f"{files.address}/a.txt")
        canvas = double.stub(mode="quip", title="Runbook", url_private="https://x")
        gone = {"id": "F9999", "mode": "file_access", "file_access": "check_file_info"}
        stone = {"id": "F9", "mode": "tombstone"}
        double.say(place, "see", author=ann, subtype="file_share", files=[text, canvas, gone, stone])
        _, slack_channel = await inbox.turn(1)
        read = await slack_channel.attachments()
        assert read[0] == File("a.txt", "hello")
        assert Text("[canvas: Runbook]") in read
        assert read[-2:] == (OmittedAttachment("F9999", "it is not there any more"), OmittedAttachment("F9", DELETED))
        double.say(place, "again?", author=ann)
        _, slack_channel = await inbox.turn(2)
        assert File("a.txt", "hello") in (await slack_channel.history(5)).messages[0].parts
        assert len(double.transcript.of(path="files.info")) == 3


@pytest.mark.parametrize("how", ["scope", "silence", "limit"])
async def test_a_failed_stub_lookup(how: str) -> None:
    """Without the scope or an answer, the turn continues, and the reader is informed."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), connected(double) as (_, inbox):
        if how == "scope":
            double.scopes -= {"files:read"}
        else:
            double.faults.add("GET", "files.info", **FAULTS[how])
        double.say(place, "see", author=ann, subtype="file_share", files=[double.stub(name="a.txt")])
        _, slack_channel = await inbox.turn(1)
        (left,) = await slack_channel.attachments()
        assert isinstance(left, OmittedAttachment)
        assert how != "scope" or left.why == NO_ACCESS


async def test_names_of_channels_and_groups() -> None:
    """Channels and groups mentioned by id get names in question and history, for one call each."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel("im")
    ops, hidden, team = (
        double.world.channel(name="ops"),
        double.world.channel("group", "board"),
        double.world.group("oncall"),
    )
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, f"is <#{ops}|> or <#{hidden}> for <!subteam^{team}>, <!here>? <#C0404>", author=ann)
        turn, _ = await inbox.turn(1)
        assert turn.question.text == "is #ops or #board for @oncall, @here? #C0404"
        double.alert(place, attachments=[{"text": f"see <#{ops}>"}])
        double.say(place, f"<#{ops}|> <#C0404> <!subteam^{team}>", author=ann)
        _, slack_channel = await inbox.turn(2)
        assert [text for _, text in await past(slack_channel)] == [turn.question.text, "[attachment]\n> see #ops"]
        assert len(double.transcript.of(path="conversations.info")) == 3
        assert len(double.transcript.of(path="usergroups.list")) == 1


async def test_names_of_groups_with_the_token_of_an_organisation() -> None:
    """Slack needs to know which workspace's groups are meant."""
    double = SlackDouble()
    double.whole = True
    ann, place, team = double.world.user("Ann"), double.world.channel("im"), double.world.group("oncall")
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, f"is <!subteam^{team}> there?", author=ann)
        turn, _ = await inbox.turn(1)
        assert turn.question.text == "is @oncall there?"


async def test_missing_scopes_are_named_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Without the scopes ids remain, no turn waits or fails, and the log names each scope once."""
    double = SlackDouble()
    ann, place, ops = double.world.user("Ann"), double.world.channel("im"), double.world.channel(name="ops")
    double.scopes -= {"channels:read", "groups:read", "usergroups:read"}
    with caplog.at_level(logging.WARNING, "adapters.slack.history.users"):
        async with double.running(), connected(double) as (_, inbox):
            for number in range(3):
                double.say(place, f"<#{ops}|> <!subteam^S1>", author=ann)
                turn, _ = await inbox.turn(number + 1)
                assert turn.question.text == f"#{ops} @S1"
    scopes = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert sorted(map(str, scopes)) == ["channels:read", "usergroups:read"]
    assert len(double.transcript.of(path="usergroups.list")) == 1


@pytest.mark.parametrize("how", ["silence", "unknown", "limit"])
async def test_missing_names_cost_no_turn(how: str) -> None:
    """Without an answer or the method, a question arrives within seconds, with ids."""
    double = SlackDouble()
    ann, place, ops = double.world.user("Ann"), double.world.channel("im"), double.world.channel(name="ops")
    if how == "unknown":
        double.without |= {"conversations.info", "usergroups.list"}
    else:
        for method in ("conversations.info", "usergroups.list"):
            double.faults.add("GET", method, **FAULTS[how])
    async with double.running(), connected(double) as (_, inbox):
        double.say(place, f"<#{ops}> <!subteam^S1>", author=ann)
        double.say(place, f"again <#{ops}>", author=ann)
        turn, _ = await inbox.turn(2)
        assert (inbox.questions[0], turn.question.text) == (f"#{ops} @S1", f"again #{ops}")
        assert len(double.transcript.of(path="conversations.info")) == 1  # nobody waits for the same again


async def test_a_question_is_complete_after_a_restart() -> None:
    """A shared message without own words, journalled by one process, is the question in the next."""
    double = SlackDouble()
    ann, place = double.world.user("Ann"), double.world.channel("im")
    async with double.running():
        async with connected(double) as (_, inbox):
            double.say(place, "", author=ann, **ALERT)
            await inbox.turn(1)
        later = RecordingInbox()
        later.unfinished = [UnfinishedTurn(key, event) for key, event in inbox.received]
        async with connected(double, later):
            again, _ = await later.turn(1)
        assert again.question.text == ALERT_TEXT
