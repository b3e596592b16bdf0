"""discord.py's HTTP client without its waits and retries: custom addresses, rate-limit headers, our own failures."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
import yarl
from discord.http import HTTPClient, Ratelimit, Route
from typing_extensions import override

from adapters.discord.errors import failure_of, failure_of_foreign_response, failure_of_status
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import Budgets, ChannelBudgets, Window, read_report
from adapters.shared.cache import loop_time
from bot.errors import Failure, OutcomeUnknown

JSON = "application/json"


class _NoRateLimit(Ratelimit):
    """A bucket without a limit: `adapters.discord.rate_limits` counts requests."""

    __slots__ = ()

    @override
    async def acquire(self) -> None:
        """Return at once."""

    @override
    async def __aexit__(self, *error: object) -> None:
        """Return at once; discord.py would sleep until the window's end after its last permitted write."""

    @override
    def update(self, response: aiohttp.ClientResponse, *, use_clock: bool = False) -> None:
        """Ignore the headers; discord.py raises if one is missing."""


@dataclass(slots=True)
class _Call:
    """A request in flight."""

    method: str
    path: str  # discord.py's template
    window: Window | None  # for the response's rate-limit headers
    sent: float  # the loop's time
    channel: ChannelBudgets | None = None  # the window's channel
    reused: bool = False  # sent on a kept-alive connection

    @property
    def what(self) -> str:
        """Method and path for log messages; they contain no secret."""
        return f"{self.method} {self.path.replace('_token}', '}')}"


class RestClient(HTTPClient):
    """discord.py's HTTP client with custom base URLs, response hooks and no built-in rate-limit waits."""

    def __init__(self, options: DiscordOptions, budgets: Budgets, original: HTTPClient) -> None:
        super().__init__(original.loop, http_trace=original.http_trace)
        self._options = options
        self._budgets = budgets
        self._unlimited: Ratelimit | None = None
        self.gateway_url = options.gateway_url  # empty: Discord's own

    @override
    def get_ratelimit(self, key: str) -> Ratelimit:
        if self._unlimited is None:
            self._unlimited = _NoRateLimit(None)
        return self._unlimited

    @override
    async def request(self, route: Route, **kwargs: Any) -> Any:
        """Send once. Raises a `Failure` for a 429, 5xx, proxy's 4xx or lost connection, else discord.py's error."""
        if self._options.api_url:
            route.url = self._options.api_url.rstrip("/") + route.url.removeprefix(Route.BASE)
        channel = str(route.channel_id or route.webhook_token or "")
        window = self._budgets.window(route.method, route.path, channel)
        sent, budgets = loop_time(), self._budgets.channel(channel) if window else None
        call = _Call(route.method, route.path, window, sent, budgets)
        try:
            return await super().request(route, trace_request_ctx=call, **kwargs)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise OutcomeUnknown(f"{call.what}: a body that is not JSON") from error

    @override
    async def ws_connect(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        """Connect to the configured gateway, both for a new session and for a resumed one."""
        if self.gateway_url:
            url = str(yarl.URL(self.gateway_url).update_query(yarl.URL(url).query))
        return await super().ws_connect(url, compress=compress)


def trace_config() -> aiohttp.TraceConfig:
    """Hooks for `RestClient`; they see each response before discord.py does."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_on_reuse)
    trace.on_request_end.append(_on_response)
    trace.on_request_exception.append(_on_error)
    return trace


def _call_of(context: SimpleNamespace) -> _Call | None:
    call = context.trace_request_ctx
    return call if isinstance(call, _Call) else None  # the gateway's connection has none


async def _on_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    if (call := _call_of(context)) is not None:
        call.reused = True


async def _on_response(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
) -> None:
    if (call := _call_of(context)) is None:
        return
    response = params.response
    report = read_report(response.headers)
    if report is not None and call.window is not None:
        call.window.observe(loop_time(), report, sent=call.sent)
        if call.channel is not None and (bucket := response.headers.get("X-RateLimit-Bucket")):
            call.channel.set_bucket(bucket, call.window)
    raw = await response.read()
    if response.status < 300 and response.headers.get("Content-Type") == JSON:
        return  # discord.py parses it
    body = _json_of(response, raw)
    if response.status == 429 or response.status >= 500:
        raise failure_of_status(response.status, body, response.headers, call.what)
    if not (isinstance(body, dict) and "code" in body):
        page = response.content_type == "text/html" and bool(raw)
        if (failure := failure_of_foreign_response(response.status, call.method, call.path, page=page)) is not None:
            raise failure
    if response.status < 300 and raw and body is None:
        raise OutcomeUnknown(f"{call.what}: {response.status} with a body that is not JSON")


async def _on_error(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
) -> None:
    call = _call_of(context)
    if call is None or isinstance(params.exception, Failure | asyncio.CancelledError):
        return
    failure = failure_of(params.exception, call.what)
    if failure is None:
        return
    if call.reused and isinstance(failure, OutcomeUnknown) and not isinstance(params.exception, TimeoutError):
        # Most likely the server had closed the kept-alive connection: retry at once.
        failure.retry_after = 0.0
    raise failure from params.exception


def _json_of(response: aiohttp.ClientResponse, raw: bytes) -> object:
    if response.content_type != JSON:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return None
