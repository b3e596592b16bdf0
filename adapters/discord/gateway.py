"""discord.py's client for one bot: gateway events without its own waits or retries, and reconnection.

Code that relies on discord.py 2.7 internals or private behaviour belongs here or in `rest_api`, so that an update is
checked in two files. No attribute of one of its modules or classes is changed.

discord.py's own reconnect loop waits up to 17 minutes between attempts (``discord.backoff``); by then a session can no
longer be resumed and its events are lost. It does not wait at all if a server accepts connections and closes them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import tzinfo
from functools import partial
from typing import Any, Protocol

import aiohttp
import discord
from discord.gateway import DiscordWebSocket, ReconnectWebSocket
from discord.http import Route
from discord.state import ConnectionState
from typing_extensions import override

from adapters.discord.events.message import BotIdentity, ChannelInfo, ChannelKind
from adapters.discord.events.parse import EVENT_NAMES, PARSE_ERRORS, Event, parse_event
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import Budgets
from adapters.discord.rest_api import RestClient, trace_config
from bot.backoff import Backoff
from bot.errors import Failure

log = logging.getLogger(__name__)

# Guilds (names of channels and roles), messages in guilds and DMs, and message text.
INTENTS = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True)

# Default for writes. Each post states itself if it pings the asker.
NO_PINGS = discord.AllowedMentions(everyone=False, users=False, roles=False, replied_user=True)

# Between connection attempts; the jitter keeps a thousand bots apart. Seconds.
RECONNECT = Backoff(first=1.0, limit=60.0, jitter=0.5)

# A lost connection is replaced at once, but at most once in this time: if its session cannot be resumed, a new one
# begins, and Discord allows one per 5 s and 1,000 per day
# (https://docs.discord.com/developers/events/gateway#rate-limiting). Seconds.
IMMEDIATE_EVERY = 5.0

# Timeout from connecting to HELLO. Seconds.
CONNECT_SECONDS = 60.0

# Events handled in one iteration of the event loop. In a burst, hundreds are received at once, and each takes a
# quarter of a millisecond.
EVENTS_PER_ITERATION = 4

_NORMAL_CLOSE = 1000  # by the server, without a reason against reconnecting
_RESUMABLE_CLOSE = 4000

# Timeout for Discord's side of the closing handshake; then the connection is dropped. Seconds.
CLOSE_SECONDS = 0.5


class ConnectionListener(Protocol):
    """Receives connection changes."""

    def on_connected(self, *, fresh: bool) -> None:
        """Events arrive. `fresh`: the session is new, and events sent in between are lost."""
        ...

    def on_disconnected(self) -> None:
        """The connection is lost; `listen` reconnects."""
        ...


class DiscordClient(discord.Client):
    """Parses message events for `handle` and looks names up in guild data (`parse.Directory`)."""

    def __init__(
        self,
        options: DiscordOptions,
        budgets: Budgets,
        *,
        handle: Callable[[Event], None],
        listener: ConnectionListener,
    ) -> None:
        self._options = options
        self._budgets = budgets
        self._handle = handle
        self._listener = listener
        with _without_voice_warning():
            super().__init__(
                intents=INTENTS,
                allowed_mentions=NO_PINGS,
                max_messages=None,  # `history.cache` stores messages within its own limits
                member_cache_flags=discord.MemberCacheFlags.none(),
                chunk_guilds_at_startup=False,
                guild_ready_timeout=0.0,  # on_ready is unused
                http_trace=trace_config(),
            )

    @override
    def _get_state(self, **options: Any) -> ConnectionState[Any]:
        """Replace the HTTP client and the message parsers before any other object refers to them."""
        self.http: RestClient = RestClient(self._options, self._budgets, self.http)
        state = super()._get_state(**options)
        ours: dict[str, Callable[[Any], Any]] = {name: partial(self._on_event, name) for name in EVENT_NAMES}
        for name, parser in (*state.parsers.items(), *ours.items()):
            state.parsers[name] = _tolerant(name, parser)
        return state

    def _on_event(self, name: str, data: Any) -> None:  # noqa: ANN401 (JSON of any shape)
        for event in parse_event(name, data, self):
            self._handle(event)

    @override
    async def setup_hook(self) -> None:
        """Ask a custom API for its gateway's address, unless that is set; without an answer, Discord's own is used.

        https://docs.discord.com/developers/events/gateway#get-gateway
        """
        if self._options.api_url and not self._options.gateway_url:
            try:
                answer = await self.http.request(Route("GET", "/gateway"))
                self.http.gateway_url = str(answer["url"])
            except (discord.HTTPException, Failure, *PARSE_ERRORS) as error:
                log.info("the API does not give the gateway's address: %r", error)

    @override
    async def application_info(self) -> discord.AppInfo:
        """The application's data, or a placeholder: discord.py's login asks for it but does not need it."""
        try:
            return await super().application_info()
        except (discord.HTTPException, Failure, *PARSE_ERRORS) as error:
            log.info("the application's data cannot be read: %r", error)
            data: Any = {"id": 0, "name": "", "description": "", "icon": None, "verify_key": ""}
            owner = {"id": 0, "username": "", "discriminator": "0", "avatar": None}
            data |= {"owner": owner, "bot_public": False, "bot_require_code_grant": False}
            return discord.AppInfo(self._connection, data)

    @override
    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Report connection changes at once. discord.py would start a task for each of its events."""
        if event == "connect":
            self._listener.on_connected(fresh=True)
        elif event == "resumed":
            self._listener.on_connected(fresh=False)
        elif event == "disconnect":
            self._listener.on_disconnected()

    # ------------------------------------------------------------------------------------------------------ directory

    @property
    def zone(self) -> tzinfo:
        """Time zone for timestamps in texts."""
        return self._options.zone

    def identity(self, guild: str) -> BotIdentity:
        """The bot's id, empty before the login, and its managed roles in a guild."""
        bot_id = str(self.user.id) if self.user is not None else ""
        known = self.get_guild(int(guild)) if guild else None
        roles = known.roles if known is not None else ()
        managed = (role for role in roles if role.tags is not None and str(role.tags.bot_id) == bot_id)
        return BotIdentity(bot_id, frozenset(str(role.id) for role in managed))

    def guild_of(self, channel: str) -> str:
        """The guild of a channel; empty for a DM or an unknown channel."""
        guild = getattr(self.get_channel(int(channel)), "guild", None)
        return str(guild.id) if guild is not None else ""

    def channel_info(self, channel: str, guild: str) -> ChannelInfo:
        """A channel's kind, parent and category. An unknown channel without a guild is a DM."""
        known = self.get_channel(int(channel))
        if isinstance(known, discord.Thread):
            category = known.parent.category_id if known.parent is not None else None
            return ChannelInfo(channel, ChannelKind.THREAD, str(known.parent_id), str(category or ""))
        if isinstance(known, discord.abc.PrivateChannel) or (known is None and not guild):
            return ChannelInfo(channel, ChannelKind.DM)
        return ChannelInfo(channel, ChannelKind.CHANNEL, category=str(getattr(known, "category_id", None) or ""))

    def name_of(self, guild: str, sign: str, target: str) -> str:
        """The name of a role (sign ``@&``) or channel; empty if unknown."""
        if sign != "@&":
            return str(getattr(self.get_channel(int(target)), "name", ""))
        known = self.get_guild(int(guild)) if guild else None
        role = known.get_role(int(target)) if known is not None else None
        return role.name if role is not None else ""


