"""A shard's gateway connection: new and resumed sessions, delays, and slots for new sessions.

discord.py's own reconnect loop waits up to 17 minutes between attempts (``discord.backoff``); by then a session can no
longer be resumed and its events are lost. It does not wait at all if a server accepts connections and closes them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket, ReconnectWebSocket
from typing_extensions import override

from adapters.discord.gateway import DiscordClient
from adapters.discord.sessions import Session
from bot.backoff import Backoff
from bot.errors import Failure

log = logging.getLogger(__name__)

# Between connection attempts; the jitter keeps a thousand bots apart. Seconds.
RECONNECT = Backoff(first=1.0, limit=60.0, jitter=0.5)

# A lost connection is replaced at once, but at most once in this time: if its session cannot be resumed, a new one
# begins, and Discord allows one per 5 s and 1,000 per day
# (https://docs.discord.com/developers/events/gateway#rate-limiting). Seconds.
IMMEDIATE_EVERY = 5.0

# Timeout from connecting to IDENTIFY or RESUME. Seconds.
CONNECT_SECONDS = 60.0

# Longest wait for the slot of an IDENTIFY on an open connection. Before a later one, it is connected again this much
# earlier. Seconds.
SLOT_SECONDS = 10.0

# A slot is lost if this much of it has passed: the next one's IDENTIFY could come too early. Seconds.
SLOT_LATE_SECONDS = 0.1

# Events handled in one iteration of the event loop. In a burst, hundreds are received at once, and each takes a
# quarter of a millisecond.
EVENTS_PER_ITERATION = 4

_NORMAL_CLOSE = 1000  # by the server, without a reason against reconnecting
_RESUMABLE_CLOSE = 4000

# Timeout for Discord's side of the closing handshake; then the connection is dropped. Seconds.
CLOSE_SECONDS = 0.5


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


class SlotIsLater(Exception):
    """The IDENTIFY's slot is `seconds` from now, less the time to connect."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"in {seconds:.0f} s")
        self.seconds = seconds


class IdentifySlot:
    """One shard's next slot for an IDENTIFY. `reserve` returns the seconds until a new one."""

    def __init__(self, reserve: Callable[[], Awaitable[float]]) -> None:
        self._reserve = reserve
        self._at: float | None = None

    async def wait(self) -> None:
        """Wait until a session may begin. Raises `SlotIsLater` before a long wait, and keeps the slot."""
        loop = asyncio.get_running_loop()
        if self._at is None or loop.time() > self._at + SLOT_LATE_SECONDS:
            self._at = loop.time() + await self._reserve()
        seconds = self._at - loop.time()
        if seconds > SLOT_SECONDS:
            raise SlotIsLater(seconds - SLOT_SECONDS)
        self._at = None
        await asyncio.sleep(max(seconds, 0.0))


async def listen(client: DiscordClient, delays: ReconnectDelays, session: Session | None = None) -> None:
    """Receive events, reconnecting and resuming, until `client` is closed. `session` is resumed first, if any.

    Raises discord.py's errors for a close code that forbids reconnecting, for a failed first connection, and for an
    unreadable frame.
    """
    loop, ws = asyncio.get_running_loop(), None
    params = _first_params(session)
    while not client.is_closed():
        resume = True
        try:
            ws = client.ws = await _connect(client, params)
            while True:
                await ws.poll_event()
                client.received(ws.session_id, ws.sequence, str(ws.gateway))
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


async def _connect(client: DiscordClient, params: Mapping[str, Any]) -> Socket:
    while True:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await Socket.from_client(client, shard_id=client.shard_id, **params)
        except SlotIsLater as later:
            log.info("a new session of shard %s begins in %.0f s", client.shard_id, later.seconds + SLOT_SECONDS)
            seconds = later.seconds
        await asyncio.sleep(seconds)


async def disconnect(client: discord.Client) -> None:
    """Close the gateway connection, with a code after which the session can be resumed."""
    if getattr(client.ws, "open", False):  # None before the first connection, despite its type
        with suppress(TimeoutError, OSError, aiohttp.ClientError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await client.ws.close(_RESUMABLE_CLOSE)


def _first_params(session: Session | None) -> dict[str, Any]:
    if session is None:
        return {"initial": True}
    gateway = yarl.URL(session.gateway)
    return {"resume": True, "session": session.id, "sequence": session.sequence, "gateway": gateway}


def _resume_params(ws: DiscordWebSocket) -> dict[str, Any]:
    """Arguments for resuming the session of `ws`; empty if it has none."""
    if ws.session_id is None:
        return {}
    return {"resume": True, "session": ws.session_id, "sequence": ws.sequence, "gateway": ws.gateway}
