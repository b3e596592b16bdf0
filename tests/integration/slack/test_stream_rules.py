"""The loopback Slack's native streams, called with Slack's own client: limits, rules, and what a reader sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientError
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.limits import Kind
from tests.servers.slack import SlackDouble
from tests.servers.slack_streams import APPEND, START, STOP

pytestmark = pytest.mark.sockets

MARKDOWN = [{"type": "markdown", "text": "All of it."}]


@dataclass
class Session:
    """A person's direct messages with the app, and the client that answers there."""

    double: SlackDouble
    client: AsyncWebClient
    user: str
    channel: str
    root: str

    async def start(self, text: str = "One ", **changes: Any) -> str:
        """Start a stream as Slack asks for it, but for `changes`."""
        given = {"recipient_user_id": self.user, "recipient_team_id": "T1", "thread_ts": self.root}
        answer = await self.client.api_call(
            START, json={"channel": self.channel, "markdown_text": text, **given, **changes}
        )
        return str(answer["ts"])

    async def append(self, ts: str, text: str = "two ", **more: Any) -> None:
        """Append a text."""
        await self.client.api_call(APPEND, json={"channel": self.channel, "ts": ts, "markdown_text": text, **more})

    async def stop(self, ts: str, **more: Any) -> Any:
        """Stop a stream; returns the answer."""
        return await self.client.chat_stopStream(channel=self.channel, ts=ts, **more)

    async def update(self, ts: str, **body: Any) -> None:
        """Edit a message."""
        await self.client.chat_update(channel=self.channel, ts=ts, **body)

    def shown(self) -> list[str]:
        """The app's messages in the thread."""
        return self.double.answers(self.channel, self.root)


@asynccontextmanager
async def session() -> AsyncIterator[Session]:
    double = SlackDouble()
    user, channel = double.world.user("Ann"), double.world.channel("im")
    root = double.say(channel, "tell", author=user, quiet=True)
    async with double.running():
        client = AsyncWebClient(double.bot_token, base_url=double.api_url, retry_handlers=[])
        yield Session(double, client, user, channel, root)


@asynccontextmanager
async def refused(error: str) -> AsyncIterator[None]:
    """What happens here is answered with an error."""
    with pytest.raises(SlackApiError) as caught:
        yield
    assert caught.value.response["error"] == error


async def test_a_stream_grows_and_is_read_back_as_slack_gives_it() -> None:
    """A reader sees each chunk at once; a thread has the text in Slack's own markup, and metadata only of the stop."""
    async with session() as slack:
        ts = await slack.start("**One** ")
        assert slack.shown() == ["**One** "]
        await slack.append(ts, "two\n\n")
        open_message = await _read(slack, ts)
        assert (open_message["streaming_state"], open_message["text"]) == ("in_progress", "*One* two")
        assert len(slack.double.streams.spinners) == 1
        metadata = {"event_type": "answer", "event_payload": {}}
        await slack.stop(ts, markdown_text="- three", metadata=metadata)
        stopped = await _read(slack, ts)
        assert slack.shown() == ["**One** two\n\n- three"]
        assert (stopped["streaming_state"], stopped["text"]) == ("completed", "*One* two\n\n• three")
        assert [block["type"] for block in stopped["blocks"]] == ["rich_text"]
        assert ("metadata" in open_message, stopped["metadata"]) == (False, metadata)
        assert slack.double.streams.spinners == []


async def _read(slack: Session, ts: str) -> dict[str, Any]:
    thread = await slack.client.conversations_replies(channel=slack.channel, ts=slack.root, include_all_metadata=True)
    messages: list[dict[str, Any]] = thread["messages"]
    return next(message for message in messages if message["ts"] == ts)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"thread_ts": ""}, "invalid_thread_ts"),
        ({"thread_ts": "1.1"}, "invalid_thread_ts"),
        ({"recipient_user_id": ""}, "missing_recipient_user_id"),
        ({"recipient_team_id": ""}, "missing_recipient_team_id"),
        ({"recipient_user_id": "U9999"}, "user_not_found"),
        ({"recipient_team_id": "TWRONG"}, "team_not_found"),
        ({"chunks": [{"type": "markdown_text", "text": "x"}]}, "cannot_provide_both_markdown_text_and_chunks"),
        ({"markdown_text": "", "chunks": [{"type": "poem"}]}, "invalid_chunks"),
        ({"channel": "C9999"}, "channel_not_found"),
    ],
)
async def test_starts_need_a_thread_and_a_reader(changes: dict[str, Any], error: str) -> None:
    """A start with a missing or wrong argument is refused and leaves no message."""
    async with session() as slack:
        async with refused(error):
            await slack.start(**changes)
        assert slack.shown() == []


