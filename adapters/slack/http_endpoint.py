"""Slack over HTTP: one route for events, interactive payloads and slash commands.

A request passes the bounds on its body (`adapters.http_bodies`), the check of its signature (`http_requests`), and Bolt
as over the socket (`bolt_app`); then its response is sent. Slack repeats an event after any status but 2xx, and never
an interactive payload (https://docs.slack.dev/apis/events-api/#retries).

Strangers reach this route. They get a status and nothing else, and at most one log line a minute tells of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from typing_extensions import override

from adapters.http_bodies import BodyReader
from adapters.shared.cache import LRUCache
from adapters.shared.json_fields import Json, string_field
from adapters.shared.log_throttle import LogThrottle
from adapters.slack.bolt_app import UNHANDLED
from adapters.slack.event_source import EventSource
from adapters.slack.http_requests import (
    EVENTS,
    JSON,
    PATH,
    Refusal,
    RequestCheck,
    challenge_of,
    is_foreign,
    parse_payload,
)
from adapters.slack.options import SlackOptions
from adapters.slack.state import WorkspaceState
from bot.errors import Forbidden

log = logging.getLogger(__name__)

# Bytes of all unfinished bodies: four of the largest, and thousands of usual ones.
MAX_UNFINISHED_BYTES = 4 * EVENTS.max_bytes

# Seconds for Bolt's response. Slack waits three, so a later response only ends the request; the work goes on.
RESPONSE_SECONDS = 4.0

# Events remembered to recognise a repeated one: Slack's most in six minutes, the time of its retries, at 30,000 an hour
# (https://docs.slack.dev/apis/events-api/#rate-limiting).
REMEMBERED_EVENTS = 3_000


class HttpEndpoint(EventSource):
    """The route of one app. Requests get 503 unless `listen` runs."""

    def __init__(self, options: SlackOptions, wall_clock: Callable[[], datetime]) -> None:
        self._check = RequestCheck(options.signing_secret, wall_clock)
        self._bodies = BodyReader(EVENTS, MAX_UNFINISHED_BYTES)
        self._app: AsyncApp | None = None
        self._workspace: WorkspaceState | None = None
        self._is_stopping = False
        self._known: LRUCache[str, bool] = LRUCache(REMEMBERED_EVENTS)  # accepted events or those in work, by id
        self._refusals = {refusal: LogThrottle() for refusal in Refusal}
        self._foreign, self._unreadable, self._ignored = LogThrottle(), LogThrottle(), LogThrottle()

    def routes(self) -> Sequence[web.RouteDef]:
        """The route, for the bot's HTTP server; `EVENTS` are its bodies."""
        return [web.post(PATH, self._receive)]

    @property
    @override
    def is_open(self) -> bool:
        return self._app is not None

    @override
    async def listen(self, app: AsyncApp, workspace: WorkspaceState, opened: asyncio.Event) -> Forbidden | None:
        self._app, self._workspace = app, workspace
        opened.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._app = None
        return None

    @override
    def stop_accepting(self) -> None:
        self._is_stopping = True

    @override
    async def close(self) -> None:
        self._app = None

    # ------------------------------------------------------------------------------------------------------- requests

    async def _receive(self, request: web.Request) -> web.Response:
        """Answer one request."""
        if (refusal := self._check.head(request.headers)) is not None:
            return self._refuse(refusal)
        body = await self._bodies.read(request)
        if (refusal := self._check.body(request.headers, body)) is not None:
            return self._refuse(refusal)
        payload = parse_payload(request.content_type, body)
        return self._refuse_payload() if payload is None else await self._answer(payload, request)

    async def _answer(self, payload: Json, request: web.Request) -> web.Response:
        """The response to a payload of Slack's."""
        if (challenge := challenge_of(payload)) is not None:
            return web.json_response({"challenge": challenge})
        if payload.get("ssl_check") == "1":  # Slack tries the certificate of a slash command's address
            return web.Response()
        if not payload:
            if count := self._ignored.count():
                log.warning("Slack: ignored signed requests with odd fields: %d", count)
            return web.Response()
        return await self._respond(payload, request)

    def _refuse(self, refusal: Refusal) -> web.Response:
        if count := self._refusals[refusal].count():
            log.warning(
                "Slack: refused requests %s: %d (if Slack sent them, see SLACK_SIGNING_SECRET and the clock)",
                refusal.value,
                count,
            )
        return web.Response(status=401)

    def _refuse_payload(self) -> web.Response:
        if count := self._unreadable.count():
            log.warning("Slack: refused signed requests without a readable payload: %d", count)
        return web.Response(status=400)

    async def _respond(self, payload: Json, request: web.Request) -> web.Response:
        """Dispatch a payload to Bolt; 503 asks for redelivery."""
        app, workspace = self._app, self._workspace
        if app is None or workspace is None:
            return web.Response(status=503)
        if is_foreign(payload, workspace.me.team, workspace.me.user):
            if count := self._foreign.count():
                log.warning("Slack: ignored events of other workspaces with this app: %d", count)
            return web.Response()
        event_id = string_field(payload, "event_id")
        if not event_id:
            return await self._dispatch(app, payload)
        return await self._respond_to_event(app, workspace, payload, request.headers.get("X-Slack-Retry-Num", ""))

    async def _respond_to_event(
        self, app: AsyncApp, workspace: WorkspaceState, payload: Json, retry: str
    ) -> web.Response:
        """Dispatch an event. A repeated one unknown so far is late; others may be missing, so the cache has a gap.

        While this process stops, 503 leaves every event to the next one, also those without work for this one.
        """
        event_id = string_field(payload, "event_id")
        is_late = bool(retry) and event_id not in self._known
        self._known[event_id] = True
        if retry:
            log.debug("Slack: an event is delivered again (retry %.3s)", retry)
        if is_late:
            workspace.cache.mark_gap()
        response = await self._dispatch(app, payload)
        if self._is_stopping:
            response = web.Response(status=503)
        if response.status != web.HTTPOk.status_code:
            self._known.pop(event_id, None)
        if is_late or response.status != web.HTTPOk.status_code:
            workspace.cache.mark_gap()
        return response

    async def _dispatch(self, app: AsyncApp, payload: Json) -> web.Response:
        """Bolt's response to a payload; 503 if there is none in time."""
        try:
            async with asyncio.timeout(RESPONSE_SECONDS):
                response = await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=dict(payload)))
        except TimeoutError:
            return web.Response(status=503)
        except Exception:
            # The boundary of one payload: an odd one must not affect the next.
            log.exception("Slack: a payload could not be handled")
            return web.Response(status=503)
        return _to_http(response)


def _to_http(response: BoltResponse) -> web.Response:
    """Bolt's response as ours; a failure tells its sender nothing."""
    if response.status == UNHANDLED:
        return web.Response()
    if response.status != web.HTTPOk.status_code:
        return web.Response(status=503)
    body = response.body or ""
    return web.Response(text=body, content_type=JSON if body.startswith("{") else "text/plain")
