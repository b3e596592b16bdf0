"""Staying connected to the gateway: resumed at once when a connection is lost, and then less and less often.

What belongs here: when the next connection is tried, and with what it resumes. What does not: the protocol
(discord.py), logging in, and what an end means that no reconnecting helps (`platform`).

discord.py has such a loop. It waits up to 17 minutes between tries (``discord.backoff``), after which no session can be
resumed and what was said is lost, and not at all where a server takes connections and closes them at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import discord
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from bot.errors import Failure

log = logging.getLogger(__name__)

# Between tries to connect: doubled from the first to the longest, each between a half and the whole of it, so that a
# thousand bots do not come back at once. Seconds.
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0

# A connection that is lost is made again at once, but only once in this time: one whose session cannot be resumed
# begins anew, which Discord allows every 5 s and 1,000 times a day
# (https://docs.discord.com/developers/events/gateway#rate-limiting). Seconds.
AT_ONCE_EVERY = 5.0

# How long the way to a HELLO may take. Seconds.
CONNECT_SECONDS = 60.0

# A close that is the server's, and says nothing against coming back.
_NORMAL_CLOSE = 1000
_RESUMABLE_CLOSE = 4000
# How long Discord may take to close a connection too, in seconds; then it is only dropped.
END_SECONDS = 0.5


class ReconnectDelays:
    """How long to wait before the next try to connect."""

    def __init__(self, roll: Callable[[float, float], float] = random.uniform) -> None:
        self._roll = roll
        self._next = FIRST_DELAY
        self._at_once = float("-inf")  # when no delay was asked for last

    def next(self) -> float:
        """Seconds until the next try; longer each time."""
        longest, self._next = self._next, min(self._next * 2, LONGEST_DELAY)
        return self._roll(longest / 2, longest)

    def after_disconnect(self, now: float) -> float:
        """The same after a connection that stood: none, but for one that is lost again and again."""
        if now - self._at_once < AT_ONCE_EVERY:
            return self.next()
        self._at_once = now
        return 0.0

    def reset(self) -> None:
        """After a connection that worked."""
        self._next = FIRST_DELAY


class Socket(DiscordWebSocket):
    """One connection, that ends, its heartbeat with it, also where the greeting is broken off.

    The library begins the heartbeat, a thread, at HELLO and hands the connection over after IDENTIFY, for which it may
    wait 5 s: whoever is cancelled meanwhile would have nothing to close.
    """

    _greeted = False

    async def poll_event(self) -> None:
        """As in the library. Once it stands, whoever is cancelled closes it in their own way."""
        try:
            await super().poll_event()
        except Exception:
            await self._end()
            raise
        except BaseException:
            if not self._greeted:
                await self._end()
            raise

    async def identify(self) -> None:
        """As in the library."""
        async with self._ended_if_broken_off():
            await super().identify()
        self._greeted = True

    async def resume(self) -> None:
        """As in the library."""
        async with self._ended_if_broken_off():
            await super().resume()
        self._greeted = True

    async def _end(self) -> None:
        """Let go of the connection, whatever has become of it: the library leaves one that Discord closed as it is.

        The code is one after which the session can be resumed.
        """
        if self._keep_alive is not None:
            self._keep_alive.stop()
        with suppress(TimeoutError, OSError, aiohttp.ClientError):
            async with asyncio.timeout(END_SECONDS):
                await self.socket.close(code=_RESUMABLE_CLOSE)

    @asynccontextmanager
    async def _ended_if_broken_off(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            await self._end()
            raise


async def listen(client: discord.Client, delays: ReconnectDelays) -> None:
    """Listen, and resume when the connection is lost, until `client` is closed.

    Raises what discord.py does: at a close that says that no reconnecting helps, at a first connection that fails, and
    at a frame that it cannot read.
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
        except ReconnectWebSocket as asked:
            resume = asked.resume
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
        params = _to_resume(ws) if resume and ws is not None else {"initial": ws is None}
        delay = delays.after_disconnect(loop.time())
        if delay:
            log.warning("the connection to Discord is lost, trying again in %.1f s", delay)
        await asyncio.sleep(delay)


def _to_resume(ws: DiscordWebSocket) -> dict[str, Any]:
    """What a next connection needs to go on where `ws` ended; a session that was never begun is begun."""
    if ws.session_id is None:
        return {}
    return {"resume": True, "session": ws.session_id, "sequence": ws.sequence, "gateway": ws.gateway}
