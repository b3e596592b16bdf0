"""Slack over HTTP: real requests to the bot's HTTP server."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from bot.conversation import TurnKey
from tests.servers.slack import SlackDouble
from tests.support.inbox import RecordingInbox
from tests.support.slack import connected, soon
from tests.support.slack_requests import (
    FORM,
    SECRET,
    endpoint,
    event_body,
    form_body,
    interaction_body,
    now,
    signature,
    signed,
)

pytestmark = pytest.mark.sockets


def question(channel: str, user: str, ts: str = "1700000000.000100", text: str = "why?") -> dict[str, Any]:
    """The event of a direct message."""
    return {"type": "message", "channel": channel, "channel_type": "im", "user": user, "text": text, "ts": ts}


async def test_a_question_is_journalled_before_the_200() -> None:
    """A signed event gets an empty 200, and the journal has its message by then."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), endpoint(double) as slack:
        assert await slack.post(event_body(question(dm, ann))) == (200, "")
        assert [key.message for key, _ in slack.inbox.received] == ["1700000000.000100"]


async def test_a_null_for_the_authorizations_is_like_none() -> None:
    """An acknowledged question is never dropped because of a field without a meaning for it."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), endpoint(double) as slack:
        assert await slack.post(event_body(question(dm, ann), authorizations=None)) == (200, "")
        assert [key.message for key, _ in slack.inbox.received] == ["1700000000.000100"]


async def test_an_event_with_odd_fields_is_acknowledged_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Slack would only repeat it; the operator reads of it, once a minute and without its content."""
    odd = event_body({**question("D1", "U1"), "channel": ["secret words"]})
    double = SlackDouble()
    async with double.running(), endpoint(double) as slack:
        with caplog.at_level(logging.WARNING):
            assert [await slack.post(odd) for _ in range(3)] == [(200, "")] * 3
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "Slack: ignored signed requests with odd fields: 1"


async def test_url_verification_works_before_the_platform_runs() -> None:
    """Slack's check of the request URL gets its challenge, since an operator configures the URL first."""
    body = json.dumps({"token": "t", "challenge": "3eZbrw1a", "type": "url_verification"}).encode()
    async with endpoint(SlackDouble(), runs=False) as slack:
        status, text = await slack.post(body)
        assert (status, json.loads(text)) == (200, {"challenge": "3eZbrw1a"})
        assert (await slack.post(event_body(question("D1", "U1"))))[0] == 503


BODY = event_body(question("D1", "U1"))
REFUSED = {
    "yesterday's": signed(BODY, sent_at=now() - 86_400),
    "from the future": signed(BODY, sent_at=now() + 86_400),
    "of another secret": signed(BODY) | {"X-Slack-Signature": signature(BODY, str(now()), "another")},
    "of another body": signed(BODY + b" "),
    "no signature": {"Content-Type": "application/json", "X-Slack-Request-Timestamp": str(now())},
    "no timestamp": {"Content-Type": "application/json", "X-Slack-Signature": "v0=" + "0" * 64},
    "a timestamp that is no number": signed(BODY) | {"X-Slack-Request-Timestamp": "today"},
    "a timestamp in other digits": signed(BODY) | {"X-Slack-Request-Timestamp": "١٢٣"},
    "a negative timestamp": signed(BODY) | {"X-Slack-Request-Timestamp": "-1"},
    "a signature beyond ASCII": signed(BODY) | {"X-Slack-Signature": "v0=é"},
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_strangers_request_gets_a_bare_401(case: str, caplog: pytest.LogCaptureFixture) -> None:
    """It learns nothing, ever again costs no log line, and neither its body nor a secret is logged."""
    caplog.set_level(logging.DEBUG)
    double = SlackDouble()
    async with double.running(), endpoint(double) as slack:
        caplog.clear()
        for _ in range(20):
            async with slack.session.post(slack.url, data=BODY, headers=REFUSED[case]) as response:
                assert (response.status, await response.text()) == (401, "")
        assert slack.inbox.received == []
    told = [record.getMessage() for record in caplog.records if record.name.startswith("adapters.slack")]
    assert sum("refused requests" in line for line in told) == 1
    assert not any(word in line for line in told for word in ("why?", SECRET, "v0="))


async def test_commands_and_interactions_are_acknowledged() -> None:
    """A slash command with the word payload, an unknown interaction and a form arrive as over the socket."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    command = {"command": "/tickertape", "text": "ask what is a payload", "user_id": ann, "channel_id": dm}
    async with double.running(), endpoint(double) as slack:
        fields = command | {"team_id": double.world.team, "trigger_id": "1.2"}
        assert await slack.post(form_body(fields), FORM) == (200, "")
        assert len(slack.inbox.received) == 1
        unknown = {"type": "block_actions", "user": {"id": ann}, "actions": [{"action_id": "x", "block_id": "b"}]}
        assert await slack.post(interaction_body(unknown), FORM) == (200, "")
        assert await slack.post(form_body({"ssl_check": "1", "token": "t"}), FORM) == (200, "")


async def test_the_same_event_twice_at_once_is_one_question() -> None:
    """Both copies get a 200, and one of them is journalled."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    body = event_body(question(dm, ann))
    async with double.running(), endpoint(double) as slack:
        copies = [
            slack.post(body),
            slack.post(body, headers={"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"}),
        ]
        assert [status for status, _ in await asyncio.gather(*copies)] == [200, 200]
        assert len(slack.inbox.received) == 1


class FullDisk(RecordingInbox):
    """An inbox whose journal fails until told otherwise."""

    is_full = True

    async def receive(self, key: TurnKey, event: str) -> bool:
        if self.is_full:
            raise OSError("the disk is full")
        return await super().receive(key, event)


async def test_a_question_on_a_full_disk_is_asked_for_again() -> None:
    """Without a journal entry there is a bare 503; Slack's next try is taken in."""
    double, inbox = SlackDouble(), FullDisk()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), endpoint(double, inbox) as slack:
        assert await slack.post(event_body(question(dm, ann))) == (503, "")
        inbox.is_full = False
        assert await slack.post(event_body(question(dm, ann)), headers={"X-Slack-Retry-Num": "1"}) == (200, "")
        assert len(inbox.received) == 1


