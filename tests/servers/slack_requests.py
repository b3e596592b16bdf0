"""Slack's sender of requests to the loopback app: signs, waits, repeats, and breaks connections on command.

What belongs here: the way of a delivery over HTTP. What does not: its content (`tests.servers.slack_deliveries`).

Events are JSON; interactive payloads and commands are forms. The app has three seconds to answer 2xx. An event without
that is repeated at once, after a minute and after five, unless the response has X-Slack-No-Retry
(https://docs.slack.dev/apis/events-api/#error-handling). Others are never repeated. Signatures:
https://docs.slack.dev/authentication/verifying-requests-from-slack.

Requests are concurrent, over connections that stay open. One starts once the request before it has its response, or
`pace_seconds` later, so that apps usually see events in order, as people cause them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from tests.servers.slack_deliveries import Deliveries, Envelope
from tests.support.clock import slowness

Json = dict[str, Any]

# The app's time for a response, and the pauses before each repetition, in seconds.
RESPONSE_SECONDS: Final = 3.0
RETRY_SECONDS: Final = (0.0, 60.0, 300.0)
# Open connections at most; Slack does not tell its number.
CONNECTIONS: Final = 50
REDIRECTS: Final = 2
JSON_TYPE, FORM_TYPE = "application/json", "application/x-www-form-urlencoded"


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Slack's signature of a request."""
    return "v0=" + hmac.new(secret.encode(), b"v0:%s:%s" % (timestamp.encode(), body), hashlib.sha256).hexdigest()


def encoded(envelope: Envelope) -> tuple[bytes, str]:
    """The body of a delivery's request, and its content type."""
    match envelope.kind:
        case "events_api":
            return json.dumps(envelope.body).encode(), JSON_TYPE
        case "interactive":
            return urlencode({"payload": json.dumps(envelope.body)}).encode(), FORM_TYPE
        case _:
            return urlencode(envelope.body).encode(), FORM_TYPE


@dataclass(frozen=True, slots=True)
class Response:
    """The outcome of one request: a response, or else the `failure` as Slack names it."""

    status: int = 0
    body: bytes = b""
    no_retry: bool = False
    failure: str = ""

    @property
    def accepted(self) -> bool:
        """Whether this is an acknowledgement."""
        return 200 <= self.status < 300 and not self.failure

    @property
    def reason(self) -> str:
        """Slack's reason for a repetition."""
        return self.failure or "http_error"

    @property
    def answer(self) -> Json:
        """What the app said to an interactive payload."""
        try:
            answer = json.loads(self.body)
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}


