"""A post that could not be looked for is made again, and its earlier copy is deleted once Slack may be asked."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import SlackOptions
from adapters.slack.events.parse import METADATA_TYPE, Identity, SlackMessage
from adapters.slack.messages.channel import SlackChannel
from adapters.slack.state import open_workspace
from adapters.slack.web_api import ApiResponse
from bot.conversation import TurnKey
from bot.errors import RateLimited
from bot.ports import Body, Verb

ME = Identity("T1", "UBOT", "B1")
KEY = TurnKey("slack", "T1", "C1", "1.0")
POST = f"{KEY.digest}0"


class FakeWeb:
    """A thread with a copy that an earlier process posted; reads are refused at first."""

    def __init__(self) -> None:
        self.messages = {"1.0": self._message("1.0", "U1", ""), "2.0": self._message("2.0", "UBOT", POST)}
        self.deleted: list[str] = []
        self.refuses = True

    def _message(self, ts: str, user: str, key: str) -> dict[str, Any]:
        metadata = {"event_type": METADATA_TYPE, "event_payload": {"key": key}}
        return {"type": "message", "user": user, "text": "words", "ts": ts, "thread_ts": "1.0", "metadata": metadata}

    async def read(self, method: str, params: dict[str, Any]) -> ApiResponse:
        if self.refuses:
            raise RateLimited("429", retry_after=60.0)
        return ApiResponse({"messages": list(self.messages.values())}, {})

    async def send(self, method: str, payload: dict[str, Any], *, once: bool = False) -> ApiResponse:
        self.messages["3.0"] = self._message("3.0", "UBOT", POST)
        return ApiResponse({"ts": "3.0"}, {})

    async def post(self, method: str, params: dict[str, Any], *, once: bool = False) -> ApiResponse:
        assert method == "chat.delete"
        self.deleted.append(params["ts"])
        return ApiResponse({}, {})


async def test_the_earlier_copy_is_deleted() -> None:
    """The answer does not wait for a read; of two messages with one key, the earlier process's goes within minutes."""
    web, options, loop = FakeWeb(), SlackOptions("xoxb-1", "xapp-1"), asyncio.get_running_loop()
    attachments = Attachments(AttachmentLimits(), hosts=frozenset())
    try:
        workspace = await open_workspace(cast("Any", web), ME, attachments, options)
        question = SlackMessage("1.0", "U1", "words")
        channel = SlackChannel(workspace, ("C1", "1.0"), KEY, question)
        async with asyncio.TaskGroup() as group:
            workspace.group = group
            began = loop.time()
            assert await channel.find(POST) is None
            assert await channel.post(Body("words"), POST) == "3.0"
            assert loop.time() - began < 5.0
            assert web.deleted == []
            web.refuses = False
        assert loop.time() - began < 180.0
    finally:
        await attachments.close()
    assert web.deleted == ["2.0"]
    (budget,) = workspace.budgets.of(Verb.DELETE, "C1")
    assert budget.ready_at(loop.time(), final=True) <= loop.time()
