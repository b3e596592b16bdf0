"""The loopback Slack is as strict as Slack: limits, scopes and errors, seen by the SDK's own client."""

from __future__ import annotations

import pytest
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
