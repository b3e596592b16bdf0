"""The loopback Slack is as strict as Slack: limits, scopes and errors, seen by the SDK's own client."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack import SlackDouble

pytestmark = pytest.mark.sockets


def client_of(double: SlackDouble, token: str = "") -> AsyncWebClient:
    return AsyncWebClient(token=token or double.bot_token, base_url=double.api_url, retry_handlers=[])


async def refusal(call: object) -> SlackApiError:
    """The error that a call is answered with."""
    with pytest.raises(SlackApiError) as caught:
        await call  # type: ignore[misc]
    return caught.value


async def test_edits_are_counted_for_the_workspace() -> None:
    """The 51st edit within a minute is refused with a time, whichever message it edits."""
    double = SlackDouble()
    double.post_seconds = 0.0
    channels = [double.world.channel(), double.world.channel()]
    async with double.running():
        client = client_of(double)
        posts = [(c, (await client.chat_postMessage(channel=c, text="0"))["ts"]) for c in channels]
        for number in range(50):
            channel, ts = posts[number % 2]
            await client.chat_update(channel=channel, ts=ts, text=str(number))
        error = await refusal(client.chat_update(channel=channels[0], ts=posts[0][1], text="x"))
        assert error.response.status_code == 429
        assert 1 <= int(error.response.headers["Retry-After"]) <= 60
        assert error.response["error"] == "ratelimited"
        assert double.limited == [("chat.update", channels[0])]


async def test_posts_are_counted_for_a_channel() -> None:
    """A second post within a second is refused in the same channel, not in another."""
    double = SlackDouble()
    one, two = double.world.channel(), double.world.channel()
    async with double.running():
        client = client_of(double)
        await client.chat_postMessage(channel=one, text="a")
        await client.chat_postMessage(channel=two, text="a")
        assert (await refusal(client.chat_postMessage(channel=one, text="b"))).response.status_code == 429
        assert double.answers(one) == ["a"]


async def test_what_is_too_long() -> None:
    """4,000 characters of text on an edit, 12,000 in markdown blocks, 50 blocks."""
    double = SlackDouble()
    double.post_seconds = 0.0
    channel = double.world.channel()
    async with double.running():
        client = client_of(double)
        ts = (await client.chat_postMessage(channel=channel, text="x" * 20_000))["ts"]
        await client.chat_update(channel=channel, ts=ts, text="x" * 4000)
        block = {"type": "markdown", "text": "x" * 12_000}
        await client.chat_update(channel=channel, ts=ts, text="x", blocks=[block])
        for wrong in (
            client.chat_update(channel=channel, ts=ts, text="x" * 4001),
            client.chat_update(channel=channel, ts=ts, text="x", blocks=[block, {"type": "markdown", "text": "x"}]),
        ):
            assert (await refusal(wrong)).response["error"] == "msg_too_long"
        many = [{"type": "markdown", "text": "x"}] * 51
        assert (await refusal(client.chat_postMessage(channel=channel, text="x", blocks=many))).response["error"] == (
            "invalid_blocks"
        )


async def test_errors_have_slacks_names() -> None:
    """Wrong places, wrong tokens, missing scopes."""
    double = SlackDouble()
    channel, archived, outside = (double.world.channel() for _ in range(3))
    double.archived.add(archived)
    double.outside.add(outside)
    async with double.running():
        client = client_of(double)
        theirs = double.say(channel, "hi", author=double.world.user("Ann"), quiet=True)
        calls = {
            "channel_not_found": client.chat_postMessage(channel="C9", text="x"),
            "is_archived": client.chat_postMessage(channel=archived, text="x"),
            "not_in_channel": client.chat_postMessage(channel=outside, text="x"),
            "message_not_found": client.chat_update(channel=channel, ts="1.0", text="x"),
            "cant_update_message": client.chat_update(channel=channel, ts=theirs, text="x"),
            "thread_not_found": client.conversations_replies(channel=channel, ts="1.0"),
            "user_not_found": client.users_info(user="U9"),
            "unknown_method": client.api_call("no.such"),
            "invalid_auth": client_of(double, "xoxb-other").auth_test(),
        }
        for name, call in calls.items():
            assert (await refusal(call)).response["error"] == name
        double.scopes.discard("users:read")
        error = await refusal(client.users_info(user="U9"))
        assert (error.response["error"], error.response["needed"]) == ("missing_scope", "users:read")
        assert "users:read" not in error.response.headers["X-OAuth-Scopes"]


async def test_metadata_is_returned_when_asked_for() -> None:
    """Pages hold metadata only with include_all_metadata, and a thread's first message is on each."""
    double = SlackDouble()
    double.post_seconds = 0.0
    double.page_limit = 2
    channel = double.world.channel()
    async with double.running():
        client = client_of(double)
        root = double.say(channel, "root", author="U1", quiet=True)
        for number in range(3):
            await client.chat_postMessage(
                channel=channel,
                text=str(number),
                thread_ts=root,
                metadata={"event_type": "t", "event_payload": {"key": str(number)}},
            )
        page = await client.conversations_replies(channel=channel, ts=root, include_all_metadata=True)
        assert [m["text"] for m in page["messages"]] == ["root", "0", "1"]
        assert page["messages"][1]["metadata"]["event_payload"] == {"key": "0"}
        cursor = page["response_metadata"]["next_cursor"]
        page = await client.conversations_replies(channel=channel, ts=root, cursor=cursor)
        assert [m["text"] for m in page["messages"]] == ["root", "2"]
        assert "metadata" not in page["messages"][1]


