"""Register the application commands when their definitions changed: one request, kept across restarts by a hash."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, Protocol

from discord.http import Route
from typing_extensions import override

from adapters.discord.errors import map_errors
from adapters.discord.interactions.command_definitions import are_registered, definitions, digest_of
from adapters.discord.state import BotState
from bot.backoff import Backoff
from bot.errors import Failure, Forbidden, Permanent

log = logging.getLogger(__name__)

# Between attempts to register. Seconds: commands may appear late, and Discord counts failed requests.
RETRY = Backoff(first=5.0, limit=900.0, jitter=0.5)

# Timeout of a request. Seconds: Discord takes up to some seconds for a registration.
REQUEST_SECONDS = 30.0

MISSING_SCOPE = (
    "The bot may not register its commands: invite it again with the scope applications.commands. Answering goes on."
)


class CommandHashes(Protocol):
    """Remembers the registered definitions by their hash; the store's errors are the store's own."""

    async def get(self, key: str) -> str:
        """The value; empty if there is none."""
        ...

    async def put(self, key: str, value: str) -> None:
        """Store a value."""
        ...


class MemoryHashes(CommandHashes):
    """Hashes of this process."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    @override
    async def get(self, key: str) -> str:
        return self._values.get(key, "")

    @override
    async def put(self, key: str, value: str) -> None:
        self._values[key] = value


class CommandSync:
    """Registers the bot's commands once per run, if they changed."""

    def __init__(self, connected_state: Callable[[], BotState], hashes: CommandHashes) -> None:
        """`connected_state` is any connected shard's; raises `ServiceError` if there is none."""
        self._connected_state = connected_state
        self._hashes = hashes
        self._random = random.Random()  # noqa: S311 (jitter, not a secret)

    async def run(self, ready: asyncio.Event) -> None:
        """Register after the first connection, and try again later after a failure."""
        attempt = 0
        while True:
            await ready.wait()
            try:
                await self._register()
            except Forbidden as failure:
                log.warning("%s (%s)", MISSING_SCOPE, failure)
                return
            except Permanent as failure:
                log.error("Discord refuses the definitions of the commands: %s", failure)  # noqa: TRY400 (expected)
                return
            except (Failure, TimeoutError) as failure:
                attempt += 1
                delay = max(RETRY.delay(attempt, self._random), getattr(failure, "retry_after", None) or 0.0)
                log.warning("the commands are not registered, trying again in %.0f s: %r", delay, failure)
                await asyncio.sleep(delay)
            else:
                return

    async def _register(self) -> None:
        state = self._connected_state()
        made = definitions(state.interactions.commands, state.interactions.choices)
        application = state.client.application_id
        if not made or not application:
            return
        key, digest = f"discord commands {application}", digest_of(made)
        if await self._known(key) == digest:
            return
        if not are_registered(made, await self._registered(application)):
            await self._send("PUT", application, made)
            log.info("registered %d commands with Discord", len(made))
        await self._remember(key, digest)

    async def _registered(self, application: int) -> object:
        """The present commands, so that a lost hash costs no registration; None if a server has no such list."""
        try:
            return await self._send("GET", application)
        except Permanent as failure:
            log.info("the registered commands cannot be read: %r", failure)
            return None

    async def _send(self, method: str, application: int, made: object = None) -> Any:  # noqa: ANN401 (JSON of any shape)
        route = Route(method, "/applications/{application_id}/commands", application_id=application)
        body = {} if made is None else {"json": made}
        with map_errors("registering commands"):
            async with asyncio.timeout(REQUEST_SECONDS):
                return await self._connected_state().client.http.request(route, **body)

    async def _known(self, key: str) -> str:
        try:
            return await self._hashes.get(key)
        except Exception:
            log.warning("the hash of the registered commands cannot be read", exc_info=True)
            return ""

    async def _remember(self, key: str, digest: str) -> None:
        try:
            await self._hashes.put(key, digest)
        except Exception:
            log.warning("the hash of the registered commands cannot be stored", exc_info=True)
