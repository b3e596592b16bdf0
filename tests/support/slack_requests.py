"""Requests as Slack signs them, and the platform behind the bot's HTTP server."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from adapters.http_connections import ConnectionLimits
from adapters.http_server import HttpServer
from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.slack import EVENTS, PATH, SlackPlatform, file_hosts
from tests.servers.slack import SlackDouble
from tests.support.inbox import PATIENCE, RecordingInbox
from tests.support.interactions import RecordingInteractions
from tests.support.slack import options_of, sole_platform
from tests.support.waiting import until

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
FORM = "application/x-www-form-urlencoded"


def signature(body: bytes, timestamp: str, secret: str = SECRET) -> str:
    """Slack's signature of a body (https://docs.slack.dev/authentication/verifying-requests-from-slack)."""
    return f"v0={hmac.new(secret.encode(), b'v0:' + timestamp.encode() + b':' + body, hashlib.sha256).hexdigest()}"


def now() -> int:
    """The wall clock's second."""
    return int(datetime.now(UTC).timestamp())


def signed(body: bytes, content_type: str = "application/json", sent_at: int | None = None) -> dict[str, str]:
    """The headers of Slack's request with this body, sent now or at another second."""
    timestamp = str(now() if sent_at is None else sent_at)
    return {
        "Content-Type": content_type,
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": signature(body, timestamp),
    }


def event_body(event: Mapping[str, Any], event_id: str = "Ev1", **outer: Any) -> bytes:
    """The body of an event."""
    return json.dumps({"type": "event_callback", "event_id": event_id, "event": event, **outer}).encode()


def form_body(fields: Mapping[str, str]) -> bytes:
    """A form's body, as of a slash command."""
    return urlencode(fields).encode()


def interaction_body(payload: Mapping[str, Any]) -> bytes:
    """The body of an interactive payload."""
    return form_body({"payload": json.dumps(payload)})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The platform behind its route."""

    platform: SlackPlatform
    inbox: RecordingInbox
    url: URL
    session: aiohttp.ClientSession

    async def post(
        self, body: bytes, content_type: str = "application/json", headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, str]:
        """Send a signed request, with more `headers`. Returns the status and the text of the response."""
        all_headers = {**signed(body, content_type), **headers}
        async with self.session.post(self.url, data=body, headers=all_headers) as response:
            return response.status, await response.text()


@asynccontextmanager
async def endpoint(
    double: SlackDouble,
    inbox: RecordingInbox | None = None,
    *,
    runs: bool = True,
    limits: ConnectionLimits | None = None,
) -> AsyncIterator[Endpoint]:
    """The platform over HTTP, with a running loopback server; with `runs` false it is not started."""
    inbox = inbox or RecordingInbox()
    attachments = Attachments(AttachmentLimits(), hosts=file_hosts(options_of(double)))
    platform = sole_platform(options_of(double, app_token="", signing_secret=SECRET), attachments)
    server = HttpServer(
        host="127.0.0.1",
        port=0,
        ready=lambda: {"slack": platform.ready},
        render_metrics=lambda: (b"", "text/plain"),
        routes=platform.routes(),
        bodies=[EVENTS],
        limits=limits,
    )
    try:
        url = URL(await server.start()) / PATH.removeprefix("/")
        async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
            running = group.create_task(platform.run(inbox, RecordingInteractions())) if runs else None
            try:
                if running is not None:
                    await until(lambda: platform.ready, seconds=PATIENCE)
                yield Endpoint(platform, inbox, url, session)
            finally:
                if running is not None:
                    running.cancel()
    finally:
        await server.close()
        await platform.close()
        await attachments.close()