class Requests:
    """The sender. `url` is the app's request URL; as long as there is none, deliveries wait."""

    def __init__(self, deliveries: Deliveries, changed: Callable[[], None]) -> None:
        self.url = ""
        self.signing_secret = "5ign1ng-secret-of-the-app"
        self.response_seconds = RESPONSE_SECONDS
        self.retry_seconds: tuple[float, ...] = RETRY_SECONDS
        self.pace_seconds = 0.05
        self.skew_seconds = 0.0  # of Slack's clock
        self.body_seconds = 0.0  # over which bodies are sent, in pieces
        self.broken = 0  # how many of the next connections break before their response
        self.twice_each = 0  # each such event is sent twice, at once; 0: none is
        self.holding = False  # events wait for `release`
        self.held: list[Envelope] = []
        self.given_up: list[Envelope] = []  # without an acknowledgement, after all repetitions
        self.sent = 0  # requests
        self.response_times: list[float] = []  # from each request to its response, in seconds
        self.connections = 0  # that were ever made
        self._deliveries, self._changed = deliveries, changed
        self._group: asyncio.TaskGroup | None = None
        self._session: aiohttp.ClientSession | None = None
        self._free_connections = asyncio.Semaphore(CONNECTIONS)
        self._waiting: list[Envelope] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._events = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Able to send; at the end, unfinished requests are dropped."""
        connector, trace = aiohttp.TCPConnector(limit=0), aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._count_connection)
        async with (
            aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as session,
            asyncio.TaskGroup() as group,
        ):
            self._session, self._group = session, group
            try:
                yield
            finally:
                for task in self._tasks:
                    task.cancel()

    async def _count_connection(self, *_: object) -> None:
        self.connections += 1

    async def send(self, envelope: Envelope) -> None:
        """Start to send a delivery."""
        if not self.url:
            self._waiting.append(envelope)
        elif envelope.kind != "events_api":
            await self._start([envelope])
        elif self.holding:
            self.held.append(envelope)
            self._changed()
        else:
            self._events += 1
            is_double = self.twice_each and self._events % self.twice_each == 0
            await self._start([envelope] * (2 if is_double else 1))

    def move(self, url: str) -> None:
        """The app has another request URL, or none (empty); what waits goes there."""
        self.url = url
        if url and self._waiting:
            self._own(self._send_waiting())

    async def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for envelope in waiting:
            await self.send(envelope)

    async def release(self, order: Callable[[list[Envelope]], Iterable[Envelope]] = list) -> None:
        """Send the held events, in this order."""
        self.holding, held, self.held = False, self.held, []
        for envelope in order(held):
            await self._start([envelope])

    async def _start(self, envelopes: list[Envelope]) -> None:
        tasks = [self._own(self._send_until_accepted(each)) for each in envelopes]
        if self.pace_seconds:
            await asyncio.wait(tasks, timeout=self.pace_seconds)

    def _own(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        assert self._group is not None
        task = self._group.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send_until_accepted(self, envelope: Envelope) -> None:
        body, content_type = encoded(envelope)
        is_event, reason = envelope.kind == "events_api", "http_timeout"
        for number, pause in enumerate((0.0, *self.retry_seconds), envelope.retry):
            if pause:
                await asyncio.sleep(pause)
            retry = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": reason} if number else {}
            response = await self.post(body, {"Content-Type": content_type, **retry})
            envelope.responses.append(response.failure or str(response.status))
            if response.accepted:
                self._deliveries.acknowledge(envelope, response.answer)
                return
            self._changed()
            if response.no_retry or not is_event:
                break
            reason = response.reason
        self.given_up.append(envelope)
        self._changed()

    async def post(self, body: bytes, headers: dict[str, str]) -> Response:
        """Send one signed request."""
        timestamp = str(int(datetime.now(UTC).timestamp() + self.skew_seconds))
        signed = {
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": sign(self.signing_secret, timestamp, body),
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "Accept": "*/*",
        }
        self.sent += 1
        if self.broken > 0:
            self.broken -= 1
            return await self._break(body, headers | signed)
        return await self._post(body, headers | signed)

    async def verify_url(self, challenge: str = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P") -> Response:
        """Ask for the challenge, as Slack does when the URL is saved."""
        said = {"token": "verification", "challenge": challenge, "type": "url_verification"}
        return await self.post(json.dumps(said).encode(), {"Content-Type": JSON_TYPE})

    async def _post(self, body: bytes, headers: dict[str, str]) -> Response:
        assert self._session is not None
        data = _pieces(body, self.body_seconds) if self.body_seconds else body
        length = {"Content-Length": str(len(body))}
        try:
            async with self._free_connections:  # the time begins with one
                began = asyncio.get_running_loop().time()
                async with (
                    asyncio.timeout(self.response_seconds * slowness() + self.body_seconds),
                    self._session.post(
                        self.url, data=data, headers=headers | length, max_redirects=REDIRECTS
                    ) as response,
                ):
                    no_retry = response.headers.get("X-Slack-No-Retry") == "1"
                    answer = Response(response.status, await response.read(), no_retry)
                    self.response_times.append(asyncio.get_running_loop().time() - began)
                    return answer
        except TimeoutError:
            return Response(failure="http_timeout")
        except aiohttp.TooManyRedirects:
            return Response(failure="too_many_redirects")
        except aiohttp.ClientConnectorError:
            return Response(failure="connection_failed")
        except (aiohttp.ClientError, OSError):
            return Response(failure="unknown_error")

    async def _break(self, body: bytes, headers: dict[str, str]) -> Response:
        """Send a request over a connection of its own, and close that without reading the response."""
        url = URL(self.url)
        lines = [f"POST {url.path} HTTP/1.1", f"Host: {url.authority}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        try:
            _, writer = await asyncio.open_connection(url.host, url.port)
        except OSError:
            return Response(failure="connection_failed")
        self.connections += 1
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
        except OSError:
            return Response(failure="unknown_error")
        finally:
            writer.close()
        return Response(failure="unknown_error")


async def _pieces(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    """A body in twenty pieces, over so many seconds."""
    size = max(len(body) // 20, 1)
    for start in range(0, len(body), size):
        await asyncio.sleep(seconds / 20)
        yield body[start : start + size]