async def test_only_open_streams_take_text() -> None:
    """Stopped streams, ordinary messages and missing ones take none, each with its own error; no empty text either."""
    async with session() as slack:
        ts = await slack.start()
        async with refused("no_text"):
            await slack.append(ts, "")
        async with refused("message_not_owned_by_app"):
            await slack.append(slack.root)
        async with refused("message_not_found"):
            await slack.append("1.1")
        await slack.stop(ts)
        posted = (await slack.client.chat_postMessage(channel=slack.channel, text="Hello"))["ts"]
        for other in (ts, posted):
            async with refused("message_not_in_streaming_state"):
                await slack.append(other)
            async with refused("message_not_in_streaming_state"):
                await slack.stop(other)


async def test_an_open_stream_is_neither_edited_nor_deleted() -> None:
    """Edits and deletions wait for the stop."""
    async with session() as slack:
        ts = await slack.start()
        async with refused("streaming_state_conflict"):
            await slack.update(ts, text="Other", blocks=MARKDOWN)
        async with refused("cant_delete_message"):
            await slack.client.chat_delete(channel=slack.channel, ts=ts)
        await slack.stop(ts)
        await slack.update(ts, text="Other", blocks=MARKDOWN)
        assert slack.shown() == ["All of it."]
        await slack.client.chat_delete(channel=slack.channel, ts=ts)
        assert slack.shown() == []


async def test_a_message_takes_so_many_bytes_and_then_never_again() -> None:
    """UTF-8 bytes count over all calls; after the first refusal even short texts are refused, but no bare stop."""
    async with session() as slack:
        ts = await slack.start("ä" * 3_000)
        await slack.append(ts, "b" * 4_600)
        for text in ("c", "d"):
            async with refused("msg_too_long"):
                await slack.append(ts, text)
        async with refused("msg_too_long"):
            await slack.stop(ts, markdown_text="e")
        await slack.stop(ts)
        assert slack.shown() == ["ä" * 3_000 + "b" * 4_600]


async def test_a_stream_lives_five_minutes() -> None:
    """At 300 seconds appends and stops are refused, and a broken sign of progress stays until an edit."""
    async with session() as slack:
        ts = await slack.start()
        slack.double.streams.pass_time(299.0)
        await slack.append(ts)
        slack.double.streams.pass_time(1.1)
        async with refused("message_not_in_streaming_state"):
            await slack.append(ts)
        async with refused("message_not_in_streaming_state"):
            await slack.stop(ts)
        assert (slack.double.streams.open, len(slack.double.streams.spinners)) == ([], 1)
        await slack.update(ts, text="One two.", blocks=[])
        assert (slack.shown(), slack.double.streams.spinners) == (["One two."], [])


async def test_slacks_stop_button_ends_the_streams_of_a_thread() -> None:
    """The event names the streams; appends are refused as stopped by the user."""
    async with session() as slack:
        ts = await slack.start()
        slack.double.press_stop(slack.channel, slack.root, author=slack.user)
        async with refused("stopped_by_user"):
            await slack.append(ts)
        async with refused("message_not_in_streaming_state"):
            await slack.stop(ts)
        await slack.double.until(lambda: any(e.event["type"] == "agent_session_stopped" for e in _told(slack)))
        event = next(e.event for e in _told(slack) if e.event["type"] == "agent_session_stopped")
        assert (event["thread_ts"], event["user"], event["streaming_message_ts"]) == (slack.root, slack.user, [ts])
        assert slack.double.streams.spinners == []


def _told(slack: Session) -> list[Any]:
    return slack.double.deliveries.envelopes


