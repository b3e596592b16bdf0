"""Slack over HTTP: one route for events, interactive payloads and slash commands.

A request passes the bounds on its body (`adapters.http_bodies`), the check of its signature (`http_requests`), and the
receiver as over the socket (`receiver`); then its response is sent. Slack repeats an event after any status but 2xx,
and never an interactive payload (https://docs.slack.dev/apis/events-api/#retries).

Strangers reach this route. They get a status and nothing else, and at most one log line a minute tells of them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime

from aiohttp import web
from slack_bolt.response import BoltResponse
from typing_extensions import override

from adapters.http_bodies import BodyReader
from adapters.shared.json_fields import Json
from adapters.shared.log_throttle import LogThrottle
from adapters.slack.event_source import EventSource
from adapters.slack.http_requests import (
    EVENTS,
    JSON,
    PATH,
    Refusal,
    RequestCheck,
    challenge_of,
    parse_payload,
)
from adapters.slack.options import SlackOptions
from adapters.slack.payloads import Delivery
from adapters.slack.receiver import Receiver
from adapters.slack.web_api import WebApi
from bot.errors import Forbidden

log = logging.getLogger(__name__)

# Bytes of all unfinished bodies: four of the largest, and thousands of usual ones.
MAX_UNFINISHED_BYTES = 4 * EVENTS.max_bytes

# Seconds for a response. Slack waits three, so a later response only ends the request; the work goes on.
RESPONSE_SECONDS = 4.0

_NUMBER = re.compile("[0-9]{1,3}")


class HttpEndpoint(EventSource):
    """The route of one app. Requests get 503 unless `listen` runs."""

    def __init__(self, options: SlackOptions, wall_clock: Callable[[], datetime]) -> None:
        self._check = RequestCheck(options.signing_secret, wall_clock)
        self._bodies = BodyReader(EVENTS, MAX_UNFINISHED_BYTES)
        self._receiver: Receiver | None = None
        self._refusals = {refusal: LogThrottle() for refusal in Refusal}
        self._unreadable, self._ignored = LogThrottle(), LogThrottle()

    def routes(self) -> Sequence[web.RouteDef]:
        """The route, for the bot's HTTP server; `EVENTS` are its bodies."""
        return [web.post(PATH, self._receive)]

    @property
    @override
    def is_open(self) -> bool:
        return self._receiver is not None

    @override
    async def listen(self, receiver: Receiver, web: WebApi, opened: asyncio.Event) -> Forbidden | None:
        self._receiver = receiver
        opened.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._receiver = None
        return None

    @override
    async def close(self) -> None:
        self._receiver = None

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
        """The receiver's response; 503 asks for redelivery, also if there is none in time."""
        if self._receiver is None:
            return web.Response(status=503)
        delivery = Delivery(payload, _retry_number(request.headers.get("X-Slack-Retry-Num", "")))
        try:
            async with asyncio.timeout(RESPONSE_SECONDS):
                return _to_http(await self._receiver.receive(delivery))
        except TimeoutError:
            return web.Response(status=503)


def _retry_number(header: str) -> int:
    """The number of a repeated event; one of another form counts as the first."""
    return (int(header) if _NUMBER.fullmatch(header) else 1) if header else 0


def _to_http(response: BoltResponse) -> web.Response:
    """Bolt's response as ours; a failure tells its sender nothing."""
    if response.status != web.HTTPOk.status_code:
        return web.Response(status=503)
    body = response.body or ""
    return web.Response(text=body, content_type=JSON if body.startswith("{") else "text/plain")