VIEW = {"type": "modal", "title": {"type": "plain_text", "text": "Form"}, "blocks": []}
TEXT = {"type": "markdown", "text": "words", "block_id": "same"}
EMPTY = {"type": "plain_text", "text": ""}


async def test_a_trigger_opens_one_view_in_time() -> None:
    """A trigger works once and for three seconds; another word is none at all."""
    double = SlackDouble()
    ann = double.world.user("Ann")
    async with double.running():
        client, interactive = client_of(double), double.interactive
        used, late = interactive.trigger(ann), interactive.trigger(ann)
        await client.views_open(trigger_id=used, view=VIEW)
        assert (await refusal(client.views_open(trigger_id=used, view=VIEW))).response[
            "error"
        ] == "exchanged_trigger_id"
        interactive.pass_time(3.1)
        assert (await refusal(client.views_open(trigger_id=late, view=VIEW))).response["error"] == "expired_trigger_id"
        assert (await refusal(client.views_open(trigger_id="x", view=VIEW))).response["error"] == "invalid_trigger_id"
        assert [view.user for view in interactive.views] == [ann]


async def test_a_response_address_has_five_uses_within_half_an_hour() -> None:
    """The sixth message, and any after 30 minutes, is refused; each is seen by one person."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), ClientSession() as session:
        address = double.interactive.address(channel, ann)
        statuses = [(await session.post(address, json={"text": str(number)})).status for number in range(6)]
        assert statuses == [200] * 5 + [404]
        late = double.interactive.address(channel, ann)
        double.interactive.pass_time(1_801.0)
        assert (await session.post(late, json={"text": "late"})).status == 404
        assert double.interactive.seen_by(ann) == ["0", "1", "2", "3", "4"]
        assert double.answers(channel) == []


@pytest.mark.parametrize(
    "block",
    [
        {"type": "unheard_of"},
        {"type": "actions", "elements": []},
        {
            "type": "actions",
            "elements": [{"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": ""}}],
        },
        {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}},
        {"type": "context_actions", "elements": [{"type": "button", "action_id": "a"}]},
        TEXT,
    ],
)
async def test_blocks_against_the_rules_are_refused(block: dict[str, object]) -> None:
    """An unknown type, an empty or too long text, and a repeated block_id are answered invalid_blocks."""
    double = SlackDouble()
    channel = double.world.channel()
    async with double.running():
        call = client_of(double).chat_postMessage(
            channel=channel, text="x", blocks=[{**TEXT, "block_id": "same"}, block]
        )
        assert (await refusal(call)).response["error"] == "invalid_blocks"
        assert double.answers(channel) == []
