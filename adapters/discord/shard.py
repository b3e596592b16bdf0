"""One gateway connection of a bot, with a part of its guilds: log in, stay connected, give it up, close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from typing_extensions import override

from adapters.discord.connection import IdentifySlot, ReconnectDelays, disconnect, listen
from adapters.discord.errors import map_connect_errors
from adapters.discord.events.handler import EventHandler
from adapters.discord.gateway import ConnectionListener, DiscordClient, ShardId
from adapters.discord.guild_loader import GuildLoader
from adapters.discord.history.cache import MessageCache
from adapters.discord.history.recovery import Recovery
from adapters.discord.options import DiscordOptions
from adapters.discord.rate_limits import BotLimits
from adapters.discord.sessions import SessionProgress, load_session
from adapters.discord.state import BotState
from adapters.shared.attachments import Attachments
from adapters.shared.cache import loop_time
from bot.callbacks import no_op
from bot.errors import Failure, Forbidden, NotFound
from bot.interactions.ports import Interactions
from bot.ownership.access import Lanes
from bot.ownership.lanes import Lane
from bot.ports import Inbox, UnfinishedTurn

log = logging.getLogger(__name__)


@dataclass(slots=True)
class BotParts:
    """What all shards of a bot share in this process."""

    options: DiscordOptions
    attachments: Attachments
    lanes: Lanes
    limits: BotLimits
    cache: MessageCache = field(default_factory=MessageCache)
    max_concurrency: int = 1  # shards that may begin a session at once
    was_ready: bool = False  # the token was valid at some time in this run


class Shard(ConnectionListener):
    """One owned shard, until it is lost or closed; won again, it is another object."""

    def __init__(self, lane: Lane, id_: ShardId, bot: BotParts, session: str = "") -> None:
        """`session` is the text of the earlier owner's session. `changed` is called whenever `ready` changes."""
        lanes, self.id, self._bot = bot.lanes, id_, bot
        self.state = BotState(
            bot.options,
            bot.attachments,
            cache=bot.cache,
            limits=bot.limits,
            last_limit=lanes.limit(lane),
            progress=SessionProgress(partial(lanes.save_session, lane)) if lanes.keeps_sessions else None,
        )
        self.handler = EventHandler(self.state)
        self.changed: Callable[[], object] = no_op
        self._session = load_session(session)  # to be resumed
        self._slot = IdentifySlot(self._reserve_slot)
        self._guilds = GuildLoader(self.state, progress) if (progress := self.state.progress) is not None else None
        self._recovery = Recovery(self.state, self.handler)
        self._unfinished: asyncio.Queue[UnfinishedTurn] = asyncio.Queue()
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._delays = ReconnectDelays()
        self._continue_writing()

    @property
    def ready(self) -> bool:
        """Whether events arrive: from READY until the connection is lost."""
        return self._ready.is_set()

    @property
    def ended(self) -> bool:
        """Whether it is lost or closed."""
        return self._ended.is_set()

    def _continue_writing(self) -> None:
        """Count what an earlier owner wrote."""
        session, now, progress = self._session, loop_time(), self.state.progress
        if progress is None:
            return  # recovered turns wait
        if session is not None:
            progress.continue_from(session)
            self.state.expects_guilds = False
            self.state.cache.mark_gap()
        if session is not None and session.windows is not None:
            self.state.budgets.assume(now, session.windows)
        else:
            self.state.budgets.hold_all(now, self._bot.options.sharing.takeover_hold_seconds)

    # ------------------------------------------------------------------------------------------------------ lifecycle

    async def run(self, inbox: Inbox, interactions: Interactions) -> None:
        """Stay connected and hand turns to `inbox`, until it is lost or closed.

        Raises `Forbidden` if Discord refuses the bot's first connection.
        """
        async with asyncio.TaskGroup() as group:
            self.handler.open(inbox, interactions, group)
            recovering = group.create_task(self._recover(inbox))
            reading = group.create_task(self._guilds.run()) if self._guilds is not None else recovering
            connected = group.create_task(self._refusal())
            ended = group.create_task(self._ended.wait())
            try:
                await asyncio.wait((connected, ended), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (connected, ended, recovering, reading):
                    task.cancel()
                self._set_ready(is_ready=False)
                self.handler.close()
            await self._disconnect()
        if not connected.cancelled() and (refusal := connected.result()) is not None:
            raise refusal

    def recover(self, unfinished: UnfinishedTurn) -> None:
        """Go on with a turn of another process, once connected."""
        self._unfinished.put_nowait(unfinished)

    def lose(self) -> None:
        """Another process owns the shard, or soon: take no event in from now on; its session goes on there.

        REST works until `close`.
        """
        self.handler.lose()
        if self.state.progress is not None:
            self.state.progress.end(self.state.budgets.reports(loop_time()))
        self._ended.set()
        self._set_ready(is_ready=False)

    async def close(self) -> None:
        """Close the connection, then store questions received since `handler.stop_accepting`."""
        self._ended.set()
        self._set_ready(is_ready=False)
        if self._bot.lanes.keeps_sessions:
            await self._disconnect()
        if self.state.current is not None:
            await self.state.current.close()
        await self.handler.store_late()

    async def _disconnect(self) -> None:
        if self.state.current is not None and self._bot.lanes.keeps_sessions:
            await disconnect(self.state.current)

    async def _recover(self, inbox: Inbox) -> None:
        await self._ready.wait()
        hold = 0.0 if self._bot.lanes.keeps_sessions else self._bot.options.sharing.recovery_hold_seconds
        hold_until = loop_time() + hold
        while True:
            unfinished = await self._unfinished.get()
            await self._ready.wait()
            self._recovery.recover(inbox, unfinished, hold_until)

    # ------------------------------------------------------------------------------------------------------ connection

    @override
    def on_connected(self, *, fresh: bool) -> None:
        self._bot.was_ready = True
        self._session = None
        self._delays.reset()
        if fresh:
            self.state.cache.mark_gap()
            self.state.expects_guilds = True
        self._set_ready(is_ready=not self.ended)
        log.info("connected to Discord as discord:%s, shard %s", self.state.bot_id, self.id)

    @override
    def on_disconnected(self) -> None:
        self._set_ready(is_ready=False)

    def _set_ready(self, *, is_ready: bool) -> None:
        if is_ready:
            self._ready.set()
        else:
            self._ready.clear()
        self.changed()

    async def _reserve_slot(self) -> float:
        bucket = self.id.number % self._bot.max_concurrency
        return await self._bot.lanes.reserve(f"discord/identify/{bucket}", self._bot.options.sharing.identify_seconds)

    async def _refusal(self) -> Forbidden | None:
        """Stay connected until closed; the refusal of the first connection, if it is refused."""
        try:
            await self._stay_connected()
        except Forbidden as refusal:  # a task of a group may not raise it
            return refusal
        return None

    async def _stay_connected(self) -> None:
        while not self._ended.is_set():
            client = self.state.current
            try:
                with map_connect_errors():
                    if client is None or client.is_closed():
                        await self._log_in()
                    await self._listen()
            except Forbidden as failure:
                if not self._bot.was_ready:
                    raise
                # Revoked in mid-run: an operator may restore the token, and other platforms keep running.
                self._set_ready(is_ready=False)
                delay = self._bot.options.refused_seconds
                log.error("%s Trying again in %.0f s.", failure, delay)  # noqa: TRY400 (the message is enough)
                if client is not None:
                    await client.close()
                await asyncio.sleep(delay)
            except Failure as failure:
                if self._ended.is_set():
                    return
                self._set_ready(is_ready=False)
                delay = max(self._delays.next(), getattr(failure, "retry_after", None) or 0.0)
                hint = " (does DISCORD_API_URL end in /api/v10?)" if isinstance(failure, NotFound) else ""
                log.warning("not connected to Discord, trying again in %.1f s: %r%s", delay, failure, hint)
                await asyncio.sleep(delay)

    async def _log_in(self) -> None:
        """Log in with a new client: after a failed login, discord.py's is unusable."""
        client = DiscordClient(
            self._bot.options,
            self.state.budgets,
            handle=self.handler.handle,
            listener=self,
            progress=self.state.progress,
            shard=self.id,
            wait_for_slot=self._slot.wait,
        )
        self.state.current = client
        if self._guilds is not None:
            client.defers, self.state.request_guild = self._guilds.defers, self._guilds.request
        try:
            async with asyncio.timeout(self._bot.options.login_seconds):
                await client.login(self._bot.options.token)
        except BaseException:
            await client.close()
            raise

    async def _listen(self) -> None:
        """Receive events until `listen` raises: a refusing close code, a failed first connection, a broken frame."""
        client = self.state.client
        try:
            await listen(client, self._delays, self._session)
        except Exception:
            await disconnect(client)
            raise