@pytest.mark.parametrize(("limited_as", "status"), [("", 429), ("ratelimited", 200), ("rate_limited", 200)])
async def test_starts_are_limited_to_twenty_in_a_minute(limited_as: str, status: int) -> None:
    """The 21st start is refused, with status 429 and a time, or with an error of either spelling."""
    async with session() as slack:
        slack.double.streams.limited_as = limited_as
        for _ in range(20):
            await slack.start()
        with pytest.raises(SlackApiError) as caught:
            await slack.start()
        response = caught.value.response
        assert (response.status_code, response["error"]) == (status, limited_as or "ratelimited")
        assert ("Retry-After" in response.headers) == (not limited_as)
        assert slack.double.limited == [(START, slack.channel)]
        assert len(slack.double.streams.open) == slack.double.streams.most_open == 20


async def test_appends_have_a_limit_of_their_own() -> None:
    """A hundred appends in a minute are taken beside a start, one more is not."""
    async with session() as slack:
        ts = await slack.start("")
        for _ in range(100):
            await slack.append(ts, "x")
        async with refused("ratelimited"):
            await slack.append(ts, "y")
        await slack.stop(ts)
        assert slack.shown() == ["x" * 100]


async def test_a_call_may_be_applied_although_its_answer_is_lost() -> None:
    """Resets and errors after a call leave what it wrote, and a start repeated on its way stands there twice."""
    async with session() as slack:
        slack.double.faults.add("POST", START, Kind.RESET_AFTER, copies=2)
        slack.double.faults.add("POST", APPEND, Kind.STATUS_AFTER, status=500)
        with pytest.raises(ClientError):
            await slack.start("One ")
        assert slack.shown() == ["One ", "One "]
        ts = slack.double.streams.open[0].ts
        with pytest.raises(SlackApiError):
            await slack.append(ts, "two")
        assert slack.shown() == ["One two", "One "]


async def test_refusals_are_for_a_workspace_a_kind_of_channel_or_a_channel() -> None:
    """Streams are refused where a test says so, and elsewhere they start."""
    async with session() as slack:
        slack.double.streams.refuse("channel_type_not_supported", "channel")
        slack.double.streams.refuse("not_allowed_token_type", slack.channel, APPEND, STOP)
        ts = await slack.start()
        async with refused("not_allowed_token_type"):
            await slack.append(ts)
        public = slack.double.world.channel()
        root = slack.double.say(public, "tell", author=slack.user, quiet=True)
        async with refused("channel_type_not_supported"):
            await slack.start(channel=public, thread_ts=root)
        slack.double.streams.allow()
        slack.double.archived.add(slack.channel)
        async with refused("is_archived"):
            await slack.append(ts)


async def test_edits_with_blocks_may_repeat_the_streamed_text() -> None:
    """On command, an edit's blocks stand below the streamed text and its answer shows both; a bare text replaces it."""
    async with session() as slack:
        slack.double.streams.repeats_text = True
        ts = await slack.start("All of it")
        await slack.stop(ts)
        answer = await slack.client.chat_update(channel=slack.channel, ts=ts, text="All of it.", blocks=MARKDOWN)
        assert slack.shown() == ["All of it\n\nAll of it."]
        assert [block["type"] for block in answer["message"]["blocks"]] == ["rich_text", "markdown"]
        await slack.update(ts, text="All of it.", blocks=[])
        assert slack.shown() == ["All of it."]


async def test_whitespace_at_the_joins_may_vanish() -> None:
    """On command, spaces before a chunk's first word are lost, and those behind its last word are not."""
    async with session() as slack:
        slack.double.streams.drops_leading_whitespace = True
        ts = await slack.start("One ")
        await slack.append(ts, " two")
        await slack.append(ts, "\n\nthree")
        assert slack.shown() == ["One twothree"]


async def test_slack_ends_a_stream_midway() -> None:
    """On command, a stream takes so many appends and is ended by Slack."""
    async with session() as slack:
        slack.double.streams.ends_after = 1
        ts = await slack.start()
        await slack.append(ts)
        async with refused("message_not_in_streaming_state"):
            await slack.append(ts)
        assert slack.shown() == ["One two "]
