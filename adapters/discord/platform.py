"""The Discord platform as the core's port: log in, stay connected, stop accepting, close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from typing_extensions import override

from adapters.discord.errors import map_connect_errors
from adapters.discord.events.handler import EventHandler
from adapters.discord.gateway import ConnectionListener, DiscordClient, ReconnectDelays, listen
from adapters.discord.history.recovery import Recovery
from adapters.discord.interactions.command_sync import CommandHashes, CommandSync, MemoryHashes
from adapters.discord.options import DiscordOptions
from adapters.discord.state import BotState
from adapters.shared.attachments import Attachments
from bot.conversation import TurnKey
from bot.errors import Failure, Forbidden, NotFound
from bot.interactions.ports import NO_INTERACTIONS, Interactions
from bot.ownership.access import Lanes
from bot.ports import Inbox, OpenedQuestion, Platform

log = logging.getLogger(__name__)


class DiscordPlatform(Platform, ConnectionListener):
    """One bot on Discord. `attachments` stays open: its creator closes it."""

    name = "discord"

    def __init__(
        self,
        options: DiscordOptions,
        attachments: Attachments,
        hashes: CommandHashes | None = None,
        *,
        lanes: Lanes | None = None,
    ) -> None:
        """`hashes` remember the registered commands across restarts; `lanes` are not used yet."""
        self._lanes = lanes
        self._options = options
        self._state = BotState(options, attachments)
        self._handler = EventHandler(self._state)
        self._recovery = Recovery(self._state, self._handler)
        self._commands = CommandSync(self._state, hashes or MemoryHashes())
        self._ready = asyncio.Event()
        self._was_ready = False  # the token was valid at some time in this run
        self._delays = ReconnectDelays()
        self._closed = False

    @property
    def state(self) -> BotState:
        """State shared by all turns."""
        return self._state

    @property
    @override
    def ready(self) -> bool:
        """Whether events arrive: from READY until the connection is lost."""
        return self._ready.is_set()

    async def connected(self) -> None:
        """Wait until events arrive."""
        await self._ready.wait()

    @override
    async def run(self, inbox: Inbox, interactions: Interactions = NO_INTERACTIONS) -> None:
        """Stay connected and hand turns to `inbox`. Raises `Forbidden` if the first login is refused."""
        refusal: Forbidden | None = None
        async with asyncio.TaskGroup() as group:
            self._handler.open(inbox, interactions, group)
            recovering = group.create_task(self._recovery.run(inbox, self._ready))
            registering = group.create_task(self._commands.run(self._ready))
            try:
                await self._stay_connected()
            except Forbidden as failure:  # raised below, because the group would wrap it
                refusal = failure
            finally:
                self._ready.clear()
                self._handler.close()
                recovering.cancel()
                registering.cancel()
        if refusal is not None:
            raise refusal

    @override
    async def open_question(self, key: TurnKey, messages: Sequence[str]) -> OpenedQuestion:
        return await self._handler.open_question(key, messages)

    @override
    async def stop_accepting(self) -> None:
        """Keep later questions for the next process; questions already being looked up are still answered."""
        await self._handler.stop_accepting()

    @override
    async def close(self) -> None:
        """Close the connection, then store questions received since `stop_accepting`."""
        self._closed = True
        self._ready.clear()
        if self._state.current is not None:
            await self._state.current.close()
        await self._handler.store_late()

    # ------------------------------------------------------------------------------------------------------ connection

    @override
    def on_connected(self, *, fresh: bool) -> None:
        self._ready.set()
        self._was_ready = True
        self._delays.reset()
        if fresh:
            self._state.cache.mark_gap()
        log.info("connected to Discord as discord:%s", self._state.bot_id)

    @override
    def on_disconnected(self) -> None:
        self._ready.clear()

    async def _stay_connected(self) -> None:
        while not self._is_closed():
            client = self._state.current
            try:
                with map_connect_errors():
                    if client is None or client.is_closed():
                        await self._log_in()
                    await self._listen()
            except Forbidden as failure:
                if not self._was_ready:
                    raise
                # Revoked in mid-run: an operator may restore the token, and other platforms keep running.
                self._ready.clear()
                delay = self._options.refused_seconds
                log.error("%s Trying again in %.0f s.", failure, delay)  # noqa: TRY400 (the message is enough)
                if client is not None:
                    await client.close()
                await asyncio.sleep(delay)
            except Failure as failure:
                if self._is_closed():
                    return
                self._ready.clear()
                delay = max(self._delays.next(), getattr(failure, "retry_after", None) or 0.0)
                hint = " (does DISCORD_API_URL end in /api/v10?)" if isinstance(failure, NotFound) else ""
                log.warning("not connected to Discord, trying again in %.1f s: %r%s", delay, failure, hint)
                await asyncio.sleep(delay)

    def _is_closed(self) -> bool:
        return self._closed

    async def _log_in(self) -> None:
        """Log in with a new client: after a failed login, discord.py's is unusable."""
        client = DiscordClient(self._options, self._state.budgets, handle=self._handler.handle, listener=self)
        self._state.current = client
        try:
            async with asyncio.timeout(self._options.login_seconds):
                await client.login(self._options.token)
        except BaseException:
            await client.close()
            raise

    async def _listen(self) -> None:
        """Receive events until `listen` raises: a refusing close code, a failed first connection, a broken frame."""
        client = self._state.client
        try:
            await listen(client, self._delays)
        except Exception:
            if getattr(client.ws, "open", False):  # None before the first connection, despite its type
                await client.ws.close(4000)
            raise