def _tolerant(name: str, parser: Callable[[Any], Any]) -> Callable[[Any], None]:
    """`parser`, but skipping malformed events: an error would end the connection."""

    def parse(data: object) -> None:
        try:
            parser(data)
        except PARSE_ERRORS:
            log.warning("skipping a malformed event %s", name, exc_info=True)

    return parse


@contextmanager
def _without_voice_warning() -> Iterator[None]:
    """Suppress discord.py's warning about missing voice libraries."""
    logger = logging.getLogger("discord.client")

    def is_other(record: logging.LogRecord) -> bool:
        return "voice will NOT be supported" not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


# --------------------------------------------------------------------------------------------------------- connection


class ReconnectDelays:
    """Delays before connection attempts, by `RECONNECT`, with one immediate attempt per `IMMEDIATE_EVERY`."""

    def __init__(self, random_: random.Random | None = None) -> None:
        self._random = random_ or random.Random()  # noqa: S311 (jitter, not a secret)
        self._attempt = 0
        self._immediate_at = float("-inf")

    def next(self) -> float:
        """Seconds until the next attempt; each call counts one failed attempt."""
        self._attempt += 1
        return RECONNECT.delay(self._attempt, self._random)

    def after_disconnect(self, now: float) -> float:
        """Seconds until the next attempt after a working connection was lost."""
        if now - self._immediate_at < IMMEDIATE_EVERY:
            return self.next()
        self._immediate_at = now
        return 0.0

    def reset(self) -> None:
        """Start over after a successful connection."""
        self._attempt = 0


