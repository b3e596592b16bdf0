"""discord.py for this one bot: moved to other addresses, never waiting by itself, never sending again by itself.

What belongs here: everything that leans on how discord.py 2.7 is made, and what it does not publish, so that an update
of it is checked in one place. What does not: what we do with events and answers.

No attribute of a module or class is changed: the client takes an HTTP client of its own class, and reads the messages'
events as they came (`parsers`), so that one odd event is passed over instead of ending the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
import discord
import yarl
from discord.http import HTTPClient, Ratelimit, Route
from discord.state import ConnectionState

from adapters.discord.errors import failure_of, failure_of_foreign_response, failure_of_status
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import Budgets, ChannelBudgets, Window, read_report
from bot.errors import Failure, OutcomeUnknown

log = logging.getLogger(__name__)

# What we ask to be told: guilds (their channels' names and places), messages there and in DMs, and their text.
INTENTS = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True)

# Nobody and nothing in an answer pings; each post says itself whether the asker is.
NO_PINGS = discord.AllowedMentions(everyone=False, users=False, roles=False, replied_user=True)


class Listener(Protocol):
    """Who hears of events, as they came; nothing that it raises of `MALFORMED_EVENT_ERRORS` ends the connection."""

    def on_connected(self, *, fresh: bool) -> None:
        """Events arrive: after a READY (`fresh`, what was missed is lost) or a RESUMED."""
        ...

    def on_disconnected(self) -> None:
        """The connection is lost, and will be made again."""
        ...

    def on_message(self, data: Mapping[str, Any]) -> None:
        """MESSAGE_CREATE."""
        ...

    def on_message_edited(self, data: Mapping[str, Any]) -> None:
        """MESSAGE_UPDATE."""
        ...

    def on_message_deleted(self, data: Mapping[str, Any], messages: tuple[str, ...]) -> None:
        """MESSAGE_DELETE and MESSAGE_DELETE_BULK."""
        ...

    def on_interaction(self, data: Mapping[str, Any]) -> None:
        """INTERACTION_CREATE, which no intent is needed for."""
        ...


# What a parser raises over an event that is not as Discord's documentation says.
MALFORMED_EVENT_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError)


class DiscordClient(discord.Client):
    """See the module's docstring."""

    def __init__(self, options: DiscordOptions, budgets: Budgets, listener: Listener) -> None:
        self._options = options
        self._budgets = budgets
        self._listener = listener
        with _without_voice_warning():
            super().__init__(
                intents=INTENTS,
                allowed_mentions=NO_PINGS,
                max_messages=None,  # adapters.discord.history.cache remembers, bounded by us
                member_cache_flags=discord.MemberCacheFlags.none(),
                chunk_guilds_at_startup=False,
                guild_ready_timeout=0.0,  # nobody waits for on_ready
                http_trace=_trace(),
            )

    def _get_state(self, **options: Any) -> ConnectionState[Any]:  # noqa: ANN401 (the library's signature)
        """Called once while the client is made: its HTTP client is exchanged before anything holds it."""
        made = self.http
        self.http: RestClient = RestClient(self._options, self._budgets, made)
        state = super()._get_state(**options)
        ours = {
            "MESSAGE_CREATE": self._listener.on_message,
            "MESSAGE_UPDATE": self._listener.on_message_edited,
            "MESSAGE_DELETE": lambda data: self._listener.on_message_deleted(data, (str(data["id"]),)),
            "MESSAGE_DELETE_BULK": lambda data: self._listener.on_message_deleted(data, tuple(map(str, data["ids"]))),
            "INTERACTION_CREATE": self._listener.on_interaction,
        }
        for name, parser in (*state.parsers.items(), *ours.items()):
            state.parsers[name] = _tolerant(name, parser)
        return state

    async def setup_hook(self) -> None:
        """Between login and gateway: a server that is not Discord's own says where its gateway is, unless that is set.

        https://docs.discord.com/developers/events/gateway#get-gateway; one that does not say has Discord's own.
        """
        if self._options.api_url and not self._options.gateway_url:
            try:
                told = await self.http.request(Route("GET", "/gateway"))
                self.http.gateway_url = str(told["url"])
            except (discord.HTTPException, Failure, *MALFORMED_EVENT_ERRORS) as error:
                log.info("the API does not say where the gateway is: %r", error)

    async def application_info(self) -> discord.AppInfo:
        """What the login asks about the application, and does not need: it works without an answer."""
        try:
            return await super().application_info()
        except (discord.HTTPException, Failure, *MALFORMED_EVENT_ERRORS) as error:
            log.info("nothing is known of the application: %r", error)
            about: Any = {"id": 0, "name": "", "description": "", "icon": None, "verify_key": ""}
            owner = {"id": 0, "username": "", "discriminator": "0", "avatar": None}
            about |= {"owner": owner, "bot_public": False, "bot_require_code_grant": False}
            return discord.AppInfo(self._connection, about)

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 (the library's signature)
        """The library's own events, without a task for each: only what is of use, at once."""
        if event == "connect":
            self._listener.on_connected(fresh=True)
        elif event == "resumed":
            self._listener.on_connected(fresh=False)
        elif event == "disconnect":
            self._listener.on_disconnected()


def _tolerant(name: str, parser: Callable[[Any], Any]) -> Callable[[Any], None]:
    def parse(data: object) -> None:
        try:
            parser(data)
        except MALFORMED_EVENT_ERRORS:
            log.warning("passing over an event %s that could not be read", name, exc_info=True)

    return parse


@contextmanager
def _without_voice_warning() -> Iterator[None]:
    """Keep from the log that libraries for voice are missing: there is no voice here."""
    logger = logging.getLogger("discord.client")

    def silent(record: logging.LogRecord) -> bool:
        return "voice will NOT be supported" not in record.getMessage()

    logger.addFilter(silent)
    try:
        yield
    finally:
        logger.removeFilter(silent)


class _NoRateLimit(Ratelimit):
    """A bucket that lets everything through and learns nothing: ours are counted in `adapters.discord.rate_limits`."""

    __slots__ = ()

    async def acquire(self) -> None:
        """At once."""

    async def __aexit__(self, *error: object) -> None:
        """The library would sleep here until the window's end after the last permitted write."""

    def update(self, response: aiohttp.ClientResponse, *, use_clock: bool = False) -> None:
        """Nothing: an answer without the headers it expects would make the library's raise."""


@dataclass(slots=True)
class _Call:
    """One request on its way: what it is, what its answer's headers count, when and on what connection it went out."""

    method: str
    path: str  # discord.py's template
    window: Window | None
    sent: float  # the loop's time
    channel: ChannelBudgets | None = None  # whose window that is
    reused: bool = False

    @property
    def what(self) -> str:
        """Its name in the log."""
        return f"{self.method} {self.path}"


class RestClient(HTTPClient):
    """The library's HTTP client at our addresses, with our eyes on every answer, without waiting."""

    def __init__(self, options: DiscordOptions, budgets: Budgets, made: HTTPClient) -> None:
        super().__init__(made.loop, http_trace=made.http_trace)
        self._options = options
        self._budgets = budgets
        self._unlimited: Ratelimit | None = None
        self.gateway_url = options.gateway_url  # empty: Discord's own

    def get_ratelimit(self, key: str) -> Ratelimit:  # noqa: ARG002 (the library's signature)
        """The one bucket that never waits."""
        if self._unlimited is None:
            self._unlimited = _NoRateLimit(None)
        return self._unlimited

    async def request(self, route: Route, **kwargs: Any) -> Any:  # noqa: ANN401 (the library's signature)
        """Send once. Raises our `Failure` for a 429, a 5xx, a proxy's 4xx, a lost connection, else as discord.py."""
        if self._options.api_url:
            route.url = self._options.api_url.rstrip("/") + route.url.removeprefix(Route.BASE)
        channel = str(route.channel_id or "")
        window = self._budgets.window(route.method, route.path, channel)
        sent, budgets = asyncio.get_running_loop().time(), self._budgets.channel(channel) if window else None
        call = _Call(route.method, route.path, window, sent, budgets)
        return await super().request(route, trace_request_ctx=call, **kwargs)

    async def ws_connect(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        """Connect to the gateway, at the address that is set: the first as well as the one to resume at."""
        if self.gateway_url:
            url = str(yarl.URL(self.gateway_url).update_query(yarl.URL(url).query))
        return await super().ws_connect(url, compress=compress)


def _trace() -> aiohttp.TraceConfig:
    """Sees every answer before discord.py does."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_on_reuse)
    trace.on_request_end.append(_on_answer)
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


async def _on_answer(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
) -> None:
    if (call := _call_of(context)) is None:
        return
    response = params.response
    report = read_report(response.headers)
    if report is not None and call.window is not None:
        call.window.observe(asyncio.get_running_loop().time(), report, sent=call.sent)
        if call.channel is not None and (bucket := response.headers.get("X-RateLimit-Bucket")):
            call.channel.set_bucket(bucket, call.window)
    raw = await response.read()
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
        # The server had closed a kept-alive connection, most likely: worth another try at once.
        failure.retry_after = 0.0
    raise failure from params.exception


def _json_of(response: aiohttp.ClientResponse, raw: bytes) -> object:
    if response.content_type != "application/json":
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return None