async def test_a_question_in_memory_alone_is_answered_and_delivered_again() -> None:
    """With a broken journal a question starts at once, and 503 leaves a copy with Slack; it is asked once."""
    double, inbox = SlackDouble(), RecordingInbox()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), endpoint(double, inbox) as slack:
        inbox.is_keeping = False
        assert await slack.post(event_body(question(dm, ann))) == (503, "")
        await inbox.wait_for(1)
        assert await slack.post(event_body(question(dm, ann)), headers={"X-Slack-Retry-Num": "1"}) == (503, "")
        inbox.is_keeping = True
        assert await slack.post(event_body(question(dm, ann)), headers={"X-Slack-Retry-Num": "2"}) == (200, "")
        assert len(inbox.received) == len(inbox.turns) == 1


async def test_a_proxys_host_and_a_query_change_nothing() -> None:
    """The signature is the check: another Host, a forwarded address and a query in the request URL are fine."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), endpoint(double) as slack:
        body = event_body(question(dm, ann))
        headers = signed(body) | {"Host": "bot.example.org", "X-Forwarded-For": "203.0.113.7"}
        async with slack.session.post(slack.url.with_query(a="b"), data=body, headers=headers) as response:
            assert (response.status, await response.text()) == (200, "")


async def test_other_methods_and_types_are_refused() -> None:
    """GET is 405 and another content type 415, whatever the signature; a body that is no payload is 400."""
    async with endpoint(SlackDouble(), runs=False) as slack:
        async with slack.session.get(slack.url) as response:
            assert response.status == 405
        assert (await slack.post(BODY, "text/plain"))[0] == 415
        assert await slack.post(b"[1]") == (400, "")


async def test_events_of_another_workspace_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """An app may be installed elsewhere too: its events there are acknowledged and cost one log line."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    elsewhere = [{"team_id": "T9", "user_id": "U9", "is_bot": True, "is_enterprise_install": False}]
    async with double.running(), endpoint(double) as slack:
        for _ in range(5):
            body = event_body(question(dm, ann), team_id="T9", authorizations=elsewhere)
            assert await slack.post(body) == (200, "")
        assert slack.inbox.received == []
        ours = [{"team_id": double.world.team, "user_id": double.world.bot_user}]
        assert (await slack.post(event_body(question(dm, ann), team_id="T9", authorizations=ours)))[0] == 200
        assert len(slack.inbox.received) == 1
    assert sum("other workspaces" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.transports("http")
async def test_a_late_event_causes_a_read() -> None:
    """An event of an earlier failed request tells of others that may be missing: a cached thread is read once more."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "<@UBOT> hello", author=ann)
        await inbox.turn(1)
        await double.settled()
        double.say(channel, "unheard", author=ann, thread=root, quiet=True)
        double.requests.holding = True
        double.say(channel, "late", author=ann, thread=root)
        await soon(double, lambda: bool(double.requests.held))
        for envelope in double.requests.held:
            envelope.retry = 1
        await double.requests.release()
        _, slack_channel = await inbox.turn(2)
        assert [m.text for m in (await slack_channel.history(10)).messages] == ["hello", "unheard"]


@pytest.mark.transports("http")
async def test_a_repeated_event_causes_no_read() -> None:
    """An event known already tells of a lost response, not of lost events: the cache stays complete."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), connected(double) as (_, inbox):
        root = double.say(channel, "<@UBOT> hello", author=ann)
        await inbox.turn(1)
        await double.settled()
        for envelope in list(double.deliveries.envelopes):
            await double.redeliver(envelope)
        await double.settled()
        double.say(channel, "again", author=ann, thread=root)
        _, slack_channel = await inbox.turn(2)
        assert [m.text for m in (await slack_channel.history(10)).messages] == ["hello"]
        assert double.transcript.of(path="conversations") == []