class Socket(DiscordWebSocket):
    """A gateway connection; an error during the handshake closes it and stops its heartbeat thread.

    discord.py starts the heartbeat at HELLO but returns the connection only after IDENTIFY, up to 5 s later. A caller
    cancelled in between would have nothing to close.
    """

    _handshake_done = False
    _polled = 0  # events

    @override
    async def poll_event(self) -> None:
        try:
            await super().poll_event()
            self._polled += 1
            if self._polled % EVENTS_PER_ITERATION == 0:
                await asyncio.sleep(0)
        except Exception:
            await self._end()
            raise
        except BaseException:  # after the handshake, the cancelled caller closes the connection
            if not self._handshake_done:
                await self._end()
            raise

    @override
    async def identify(self) -> None:
        async with self._closed_on_error():
            await super().identify()
        self._handshake_done = True

    @override
    async def resume(self) -> None:
        async with self._closed_on_error():
            await super().resume()
        self._handshake_done = True

    async def _end(self) -> None:
        """Close the connection, with a code after which the session can be resumed.

        discord.py keeps its side open if Discord has closed the other one.
        """
        if self._keep_alive is not None:
            self._keep_alive.stop()
        with suppress(TimeoutError, OSError, aiohttp.ClientError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.socket.close(code=_RESUMABLE_CLOSE)

    @asynccontextmanager
    async def _closed_on_error(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            await self._end()
            raise


async def listen(client: discord.Client, delays: ReconnectDelays) -> None:
    """Receive events, reconnecting and resuming, until `client` is closed.

    Raises discord.py's errors for a close code that forbids reconnecting, for a failed first connection, and for an
    unreadable frame.
    """
    loop, ws = asyncio.get_running_loop(), None
    params: dict[str, Any] = {"initial": True}
    while not client.is_closed():
        resume = True
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                ws = client.ws = await Socket.from_client(client, **params)
            while True:
                await ws.poll_event()
        except ReconnectWebSocket as request:
            resume = request.resume
        except discord.ConnectionClosed as closed:
            if closed.code != _NORMAL_CLOSE:
                raise
        except (OSError, aiohttp.ClientError, discord.HTTPException, discord.GatewayNotFound, Failure) as error:
            if ws is None:
                raise
            log.info("the gateway cannot be reached: %r", error)
        client.dispatch("disconnect")
        if client.is_closed():
            return
        params = _resume_params(ws) if resume and ws is not None else {"initial": ws is None}
        delay = delays.after_disconnect(loop.time())
        if delay:
            log.warning("the connection to Discord is lost, trying again in %.1f s", delay)
        await asyncio.sleep(delay)


def _resume_params(ws: DiscordWebSocket) -> dict[str, Any]:
    """Arguments for resuming the session of `ws`; empty if it has none."""
    if ws.session_id is None:
        return {}
    return {"resume": True, "session": ws.session_id, "sequence": ws.sequence, "gateway": ws.gateway}
